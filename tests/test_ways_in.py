"""Five ways in: ComfyUI, A1111 and Forge, pip, `python harness.py`, pytest; each from a copy as a user has it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import zipfile
from pathlib import Path

import pytest
from lora_samples import random_lora
from source_tree import (
    HEAVY,
    HOST_START_S,
    ROOMS,
    ROOT,
    comfy_api,
    left_behind,
    python,
)

from modiste.trainer.lora.file import write_lora


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """The tree as a user has it, in a folder with a hyphen."""
    folder = tmp_path_factory.mktemp("host") / "custom_nodes" / "comfyui-modiste"
    return Path(shutil.copytree(ROOT, folder, ignore=left_behind))


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
score_path = os.path.join(extension, "scripts", "modiste_score.py")
spec = importlib.util.spec_from_file_location(os.path.basename(score_path), score_path)
score = importlib.util.module_from_spec(spec)
spec.loader.exec_module(score)
if not keep_path:
    sys.path = sys_path
loaded, cpu_s = set(sys.modules) - modules_before, time.process_time() - start
import gradio
with gradio.Blocks():
    for name in ("txt2img_gallery", "txt2img_send_to_extras", "pnginfo_image", "extras_tab", "other"):
        made = gradio.Button(name, elem_id=name)
        for callback in script_callbacks.after_component:
            callback(made, elem_id=name)
tabs = [tab for callback in script_callbacks.tabs for tab in callback()]
page, title, element_id = tabs[0]
for callback in script_callbacks.settings:
    callback()
from modules import scripts, shared
script_callbacks.before_ui[0]()
script_callbacks.before_ui[0]()  # a UI that is loaded anew
script = score.ModisteScore()
print(json.dumps({
    "titles": [tab[1] for tab in tabs], "id": element_id, "loaded": sorted(loaded), "cpu_s": cpu_s,
    "settings": {name: [info.default, info.component_args] for name, info in shared.opts.options.items()},
    "server": module.server(), "served": shared.cmd_opts.gradio_allowed_path,
    "score": [script.title(), script.show(False) is scripts.AlwaysVisible],
    "axes": [axis.label for axis in scripts.scripts_data[0].module.axis_options],
    "labels": [one.label for one in page.everything()], "sent_to": [one[1] for one in infotext_utils.bindings],
    "received": [infotext_utils.fields["modiste"].label] + [one[3].label for one in infotext_utils.bindings if one[3]],
}))
"""


# What the script meets of a WebUI, of names that A1111 and Forge share.
WEBUI = {
    "script_callbacks": """
tabs, settings, before_ui, after_component = [], [], [], []
on_ui_tabs, on_ui_settings, on_before_ui = tabs.append, settings.append, before_ui.append
on_after_component = after_component.append
""",
    "scripts": """
from types import SimpleNamespace

AlwaysVisible = object()


class Script:
    pass


def AxisOption(label, type, apply):
    return SimpleNamespace(label=label, type=type, apply=apply)


xyz = SimpleNamespace(axis_options=[], AxisOption=AxisOption)
plot = type("Script", (Script,), {"__module__": "xyz_grid.py"})
scripts_data = [SimpleNamespace(script_class=plot, module=xyz)]
""",
    "infotext_utils": """
bindings = []
register_paste_params_button = bindings.append


fields = {}


def ParamBinding(paste_button, tabname, source_text_component=None, source_image_component=None):
    return paste_button, tabname, source_text_component, source_image_component


def add_paste_fields(tabname, init_img, fields_):
    fields[tabname] = init_img
""",
    "paths_internal": "default_output_dir = 'outputs'\n",
    "shared": """
from types import SimpleNamespace

cmd_opts = SimpleNamespace(
    api=False, nowebui=False, api_auth=None, port=None, subpath=None, tls_certfile=None,
    lora_dir='Lora', hide_ui_dir_config=False, share=False, listen=False, gradio_allowed_path=['data'],
)
opts = SimpleNamespace(localization='None', sd_model_checkpoint=None, options={}, modiste_runs='/runs')
opts.add_option = opts.options.__setitem__
demo = SimpleNamespace(local_url='http://127.0.0.1:7861/')


class OptionInfo(SimpleNamespace):
    def __init__(self, default, label, component=None, component_args=None, section=None):
        super().__init__(default=default, label=label, component_args=component_args, section=section)

    def needs_reload_ui(self):
        return self
""",
    "styles": "def PromptStyle(*values):\n    return values\n",
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
    assert {"Start", "Cancel", "Add to txt2img", "Set up"} <= set(seen["labels"])
    assert seen["sent_to"] == ["modiste", "modiste", "txt2img"]  # the last one replaces prompt and settings
    assert seen["received"] == ["or a picture that was sent here", "txt2img_gallery", "pnginfo_image"]
    assert seen["server"] == ["--url", "http://127.0.0.1:7861"]  # the port that it has, not the one that it asked for
    assert seen["served"] == ["data", "/runs"]  # else its pictures were refused where the settings name another folder
    assert seen["score"] == ["Modiste score", True] and seen["axes"] == ["[Modiste] Reference photo"]
    assert list(seen["settings"]) == [f"modiste_{name}" for name in ("preset", "encoder", "runs", "language")]
    assert seen["settings"]["modiste_preset"] == ["automatic", {"choices": ["automatic", "mini", "sd15", "sdxl"]}]
    assert not (HEAVY | {"pydantic"}) & set(seen["loaded"])
    assert seen["cpu_s"] <= HOST_START_S


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
    return built(clone, tmp_path_factory.mktemp("wheel"))


def built(tree: Path, folder: Path) -> Path:
    """The wheel of a tree, with the time of a commit as releases are built."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1790000000")
        pip("wheel", "--wheel-dir", folder, tree, cwd=folder)
    return next(folder.glob("modiste-*.whl"))


def test_a_wheel_built_again_elsewhere_and_later_is_the_same_to_the_byte(wheel, tmp_path):
    tree = Path(shutil.copytree(ROOT, tmp_path / "elsewhere" / "tree", ignore=left_behind))
    for file in tree.rglob("*"):
        os.utime(file, (1_500_000_000, 1_500_000_000))
    assert built(tree, tmp_path).read_bytes() == wheel.read_bytes()


def test_the_wheel_holds_every_module_and_every_data_file_of_every_room(wheel, clone):
    held = set(zipfile.ZipFile(wheel).namelist())
    files = {path for room in (*ROOMS, "web") for path in (clone / room).rglob("*") if path.is_file()}
    expected = {f"modiste/{path.relative_to(clone).as_posix()}" for path in files if "__pycache__" not in path.parts}
    assert expected - held == set()
    assert "modiste/harness.py" in held
    assert not {name for name in held if name.startswith(("modiste/tests", "modiste/scripts", "tests/", "fashion/"))}
    assert not {name for name in held if name.endswith(".pyc")}


def test_the_wheel_imports_and_its_commands_run_where_there_is_no_checkout(wheel, tmp_path, monkeypatch):
    interpreter = empty_environment(tmp_path / "env")
    pip("install", "--ignore-installed", "--prefix", tmp_path / "env", wheel, cwd=tmp_path)
    code = "import modiste.fashion.taxonomy, modiste.models.presets; print(modiste.__file__)"
    where = Path(python("-c", code, cwd=tmp_path, interpreter=interpreter).strip())
    assert where.is_relative_to(tmp_path / "env")
    command = interpreter.with_name("modiste" + interpreter.suffix)
    assert command.exists()
    shutil.copy(ROOT / "examples" / "photos" / "look-01.jpg", tmp_path)
    write_lora(random_lora("sd1"), tmp_path / "brand.safetensors", {})
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "home"))

    def modiste(*words: str) -> str:
        return python("-m", "modiste.harness", *words, cwd=tmp_path, interpreter=interpreter)

    assert json.loads(modiste("doctor", "--json"))["presets"]["mini"]["ready"]
    (tagged,) = json.loads(modiste("tag", "look-01.jpg", "--preset", "mini", "--json"))
    assert tagged["caption"].startswith("a photo of")
    assert {report["applied"] for report in json.loads(modiste("lora", "verify", "brand.safetensors", "--json"))} != {0}


def test_an_editable_install_imports_from_the_checkout(clone, tmp_path):
    interpreter = empty_environment(tmp_path / "env")
    pip("install", "--ignore-installed", "--prefix", tmp_path / "env", "--editable", clone, cwd=tmp_path)
    code = "import modiste.fashion.taxonomy, modiste.nodes; print(modiste.fashion.taxonomy.__file__)"
    where = python("-c", code, cwd=tmp_path, interpreter=interpreter).strip()
    assert Path(where) == clone / "fashion" / "taxonomy.py"


def test_the_harness_runs_by_its_path_from_another_folder(clone, tmp_path):
    assert "prompt" in python(clone / "harness.py", "--help", cwd=tmp_path)


@pytest.mark.parametrize("name", ["comfyui-modiste", "modiste", "main"])
def test_pytest_runs_in_a_folder_of_any_name(name, clone, tmp_path):
    folder = Path(
        shutil.copytree(clone, tmp_path / name, ignore=shutil.ignore_patterns("tests", "weights", "examples"))
    )
    (folder / "tests").mkdir()
    for helper in ("conftest.py", "loopback_only.py"):
        shutil.copy(clone / "tests" / helper, folder / "tests")
    (folder / "tests" / "test_here.py").write_text(
        textwrap.dedent("""
            from pathlib import Path
            from modiste.core.errors import InputError
            from modiste.core import errors

            def test_here():
                assert Path(errors.__file__).parents[1] == Path(__file__).parents[1]
                assert InputError("a", to_try="b").exit_code == 2
        """)
    )
    for where, target in ((folder, "."), (tmp_path, folder)):
        assert "1 passed" in python("-m", "pytest", "-q", "-p", "no:cacheprovider", target, cwd=where)
