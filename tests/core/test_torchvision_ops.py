"""A CPU-only torch beside a CUDA-built torchvision: in fresh processes: operators are declared once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def mismatch() -> bool:
    """Whether torchvision alone can't be imported here."""
    return run("import torchvision").returncode != 0


def test_after_healing_everything_that_imports_torchvision_can_be_imported():
    answer = run(
        "from modiste.core.torchvision_ops import patch_torchvision_ops; patch_torchvision_ops()\n"
        "import torchvision, open_clip\n"
        "from transformers import CLIPModel, CLIPImageProcessor\n"
        "from diffusers import StableDiffusionPipeline\n"
        "print(CLIPModel.__name__, StableDiffusionPipeline.__name__)"
    )
    assert answer.stdout.split() == ["CLIPModel", "StableDiffusionPipeline"], answer.stderr[-800:]


def test_it_heals_exactly_where_torchvision_does_not_fit(mismatch):
    answer = run("from modiste.core.torchvision_ops import patch_torchvision_ops as patch; print(patch(), patch())")
    assert answer.stdout.split() == [str(mismatch)] * 2, answer.stderr[-800:]


def test_many_threads_may_heal_at_once(mismatch):
    answer = run(
        "from concurrent.futures import ThreadPoolExecutor as Pool\n"
        "from modiste.core.torchvision_ops import patch_torchvision_ops as patch\n"
        "with Pool(8) as pool: print({*pool.map(lambda _: patch(), range(8))})\n"
        "import torchvision"
    )
    assert answer.stdout.strip() == f"{{{mismatch}}}", answer.stderr[-800:]


def test_where_the_compiled_operators_fit_they_are_left_alone(tmp_path):
    # a torchvision whose own library loads: its extension is one that torch has loaded already
    answer = run(
        "import sys, types, shutil, pathlib, torch, importlib.machinery as m\n"
        f"folder = pathlib.Path({str(tmp_path)!r}) / 'torchvision'; folder.mkdir()\n"
        "(folder / '__init__.py').write_text('')\n"
        "fits = next(pathlib.Path(torch.__file__).parent.glob('_C*' + m.EXTENSION_SUFFIXES[-1][-3:]))\n"
        "(folder / ('_C' + m.EXTENSION_SUFFIXES[-1])).symlink_to(fits)\n"
        "sys.path.insert(0, str(folder.parent))\n"
        "from modiste.core.torchvision_ops import patch_torchvision_ops as patch\n"
        "print(patch(), hasattr(torch.ops.torchvision, 'nms'))"
    )
    assert answer.stdout.split() == ["False", "False"], answer.stderr[-800:]


def test_importing_the_module_imports_no_torch():
    assert run("import sys, modiste.core.torchvision_ops; print('torch' in sys.modules)").stdout.strip() == "False"
