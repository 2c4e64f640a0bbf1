"""What the tests of this room share."""

from __future__ import annotations

import pytest
from tiny_models import tiny_diffusion

from modiste.hosts.local import LocalHost


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a tiny Stable Diffusion."""
    return tiny_diffusion(tmp_path_factory.mktemp("models") / "tiny-sd")


@pytest.fixture(scope="module")
def host(folder):
    """A local host that draws with it."""
    return LocalHost(str(folder), device="cpu")
