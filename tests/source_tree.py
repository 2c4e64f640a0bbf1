"""The source tree as its tests read it: files, modules, imports; and Python in a clean process."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent


ROOMS = (
    *(
        "api",
        "bench",
        "checkpoints",
        "cli",
        "core",
        "fashion",
        "hosts",
        "mini",
        "models",
        "nodes",
        "panel",
        "reports",
        "routes",
        "runs",
    ),
    *("search", "server", "trainer"),
)


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
        "class App:\n    middlewares = []\n\n\n"
        "class PromptServer:\n    instance = type('Server', (), {'routes': Routes(), 'app': App()})\n"
    )
    web = folder / "aiohttp" / "web.py"
    web.parent.mkdir()
    (web.parent / "__init__.py").touch()
    web.write_text("def middleware(handler):\n    return handler\n")
    return folder


def modules_importing(*packages: str, outside: tuple[str, ...] = ()) -> list[str]:
    """Files outside some folders that import one of the packages."""
    return [
        str(path)
        for path in source_files()
        if path.parts[0] not in outside
        and any(name == package or name.startswith(package + ".") for name in imports_of(path) for package in packages)
    ]


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


# ── the graph of imports ──


@cache
def import_graph() -> dict[str, frozenset[str]]:
    """Module → the modules of ours that it imports, wherever in the file; a package's name stands for its __init__."""
    ours = {name_of(path) for path in source_files() if path.parts[0] not in NOT_SHIPPED and path.name != "modiste.py"}
    graph = {}
    for path in source_files():
        if path.parts[0] in NOT_SHIPPED or path.name == "modiste.py":
            continue
        targets = set()
        for name in imports_of(path):
            parent = name.rpartition(".")[0]
            targets |= {name} & ours or {parent} & ours
        # `from .room import module` names the room too; that runs its __init__, which is empty of imports or lazy.
        named = {target for target in targets if not any(other.startswith(target + ".") for other in targets)}
        graph[name_of(path)] = frozenset(named - {name_of(path), "modiste"})
    return graph


def name_of(path: Path) -> str:
    """A file's name as a module: `fashion/tagger.py` is `modiste.fashion.tagger`."""
    return ".".join(("modiste", *path.with_suffix("").parts)).removesuffix(".__init__")


def room_of(module: str) -> str:
    """The folder under the root: `modiste.fashion.tagger` is in `fashion`; what lies at the root is its own room."""
    return module.split(".")[1] if module.count(".") else module


def reachable(graph: Mapping[str, frozenset[str]], start: Iterable[str]) -> set[str]:
    """Everything that the modules of `start` import, directly or through others."""
    seen, waiting = set(), list(start)
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting += graph.get(module, ())
    return seen


def circles(graph: Mapping[str, frozenset[str]]) -> list[list[str]]:
    """Groups of modules that import one another around (strongly connected components of two modules or more)."""
    around: dict[str, set[str]] = {module: reachable(graph, targets) for module, targets in graph.items()}
    found = {
        frozenset([module, *(other for other in around[module] if module in around.get(other, ()))])
        for module in graph
        if module in around[module]
    }
    return sorted(sorted(group) for group in found)
