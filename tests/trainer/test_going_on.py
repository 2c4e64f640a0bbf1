"""A run goes on beyond its end, under other libraries, or from a LoRA, and says so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from train_samples import config, draw_photos, run_of, settings, stop_at, trained

from modiste.core.errors import InputError
from modiste.trainer.config import read_config
from modiste.trainer.loop.checkpoint import MANIFEST, _digest, whole_checkpoints
from modiste.trainer.loop.optimizers import rate_factor
from modiste.trainer.lora.file import delta_weights, read_lora, write_lora
from modiste.trainer.lora.peft_layers import collect
from modiste.trainer.lora.state import AdapterState
from modiste.trainer.results import LORA_FILE, RECORD
from modiste.trainer.run import CHECKPOINTS, locked


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return draw_photos(tmp_path_factory.mktemp("data") / "photos", 7)


@pytest.fixture(scope="module")
def finished(base, photos, tmp_path_factory) -> Path:
    """The folder of a run of six steps."""
    out = tmp_path_factory.mktemp("runs") / "finished"
    trained(config(base, photos, steps=6, ema=0.9), out)
    return out


def copied(folder: Path, out: Path) -> Path:
    return Path(shutil.copytree(folder, out))


def record_of(out: Path) -> dict:
    return json.loads((out / RECORD).read_text())


# ── more steps ──


def test_a_run_that_is_extended_ends_as_one_that_was_long_from_its_start(base, photos, finished, tmp_path):
    out = copied(finished, tmp_path / "extended")
    trained(config(base, photos, steps=6, ema=0.9, extend=4), out)
    whole = trained(config(base, photos, steps=6, ema=0.9, extended=[{"at": 6, "steps": 4}]), tmp_path / "whole")
    assert record_of(out)["steps"] == whole.record["steps"] == 10
    assert record_of(out)["losses"] == whole.record["losses"]
    assert record_of(out)["validation"] == whole.record["validation"]
    found, expected = load_file(out / LORA_FILE), load_file(whole.file)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_the_same_command_goes_on_with_an_extension_and_adds_another_behind_its_end(base, photos, finished, tmp_path):
    out = copied(finished, tmp_path / "run")
    asked = config(base, photos, steps=6, ema=0.9, extend=4)
    stop_at(8, asked, out)
    trained(asked, out)
    assert record_of(out)["steps"] == 10
    trained(config(base, photos, steps=6, ema=0.9), out)  # the command of before the extension
    assert record_of(out)["steps"] == 10
    trained(asked, out)
    assert record_of(out)["steps"] == 14
    assert record_of(out)["config"]["extended"] == [{"at": 6, "steps": 4}, {"at": 10, "steps": 4}]
    assert record_of(out)["config"]["extend"] == 0


def test_an_extension_goes_through_the_schedule_once_more(base, photos):
    extended = config(base, photos, steps=10, warmup=2, extended=[{"at": 10, "steps": 20}])
    rates = [rate_factor(step, extended) for step in range(30)]
    assert rates[0] == 0.5 and rates[9] < 0.05
    assert rates[10] == 1.0 and rates[20] == pytest.approx(0.5) and rates[29] < 0.01
    assert rates[:10] == [rate_factor(step, config(base, photos, steps=10, warmup=2)) for step in range(10)]


def test_patience_counts_anew_behind_the_first_step_of_an_extension(base, photos, tmp_path):
    """At a rate that ruins the model every validation after the first is worse: both phases end early."""
    ruin = dict(steps=12, learning_rate=0.5, schedule="constant", validation=dict(every=1, patience=2, timesteps=2))
    ruin["data"] = dict(held_out_least=2)
    first = trained(config(base, photos, **ruin), tmp_path).record
    again = trained(config(base, photos, **ruin, extend=8), tmp_path).record
    assert first["steps"] < 12
    assert again["config"]["extended"] == [{"at": first["steps"], "steps": 8}]
    assert first["steps"] + 2 <= again["steps"] < first["steps"] + 8


def test_there_is_nothing_to_extend_in_an_empty_folder(base, photos, tmp_path):
    with pytest.raises(InputError, match="no run to extend"):
        trained(config(base, photos, steps=2, extend=2), tmp_path)


def test_an_extension_of_another_length_is_refused(base, photos, finished, tmp_path):
    out = copied(finished, tmp_path / "run")
    with pytest.raises(InputError, match="extended by nothing, not by 3 at step 6"):
        trained(config(base, photos, steps=6, ema=0.9, extended=[{"at": 6, "steps": 3}]), out)


# ── other libraries ──


def with_torch_of(version: str, out: Path) -> None:
    """Rewrites the run's checkpoints as if another torch had written them."""
    for checkpoint in whole_checkpoints(out / CHECKPOINTS):
        manifest = json.loads((checkpoint / MANIFEST).read_text())
        manifest.pop("sha256")
        manifest["identity"]["versions"]["torch"] = version
        for row in manifest["record"]["versions"]:
            row["versions"]["torch"] = version
        (checkpoint / MANIFEST).write_text(json.dumps({**manifest, "sha256": _digest(manifest)}))


def test_a_run_goes_on_under_other_libraries_where_that_is_accepted_and_notes_it(base, photos, tmp_path):
    asked = dict(steps=6, save_every=2)
    stop_at(4, config(base, photos, **asked), tmp_path)
    with_torch_of("1.0", tmp_path)
    with pytest.raises(InputError, match="versions.torch: 1.0 → .*--accept-versions"):
        trained(config(base, photos, **asked), tmp_path)
    said = []
    trained(config(base, photos, **asked, accept_versions=True), tmp_path, said.append)
    assert any("goes on under other library versions: torch: 1.0 →" in now.message for now in said)
    versions = record_of(tmp_path)["versions"]
    assert [(row["step"], row["versions"]["torch"]) for row in versions] == [(0, "1.0"), (4, torch.__version__)]
    trained(config(base, photos, **asked), tmp_path)  # from now on they are the run's own


def test_accepting_versions_accepts_nothing_else(base, photos, tmp_path):
    stop_at(4, config(base, photos, steps=6, save_every=2), tmp_path)
    with_torch_of("1.0", tmp_path)
    with pytest.raises(InputError, match="config.learning_rate"):
        trained(config(base, photos, steps=6, save_every=2, learning_rate=0.5, accept_versions=True), tmp_path)


# ── from a LoRA ──


@pytest.mark.parametrize(
    "network",
    [
        dict(rank=4, alpha=2),
        dict(rank=4, conv_rank=3, text_rank=2),
        dict(rank=4, dora=True),
        dict(rank=4, kind="loha"),
        dict(rank=4, kind="lokr"),
    ],
    ids=["lora", "convolutions and text", "dora", "loha", "lokr"],
)
def test_a_run_begins_with_the_change_of_the_lora_that_it_is_given(network, base, photos, tmp_path):
    before = trained(config(base, photos, steps=3, learning_rate=1e-2, network=network), tmp_path / "first").file
    fields = {k: v for k, v in settings(base, photos, steps=3, from_lora=str(before)).items() if k != "network"}
    run = run_of(read_config(fields), tmp_path / "second")
    assert_same_change(collect(run.model.base.parts, "sd1"), read_lora(before), base)
    expected = {**record_of(tmp_path / "first")["config"]["network"], "alpha": float(network.get("alpha", 16))}
    found = run.config.network.model_dump()
    assert all(found[name] == expected[name] for name in ("kind", "rank", "alpha", "conv_rank", "text_rank", "dora"))


def assert_same_change(found: AdapterState, expected: AdapterState, base: Path, tolerance: float = 2e-3) -> None:
    """ΔW by ΔW, to what float16 in the file has rounded."""
    from modiste.trainer.lora.model_weights import part_weights

    parts = dict.fromkeys(module.part for module in expected.modules)
    weights = {f"{part}.{path}": tensor for part in parts for path, tensor in part_weights(base, part).items()}
    ours, theirs = delta_weights(found, weights), delta_weights(expected, weights)
    for name, delta in theirs.items():
        if float(delta.norm()) > 1e-6:
            assert float((ours[name] - delta).norm() / delta.norm()) < tolerance, name


@pytest.mark.parametrize(("rank", "tolerance"), [(2, 1.0), (8, 2e-3)], ids=["cut", "padded"])
def test_a_lora_of_another_rank_is_cut_to_the_best_one_or_padded(rank, tolerance, base, photos, tmp_path):
    first = trained(
        config(base, photos, steps=3, learning_rate=1e-2, network=dict(rank=4, alpha=2)), tmp_path / "first"
    )
    asked = settings(base, photos, steps=3, from_lora=str(first.file), network={"rank": rank})
    run = run_of(read_config(asked), tmp_path / "second")
    found, expected = collect({"unet": run.model.base.unet}, "sd1"), read_lora(first.file)
    assert {module.rank for module in found.modules} == {rank}
    assert {module.scale for module in found.modules} == {0.5}
    assert_same_change(found, expected, base, tolerance)
    if rank < 4:
        deltas, cut = delta_weights(expected), delta_weights(found)
        for name, delta in deltas.items():
            u, sigma, vh = torch.linalg.svd(delta.flatten(1), full_matrices=False)
            best = (u[:, :rank] * sigma[:rank]) @ vh[:rank]
            assert torch.allclose(cut[name].flatten(1), best, atol=1e-5 + 1e-3 * float(sigma[0]))
    else:  # the new directions can learn: A is not 0
        down = found.modules[0].tensors["lora_down.weight"]
        assert bool(down[4:].flatten(1).norm(dim=1).min() > 0)


def test_a_resumed_run_from_a_lora_is_the_one_of_a_single_start(base, photos, tmp_path):
    """Of mixed scales too: a resume knows the network's alone."""
    first = trained(config(base, photos, steps=3, learning_rate=1e-2), tmp_path / "first").file
    state = read_lora(first)
    odd = state.modules[0]
    odd = type(odd)(odd.part, odd.path, odd.kind, {**odd.tensors, "alpha": odd.tensors["alpha"] * 3})
    mixed = tmp_path / "mixed.safetensors"
    write_lora(AdapterState("sd1", (odd, *state.modules[1:])), mixed, state.metadata)
    asked = settings(base, photos, steps=6, from_lora=str(mixed), data=dict(held_out_least=2))
    fields = {k: v for k, v in asked.items() if k != "network"}
    asked = read_config(fields)
    whole = trained(asked, tmp_path / "whole")
    stop_at(3, asked, tmp_path / "parts")
    parts = trained(asked, tmp_path / "parts")
    found, expected = load_file(parts.file), load_file(whole.file)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert "over the starting LoRA's" in whole.record["reason"]


def test_a_lora_that_changed_is_another_run(base, photos, tmp_path):
    first = trained(config(base, photos, steps=2, learning_rate=1e-2), tmp_path / "first").file
    again = trained(config(base, photos, steps=4, learning_rate=1e-2), tmp_path / "again").file
    asked = settings(base, photos, steps=6, from_lora=str(first))
    stop_at(3, read_config(asked), tmp_path / "run")
    with pytest.raises(InputError, match="from_lora: "):
        trained(read_config({**asked, "from_lora": str(again)}), tmp_path / "run")


def test_what_no_adapter_here_can_take_is_refused_in_words(base, photos, tmp_path):
    first = trained(
        config(base, photos, steps=2, learning_rate=1e-2, network=dict(rank=2, text_rank=2)), tmp_path / "a"
    )
    asked = settings(base, photos, from_lora=str(first.file), network={"text_rank": 0})
    with pytest.raises(InputError, match="modules that this run trains no adapter on: text_encoder"):
        run_of(read_config(asked), tmp_path / "b")
    loha = trained(config(base, photos, steps=2, learning_rate=1e-2, network=dict(rank=2, kind="loha")), tmp_path / "c")
    asked = settings(base, photos, from_lora=str(loha.file), network={"rank": 3})
    with pytest.raises(InputError, match="a loha of rank 2 can't become one of rank 3"):
        run_of(read_config(asked), tmp_path / "d")
    with pytest.raises(InputError, match="begins with no LoRA"):
        fields = settings(base, photos, method="full", from_lora=str(first.file))
        read_config({name: value for name, value in fields.items() if name != "network"})


def test_what_a_killed_training_was_writing_is_gone_when_the_next_one_begins(tmp_path):
    (tmp_path / "train.lock").write_text("4242")
    half = [tmp_path / "fashion_sd_model.4242.tmp", tmp_path / "steps" / "lora-step00000004.safetensors.4242.tmp"]
    half[0].mkdir()
    half[1].parent.mkdir()
    half[1].write_bytes(b"half")
    whole = half[1].with_name("lora-step00000002.safetensors")
    whole.write_bytes(b"whole")
    locked(tmp_path).release()
    assert not any(path.exists() for path in half) and whole.exists()
