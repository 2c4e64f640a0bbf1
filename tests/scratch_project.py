"""A scratch project, wheels of a few bytes, and an environment without a network: what tests of install.py share."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


BACKEND = """
import shutil

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    shutil.copy("modiste-0.1.0-py3-none-any.whl", wheel_directory)
    return "modiste-0.1.0-py3-none-any.whl"
"""


PYPROJECT = """
[build-system]
requires = []
build-backend = "tiny_backend"
backend-path = ["."]

[project]
name = "modiste"
version = "0.1.0"
"""


HARNESS = """
import pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
out.mkdir(parents=True, exist_ok=True)
(out / "report.html").write_text(" ".join(sys.argv[1:]))
print("harness ran")
sys.exit(2 if "--broken" in sys.argv else 3 if "prompt" in sys.argv else 0)
"""


PYTEST = """
import os, signal, sys
try:
    print("pytest got", *sys.argv[1:], "in", os.getcwd(), flush=True)
    if "--wait" in sys.argv:
        signal.pause()
except KeyboardInterrupt:
    print("pytest stopped in order", flush=True)
    sys.exit(2)
sys.exit(5)
"""


def wheel(folder: Path, name: str, version: str, requires: tuple[str, ...] = (), files: dict[str, str] | None = None):
    """A wheel of a few bytes: a distribution's name, version and requirements, and a module or two."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    contents = {
        **(files or {f"{name}_is_here.py": ""}),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    contents[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*contents, f"{info}/RECORD"))
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in contents.items():
            archive.writestr(path, text)


def environ(wheels: Path | None, **more: str | Path) -> dict[str, str]:
    """The environment of a user whose pip sees one folder of wheels and no network."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON", "MODISTE_"))}
    source = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)} if wheels else {}
    return {
        **kept,
        **source,
        "PIP_CONFIG_FILE": os.devnull,
        **{name: str(value) for name, value in more.items()},
    }


def run(
    script: Path,
    *words: str,
    environ: dict[str, str],
    python: str | Path = sys.executable,
    cwd: Path | None = None,
):
    """`python install.py WORDS` as a user starts it."""
    command = [str(part) for part in (python, script, *words)]
    return subprocess.run(command, cwd=cwd or script.parent, env=environ, capture_output=True, encoding="utf-8")


def versions(python: Path) -> dict[str, str]:
    """Distribution → version in an environment."""
    code = (
        "import importlib.metadata as m\n"
        "for d in m.distributions(): print(d.metadata['Name'].lower().replace('_', '-'), d.version)"
    )
    lines = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    return dict(line.split() for line in lines)


def locked(wheels: Path, *pins: str) -> str:
    """Lines of a lock: each pin with the hash of its wheel, zeros where there is no wheel yet."""
    lines = []
    for pin in pins:
        file = wheels / f"{pin.replace('==', '-')}-py3-none-any.whl"
        digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "0" * 64
        lines.append(f"{pin} \\\n    --hash=sha256:{digest}\n")
    return "".join(lines)


def lay_project(folder: Path, wheels: Path) -> Path:
    """A project with our install.py, and tiny everything else."""
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "install.py", folder)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "tiny_backend.py").write_text(BACKEND)
    entry = "[console_scripts]\nmodiste = harness:main\n"
    wheel(folder, "modiste", "0.1.0", files={"modiste-0.1.0.dist-info/entry_points.txt": entry})
    (folder / "harness.py").write_text(HARNESS)
    (folder / "requirements").mkdir()
    (folder / "requirements" / "torch.lock.txt").write_text("torch==2.13.0\n")
    (folder / "requirements" / "standalone.lock.txt").write_text(locked(wheels, "stitch==1.0"))
    (folder / "requirements" / "dev.lock.txt").write_text("-r standalone.lock.txt\n" + locked(wheels, "pytest==9.0"))
    shutil.copy(ROOT / "requirements.txt", folder)
    return folder
