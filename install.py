"""Modiste's set-up: the host's hook, an own environment, the demo, the tests, kohya. Standard library only.

A host (ComfyUI's manager, A1111, Forge) runs this file without a word: it adds the libraries that the host
lacks and moves none that it has; one that is too old is named, and moved only with `--allow NAME`. torch,
torchvision, torchaudio and numpy are the host's alone.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
HOST_OWNED = ("torch", "torchvision", "torchaudio", "numpy")
OLDEST_PYTHON = (3, 10)
FREE_DISK_GB = 3.0  # the CPU environment takes 1.4 GB, and pip unpacks beside it
TORCH_LOCK = ROOT / "requirements" / "torch.lock.txt"
RUNTIME_LOCK = ROOT / "requirements" / "standalone.lock.txt"
DEV_LOCK = ROOT / "requirements" / "dev.lock.txt"
WORDS = ("setup", "demo", "test", "audit", "sbom", "kohya")
# What the nodes import of libraries whose versions have to fit one another: whether they do, only an import tells.
HOST_IMPORTS = {
    "accelerate": ("PartialState",),
    "diffusers": ("DDPMScheduler", "StableDiffusionPipeline", "StableDiffusionXLPipeline"),
    "peft.helpers": ("disable_input_dtype_casting",),
    "peft": ("LoHaConfig", "LoKrConfig", "LoraConfig", "inject_adapter_in_model"),
    "transformers": ("CLIPModel", "CLIPTextModel", "CLIPTokenizer"),
}
TRY_IMPORTS = """
import importlib, json, sys
broken = {}
for name, parts in json.loads(sys.argv[1]).items():
    try:
        module = importlib.import_module(name)
        [getattr(module, part) for part in parts]
    except Exception as error:
        library = name.partition(".")[0]
        if getattr(error, "name", None) != library or not isinstance(error, ModuleNotFoundError):
            broken[library] = f"{type(error).__name__}: {error}".splitlines()[0]
print(json.dumps(broken))
"""
MOST_TEST_PROCESSES = 4
DEMO = ("harness.py", "prompt", "examples/photos", "--preset", "mini")
STORY = ("harness.py", "pipeline", "examples/collection", "--preset", "mini", "--trigger", "vesper")
DEMO_DONE = (0, 3)  # 3: finished, some photos skipped and listed
DEMO_OUT = "demo-out"
EXIT_OK, EXIT_LACKING, EXIT_INTERRUPTED = 0, 1, 130
SD_SCRIPTS = "https://github.com/kohya-ss/sd-scripts"
SD_SCRIPTS_COMMIT = "48d368fa557731ad0488c07304dfeba8c07910eb"  # v0.10.1 and five commits: what was tried
SD_SCRIPTS_HAS = ("train_network.py", "sdxl_train_network.py", "networks/lora.py", "requirements.txt")

EPILOG = """\
without a word   for a host: adds what its Python lacks, never torch, torchvision, torchaudio, numpy; what the host has
                 stays at its version, unless --allow NAME names it (repeat it for several)
setup            Modiste's own environment from the lock; run it again after an interruption or an update
demo             setup, then on the embedded models, without a GPU: photo → prompt → picture → report, and a brand's
                 collection → prompts → training → verdict; what follows goes to both commands, e.g. `demo --seed 7`
test             setup, then every test; what follows goes to pytest, e.g. `test -k prompt`
sbom             prints what the own environment consists of, with the hashes of the lock, as CycloneDX JSON
audit            setup, then asks the advisory database of PyPI for known weaknesses of every library in the locks
kohya            optional: sd-scripts (kohya-ss, Apache-2.0) as a second trainer for `finetune --engine kohya`, with an
                 environment of its own; --from FOLDER takes a clone or an unpacked archive in place of the network

The own environment is the folder .venv beside this file, or the one that MODISTE_VENV names; kohya goes to the folder
engines beside this file, or to the one that MODISTE_ENGINES names.
pip's own settings apply: PIP_EXTRA_INDEX_URL for another build of torch, PIP_NO_INDEX and PIP_FIND_LINKS
where there is no network.
exit codes: 0 ok, 1 something is lacking or could not be installed, 2 wrong usage, 130 interrupted;
demo, test and audit pass on the code of what they ran."""


class SetupError(Exception):
    """What could not be set up, where, and what to try: one line for people."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one word and returns its exit code."""
    word, options, rest = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        if word is None:
            return host_hook(options.allow)
        if word == "kohya":
            return kohya(options.source, options.force)
        if word == "sbom":
            return show(json.dumps(bill_of_materials(), indent=1))
        python = set_up(dev=options.dev or word in ("test", "audit"), force=options.force)
        if word == "demo":
            return demo(python, rest)
        if word == "test":
            return run([python, "-m", "pytest", *test_words(rest)])
        if word == "audit":
            return audit(python, rest)
        return EXIT_OK
    except SetupError as error:
        print(f"modiste: {error}", file=sys.stderr)
        return EXIT_LACKING
    except KeyboardInterrupt:
        print("\nmodiste: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return EXIT_INTERRUPTED


def parse(arguments: list[str]) -> tuple[str | None, argparse.Namespace, list[str]]:
    """The word, its options, and what is handed on to the demo's or the tests' command."""
    parser = argparse.ArgumentParser(
        prog="install.py",
        description=__doc__.partition("\n")[0],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("word", nargs="?", choices=WORDS, metavar=" | ".join(WORDS))
    parser.add_argument("--dev", action="store_true", help="setup: the test tools and the linter too")
    parser.add_argument("--force", action="store_true", help="install even though the environment is up to date")
    parser.add_argument("--from", dest="source", type=Path, metavar="FOLDER", help="kohya: where sd-scripts is already")
    parser.add_argument(
        "--allow", action="append", default=[], metavar="NAME", help="without a word: this library of the host may move"
    )
    options, rest = parser.parse_known_args(arguments)
    options.allow = {normalised(name) for name in options.allow}
    if options.allow and (options.word or options.allow & set(HOST_OWNED)):
        parser.error(f"--allow is for a host, and never for {', '.join(HOST_OWNED)}")
    if options.source and options.word != "kohya":
        parser.error("--from is for kohya only")
    if rest and options.word not in ("demo", "test", "audit"):
        parser.error(f"{' '.join(rest)} means nothing here; only demo, test and audit hand further words on")
    return options.word, options, rest


# --- the host's hook ---


def host_hook(allow: set[str] = frozenset()) -> int:
    """Adds to the host's Python what it lacks, and renews what is too old and in `allow`; 0 when nothing is lacking."""
    if find_host() == "webui":
        print("Modiste keeps its own environment beside the WebUI and changes nothing in the WebUI's.")
        print(f"If it is not there yet, with Python {_oldest()} or newer: python {ROOT / 'install.py'} setup")
        return EXIT_OK
    if version_of("torch") is None:
        print(f"modiste: this Python ({sys.executable}) has no torch: nothing was installed.")
        print("For ComfyUI, run this file with ComfyUI's own Python. Without a host: python install.py setup")
        return EXIT_LACKING
    before = installed_versions()
    todo, too_old = [*sorted(allow & before.keys())], []
    for requirement in lacking_requirements():
        name = library(requirement)
        if name not in before:
            todo.append(requirement)
        elif name not in allow:
            too_old.append(requirement)
    if todo:
        print(f"modiste: adding {', '.join(todo)} to {sys.executable}", flush=True)
    for requirement in todo:
        add_to_host(requirement, allow)
    report_changes(before, allow)
    lacking, broken = lacking_requirements(), broken_imports()
    for requirement in too_old:
        has = f"{library(requirement)} {before[library(requirement)]}"
        print(f"modiste: this host has {has}, Modiste needs {requirement}: {_allow(library(requirement))}")
    for name, error in broken.items():
        print(f"modiste: {name} {version_of(name)} does not work with this host's other libraries ({error})")
        print(f"modiste: {_allow(name)}")
    if lacking:
        print(f"modiste: still lacking: {', '.join(lacking)}")
    if lacking or broken:
        print(f"What the host had is as it was. Modiste's own environment has all: python {ROOT / 'install.py'} setup")
        return EXIT_LACKING
    print("modiste: this host has every library that Modiste needs")
    return EXIT_OK


def _allow(*names: str) -> str:
    """The command that lets libraries of the host move."""
    options = " ".join(f"--allow {name}" for name in names)
    return f"to move it: {sys.executable} {ROOT / 'install.py'} {options}"


def broken_imports() -> dict[str, str]:
    """Library → error of those in HOST_IMPORTS that are installed and can't be imported as the nodes do."""
    there = {name: parts for name, parts in HOST_IMPORTS.items() if version_of(name.partition(".")[0])}
    command = [sys.executable, "-c", TRY_IMPORTS, json.dumps(there)]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return json.loads(lines[-1]) if lines else {}


def find_host() -> str | None:
    """`webui`, `comfyui` or None, told by the folders around this file; nothing of the host is imported."""
    for entry in sys.path:
        if (Path(entry) / "modules" / "launch_utils.py").is_file():
            return "webui"
    for folder in (Path(__file__).absolute().parent, ROOT, Path.cwd()):
        if (folder.parent.parent / "modules" / "launch_utils.py").is_file():
            return "webui"
        if folder.parent.name == "custom_nodes":
            return "comfyui"
    return None


def lacking_requirements() -> list[str]:
    """The lines of requirements.txt that this Python does not fulfil."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    requirements = [line.partition("#")[0].strip() for line in lines]
    return [requirement for requirement in requirements if requirement and not fulfilled(requirement)]


def fulfilled(requirement: str) -> bool:
    """Whether `name` or `name>=version` is installed here; requirements.txt knows no other form."""
    name, _, oldest = requirement.partition(">=")
    installed = version_of(name)
    return installed is not None and release(installed) >= release(oldest)


def version_of(name: str) -> str | None:
    """The installed version of a distribution, or None."""
    return next((found.version for found in importlib.metadata.distributions(name=name)), None)


def release(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: `2.13.0+cpu` → (2, 13, 0); an empty text → ()."""
    return tuple(int(number) for number in re.match(r"[\d.]*", version)[0].split(".") if number)


def add_to_host(requirement: str, allow: set[str]) -> None:
    """Installs one requirement and holds all else fast but what is in `allow`; a conflict leaves the host as it is."""
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join(installed_pins(allow | {library(requirement)})), encoding="utf-8")
        newer = ["--upgrade"] if library(requirement) in allow else []
        command = [*installer(), "install", *newer, "--constraint", str(constraints), requirement]
        added = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    if added.returncode != 0:
        said = added.stdout + added.stderr
        held = sorted(set(re.findall(r"The user requested \(constraint\) ([\w.-]+)==", said)))
        movable = [name for name in map(normalised, held) if name not in HOST_OWNED]
        errors = [line.strip() for line in said.splitlines() if line.startswith("ERROR")] or said.strip().splitlines()
        cause = f"it needs another {', '.join(held)}" if held else (errors or ["the installer said nothing"])[0]
        print(f"modiste: {requirement} could not be added without changing what this host has: {cause}")
        if held and len(movable) == len(held):
            print(f"modiste: {_allow(*movable)}")


def installer() -> list[str]:
    """pip of this Python, or uv where the host's environment was made without pip."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    uv = shutil.which("uv")
    if uv is None:
        raise SetupError(f"{sys.executable} has no pip; to try: python -m ensurepip, then the same command again")
    os.environ["VIRTUAL_ENV"] = sys.prefix
    return [uv, "pip"]


def installed_pins(apart_from: set[str]) -> list[str]:
    """`name==version` for every installed distribution but some, so that nothing else of the host can move."""
    return [f"{name}=={version}" for name, version in installed_versions().items() if name not in apart_from]


def installed_versions() -> dict[str, str]:
    """Normalised name → version of every distribution in this Python, the first on the path where there are two."""
    versions: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        if distribution.metadata["Name"] and distribution.version:
            versions.setdefault(normalised(distribution.metadata["Name"]), distribution.version)
    return dict(sorted(versions.items()))


def library(requirement: str) -> str:
    """`pydantic>=2` → `pydantic`."""
    return normalised(requirement.partition(">=")[0])


def normalised(name: str) -> str:
    """A distribution's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def report_changes(before: dict[str, str], allow: set[str]) -> None:
    """Prints what was added and moved; SetupError where an installer moved a library that it was not allowed to."""
    after = installed_versions()
    added = [f"{name} {version}" for name, version in after.items() if name not in before]
    moved = {
        name: f"{name} {version} → {after.get(name, 'gone')}"
        for name, version in before.items()
        if after.get(name) != version
    }
    if added:
        print(f"modiste: added {', '.join(added)}")
    if moved:
        print(f"modiste: moved {', '.join(moved.values())}")
    unasked = [change for name, change in moved.items() if name not in allow]
    if unasked:
        raise SetupError(f"the installer changed what the host owns: {', '.join(unasked)}; to try: install these again")


# --- the own environment ---


def set_up(dev: bool, force: bool = False) -> Path:
    """Makes or completes the own environment and returns its Python. Does nothing where all is up to date."""
    if sys.version_info < OLDEST_PYTHON:
        raise SetupError(f"Python {platform.python_version()} is too old; to try: Python {_oldest()} or newer")
    folder = venv_folder()
    python = venv_python(folder)
    stamp = folder / "modiste-setup.json"
    locks = [TORCH_LOCK, RUNTIME_LOCK, *([DEV_LOCK] if dev else [])]
    if not force and fingerprints(locks, python).items() <= read_stamp(stamp).items():
        print(f"modiste: the environment {folder} is up to date", flush=True)
        return python
    stamp.unlink(missing_ok=True)
    check_disk(folder)
    print(f"modiste: setting up {folder}: about 1.5 GB on disk, 7 GB where torch brings CUDA", flush=True)
    make_venv(folder)
    print("modiste: installing the locked libraries (torch is the largest; this takes minutes)", flush=True)
    install(folder, ["--require-hashes", "--no-deps", "-r", str(DEV_LOCK if dev else RUNTIME_LOCK)])
    install(folder, ["-r", str(TORCH_LOCK)])  # each build of torch has hashes of its own: pinned by version alone
    install(folder, ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)])
    write_whole(stamp, json.dumps(fingerprints(locks, python), indent=2))
    print(f"modiste: ready; the command is {python.with_name('modiste' + python.suffix)}", flush=True)
    return python


def venv_folder() -> Path:
    """The own environment's folder: MODISTE_VENV, else .venv beside this file."""
    return Path(os.environ.get("MODISTE_VENV") or ROOT / ".venv").expanduser().absolute()


def venv_python(folder: Path) -> Path:
    """The environment's interpreter."""
    return folder / "Scripts" / "python.exe" if os.name == "nt" else folder / "bin" / "python"


def fingerprints(locks: list[Path], python: Path) -> dict[str, str | None]:
    """What an environment depends on: the locks, the project file, this folder, its Python."""
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (*locks, ROOT / "pyproject.toml")}
    return {**files, "root": str(ROOT), "python": python_version(python)}


def read_stamp(stamp: Path) -> dict[str, str]:
    """What the last finished set-up wrote down; empty after none."""
    return json.loads(stamp.read_text(encoding="utf-8")) if stamp.is_file() else {}


def python_version(python: Path) -> str | None:
    """The interpreter's version; None where it is missing or its base Python was removed."""
    if not python.exists():
        return None
    code = "import platform; print(platform.python_version())"
    return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip() or None


def check_disk(folder: Path, variable: str = "MODISTE_VENV") -> None:
    """Refuses before anything is written where the disk is too small; `variable` names another place."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free_gb = shutil.disk_usage(there).free / 1e9
    if free_gb < FREE_DISK_GB:
        raise SetupError(
            f"only {free_gb:.1f} GB free at {there}, the environment needs {FREE_DISK_GB:.0f} GB; "
            f"to try: free some space, or name a folder on another disk in {variable}"
        )


def make_venv(folder: Path) -> None:
    """An environment with pip; a half-made one is completed, one whose Python is gone is made anew."""
    ours = (folder / "pyvenv.cfg").is_file()
    if folder.exists() and not ours and (not folder.is_dir() or any(folder.iterdir())):
        raise SetupError(f"{folder} is no Python environment; to try: an empty or new folder in MODISTE_VENV")
    python = venv_python(folder)
    starts = python_version(python) is not None
    if starts and run([python, "-m", "pip", "--version"], quiet=True) == 0:
        return
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        raise SetupError(
            f"{sys.executable} can't make environments: its venv or ensurepip module is missing; "
            f"to try: on Debian and Ubuntu `apt install {package}`, then the same command again"
        )
    clear = ["--clear"] if ours and not starts else []
    made = subprocess.run(
        [sys.executable, "-m", "venv", *clear, folder], env=own_environ(), capture_output=True, text=True
    )
    if made.returncode != 0:
        cause = (made.stdout + made.stderr).strip().splitlines() or ["no reason given"]
        raise SetupError(f"the environment {folder} could not be made: {cause[-1]}; to try: delete it and start again")


def install(folder: Path, what: list[str], variable: str = "MODISTE_VENV") -> None:
    """pip install in an environment; a failure is told with its cause from pip's log.

    `variable` is the one that names another place for it.
    """
    log = folder / "pip.log"
    log.unlink(missing_ok=True)
    pip = [venv_python(folder), "-m", "pip", "--disable-pip-version-check", "--log", log]
    if run([*pip, "install", *what]) != 0:
        cause, to_try = diagnose(log.read_text(encoding="utf-8", errors="replace") if log.exists() else "", variable)
        raise SetupError(f"pip could not finish in {folder}: {cause}; to try: {to_try} (pip's log: {log})")


def diagnose(log: str, variable: str = "MODISTE_VENV") -> tuple[str, str]:
    """Cause and advice for a failed pip run, told from its log: root causes first, then symptoms."""
    again = "then run the same command again: it goes on where it stopped"
    if re.search(r"No space left on device|not enough space", log):
        return "the disk is full", f"free some space, or name another disk's folder in {variable}, {again}"
    if re.search(r"CERTIFICATE_VERIFY_FAILED|SSLError", log):
        return (
            "the package index's certificate is not trusted",
            f"set PIP_CERT to your network's certificate, {again}",
        )
    if re.search(r"connection broken|NewConnectionError|Max retries|ProxyError|ReadTimeoutError", log):
        return (
            "the package index can't be reached",
            f"check network and proxy, or set PIP_NO_INDEX=1 and PIP_FIND_LINKS to a wheel folder, {again}",
        )
    if "DO NOT MATCH THE HASHES" in log:
        return (
            "a library that was downloaded is not the one that the lock names",
            "look at PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS and the proxy: one hands out other files",
        )
    missing = re.search(r"No matching distribution found for ([^\s;]+)", log)
    if missing:
        return (
            f"there is no {missing[1]} for Python {platform.python_version()} on {platform.machine()}",
            "a 64-bit Python 3.11, 3.12 or 3.13",
        )
    if "Permission denied" in log:
        return "a folder is not writable", f"another folder in {variable}"
    errors = [line.partition("ERROR: ")[2] for line in log.splitlines() if "ERROR: " in line]
    return errors[-1] if errors else "no cause in its log", f"look above, {again}"


# --- sd-scripts, the engine kohya ---


def kohya(source: Path | None, force: bool = False) -> int:
    """Brings sd-scripts and makes its environment; does nothing where both are whole."""
    if sys.version_info < OLDEST_PYTHON:
        raise SetupError(f"Python {platform.python_version()} is too old; to try: Python {_oldest()} or newer")
    folder = kohya_folder()
    checkout, stamp, python = folder / "sd-scripts", folder / "modiste-kohya.json", venv_python(folder / "venv")
    if not force and source is None and read_stamp(stamp).items() >= kohya_fingerprints(python).items():
        print(f"modiste: sd-scripts in {folder} is up to date", flush=True)
        return EXIT_OK
    stamp.unlink(missing_ok=True)
    check_disk(folder, "MODISTE_ENGINES")
    print(f"modiste: bringing sd-scripts to {folder}: 15 MB, and its environment:", flush=True)
    print("modiste: about 1.5 GB on disk, 7 GB where torch brings CUDA; your own is left as it is", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    version = copy_checkout(source, checkout) if source else clone(checkout)
    make_venv(folder / "venv")
    print("modiste: installing its libraries (torch is the largest; this takes minutes)", flush=True)
    requirements = folder / "requirements.txt"
    write_whole(requirements, "\n".join([*torch_pins(), *engine_requirements(checkout), ""]))
    install(folder / "venv", ["-r", str(requirements)], "MODISTE_ENGINES")
    write_whole(stamp, json.dumps({**kohya_fingerprints(python), "version": version}, indent=2))
    print("modiste: ready; train with: python harness.py finetune … --engine kohya", flush=True)
    return EXIT_OK


def kohya_folder() -> Path:
    """The engine's folder: `kohya` in MODISTE_ENGINES, else in engines beside this file."""
    return Path(os.environ.get("MODISTE_ENGINES") or ROOT / "engines").expanduser().absolute() / "kohya"


def kohya_fingerprints(python: Path) -> dict[str, str | None]:
    """What a finished engine depends on."""
    return {"commit": SD_SCRIPTS_COMMIT, "torch": " ".join(torch_pins()), "python": python_version(python)}


def clone(checkout: Path) -> str:
    """The pinned commit alone, without the history; a clone that was cut short is completed."""
    if shutil.which("git") is None:
        raise SetupError(
            f"git is not installed; to try: install git, or unpack the archive of {SD_SCRIPTS} at commit "
            f"{SD_SCRIPTS_COMMIT[:8]} and name its folder with --from"
        )
    if git(checkout, "rev-parse", "--verify", "--quiet", "HEAD").stdout.strip() != SD_SCRIPTS_COMMIT:
        checkout.mkdir(exist_ok=True)
        for words in (
            ("init", "--quiet"),
            ("fetch", "--quiet", "--depth", "1", SD_SCRIPTS, SD_SCRIPTS_COMMIT),
            ("-c", "advice.detachedHead=false", "checkout", "--quiet", "--force", "FETCH_HEAD"),
        ):
            done = git(checkout, *words)
            if done.returncode != 0:
                cause = done.stderr.strip().splitlines() or ["no reason given"]
                raise SetupError(
                    f"sd-scripts could not be brought: {cause[-1]}; to try: check network and proxy, then the same "
                    "command again, or name a folder that has it with --from"
                )
    refuse_torn(checkout)
    return SD_SCRIPTS_COMMIT[:8]


def git(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """git in a folder of its own, which a repository around it is not."""
    environ = {**os.environ, "GIT_DIR": str(folder / ".git"), "GIT_WORK_TREE": str(folder), "GIT_TERMINAL_PROMPT": "0"}
    return subprocess.run(["git", *words], env=environ, capture_output=True, text=True)


def copy_checkout(source: Path, checkout: Path) -> str:
    """A copy of a folder that has sd-scripts; returns its commit where git knows it, and says where it is another."""
    source = source.expanduser().absolute()
    refuse_torn(source)
    version = "unknown"
    if (source / ".git").exists() and shutil.which("git"):
        version = git(source, "rev-parse", "HEAD").stdout.strip()[:8] or version
    if version != SD_SCRIPTS_COMMIT[:8]:
        print(f"modiste: {source} is at {version}; {SD_SCRIPTS_COMMIT[:8]} is the one that was tried", flush=True)
    shutil.rmtree(checkout, ignore_errors=True)
    shutil.copytree(source, checkout, ignore=shutil.ignore_patterns(".git", "__pycache__", "venv", ".venv"))
    return version


def refuse_torn(checkout: Path) -> None:
    """What has none of the files that training needs is no sd-scripts."""
    missing = [name for name in SD_SCRIPTS_HAS if not (checkout / name).is_file()]
    if missing:
        raise SetupError(f"{checkout} is no sd-scripts: it has no {missing[0]}; to try: the root of its checkout")


def engine_requirements(checkout: Path) -> list[str]:
    """sd-scripts' own pins, less itself: it is started in its folder."""
    lines = (checkout / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line.partition("#")[0].strip() for line in lines]
    return [line for line in wanted if line and not line.startswith("-")]


def torch_pins() -> list[str]:
    """torch and torchvision as our lock has them."""
    lines = TORCH_LOCK.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if re.match(r"(torch|torchvision)==", line)]


# --- demo, and running things ---


def demo(python: Path, rest: list[str]) -> int:
    """The prompt route over the sample photos, then both routes over a collection, on the embedded models."""
    asked = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    asked.add_argument("--out", default=DEMO_OUT)
    options, rest = asked.parse_known_args(rest)
    worst, reports = EXIT_OK, []
    for command, out in ((DEMO, Path(options.out)), (STORY, Path(options.out) / "collection")):
        code = run([python, ROOT / command[0], *command[1:], "--out", out, *rest])
        if code not in DEMO_DONE:
            return code
        worst = max(worst, code)
        reports.append(ROOT / out / "report.html")
    for report in reports:
        print(f"modiste: the report is {report}", flush=True)
    return worst


def audit(python: Path, rest: list[str]) -> int:
    """pip-audit over what the locks pin: a library with a known weakness is named, and the exit code is then 1."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pins.txt"
        pins = [*torch_pins(), *locked_pins(RUNTIME_LOCK), *locked_pins(DEV_LOCK)]
        file.write_text("\n".join(pins), encoding="utf-8")
        return run([python, "-m", "pip_audit", "--no-deps", "--disable-pip", "--requirement", file, *rest])


def locked_pins(lock: Path) -> list[str]:
    """The lines `name==version ; marker` of a lock, without its hashes."""
    lines = [line.partition(" \\")[0].strip() for line in lock.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if re.match(r"[\w.-]+==", line)]


def bill_of_materials() -> dict[str, object]:
    """What the own environment consists of, as CycloneDX: each library with its version, marker and hashes."""
    components = []
    for lock in (TORCH_LOCK, RUNTIME_LOCK):
        for entry in re.split(r"\n(?=[\w.-]+==)", lock.read_text(encoding="utf-8")):
            pin = re.match(r"([\w.-]+)==([^\s;\\]+)(?: ; ([^\\\n]+))?", entry)
            if pin is None:
                continue
            purl = f"pkg:pypi/{normalised(pin[1])}@{pin[2]}"
            component: dict[str, object] = {"type": "library", "name": pin[1], "version": pin[2], "purl": purl}
            component["bom-ref"] = purl
            files = [
                {"type": "distribution", "url": purl, "hashes": [{"alg": "SHA-256", "content": digest}]}
                for digest in re.findall(r"--hash=sha256:([0-9a-f]{64})", entry)
            ]
            if files:
                component["externalReferences"] = files
            if pin[3]:
                component["properties"] = [{"name": "marker", "value": pin[3].strip()}]
            components.append(component)
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components}


def test_words(rest: list[str]) -> list[str]:
    """What pytest is told: a process a core, four at most (each holds torch and its models), unless `rest` says so."""
    chosen = any(word.startswith(("-n", "--numprocesses", "--dist", "--pdb")) for word in rest)
    return rest if chosen else ["-n", str(min(MOST_TEST_PROCESSES, os.cpu_count() or 1)), *rest]


def run(command: list[str | Path], quiet: bool = False) -> int:
    """Runs a command in the own environment and returns its exit code.

    Ctrl-C reaches the command too, which keeps what it has; so its end is awaited before ours.
    """
    out = subprocess.DEVNULL if quiet else None
    with subprocess.Popen(list(map(str, command)), cwd=ROOT, env=own_environ(), stdout=out, stderr=out) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait()
            raise


def show(text: str) -> int:
    """Prints a document; `| head` may leave before its end."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's last flush fails again
    return EXIT_OK


def own_environ() -> dict[str, str]:
    """The environment variables, less what would let others' modules into ours; text is UTF-8."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return {**kept, "PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1"}


def write_whole(path: Path, text: str) -> None:
    """Writes a file so that it is there whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _oldest() -> str:
    return ".".join(map(str, OLDEST_PYTHON))


if __name__ == "__main__":
    sys.exit(main())
