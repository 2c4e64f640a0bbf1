"""The training bench measures processes as they are, says who is left out, and the lean layers change no number."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_models import tiny_diffusion
from train_samples import config, draw_photos, gradients, run_of, tiny_base

from modiste.bench import train as bench
from modiste.bench.train_commands import DIFFUSERS, MODISTE, SD_SCRIPTS, TrainingTask, Way
from modiste.checkpoints.unet_file import UNET_FILE, read_unet
from modiste.core.errors import InputError
from modiste.trainer.model import adapters
from modiste.trainer.model import fast_layers as lean_layers


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> TrainingTask:
    folder = tmp_path_factory.mktemp("job")
    base = tiny_diffusion(folder / "base")
    return TrainingTask(base, bench.make_photos(folder / "photos"), steps=6, rank=4, resolution=64)


def way_of(program: str) -> Way:
    """A way whose process is a short program."""
    return Way("a program", rb"Steps: (\d+)/", lambda job, checkout, folder: [sys.executable, "-c", program])


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).detach().norm() / expected.detach().norm().clamp(min=1e-12))


# ── the bench ──


def test_our_own_trainer_is_measured_step_by_step(job, tmp_path):
    row = bench.measured(MODISTE, replace(job, precision="auto"), tmp_path, 1, tmp_path)
    assert row.precision == "auto: fp32" and row.steps == 3
    assert 0 < row.cpu_s < 5 and 0.1 < row.memory_gib < 4 and row.peak_share is None


def test_a_process_s_seconds_begin_after_its_first_steps_and_its_memory_is_its_own(job, tmp_path):
    program = "\n".join(
        [
            "import time",
            "held = b'x' * 900_000_000",
            "for step in range(1, 7):",
            "    began = time.process_time()",
            "    while time.process_time() - began < (1.0 if step <= 3 else 0.1): pass",
            "    print(f'Steps: {step}/6', flush=True)",
        ]
    )
    row = bench.measured(way_of(program), job, tmp_path, 1, tmp_path)
    assert row.steps == 3 and row.cpu_s == pytest.approx(0.1, abs=0.05)
    # No upper bound: what this process has held itself is counted for its children, too, and tests hold much.
    assert row.memory_gib > 0.84


def test_a_process_that_fails_is_an_error_with_its_last_words(job, tmp_path):
    with pytest.raises(InputError, match="no such weights"):
        bench.measured(way_of("raise SystemExit('no such weights')"), job, tmp_path, 1, tmp_path)


def test_a_rival_whose_checkout_is_not_at_hand_is_left_out_with_the_reason(tmp_path):
    assert DIFFUSERS.missing(None) == "DIFFUSERS_PATH names no checkout"
    assert SD_SCRIPTS.missing(tmp_path) == f"there is no train_network.py in {tmp_path}"
    (tmp_path / "train_network.py").touch()
    assert not SD_SCRIPTS.missing(tmp_path) and not MODISTE.missing(None)


def test_ratios_stand_against_the_better_rival_in_the_same_format():
    row = bench.TrainRow("", "fp32", 256, 1, "cpu", 3, cpu_s=1, s=1, memory_gib=1)
    rows = [
        replace(row, way=MODISTE.name, precision="auto: bf16", cpu_s=2, memory_gib=3),
        replace(row, way=MODISTE.name, cpu_s=4, memory_gib=4),
        replace(row, way=DIFFUSERS.name, cpu_s=8, memory_gib=5),
        replace(row, way=SD_SCRIPTS.name, cpu_s=6, memory_gib=6),
        replace(row, way=SD_SCRIPTS.name, precision="bf16", cpu_s=1, memory_gib=1),
    ]
    assert list(bench.ratios(rows).values()) == [
        {"times_faster": 3.0, "memory_share": 0.6},
        {"times_faster": 1.5, "memory_share": 0.8},
    ]
    assert "3.00 times faster" in bench.as_text(rows)


@pytest.mark.slow
@pytest.mark.parametrize("way", [DIFFUSERS], ids=["diffusers"])
def test_a_rival_s_script_runs_as_it_is(way, job, tmp_path):
    checkout = os.environ.get(way.variable)
    if reason := way.missing(Path(checkout) if checkout else None):
        pytest.skip(reason)
    row = bench.measured(way, job, Path(checkout), 1, tmp_path)
    assert row.steps == 3 and row.cpu_s > 0


# ── what makes a step cheap ──


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("network", [dict(rank=4, alpha=2.0), dict(rank=4, conv_rank=2, text_rank=2)])
def test_lean_layers_give_the_gradients_of_peft_and_diffusers(network, precision, tmp_path, monkeypatch):
    base, photos = tiny_base(tmp_path / "base"), draw_photos(tmp_path / "photos", 4)
    monkeypatch.setattr(lean_layers, "FEW_PIXELS", 0.1)  # so that convolutions of this size go by columns too
    wanted = config(base, photos, network=network, precision=precision)
    lean = gradients(run_of(wanted, tmp_path / "lean"))
    monkeypatch.setattr(adapters, "make_lean", lambda base, resolution: None)
    plain = gradients(run_of(wanted, tmp_path / "plain"))
    exact = gradients(run_of(wanted.model_copy(update={"precision": "fp32"}), tmp_path / "exact"))
    for name, expected in exact.items():
        if precision == "fp32":
            assert apart(lean[name], expected) < 1e-5
        else:  # no further from the exact ones than before
            assert apart(lean[name], expected) < 1.5 * apart(plain[name], expected) + 1e-3


def test_a_convolution_of_few_pixels_goes_by_columns_and_is_the_same():
    torch.manual_seed(0)
    for stride in (1, 2):
        layer, x = torch.nn.Conv2d(8, 400, 3, stride, 1).requires_grad_(False), torch.randn(2, 8, 5, 4)
        found, expected = x.clone().requires_grad_(), x.clone().requires_grad_()
        ours = lean_layers._convolved(layer, lambda x: pytest.fail("not by columns"), found)
        theirs = layer(expected)
        (ours**2).sum().backward()
        (theirs**2).sum().backward()
        assert apart(ours, theirs) < 1e-6 and apart(found.grad, expected.grad) < 1e-5
    many = torch.randn(2, 8, 40, 40)
    assert torch.equal(lean_layers._convolved(layer, layer, many), layer(many))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_unet_read_tensor_by_tensor_is_that_of_diffusers(dtype, tmp_path):
    from diffusers import UNet2DConditionModel

    folder = tiny_base(tmp_path / "base") / "unet"
    expected, found = UNet2DConditionModel.from_pretrained(folder, torch_dtype=dtype), read_unet(folder, dtype)
    assert all(found.config[name] == value for name, value in expected.config.items() if name[0] != "_")
    assert found.state_dict().keys() == expected.state_dict().keys()
    assert all(torch.equal(found.state_dict()[name], one) for name, one in expected.state_dict().items())
    assert found.dtype == dtype and not any(p.is_meta for p in [*found.parameters(), *found.buffers()])
    (folder / UNET_FILE).unlink()
    assert read_unet(folder, dtype) is None
