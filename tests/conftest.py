"""What every test shares: no hub, no user's home, and a reason for each test that this machine can't run."""

from __future__ import annotations

import os

import pytest

NEEDS = {"comfyui": "COMFYUI_PATH", "webui": "WEBUI_URL", "kohya": "SD_SCRIPTS_PATH"}


def pytest_configure(config):
    os.environ["HF_HUB_OFFLINE"] = "1"  # huggingface_hub reads it once, when it is imported


@pytest.fixture(scope="session", autouse=True)
def home_of_the_tests(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODISTE_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def pytest_runtest_setup(item):
    for marker, variable in NEEDS.items():
        if item.get_closest_marker(marker) and not os.environ.get(variable):
            pytest.skip(f"{variable} is not set")
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")
