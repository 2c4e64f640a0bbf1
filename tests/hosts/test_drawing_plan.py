"""Drawing in the memory that is free: the plan, and what happens where a device has less than it said."""

from __future__ import annotations

import logging

import pytest
import torch
from tiny_models import tiny_diffusion
from typer.testing import CliRunner

from modiste.cli.app import app
from modiste.core.errors import InputError
from modiste.hosts.drawing_plan import DrawingPlan, needed_gib, plan_drawing
from modiste.hosts.errors import OutOfMemory
from modiste.hosts.local import LocalHost
from modiste.hosts.request import GenerationRequest

SD15, SDXL = 512 * 512, 1024 * 1024


# ── the plan ──


@pytest.mark.parametrize(
    ("family", "pixels", "free_gib", "offload", "batch"),
    [
        ("sd1", SD15, 79.0, "none", 16),
        ("sd1", SD15, 7.0, "none", 8),
        ("sd1", SD15, 3.2, "none", 1),
        ("sd1", SD15, 2.8, "model", 1),
        ("sd1", SD15, 1.6, "sequential", 1),
        ("sdxl", SDXL, 23.0, "none", 8),
        ("sdxl", SDXL, 10.0, "none", 1),
        ("sdxl", SDXL, 7.5, "model", 1),
        ("sdxl", SDXL, 3.5, "sequential", 1),
    ],
)
def test_a_card_gets_the_fastest_plan_that_its_free_memory_holds(family, pixels, free_gib, offload, batch):
    plan = plan_drawing(family, pixels, free_gib)
    assert (plan.offload, plan.batch) == (offload, batch), plan.text
    assert needed_gib(plan, family, pixels) < free_gib


def test_each_step_down_takes_less_memory_and_the_last_one_ends():
    for family, pixels in (("sd1", SD15), ("sd2", 768 * 768), ("sdxl", SDXL)):
        plan, needs = DrawingPlan("float16", 16), []
        while plan is not None:
            needs.append(needed_gib(plan, family, pixels))
            plan = plan.less()
        assert needs == sorted(needs, reverse=True) and len(needs) == 8


def test_low_memory_moves_parts_however_much_is_free():
    plan = plan_drawing("sd1", SD15, 79.0, low_memory=True)
    assert plan.batch == 1 and plan.vae_tiling and plan.offload == "model"


# ── a device that runs out of memory ──


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_diffusion(tmp_path_factory.mktemp("models") / "tiny-sd")


class Card:
    """A pipeline on a card that runs out of memory above so many pictures, until its parts are moved."""

    def __init__(self, pipeline, most: int, needs: str = "none"):
        self.pipeline, self.most, self.needs, self.offload, self.batches = pipeline, most, needs, "none", []
        self.error: Exception | None = None

    def __getattr__(self, name):
        return getattr(self.pipeline, name)

    def to(self, device):
        return self

    def enable_model_cpu_offload(self, device):
        self.offload = "model"

    def enable_sequential_cpu_offload(self, device):
        self.offload = "sequential"

    def enable_attention_slicing(self):
        pass

    def __call__(self, **arguments):
        self.batches.append((len(arguments["prompt_embeds"]), self.offload))
        if self.error:
            raise self.error
        order = ("none", "model", "sequential", "never")
        if len(arguments["prompt_embeds"]) > self.most or order.index(self.offload) < order.index(self.needs):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.pipeline(**arguments)


class CardHost(LocalHost):
    """A host on that card: it says that much is free and computes here."""

    def __init__(self, folder, free_gib: float, most: int, needs: str = "none", **options):
        super().__init__(str(folder), device="cpu", **options)
        self.device = "cuda-like"
        self.says_free, self.most, self.needs = free_gib, most, needs

    def _measure_free_gib(self):
        return self.says_free

    def _open(self):
        return Card(super()._open(), self.most, self.needs)


def requests(count: int) -> list[GenerationRequest]:
    return [
        GenerationRequest(prompt="a red dress", seed=seed, steps=1, width=64, height=64, sampler="Euler")
        for seed in range(count)
    ]


def drawn(host) -> list[bytes]:
    return [result.image.tobytes() for result in host.generate(requests(6))]


def test_out_of_memory_halves_the_batch_and_stays_there(folder, caplog):
    host = CardHost(folder, 70.0, most=2, dtype="float32")
    with caplog.at_level(logging.WARNING, "modiste"):
        pictures = drawn(host)
    assert host.pipeline.batches == [(6, "none"), (3, "none"), *[(1, "none")] * 6]
    assert len(set(pictures)) == 6 and "out of memory at 64×64" in caplog.text
    host.pipeline.batches.clear()
    assert drawn(host) == pictures and host.pipeline.batches == [(1, "none")] * 6


def test_then_parts_are_moved_and_the_picture_says_so(folder):
    host = CardHost(folder, 70.0, most=16, needs="model", dtype="float32")
    results = list(host.generate(requests(2)))
    assert [offload for _, offload in host.pipeline.batches][-2:] == ["model", "model"]
    assert "parts moved as they are needed" in results[0].used.backend
    again = CardHost(folder, 70.0, most=16, needs="sequential", dtype="float32")
    assert len(list(again.generate(requests(1)))) == 1 and again.pipeline.offload == "sequential"


def test_then_it_says_what_to_do(folder):
    host = CardHost(folder, 70.0, most=16, needs="never", dtype="float32")
    with pytest.raises(OutOfMemory, match="one picture of 64×64.*close other programs.*--dtype float16.*--device cpu"):
        drawn(host)
    assert host.pipeline.batches[-1] == (1, "sequential")


def test_another_error_of_the_device_is_no_lack_of_memory(folder):
    host = CardHost(folder, 70.0, most=16, dtype="float32")
    host.pipeline.error = RuntimeError("CUDA error: an illegal memory access was encountered")
    with pytest.raises(RuntimeError, match="illegal memory access"):
        drawn(host)
    assert host.pipeline.batches == [(6, "none")]


def test_where_little_is_free_the_first_batch_is_small_already(folder):
    host = CardHost(folder, 2.6, most=16, dtype="float16")
    assert host.plan(512, 512).offload == "model" and host.plan(512, 512).batch == 1


# ── what people see ──


def test_low_memory_draws_the_picture_on_a_cpu_too(folder):
    plain, sparing = (LocalHost(str(folder), device="cpu", low_memory=low, dtype="float32") for low in (False, True))
    first, second = (next(host.generate(requests(1))) for host in (plain, sparing))
    assert "VAE in tiles" in second.used.backend and "tiles" not in first.used.backend
    differences = [abs(a - b) for a, b in zip(first.image.tobytes(), second.image.tobytes(), strict=True)]
    assert max(differences) <= 2


def test_the_dtype_is_what_was_asked_for_and_a_wrong_one_is_refused(folder):
    host = LocalHost(str(folder), device="cpu", dtype="bfloat16")
    assert host.pipeline.unet.dtype == torch.bfloat16
    with pytest.raises(InputError, match="choose one of auto, float32"):
        LocalHost(str(folder), device="cpu", dtype="half")


def test_doctor_prints_the_plan_of_each_real_preset():
    lines = [line for line in CliRunner().invoke(app, ["doctor"]).output.splitlines() if line.startswith("drawing")]
    assert [line.split()[1] for line in lines] == ["sd15", "sdxl"]
    assert "512×512" in lines[0] and "by arithmetic" in lines[0]
