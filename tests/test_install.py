"""The set-up: what it adds to a host and what it never touches, the own environment, the words it hands on.

Everything runs for real, on a scratch project with wheels of a few bytes and without a network.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from scratch_project import PYTEST, ROOT, environ, lay_project, locked, run, versions, wheel

from modiste import install


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> Path:
    """An index of a few bytes: torch, a library, a tiny pytest."""
    folder = tmp_path_factory.mktemp("wheels")
    wheel(folder, "torch", "2.13.0")
    wheel(folder, "stitch", "1.0")
    wheel(folder, "stitch", "2.0")
    wheel(folder, "pytest", "9.0", files={"pytest/__init__.py": "", "pytest/__main__.py": PYTEST})
    return folder


@pytest.fixture(scope="module")
def finished(wheels, tmp_path_factory) -> Path:
    """A project after its first set-up, as `install.py setup` left it. Tests work on copies."""
    project = lay_project(tmp_path_factory.mktemp("finished") / "a-modiste", wheels)
    done = run(project / "install.py", "setup", environ=environ(wheels))
    assert done.returncode == 0, done.stdout + done.stderr
    return project


def copy_without_pip(folder: Path, to: Path) -> Path:
    """A copy whose environment has a link to the first one's pip in place of its thousand files."""
    copy = Path(shutil.copytree(folder, to, symlinks=True, ignore=shutil.ignore_patterns("pip*", "setuptools*")))
    pip = next(folder.rglob("site-packages/pip"))
    (copy / pip.relative_to(folder)).symlink_to(pip.resolve(), target_is_directory=True)
    return copy


@pytest.fixture
def project(finished, tmp_path) -> Path:
    """A copy of the finished project whose environment was set up by it."""
    copy = copy_without_pip(finished, tmp_path / "b-modiste")
    stamp = copy / ".venv" / "modiste-setup.json"
    stamp.write_text(stamp.read_text().replace(str(finished), str(copy)))
    return copy


# --- words and help ---


def test_help_needs_nothing_but_python_and_names_every_word():
    command = [sys.executable, "-I", "-S", str(ROOT / "install.py"), "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for word in ("setup", "demo", "test", "MODISTE_VENV", "exit codes"):
        assert word in text


def test_a_wrong_word_is_refused_with_the_right_ones():
    for words in (["instal"], ["setup", "--fast"], ["-k", "prompt"]):
        done = run(ROOT / "install.py", *words, environ=environ(None))
        assert done.returncode == 2 and "setup" in done.stderr


# --- the own environment ---


def test_setup_makes_an_environment_from_the_lock_with_the_command_in_it(finished):
    python = install.venv_python(finished / ".venv")
    assert versions(python).items() >= {"torch": "2.13.0", "stitch": "1.0", "modiste": "0.1.0"}.items()
    assert python.with_name("modiste" + python.suffix).exists()


def test_setup_a_second_time_installs_nothing(project, tmp_path):
    done = run(project / "install.py", "setup", environ=environ(tmp_path / "no-wheels"))
    assert done.returncode == 0 and "up to date" in done.stdout


def test_force_installs_although_all_is_up_to_date(project, wheels):
    python = install.venv_python(project / ".venv")
    subprocess.run([python, "-m", "pip", "uninstall", "-q", "-y", "stitch"], check=True, env=environ(wheels))
    assert run(project / "install.py", "setup", "--force", environ=environ(wheels)).returncode == 0
    assert versions(python)["stitch"] == "1.0"


def test_a_changed_lock_is_installed(project, wheels):
    (project / "requirements" / "standalone.lock.txt").write_text(locked(wheels, "stitch==2.0"))
    assert run(project / "install.py", "setup", environ=environ(wheels)).returncode == 0
    assert versions(install.venv_python(project / ".venv"))["stitch"] == "2.0"


def test_a_setup_that_failed_says_why_and_goes_on_when_started_again(project, wheels, tmp_path):
    wheel(tmp_path / "later", "thread", "1.0")
    (project / "requirements" / "standalone.lock.txt").write_text(locked(tmp_path / "later", "thread==1.0"))
    mine = Path(shutil.copytree(wheels, tmp_path / "wheels"))
    failed = run(project / "install.py", "setup", environ=environ(mine))
    assert failed.returncode == 1
    assert "there is no thread==1.0 for Python" in failed.stderr and "to try:" in failed.stderr
    assert not (project / ".venv" / "modiste-setup.json").exists()
    shutil.copy(tmp_path / "later" / "thread-1.0-py3-none-any.whl", mine)
    assert run(project / "install.py", "setup", environ=environ(mine)).returncode == 0
    assert versions(install.venv_python(project / ".venv"))["thread"] == "1.0"


def test_a_library_whose_content_is_not_that_of_the_lock_is_refused_and_named(project, wheels, tmp_path):
    (project / "requirements" / "standalone.lock.txt").write_text(locked(wheels, "stitch==2.0"))
    wheel(tmp_path / "other", "stitch", "2.0", files={"stitch_is_here.py": "import os  # not what was locked"})
    wheel(tmp_path / "other", "torch", "2.13.0")
    failed = run(project / "install.py", "setup", environ=environ(tmp_path / "other"))
    assert failed.returncode == 1 and "is not the one that the lock names" in failed.stderr
    assert versions(install.venv_python(project / ".venv"))["stitch"] == "1.0"
    (project / "requirements" / "standalone.lock.txt").write_text("stitch==2.0\n")  # a lock without hashes
    assert run(project / "install.py", "setup", environ=environ(wheels)).returncode == 1
    assert versions(install.venv_python(project / ".venv"))["stitch"] == "1.0"


def test_every_build_of_torch_will_do_and_its_version_is_held(project, wheels, tmp_path):
    python = install.venv_python(project / ".venv")
    subprocess.run([python, "-m", "pip", "uninstall", "-q", "-y", "torch"], check=True, env=environ(wheels))
    (project / ".venv" / "modiste-setup.json").unlink()
    wheel(tmp_path / "cpu", "torch", "2.13.0", files={"torch_is_here.py": "# a build for other processors"})
    wheel(tmp_path / "cpu", "torch", "2.14.0")
    shutil.copy(wheels / "stitch-1.0-py3-none-any.whl", tmp_path / "cpu")
    done = run(project / "install.py", "setup", environ=environ(tmp_path / "cpu"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        versions(python)["torch"] == "2.13.0"
        and "# a build" in next(python.parents[1].rglob("torch_is_here.py")).read_text()
    )


def test_audit_hands_every_pin_of_the_locks_without_hashes_to_pip_audit(project, wheels, tmp_path):
    listing = "import pathlib, sys; print(*sys.argv[1:4], pathlib.Path(sys.argv[4]).read_text().split()); sys.exit(1)"
    wheel(tmp_path / "more", "pip_audit", "2.0", files={"pip_audit/__init__.py": "", "pip_audit/__main__.py": listing})
    mine = Path(shutil.copytree(wheels, tmp_path / "wheels"))
    shutil.copy(tmp_path / "more" / "pip_audit-2.0-py3-none-any.whl", mine)
    lock = "-r standalone.lock.txt\n" + locked(mine, "pip_audit==2.0")
    (project / "requirements" / "dev.lock.txt").write_text(lock)
    done = run(project / "install.py", "audit", environ=environ(mine))
    assert done.returncode == 1, done.stderr
    told = "--no-deps --disable-pip --requirement ['torch==2.13.0', 'stitch==1.0', 'pip_audit==2.0']"
    assert done.stdout.splitlines()[-1] == told


def test_without_a_network_setup_says_that_the_index_is_out_of_reach(project):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        index = f"http://127.0.0.1:{closed.getsockname()[1]}/simple"
    (project / "requirements" / "standalone.lock.txt").write_text(locked(project, "thread==1.0"))
    done = run(project / "install.py", "setup", environ=environ(None, PIP_INDEX_URL=index, PIP_RETRIES="0"))
    assert done.returncode == 1
    assert "the package index can't be reached" in done.stderr and "PIP_FIND_LINKS" in done.stderr


def test_an_environment_whose_making_was_interrupted_is_completed(project, wheels):
    next((project / ".venv").rglob("site-packages/pip")).unlink()
    (project / ".venv" / "modiste-setup.json").unlink()
    done = run(project / "install.py", "setup", environ=environ(wheels))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(os.name == "nt", reason="environments hold a copy of the interpreter there, not a link")
def test_an_environment_whose_python_was_removed_is_made_anew(project, wheels, tmp_path):
    for link in (project / ".venv" / "bin").glob("python*"):
        link.unlink()
        link.symlink_to(tmp_path / "uninstalled" / "python")
    done = run(project / "install.py", "setup", environ=environ(wheels))
    assert done.returncode == 0, done.stdout + done.stderr
    assert versions(install.venv_python(project / ".venv"))["stitch"] == "1.0"


def test_modiste_venv_names_another_folder_and_a_folder_of_someone_else_is_left_alone(project, wheels, tmp_path):
    shutil.move(project / ".venv", tmp_path / "elsewhere")
    done = run(project / "install.py", "setup", environ=environ(wheels, MODISTE_VENV=tmp_path / "elsewhere"))
    assert done.returncode == 0 and "up to date" in done.stdout and not (project / ".venv").exists()

    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "dress.jpg").write_text("mine")
    done = run(project / "install.py", "setup", environ=environ(wheels, MODISTE_VENV=tmp_path / "photos"))
    assert done.returncode == 1 and "is no Python environment" in done.stderr
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["dress.jpg"]


def test_a_full_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(install, "FREE_DISK_GB", 1e9)
    with pytest.raises(install.SetupError, match="GB free at .*MODISTE_VENV"):
        install.check_disk(tmp_path / "not" / "there" / "yet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        (
            "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]",
            "certificate is not trusted",
        ),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/x'",
            "not writable",
        ),
        ("2026-11-24T02:00:00,000 ERROR: Cannot install a and b: they conflict", "Cannot install a and b"),
        ("", "no cause in its log"),
    ],
)
def test_pips_log_is_read_for_the_cause(line, cause):
    assert cause in install.diagnose(f"2026-11-24T02:00:00,000 Collecting stitch\n{line}\n")[0]


# --- demo and test ---


def test_demo_runs_both_routes_on_the_samples_passes_on_the_code_and_names_the_reports(project, wheels, tmp_path):
    done = run(project / "install.py", "demo", "--seed", "7", environ=environ(wheels), cwd=tmp_path)
    assert done.returncode == 3
    one, whole = project / "demo-out" / "report.html", project / "demo-out" / "collection" / "report.html"
    assert [line.rpartition(" ")[2] for line in done.stdout.splitlines()[-2:]] == [str(one), str(whole)]
    assert one.read_text() == "prompt examples/photos --preset mini --out demo-out --seed 7"
    assert whole.read_text().startswith("pipeline examples/collection --preset mini --trigger vesper --out demo-out")


def test_demo_ends_with_what_failed_and_writes_where_it_is_told(project, wheels, tmp_path):
    done = run(project / "install.py", "demo", "--out", tmp_path / "mine", environ=environ(wheels), cwd=tmp_path)
    assert done.returncode == 3 and (tmp_path / "mine" / "collection" / "report.html").is_file()
    done = run(project / "install.py", "demo", "--broken", environ=environ(wheels), cwd=tmp_path)
    assert done.returncode == 2 and "the report is" not in done.stdout


def test_test_adds_the_test_tools_and_hands_words_and_code_on(project, wheels, tmp_path):
    done = run(project / "install.py", "test", "-k", "prompt", "tests/x.py", environ=environ(wheels), cwd=tmp_path)
    assert done.returncode == 5
    assert (
        done.stdout.splitlines()[-1] == f"pytest got -n {min(4, os.cpu_count() or 1)} -k prompt tests/x.py in {project}"
    )
    again = run(project / "install.py", "test", environ=environ(tmp_path / "no-wheels"))
    assert again.returncode == 5 and "up to date" in again.stdout
    assert "up to date" in run(project / "install.py", "setup", environ=environ(tmp_path / "no-wheels")).stdout


@pytest.mark.skipif(os.name == "nt", reason="a console's Ctrl-C can't be sent to one group there")
def test_ctrl_c_waits_for_what_runs_and_exits_with_130(project, wheels):
    assert run(project / "install.py", "test", environ=environ(wheels)).returncode == 5
    command = [sys.executable, str(project / "install.py"), "test", "--wait"]
    with subprocess.Popen(
        command,
        env=environ(wheels),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert any("--wait in" in line for line in process.stdout)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "pytest stopped in order" in out and "the same command goes on" in err


# --- the host's hook ---

HOST_OWNED = {"torch": "2.5.0", "torchvision": "0.20.0", "numpy": "1.26.4"}
HAS = {
    "accelerate": "1.0",
    "jinja2": "3.1",
    "pillow": "10.0",
    "psutil": "6.0",
    "requests": "2.0",
    "rich": "13.0",
    "typer": "0.9",
}


@pytest.fixture(scope="module")
def host(finished, tmp_path_factory) -> Path:
    """A host's environment: torch, numpy, an old pydantic, a few libraries; diffusers, peft and more lack."""
    folder = tmp_path_factory.mktemp("host")
    for name, version in {**HOST_OWNED, **HAS, "pydantic": "1.10"}.items():
        wheel(folder / "installed", name, version)
    environment = copy_without_pip(finished / ".venv", folder / "env")
    pip = [install.venv_python(environment), "-m", "pip"]
    subprocess.run([*pip, "uninstall", "-q", "-y", "torch", "stitch", "modiste"], check=True, env=environ(None))
    files = (folder / "installed").glob("*.whl")
    subprocess.run([*pip, "install", "-q", *files], check=True, env=environ(folder / "installed"))
    return environment


@pytest.fixture
def hosted(host, tmp_path) -> tuple[Path, Path, Path]:
    """(a host's Python, our install.py in its custom_nodes, an index with newer versions of everything)."""
    index = tmp_path / "index"
    for name in (*HOST_OWNED, *HAS):
        wheel(index, name, "99.0")
    for name in ("safetensors", "transformers"):
        wheel(index, name, "1.0", requires=("numpy>=1.17",))
    wheel(index, "diffusers", "0.42", requires=("pillow", "numpy"))
    wheel(index, "peft", "0.21", requires=("torch>=2.0", "accelerate"))
    wheel(index, "pydantic", "2.14")
    python = install.venv_python(Path(shutil.copytree(host, tmp_path / "env", symlinks=True)))
    pack = tmp_path / "ComfyUI" / "custom_nodes" / "comfyui-modiste"
    pack.mkdir(parents=True)
    shutil.copy(ROOT / "install.py", pack)
    shutil.copy(ROOT / "requirements.txt", pack)
    return python, pack / "install.py", index


def test_the_hook_adds_what_the_host_lacks_and_moves_nothing_it_has(hosted):
    python, script, index = hosted
    before = versions(python)
    done = run(script, environ=environ(index), python=python)
    assert done.returncode == 1, done.stdout + done.stderr
    after = versions(python)
    assert set(after) - set(before) == {"diffusers", "peft", "safetensors", "transformers"}
    assert {name: after[name] for name in before} == before, "not even pydantic, which is too old"
    assert "this host has pydantic 1.10, Modiste needs pydantic>=2: to move it: " in done.stdout
    assert "added diffusers 0.42, peft 0.21, safetensors 1.0, transformers 1.0\n" in done.stdout
    assert len((done.stdout + done.stderr).splitlines()) <= 10


def test_the_hook_moves_a_library_that_is_too_old_only_where_it_is_allowed_to(hosted):
    python, script, index = hosted
    before = versions(python)
    done = run(script, "--allow", "pydantic", environ=environ(index), python=python)
    assert done.returncode == 0, done.stdout + done.stderr
    after = versions(python)
    assert {name: after[name] for name in before} == {**before, "pydantic": "2.14"}
    assert "modiste: moved pydantic 1.10 → 2.14\n" in done.stdout
    assert len((done.stdout + done.stderr).splitlines()) <= 10


def test_the_hook_names_what_would_have_to_move_where_a_library_needs_it_newer(hosted):
    python, script, index = hosted
    (index / "peft-0.21-py3-none-any.whl").unlink()
    wheel(index, "peft", "0.22", requires=("accelerate>=2.0",))
    done = run(script, "--allow", "pydantic", environ=environ(index), python=python)
    assert done.returncode == 1 and versions(python)["accelerate"] == "1.0"
    assert "could not be added without changing what this host has: it needs another accelerate\n" in done.stdout
    assert "--allow accelerate\n" in done.stdout
    done = run(script, "--allow", "pydantic", "--allow", "accelerate", environ=environ(index), python=python)
    assert done.returncode == 0 and versions(python)["accelerate"] == "99.0"


def test_the_hook_names_a_library_that_does_not_work_with_the_others_and_moves_it_where_it_may(hosted):
    python, script, index = hosted
    old = "raise ImportError(\"cannot import name 'cached_download' from 'huggingface_hub'\")"
    wheel(index, "diffusers", "0.25", files={"diffusers/__init__.py": old})
    subprocess.run([python, "-m", "pip", "install", "-q", "diffusers==0.25"], check=True, env=environ(index))
    done = run(script, "--allow", "pydantic", environ=environ(index), python=python)
    assert done.returncode == 1 and versions(python)["diffusers"] == "0.25"
    assert "diffusers 0.25 does not work with this host's other libraries (ImportError: cannot import" in done.stdout
    assert "--allow diffusers\n" in done.stdout and "every library" not in done.stdout
    done = run(script, "--allow", "diffusers", environ=environ(index), python=python)
    assert done.returncode == 0 and versions(python)["diffusers"] == "0.42"


def test_torch_can_not_be_allowed_to_move(tmp_path):
    done = run(ROOT / "install.py", "--allow", "torch", environ=environ(tmp_path))
    assert done.returncode == 2 and "never for torch" in done.stderr


def test_the_hook_leaves_the_host_as_it_is_where_a_library_would_need_another_torch(hosted):
    python, script, index = hosted
    (index / "peft-0.21-py3-none-any.whl").unlink()
    wheel(index, "peft", "0.22", requires=("torch>=2.13",))
    done = run(script, "--allow", "pydantic", environ=environ(index), python=python)
    assert done.returncode == 1
    assert "peft could not be added without changing what this host has: it needs another torch\n" in done.stdout
    assert "still lacking: peft\n" in done.stdout and "install.py setup" in done.stdout
    after = versions(python)
    assert {name: after[name] for name in HOST_OWNED} == HOST_OWNED and "peft" not in after


def test_the_hook_does_nothing_where_nothing_is_lacking(hosted, tmp_path):
    python, script, index = hosted
    assert run(script, "--allow", "pydantic", environ=environ(index), python=python).returncode == 0
    done = run(script, environ=environ(tmp_path / "no-wheels"), python=python)
    assert done.returncode == 0 and done.stdout == "modiste: this host has every library that Modiste needs\n"


def test_the_hook_in_a_python_without_torch_installs_nothing_and_says_what_to_do(tmp_path):
    venv.create(tmp_path / "env", with_pip=False, symlinks=os.name != "nt")
    python = install.venv_python(tmp_path / "env")
    done = run(ROOT / "install.py", environ=environ(tmp_path / "no-wheels"), python=python)
    assert done.returncode == 1
    assert "has no torch" in done.stdout and "install.py setup" in done.stdout
    assert versions(python) == {}


@pytest.mark.parametrize("told_by", ["its place", "the module path"])
def test_the_hook_in_a_webui_changes_nothing_and_names_the_own_environment(told_by, tmp_path):
    webui, elsewhere = tmp_path / "webui", tmp_path / "data" / "extensions" / "sd-modiste"
    (webui / "modules").mkdir(parents=True)
    (webui / "modules" / "launch_utils.py").touch()
    folder = webui / "extensions" / "sd-modiste" if told_by == "its place" else elsewhere
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "install.py", folder)
    more = {"PYTHONPATH": webui} if told_by == "the module path" else {}
    done = run(folder / "install.py", environ=environ(tmp_path / "no-wheels", **more), cwd=tmp_path)
    assert done.returncode == 0
    assert str(folder / "install.py") in done.stdout and "changes nothing" in done.stdout


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("2.13.0+cpu", (2, 13, 0)), ("2", (2,)), ("", ()), ("5.0.dev1", (5, 0)), ("4rc1", (4,))],
)
def test_a_version_is_read_as_its_leading_numbers(version, numbers):
    assert install.release(version) == numbers
