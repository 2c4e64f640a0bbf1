"""What tests of a running WebUI share."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def url() -> str:
    """The WebUI's address; its tests are skipped where there is none."""
    return os.environ["MODISTE_WEBUI_URL"].rstrip("/")
