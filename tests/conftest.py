"""What every test shares: no hub, no user's home, and a reason for each test that this machine can't run."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

NEEDS = {"comfyui": "MODISTE_COMFYUI", "webui": "MODISTE_WEBUI_URL", "kohya": "SD_SCRIPTS_PATH"}


def pytest_configure(config):
    os.environ["HF_HUB_OFFLINE"] = "1"  # huggingface_hub reads it once, when it is imported
    # Sums of several threads have another order: a run in this process and one in a child are equal with one number of
    # threads only. Several workers with several threads each would wait for one another besides.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def home_of_the_tests(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODISTE_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_network_but_loopback():
    """A test that would leave this machine fails."""
    from loopback_only import loopback_only

    with loopback_only():
        yield


@pytest.fixture(autouse=True)
def threads_as_they_were():
    """A test that sets torch's threads leaves them to the next one as they were."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def pytest_runtest_setup(item):
    if item.get_closest_marker("load") and "load" not in item.config.getoption("markexpr"):
        pytest.skip("takes minutes: python -m pytest -m load")
    for marker, variable in NEEDS.items():
        if item.get_closest_marker(marker) and not os.environ.get(variable):
            pytest.skip(f"{variable} is not set")
    if item.get_closest_marker("browser") and shutil.which("chromium") is None:
        pytest.skip("chromium is not installed")
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


@pytest.fixture(scope="session")
def paper_photos(tmp_path_factory) -> Path:
    """Four photos of three looks, a copy among them, and a file that is none."""
    import paper_studio

    folder = tmp_path_factory.mktemp("photos")
    looks = [("red", False), ("blue", True), ("sand", False)]
    for index, (colour, striped) in enumerate(looks):
        paper_studio.paint(paper_studio.COLOURS[colour], striped, 4, index).save(folder / f"{index}.png")
    (folder / "3.png").write_bytes((folder / "1.png").read_bytes())
    (folder / "4.png").write_bytes(b"")
    return folder


@pytest.fixture(scope="session")
def paper_run(paper_photos, tmp_path_factory) -> Path:
    """A finished run's folder."""
    import paper_studio

    from modiste.fashion.photos import gather_photos
    from modiste.routes.prompt.optimise import optimise_prompts

    out = tmp_path_factory.mktemp("run") / "out"
    optimise_prompts(gather_photos([paper_photos]), paper_studio.session(), paper_studio.settings(), out)
    return out
