"""`install.py kohya`: sd-scripts at one commit with an environment of its own, from git or from a folder.

For real, on a scratch project: a small repository in GitHub's place, wheels of a few bytes, no network.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from scratch_project import environ, lay_project, run, versions, wheel

from modiste import install
from modiste.trainer.kohya.engine import find_engine

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
ROOT = Path(__file__).parents[2]
REQUIREMENTS = "# its own pins\nstitch==1.0\nthread[torch]==3.0 # for lace\n# -e editable\n-e .\n"
HISTORY = {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """Something with sd-scripts' files: the pinned commit and a newer one."""
    folder = tmp_path_factory.mktemp("upstream") / "sd-scripts"
    (folder / "networks").mkdir(parents=True)
    for name in ("train_network.py", "sdxl_train_network.py", "networks/lora.py"):
        (folder / name).write_text("pinned = True\n")
    (folder / "requirements.txt").write_text(REQUIREMENTS)
    for words in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "pinned")):
        subprocess.run(["git", *words], cwd=folder, check=True, env={**os.environ, **HISTORY})
    (folder / "train_network.py").write_text("pinned = False\n")
    subprocess.run(["git", "commit", "-q", "-a", "-m", "newer"], cwd=folder, check=True, env={**os.environ, **HISTORY})
    return folder


def commit(folder: Path, name: str) -> str:
    done = subprocess.run(["git", "rev-parse", name], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    for name, version, requires in (
        ("torch", "2.13.0", ()),
        ("torch", "2.99.0", ()),
        ("torchvision", "0.28.0", ("torch",)),
        ("stitch", "1.0", ()),
        ("thread", "3.0", ("torch",)),
    ):
        wheel(folder, name, version, requires)
    return folder


@pytest.fixture(scope="module")
def project(repository, wheels, tmp_path_factory) -> Path:
    """A scratch project whose pin is the repository's first commit."""
    project = lay_project(tmp_path_factory.mktemp("project") / "a-modiste", wheels)
    (project / "requirements" / "torch.lock.txt").write_text("torch==2.13.0\ntorchvision==0.28.0\n")
    script = project / "install.py"
    pinned = script.read_text(encoding="utf-8").replace(install.SD_SCRIPTS_COMMIT, commit(repository, "HEAD~1"))
    script.write_text(pinned, encoding="utf-8")
    return project


def user(wheels: Path | None, engines: Path, repository: Path | None = None, **more: str | Path) -> dict[str, str]:
    """A user's environment, where GitHub is the repository in that folder, or out of reach."""
    instead = str(repository) if repository else "http://127.0.0.1:1/nowhere"
    redirect = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{instead}.insteadOf"}
    redirect["GIT_CONFIG_VALUE_0"] = install.SD_SCRIPTS
    return {**environ(wheels, MODISTE_ENGINES=engines, **more), **redirect}


@pytest.fixture(scope="module")
def finished(project, repository, wheels, tmp_path_factory) -> tuple[Path, str]:
    """Engines after `install.py kohya`, and what it said."""
    engines = tmp_path_factory.mktemp("engines") / "here"
    done = run(project / "install.py", "kohya", environ=user(wheels, engines, repository))
    assert done.returncode == 0, done.stdout + done.stderr
    return engines, done.stdout


def test_kohya_brings_the_pinned_commit_and_its_pins_with_the_locks_torch(finished, repository, monkeypatch):
    engines, said = finished
    assert (engines / "kohya" / "sd-scripts" / "train_network.py").read_text() == "pinned = True\n"
    found = versions(install.venv_python(engines / "kohya" / "venv"))
    assert found.items() >= {"torch": "2.13.0", "torchvision": "0.28.0", "stitch": "1.0", "thread": "3.0"}.items()
    assert "modiste" not in found and "GB on disk" in said.partition("installing")[0]
    monkeypatch.setenv("MODISTE_ENGINES", str(engines))
    engine = find_engine()
    assert engine.version == commit(repository, "HEAD~1")[:8]
    assert engine.checkout == install.kohya_folder() / "sd-scripts" and engine.python.exists()


def test_kohya_a_second_time_needs_neither_git_nor_wheels(finished, project, tmp_path):
    engines, _ = finished
    done = run(project / "install.py", "kohya", environ=user(tmp_path / "none", engines, PATH=str(tmp_path)))
    assert done.returncode == 0 and "up to date" in done.stdout


def test_what_was_cut_short_is_completed(finished, project, repository, wheels, tmp_path):
    engines = Path(shutil.copytree(finished[0], tmp_path / "engines", symlinks=True))
    (engines / "kohya" / "modiste-kohya.json").unlink()
    (engines / "kohya" / "sd-scripts" / "networks" / "lora.py").unlink()
    (engines / "kohya" / "sd-scripts" / ".git" / "HEAD").write_text("ref: refs/heads/none\n")
    done = run(project / "install.py", "kohya", environ=user(wheels, engines, repository))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (engines / "kohya" / "sd-scripts" / "networks" / "lora.py").is_file()


def test_without_a_network_or_git_the_error_says_what_to_do_and_nothing_counts_as_installed(
    project, wheels, tmp_path, monkeypatch
):
    engines = tmp_path / "engines"
    done = run(project / "install.py", "kohya", environ=user(wheels, engines))
    assert done.returncode == 1
    assert "sd-scripts could not be brought" in done.stderr and "--from" in done.stderr
    done = run(project / "install.py", "kohya", environ=user(wheels, engines, PATH=str(tmp_path)))
    assert done.returncode == 1 and "git is not installed" in done.stderr and "--from" in done.stderr
    monkeypatch.setenv("MODISTE_ENGINES", str(engines))
    assert find_engine() is None


def test_a_folder_that_has_it_is_copied_without_a_network(finished, project, repository, wheels, tmp_path):
    unpacked = Path(shutil.copytree(repository, tmp_path / "unpacked", ignore=shutil.ignore_patterns(".git")))
    for source, version in ((repository, commit(repository, "HEAD")[:8]), (unpacked, "unknown")):
        engines = Path(shutil.copytree(finished[0], tmp_path / version, symlinks=True))
        (engines / "kohya" / "modiste-kohya.json").unlink()
        done = run(project / "install.py", "kohya", "--from", str(source), environ=user(wheels, engines))
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"is at {version}" in done.stdout and "is the one that was tried" in done.stdout
        assert json.loads((engines / "kohya" / "modiste-kohya.json").read_text())["version"] == version
        assert not (engines / "kohya" / "sd-scripts" / ".git").exists()


def test_a_folder_that_is_no_sd_scripts_is_refused_before_anything_is_installed(project, wheels, tmp_path):
    done = run(project / "install.py", "kohya", "--from", str(tmp_path), environ=user(wheels, tmp_path / "engines"))
    assert done.returncode == 1 and "is no sd-scripts: it has no train_network.py" in done.stderr
    assert not (tmp_path / "engines" / "kohya" / "venv").exists()
    done = run(project / "install.py", "setup", "--from", str(tmp_path), environ=user(wheels, tmp_path / "engines"))
    assert done.returncode == 2 and "--from is for kohya only" in done.stderr


def test_help_says_that_kohya_is_optional_and_where_it_goes():
    text = subprocess.run([sys.executable, ROOT / "install.py", "--help"], capture_output=True, text=True).stdout
    assert "optional: sd-scripts" in text and "MODISTE_ENGINES" in text
