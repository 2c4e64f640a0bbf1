"""What the tests of this room share."""

from __future__ import annotations

import pytest
from faulty_webui import FaultyWebui
from tiny_models import tiny_diffusion


@pytest.fixture
def webui():
    """A WebUI that can be told to fail."""
    with FaultyWebui() as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a tiny Stable Diffusion."""
    return tiny_diffusion(tmp_path_factory.mktemp("models") / "tiny-sd")
