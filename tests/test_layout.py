"""The layout: who may import whom, how long things may be, and what the package says of itself."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from source_tree import (
    DRAWS,
    HEAVY,
    NOT_SHIPPED,
    PENCILS,
    ROOMS,
    ROOT,
    circles,
    comfy_api,
    import_graph,
    imports_of,
    modules,
    modules_importing,
    project,
    python,
    reachable,
    room_of,
    source_files,
    tree_of,
)

from modiste.install import HOST_OWNED, normalised, release

INNER_ROOMS = ("core", "fashion", "search", "hosts", "trainer", "runs", "reports")
WAY_IN = Path("trainer/__main__.py")  # a way in like harness.py: it may import anything, and no module imports it

# Longer than a page, each for its reason; an entry goes when the thing is short enough.
LONG_MODULES = {
    "install.py": "runs before anything of ours can be imported: it stands alone",
}
LONG_FUNCTIONS = {
    **dict.fromkeys(
        (
            "nodes/compare.py:define_schema",
            "nodes/judge_loras.py:define_schema",
            "nodes/lora_trainer.py:define_schema",
            "nodes/prompt_search.py:define_schema",
            "nodes/tagger.py:define_schema",
        ),
        "a node's schema is one declaration: an input a line, with its text",
    ),
    "cli/pipeline.py:pipeline": "a command's options stand in its signature: 40 of its lines",
}


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


@pytest.mark.parametrize("room", INNER_ROOMS)
def test_the_inner_rooms_do_not_know_who_calls_them(room):
    callers = ("api", "nodes", "cli", "harness", "install", "panel", "server", "routes", "models", "bench")
    importing = modules_importing(*(f"modiste.{caller}" for caller in callers))
    outside = [path for path in importing if path != str(WAY_IN)]
    assert [path for path in outside if Path(path).parts[0] == room] == []


def rooms_in_the_architecture() -> dict[str, set[str]]:
    """Room → the rooms that it may import, from the table of docs/architecture.md."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)/` \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE)
    return {room: set(re.findall(r"`(\w+)/`", allowed)) for room, allowed in rows}


def test_a_room_imports_only_what_the_architecture_says():
    allowed = rooms_in_the_architecture()
    assert set(allowed) == set(ROOMS)
    assert allowed["core"] == set() and allowed["search"] == {"core"}
    foreign = {
        (room_of(module), room_of(target))
        for module, targets in import_graph().items()
        for target in targets
        if room_of(module) in allowed and module != "modiste.trainer.__main__" and target != "modiste.install"
    }
    assert {(room, target) for room, target in foreign if target not in allowed[room] | {room}} == set()


@pytest.mark.parametrize(("room", "other"), [("fashion", "trainer"), ("trainer", "fashion")])
def test_fashion_and_trainer_do_not_reach_each_other_not_even_through_a_third_module(room, other):
    graph = import_graph()
    start = [module for module in graph if room_of(module) == room and module != "modiste.trainer.__main__"]
    assert sorted(module for module in reachable(graph, start) if room_of(module) == other) == []


def test_no_module_imports_itself_through_others():
    """Imports inside functions and under TYPE_CHECKING count: a circle that is hidden is a circle."""
    assert circles(import_graph()) == []


def test_nobody_imports_a_way_in():
    ways_in = {"modiste.harness", "modiste.trainer.__main__"}
    importing = {path: imports_of(path) & ways_in for path in source_files() if path.parts[0] not in NOT_SHIPPED}
    assert {path: names for path, names in importing.items() if names} == {}


def test_at_the_root_lie_the_ways_in_alone():
    at_the_root = {path.name for path in source_files() if len(path.parts) == 1}
    assert at_the_root == {"__init__.py", "modiste.py", "harness.py", "install.py"}


# ── one name, one meaning; nothing too long ──


def shipped() -> list[Path]:
    return [path for path in source_files() if path.parts[0] not in NOT_SHIPPED]


def test_no_two_classes_have_one_name():
    where: dict[str, list[str]] = {}
    for path in shipped():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                where.setdefault(node.name, []).append(f"{path}:{node.lineno}")
    assert {name: places for name, places in where.items() if len(places) > 1} == {}


def test_no_module_is_longer_than_400_lines():
    long = {path.as_posix() for path in shipped() if len((ROOT / path).read_text(encoding="utf-8").splitlines()) > 400}
    assert long == set(LONG_MODULES)


def functions(rooms: tuple[str, ...] = ()) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function of ours as `file:name`; of some rooms where they are named."""
    for path in shipped():
        if rooms and path.parts[0] not in rooms:
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield f"{path.as_posix()}:{node.name}", node


def test_no_function_is_longer_than_60_lines():
    long = {name for name, node in functions() if (node.end_lineno or 0) - node.lineno + 1 > 60}
    assert long == set(LONG_FUNCTIONS)


def test_no_function_of_the_inner_rooms_takes_more_than_8_parameters():
    crowded = set()
    for name, node in functions(INNER_ROOMS + ("models", "routes")):
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        if len([argument for argument in arguments if argument.arg not in ("self", "cls")]) > 8:
            crowded.add(name)
    assert crowded == set()


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


def host_requirements() -> list[str]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def pins(name: str) -> dict[str, list[str]]:
    """Distribution → its pinned versions, one a Python where they differ."""
    found = {}
    for line in (ROOT / "requirements" / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", "-r ", "    --hash=")):
            distribution, version = line.removesuffix(" \\").partition(";")[0].strip().split("==")
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
    runtime = pins("torch.lock.txt") | pins("standalone.lock.txt")
    dev = runtime | pins("dev.lock.txt")
    wanted = [(runtime, project()["project"]["dependencies"] + extras["standalone"]), (dev, extras["dev"])]
    for lock, requirements in wanted:
        for requirement in requirements:
            name, _, oldest = requirement.partition(">=")
            assert all(release(version) >= release(oldest) for version in lock[normalised(name)]), requirement
    assert runtime["torch"] == ["2.13.0"] and runtime["torchvision"] == ["0.28.0"]


def test_no_lock_names_where_packages_come_from():
    places = re.compile(r"https?:|--(extra-)?index|--find-links| @ ")
    for lock in (ROOT / "requirements").iterdir():
        assert not places.search(lock.read_text(encoding="utf-8")), lock


@pytest.mark.parametrize("name", ["standalone.lock.txt", "dev.lock.txt"])
def test_every_library_of_a_lock_has_hashes_and_torch_alone_is_pinned_by_its_version(name):
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[\w.-]+==)", text)[1:]
    lines = [line for line in text.splitlines() if line and not line.startswith(("#", "-r "))]
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)
    form = re.compile(r"[\w.-]+==\S+( ; [^\\]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?")
    assert all(form.fullmatch(line) for line in lines)
    assert set(pins("torch.lock.txt")) == {"torch", "torchvision"}
