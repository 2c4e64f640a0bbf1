"""The house: five ways in, who may import whom, and what the package says of itself."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import zipfile
from functools import cache
from pathlib import Path

import pytest

from modiste.install import HOST_OWNED, normalised, release

ROOT = Path(__file__).parent.parent
ROOMS = ("bench", "fashion", "hosts", "mini", "nodes", "panel", "runs", "search", "server", "trainer")
NOT_SHIPPED = {"scripts", "tests"}  # Python, but not in the package: A1111 and pytest find them by path
HEAVY = {
    *("accelerate", "diffusers", "fastapi", "jinja2", "matplotlib", "numpy", "open_clip", "peft", "PIL", "requests"),
    *("safetensors", "scipy", "timm", "torch", "torchvision", "transformers", "uvicorn", "websocket"),
}
DRAWS = {
    "mini",
    "bench",
}  # rooms that draw and measure, imported when asked: numpy and Pillow are their pencils
PENCILS = {"numpy", "PIL"}
HOST_START_S = 0.15  # CPU seconds over the host's own start


# --- the tree, its copies and its sources ---


def left_behind(folder: str, names: list[str]) -> set[str]:
    """What a clone does not have: environments, caches, outputs."""
    unwanted = {
        ".git",
        "__pycache__",
        ".pytest_cache",
        ".ruff_cache",
        "build",
        "dist",
        "demo-out",
        "engines",
        "modiste.egg-info",
    }
    return {name for name in names if name in unwanted or (Path(folder) / name / "pyvenv.cfg").exists()}


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """The tree as a user has it, in a folder with a hyphen."""
    folder = tmp_path_factory.mktemp("host") / "custom_nodes" / "comfyui-modiste"
    return Path(shutil.copytree(ROOT, folder, ignore=left_behind))


@cache
def source_files() -> tuple[Path, ...]:
    """Every Python file of ours, relative to the root."""
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = sorted(set(folders) - left_behind(folder, folders))
        found += [Path(folder, name).relative_to(ROOT) for name in sorted(files) if name.endswith(".py")]
    return tuple(found)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), str(path))


def modules() -> list[str]:
    """Every module of the package, as `modiste.…`; `modiste.py` is the package itself."""
    shipped = [path for path in source_files() if path.parts[0] not in NOT_SHIPPED and path.name != "modiste.py"]
    names = [".".join(("modiste", *path.with_suffix("").parts)).removesuffix(".__init__") for path in shipped]
    return sorted(set(names) - {"modiste"})


def imports_of(path: Path) -> set[str]:
    """Full names of everything a file imports, anywhere in it; relative ones start with `modiste.`."""
    package = ("modiste", *path.parts[:-1])
    names = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join((*base, node.module) if node.module else base)
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names


def python(
    *arguments: str | Path, cwd: Path, path: str | Path | None = None, interpreter: str | Path = sys.executable
) -> str:
    """Runs Python in a clean process and returns its stdout; a failure shows its stderr."""
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTEST_ADDOPTS")}
    if path is not None:
        environ["PYTHONPATH"] = str(path)
    command = [str(part) for part in (interpreter, *arguments)]
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, encoding="utf-8", timeout=240)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


# --- 1. ComfyUI loads the folder by its path ---

COMFYUI = """
import asyncio, importlib.util, inspect, json, os, sys, time

folder = sys.argv[1]
path_before, modules_before, start = list(sys.path), set(sys.modules), time.process_time()
name = folder.replace(".", "_x_")
spec = importlib.util.spec_from_file_location(name, os.path.join(folder, "__init__.py"))
module = importlib.util.module_from_spec(spec)
sys.modules[name] = module
spec.loader.exec_module(module)
cpu_s = time.process_time() - start
loaded = set(sys.modules) - modules_before
nodes = None
if "ask for nodes" in sys.argv:
    entry = module.comfy_entrypoint
    extension = asyncio.run(entry()) if inspect.iscoroutinefunction(entry) else entry()
    from comfy_api.v0_0_2 import ComfyExtension
    assert isinstance(extension, ComfyExtension)
    nodes = [node.__name__ for node in asyncio.run(extension.get_node_list())]
print(json.dumps({
    "web": os.path.abspath(os.path.join(folder, module.WEB_DIRECTORY)),
    "legacy_mappings": hasattr(module, "NODE_CLASS_MAPPINGS"),
    "nodes": nodes,
    "path_kept": sys.path == path_before,
    "top_level": sorted(name for name in loaded if folder not in name and "." not in name),
    "cpu_s": cpu_s,
}))
"""


def load_like_comfyui(folder: Path, cwd: Path, *words: str, path: Path | None = None) -> dict:
    return json.loads(python("-c", COMFYUI, folder, *words, cwd=cwd, path=path))


def comfy_api(folder: Path) -> Path:
    """What of ComfyUI an extension meets when it is loaded: the node API's names, folders, the server's routes."""
    package = folder / "comfy_api"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "v0_0_2.py").write_text(
        "class ComfyExtension:\n    async def on_load(self): ...\n\n\nclass io:\n    class ComfyNode: ...\n"
    )
    (folder / "folder_paths.py").write_text('models_dir = "models"\n\n\ndef add_model_folder_path(name, path): ...\n')
    (folder / "server.py").write_text(
        "class Routes:\n    def get(self, path):\n        return lambda handler: handler\n\n    post = get\n\n\n"
        "class PromptServer:\n    instance = type('Server', (), {'routes': Routes()})\n"
    )
    return folder


def test_comfyui_loads_the_folder_and_finds_its_page_and_its_nodes(clone, tmp_path):
    seen = load_like_comfyui(clone, tmp_path, "ask for nodes", path=comfy_api(tmp_path / "comfyui"))
    assert Path(seen["web"]) == clone / "web" and (clone / "web").is_dir()
    golden = json.loads((ROOT / "tests" / "data" / "comfy_object_info.json").read_text(encoding="utf-8"))
    assert set(seen["nodes"]) == set(golden)
    assert not seen["legacy_mappings"]  # with both, ComfyUI would ignore comfy_entrypoint


def test_comfyui_loads_a_link_to_the_folder(clone, tmp_path):
    link = tmp_path / "custom_nodes" / "modiste.dev-link"
    link.parent.mkdir()
    link.symlink_to(clone, target_is_directory=True)
    seen = load_like_comfyui(link, tmp_path, "ask for nodes", path=comfy_api(tmp_path / "comfyui"))
    assert (link / "web").samefile(seen["web"])


def test_loading_in_comfyui_needs_no_comfy_api_yet_touches_no_path_and_is_instant(clone, tmp_path):
    seen = [load_like_comfyui(clone, tmp_path) for _ in range(3)]
    assert all(one["path_kept"] for one in seen)
    assert not {"nodes", "modiste", "utils", "comfy_api"} & set(seen[0]["top_level"])
    assert not HEAVY & set(seen[0]["top_level"])
    assert min(one["cpu_s"] for one in seen) <= HOST_START_S


# --- 2. A1111 and Forge execute scripts/*.py ---

A1111 = """
import importlib.util, json, os, sys, time

extension, keep_path = sys.argv[1], "forge" in sys.argv
from modules import infotext_utils, script_callbacks
path = os.path.join(extension, "scripts", "modiste_webui.py")
sys_path, modules_before, start = sys.path, set(sys.modules), time.process_time()
sys.path = [extension] + sys.path
spec = importlib.util.spec_from_file_location(os.path.basename(path), path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
if not keep_path:
    sys.path = sys_path
loaded, cpu_s = set(sys.modules) - modules_before, time.process_time() - start
tabs = [tab for callback in script_callbacks.tabs for tab in callback()]
page, title, element_id = tabs[0]
print(json.dumps({
    "titles": [tab[1] for tab in tabs], "id": element_id, "loaded": sorted(loaded), "cpu_s": cpu_s,
    "labels": [one.label for one in page.everything()], "sent_to": [one[1] for one in infotext_utils.bindings],
}))
"""

# What the script meets of a WebUI, of names that A1111 and Forge share.
WEBUI = {
    "script_callbacks": "tabs = []\n\n\ndef on_ui_tabs(callback):\n    tabs.append(callback)\n",
    "infotext_utils": """
bindings = []
register_paste_params_button = bindings.append


def ParamBinding(paste_button, tabname, source_text_component):
    return paste_button, tabname, source_text_component
""",
    "paths_internal": "default_output_dir = 'outputs'\n",
    "shared": """
from types import SimpleNamespace

cmd_opts = SimpleNamespace(
    api=False, nowebui=False, api_auth=None, port=None, subpath=None, tls_certfile=None,
    lora_dir='Lora', hide_ui_dir_config=False, share=False, listen=False,
)
opts = SimpleNamespace(localization='None', sd_model_checkpoint=None)
""",
    "ui_extra_networks": "extra_pages = []\n",
}


@pytest.fixture
def webui(tmp_path) -> Path:
    """The part of a WebUI's root that an extension's script meets."""
    root = tmp_path / "webui"
    (root / "modules").mkdir(parents=True)
    for name, source in WEBUI.items():
        (root / "modules" / f"{name}.py").write_text(source)
    shutil.copy(ROOT / "tests" / "stand_in_gradio.py", root / "gradio.py")
    (root / "data").mkdir()
    shutil.copy(ROOT / "tests" / "data" / "gradio_common.json", root / "data")
    return root


@pytest.mark.parametrize("kind", ["a1111", "forge"])
def test_the_webui_executes_the_script_and_gets_a_tab(kind, clone, webui, tmp_path, monkeypatch):
    monkeypatch.setenv("MODISTE_VENV", str(tmp_path / "nowhere"))
    seen = json.loads(python("-c", A1111, clone, kind, cwd=tmp_path, path=webui))
    assert seen["titles"] == ["Modiste"] and re.fullmatch(r"\w+", seen["id"])
    assert {"Start", "Cancel", "Send to txt2img", "Set up"} <= set(seen["labels"])
    assert seen["sent_to"] == ["txt2img"] * 3  # prompt, training, both routes
    assert not (HEAVY | {"pydantic"}) & set(seen["loaded"])
    assert seen["cpu_s"] <= HOST_START_S


# --- 3. pip installs it ---


def pip(*arguments: str | Path, cwd: Path) -> str:
    quiet = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation")
    return python("-m", "pip", arguments[0], *quiet, *arguments[1:], cwd=cwd)


def empty_environment(folder: Path) -> Path:
    """The Python of an environment that has nothing of its own and borrows our dependencies, but no `modiste`."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    ours = next(folder.rglob("site-packages"))
    # Behind its own packages, where no .pth file of ours is read: our own editable install stays out of sight.
    (ours / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@pytest.fixture(scope="module")
def wheel(clone, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--wheel-dir", folder, clone, cwd=folder)
    return next(folder.glob("modiste-*.whl"))


def test_the_wheel_holds_every_module_and_every_data_file_of_every_room(wheel, clone):
    held = set(zipfile.ZipFile(wheel).namelist())
    files = {path for room in (*ROOMS, "web") for path in (clone / room).rglob("*") if path.is_file()}
    expected = {f"modiste/{path.relative_to(clone).as_posix()}" for path in files if "__pycache__" not in path.parts}
    assert expected - held == set()
    assert "modiste/harness.py" in held
    assert not {name for name in held if name.startswith(("modiste/tests", "modiste/scripts", "tests/", "fashion/"))}
    assert not {name for name in held if name.endswith(".pyc")}


def test_the_wheel_imports_and_its_command_runs_where_there_is_no_checkout(wheel, tmp_path):
    interpreter = empty_environment(tmp_path / "env")
    pip("install", "--ignore-installed", "--prefix", tmp_path / "env", wheel, cwd=tmp_path)
    code = "import modiste.fashion.taxonomy, modiste.presets; print(modiste.__file__)"
    where = Path(python("-c", code, cwd=tmp_path, interpreter=interpreter).strip())
    assert where.is_relative_to(tmp_path / "env")
    command = interpreter.with_name("modiste" + interpreter.suffix)
    assert command.exists()
    help_text = python("-m", "modiste.harness", "--help", cwd=tmp_path, interpreter=interpreter)
    assert "prompt" in help_text


def test_an_editable_install_imports_from_the_checkout(clone, tmp_path):
    interpreter = empty_environment(tmp_path / "env")
    pip("install", "--ignore-installed", "--prefix", tmp_path / "env", "--editable", clone, cwd=tmp_path)
    code = "import modiste.fashion.taxonomy, modiste.nodes; print(modiste.fashion.taxonomy.__file__)"
    where = python("-c", code, cwd=tmp_path, interpreter=interpreter).strip()
    assert Path(where) == clone / "fashion" / "taxonomy.py"


# --- 4. python harness.py from any folder ---


def test_the_harness_runs_by_its_path_from_another_folder(clone, tmp_path):
    assert "prompt" in python(clone / "harness.py", "--help", cwd=tmp_path)


# --- 5. pytest collects it from a folder with a hyphen ---


@pytest.mark.parametrize("name", ["comfyui-modiste", "modiste", "main"])
def test_pytest_runs_in_a_folder_of_any_name(name, clone, tmp_path):
    folder = Path(
        shutil.copytree(clone, tmp_path / name, ignore=shutil.ignore_patterns("tests", "weights", "examples"))
    )
    (folder / "tests").mkdir()
    shutil.copy(clone / "tests" / "conftest.py", folder / "tests")
    (folder / "tests" / "test_here.py").write_text(
        textwrap.dedent("""
            from pathlib import Path
            from modiste.errors import InputError
            from modiste import errors

            def test_here():
                assert Path(errors.__file__).parent == Path(__file__).parent.parent
                assert InputError("a", to_try="b").exit_code == 2
        """)
    )
    for where, target in ((folder, "."), (tmp_path, folder)):
        assert "1 passed" in python("-m", "pytest", "-q", "-p", "no:cacheprovider", target, cwd=where)


# --- who may import whom ---


def test_importing_any_module_imports_no_heavy_library(tmp_path):
    """Those that may draw come last: what loads them from elsewhere would have loaded the pencils by then."""
    code = """
import importlib, json, sys
guilty = {}
for name in sys.argv[2:]:
    before = set(sys.modules)
    importlib.import_module(name)
    heavy = set(sys.argv[1].split(",")) & (set(sys.modules) - before)
    if heavy:
        guilty[name] = sorted(heavy)
print(json.dumps(guilty))
"""
    drawing = [name for name in modules() if name.split(".")[1] in DRAWS]
    others = [name for name in modules() if name not in drawing]
    path = f"{ROOT}{os.pathsep}{comfy_api(tmp_path / 'comfyui')}"
    found = json.loads(python("-c", code, ",".join(HEAVY), *others, *drawing, cwd=tmp_path, path=path))
    assert {name: heavy for name, heavy in found.items() if name in others or set(heavy) - PENCILS} == {}


def modules_importing(*packages: str, outside: tuple[str, ...] = ()) -> list[str]:
    """Files outside some folders that import one of the packages."""
    return [
        str(path)
        for path in source_files()
        if path.parts[0] not in outside
        and any(name == package or name.startswith(package + ".") for name in imports_of(path) for package in packages)
    ]


def test_only_nodes_imports_comfyui():
    comfyui = (
        "comfy",
        "comfy_api",
        "comfy_extras",
        "comfy_execution",
        "folder_paths",
        "execution",
        "server",
        "nodes",
    )
    assert modules_importing(*comfyui, outside=("nodes",)) == []


def test_only_scripts_imports_a1111():
    assert modules_importing("modules", "launch", "modules_forge", outside=("scripts",)) == []
    assert modules_importing("gradio", outside=("panel",)) == []


@pytest.mark.parametrize("room", ["fashion", "search", "hosts", "trainer", "runs"])
def test_the_inner_rooms_do_not_know_who_calls_them(room):
    callers = ("modiste.nodes", "modiste.harness", "modiste.install", "modiste.pipeline", "modiste.terminal")
    assert [path for path in modules_importing(*callers) if Path(path).parts[0] == room] == []


def test_fashion_and_trainer_do_not_import_each_other():
    assert [path for path in modules_importing("modiste.trainer") if Path(path).parts[0] == "fashion"] == []
    assert [path for path in modules_importing("modiste.fashion") if Path(path).parts[0] == "trainer"] == []


def test_fashion_and_trainer_know_no_host():
    knowing = [Path(path).parts[0] for path in modules_importing("modiste.hosts")]
    assert not {"fashion", "trainer", "search"} & set(knowing)


def test_search_knows_no_images():
    images = ("PIL", "torch", "torchvision", "diffusers", "transformers", "modiste.fashion.photos")
    assert [path for path in modules_importing(*images) if Path(path).parts[0] == "search"] == []


def test_inside_the_package_imports_are_relative_and_outside_they_name_modiste():
    for path in source_files():
        inside = path.parts[0] not in NOT_SHIPPED and path.name not in ("harness.py", "modiste.py")
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ImportFrom):
                assert not (node.level and not inside), f"{path}:{node.lineno} is outside, write: from modiste.…"
                absolute = not node.level and (node.module or "").partition(".")[0] == "modiste"
                assert not (absolute and inside), f"{path}:{node.lineno} is inside, write a relative import"
            elif isinstance(node, ast.Import) and inside:
                named = {alias.name.partition(".")[0] for alias in node.names}
                assert "modiste" not in named, f"{path}:{node.lineno} is inside, write a relative import"


def test_nobody_edits_the_module_path():
    for path in source_files():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert ast.unparse(node.func.value) != "sys.path", f"{path}:{node.lineno}"
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            written = {ast.unparse(target).partition("[")[0] for target in targets if target is not None}
            assert not {"sys.path", "sys.modules"} & written, f"{path}:{node.lineno}"


def test_nobody_wraps_imports_in_try():
    for path in source_files():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Try):
                wrapped = [line for line in node.body if isinstance(line, (ast.Import, ast.ImportFrom))]
                caught = " ".join(ast.unparse(handler.type) for handler in node.handlers if handler.type)
                assert not wrapped, f"{path}:{node.lineno}"
                assert not re.search(r"\b(ImportError|ModuleNotFoundError)\b", caught), f"{path}:{node.lineno}"


def test_nobody_evaluates_unpickles_or_trusts_remote_code():
    for path in source_files():
        assert not {"pickle", "cloudpickle", "dill", "joblib", "marshal"} & imports_of(path), path
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call):
                assert not (isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec")), (
                    f"{path}:{node.lineno}"
                )
                assert "trust_remote_code" not in {word.arg for word in node.keywords}, f"{path}:{node.lineno}"


def test_no_file_is_called_utils():
    names = {path.stem for path in source_files()}
    assert not names & {"utils", "util", "helpers", "misc", "common"}


# --- what the package says of itself ---


@cache
def project() -> dict[str, dict[str, list[str]]]:
    """The lists of strings in pyproject.toml, by table and key; Python 3.10 has no TOML reader of its own."""
    tables, table = {}, ""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for heading, key, items in re.findall(r"^\[(.+)\]$|^([\w.-]+) = \[([^\]]*)\]", text, re.MULTILINE):
        table = heading or table
        if key:
            tables.setdefault(table, {})[key] = re.findall(r'"([^"]*)"', items)
    return tables


def host_requirements() -> list[str]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def pins(name: str) -> dict[str, list[str]]:
    """Distribution → its pinned versions, one a Python where they differ."""
    found = {}
    for line in (ROOT / "requirements" / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", "-r ")):
            distribution, version = line.partition(";")[0].strip().split("==")
            found.setdefault(normalised(distribution), []).append(version)
    return found


def test_the_packages_list_equals_the_folders_on_disk():
    folders = {path.parent for path in source_files() if path.name == "__init__.py"} - {Path()}
    shipped = [folder for folder in folders if folder.parts[0] not in NOT_SHIPPED]
    on_disk = {".".join(("modiste", *folder.parts)) for folder in shipped}
    listed = project()["tool.setuptools"]["packages"]
    assert set(listed) == on_disk | {"modiste"} and len(listed) == len(set(listed))
    with_python = {path.parts[0] for path in source_files() if len(path.parts) > 1} - NOT_SHIPPED
    assert with_python == set(ROOMS)


def test_hosts_keep_their_torch_and_nothing_has_an_upper_bound():
    for requirement in (*project()["project"]["dependencies"], *host_requirements()):
        assert re.fullmatch(r"[A-Za-z0-9_-]+(>=[\d.]+)?", requirement), requirement
        assert normalised(requirement.partition(">=")[0]) not in HOST_OWNED


def test_hosts_are_asked_for_all_dependencies_but_the_one_that_drags_torchvision():
    assert set(project()["project"]["dependencies"]) - set(host_requirements()) == {"open_clip_torch"}
    assert set(host_requirements()) <= set(project()["project"]["dependencies"])


def test_the_locks_pin_every_dependency_of_the_own_environment():
    extras = project()["project.optional-dependencies"]
    runtime, dev = pins("standalone.lock.txt"), pins("standalone.lock.txt") | pins("dev.lock.txt")
    wanted = [(runtime, project()["project"]["dependencies"] + extras["standalone"]), (dev, extras["dev"])]
    for lock, requirements in wanted:
        for requirement in requirements:
            name, _, oldest = requirement.partition(">=")
            assert all(release(version) >= release(oldest) for version in lock[normalised(name)]), requirement
    assert runtime["torch"] == ["2.13.0"] and runtime["torchvision"] == ["0.28.0"]


def test_no_lock_names_where_packages_come_from():
    places = re.compile(r"https?:|--(extra-)?index|--find-links|--hash| @ ")
    for lock in (ROOT / "requirements").iterdir():
        assert not places.search(lock.read_text(encoding="utf-8")), lock
