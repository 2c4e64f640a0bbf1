"""What the tests of this room share."""

from __future__ import annotations

import pytest
from lora_samples import tiny_parts
from train_samples import tiny_base


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The folder of a tiny model to train."""
    return tiny_base(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a tiny model for LoRA files."""
    place = tmp_path_factory.mktemp("models") / "tiny-sd"
    tiny_parts(place)
    return place


@pytest.fixture
def parts(folder):
    """Its parts, opened."""
    return tiny_parts(folder)
