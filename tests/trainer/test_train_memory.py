"""What a step needs of a card, and that no more is there at once than has to be."""

from __future__ import annotations

import pytest
import torch
from train_samples import tiny_xl

from modiste.bench.train_memory import KeptTensors, step_memory
from modiste.core.device import GIB
from modiste.trainer.model.base_model import open_base


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
@pytest.mark.parametrize(("family", "recomputing", "card"), [("sd1", False, 4), ("sdxl", True, 8)])
def test_a_lora_step_of_the_published_models_fits_the_smallest_card_that_the_guide_names(family, recomputing, card):
    driver, gigabyte = 0.5, 1e9 / GIB
    assert step_memory(family, recomputing).total + driver <= card * gigabyte
