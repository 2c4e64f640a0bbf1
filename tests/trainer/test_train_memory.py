"""What a step needs of a card, and that no more is there at once than has to be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from train_samples import tiny_xl

from modiste.bench.train_memory import KeptTensors, step_memory
from modiste.cli import doctor
from modiste.core import device
from modiste.core.device import GIB
from modiste.trainer.loop.memory_plan import LORA_STEP_GIB, smallest_card
from modiste.trainer.model.base_model import open_base

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def xl(tmp_path_factory):
    return tiny_xl(tmp_path_factory.mktemp("xl") / "base")


def test_the_unet_comes_to_the_card_when_vae_and_text_encoders_have_left_it(xl):
    base = open_base(str(xl), torch.bfloat16, "meta")
    encoders = base.text_encoders
    assert {part.device.type for part in (base.vae, *encoders)} == {"meta"} and base.unet.device.type == "cpu"
    base.release("meta", vae=True, text_encoders=True)
    assert base.unet.device.type == "meta" and (base.vae, base.text_encoders) == (None, [])
    assert not any(parameter.requires_grad for parameter in base.unet.parameters())


def test_what_autograd_keeps_is_counted_once_a_storage_and_goes_with_the_backward_pass():
    x, fixed = torch.randn(1000, requires_grad=True), torch.randn(1000)
    with KeptTensors([fixed]) as kept:
        y = x.exp()  # keeps y; the sine keeps y too, and the product y's sine: `fixed` is there anyway
        loss = (y.sin() * fixed).sum()
        assert kept.now == 4000
        (loss + y.cos().exp().sum()).backward()  # keeps the cosine's exponential
        del loss, y
    assert kept.most == 8000 and kept.now == 0


@pytest.mark.load
@pytest.mark.parametrize("family", LORA_STEP_GIB)
def test_the_figures_of_a_lora_step_are_those_of_the_count(family):
    counted = [step_memory(family, recomputing).total for recomputing in (False, True)]
    assert counted == pytest.approx(LORA_STEP_GIB[family], abs=0.005)


def test_the_smallest_cards_are_those_that_the_guide_names():
    guide = (ROOT / "docs" / "training.md").read_text()
    for family, row in (("sd1", "| SD 1.5, LoRA rank 16 | 512 |"), ("sdxl", "| SDXL, LoRA rank 16 | 1024 |")):
        assert f"{row} {smallest_card(LORA_STEP_GIB[family][1])} GB" in guide
    assert smallest_card(200) == 216  # larger than any that is sold


@pytest.mark.parametrize(
    ("free", "here"), [(10.0, "enough here, 10.0"), (2.5, "recomputed here, 2.5"), (1.0, "too much here, 1.0")]
)
def test_the_doctor_says_whether_this_card_trains(monkeypatch, free, here):
    monkeypatch.setattr(device, "choose_device", lambda: "cuda")
    monkeypatch.setattr(device, "free_bytes", lambda _: int(free * GIB))
    needs = doctor._training_needs()
    assert needs["sd15"].endswith(f"smallest card 4 GB; {here} GiB free") and "smallest card 8 GB" in needs["sdxl"]
