"""What people read in ComfyUI: every node, input, output, setting in three languages, with help and an example."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from comfy_page import workflows
from comfy_page.server import translations
from PIL import Image

from modiste.core.version import VERSION

ROOT = Path(__file__).parents[1]
WEB = ROOT / "web"
LANGUAGES = ("en", "zh", "zh-TW")
NODES = json.loads((ROOT / "tests/data/comfy_object_info.json").read_text(encoding="utf-8"))
SIMPLIFIED = set("图标签张组颜训练验证损学习压缩区间显习览义扩编号选择")  # a few that Traditional writes otherwise
TEXTS = translations()
# Asked for by a key that is put together, such as say(`state_${…}`).
COMPOSED = {
    *(f"state_{each}" for each in ("none", "pinned", "excluded")),
    *(f"verdict_{each}" for each in ("same", "close", "kin", "other", "unknown")),
    *(f"run_{each}" for each in ("running", "done", "stopped", "failed")),
    *(
        f"stage_{each}"
        for each in ("engine", "data", "photos", "model", "latents", "captions", "train", "drawing", "signs")
    ),
}


def inputs(node: str) -> dict[str, dict]:
    """name → options, of what a person sees on the node."""
    kinds = NODES[node]["input"]
    return {name: spec[1] for kind in ("required", "optional") for name, spec in kinds.get(kind, {}).items()}


def leaves(tree: dict, path: tuple[str, ...] = ()):
    """Every text with its path."""
    for key, value in tree.items():
        yield from leaves(value, (*path, key)) if isinstance(value, dict) else [((*path, key), value)]


def test_every_language_has_the_same_texts_and_none_is_empty():
    assert set(TEXTS) == set(LANGUAGES)
    english = {path: text for path, text in leaves(TEXTS["en"])}
    for language in LANGUAGES:
        told = {path: text for path, text in leaves(TEXTS[language])}
        assert told.keys() == english.keys() and all(told.values()), language
        for path, text in told.items():
            assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", english[path])), (language, path)


def test_every_node_input_and_output_has_a_name_and_a_tooltip_and_nothing_else_has():
    for language in LANGUAGES:
        told = TEXTS[language]["nodeDefs"]
        assert told.keys() == NODES.keys(), language
        for node, known in NODES.items():
            assert told[node].keys() == {"display_name", "description", "inputs", "outputs"}
            assert told[node]["inputs"].keys() == inputs(node).keys(), (language, node)
            assert list(told[node]["outputs"]) == [str(at) for at in range(len(known["output"]))], (language, node)
            for slot in (*told[node]["inputs"].values(), *told[node]["outputs"].values()):
                assert slot.keys() == {"name", "tooltip"}


def test_english_says_what_the_nodes_themselves_say():
    for node, known in NODES.items():
        told = TEXTS["en"]["nodeDefs"][node]
        assert (told["display_name"], told["description"]) == (known["display_name"], known["description"])
        for name, options in inputs(node).items():
            expected = {"name": options.get("display_name", name), "tooltip": options["tooltip"]}
            assert told["inputs"][name] == expected, (node, name)
        outputs = zip(known["output_name"], known["output_tooltips"], strict=True)
        assert list(told["outputs"].values()) == [{"name": name, "tooltip": tip} for name, tip in outputs], node


def test_chinese_is_chinese_and_traditional_is_traditional():
    for (path, english), (_, simplified), (_, traditional) in zip(
        *(leaves(TEXTS[language]["nodeDefs"]) for language in LANGUAGES), strict=True
    ):
        if path[-1] in ("tooltip", "description"):
            assert re.search("[\u4e00-\u9fff]", simplified) and re.search("[\u4e00-\u9fff]", traditional), path
            assert traditional != english
        assert not SIMPLIFIED & set(traditional), (path, traditional)
    for file in WEB.glob("docs/*/zh-TW.md"):
        assert not SIMPLIFIED & set(file.read_text(encoding="utf-8")), file


def test_no_text_that_comfyui_itself_compiles_holds_a_sign_of_its_message_format():
    for language in LANGUAGES:
        for part in ("nodeDefs", "settings", "commands", "settingsCategories", "dataTypes"):
            for path, text in leaves(TEXTS[language][part]):
                assert not set("{}@|") & set(text), (language, path, text)


def test_every_setting_and_command_of_the_page_has_a_text_and_no_other():
    page = (WEB / "modiste.js").read_text(encoding="utf-8")
    ids = {name: value for name, value in re.findall(r'^const (\w+) = "(Modiste\.[\w.]+)"', page, re.M)}
    settings = {ids[name].replace(".", "_") for name in re.findall(r"\bid: (\w+),\s*name:", page)}
    commands = {ids[name].replace(".", "_") for name in re.findall(r"\bid: (\w+),\s*label:", page)}
    categories = {each for row in re.findall(r"category: \[(.*?)\]", page) for each in re.findall(r'"(\w+)"', row)}
    assert settings and commands and categories
    for language in LANGUAGES:
        assert TEXTS[language]["settings"].keys() == settings
        assert TEXTS[language]["commands"].keys() == commands
        assert TEXTS[language]["settingsCategories"].keys() == categories


def test_every_sentence_that_the_page_says_exists_and_every_one_that_exists_is_said():
    source = "\n".join(file.read_text(encoding="utf-8") for file in WEB.rglob("*.js"))
    asked = set(re.findall(r'say\(\s*"(\w+)"', source)) | COMPOSED
    for choice in re.findall(r"say\([^\"(){}`]*\? \"(\w+)\" : \"(\w+)\"", source):
        asked |= set(choice)
    asked |= set(re.findall(r'return \["(\w+)", {', source))  # duration()
    asked |= set(re.findall(r'entry\("\w+", "(\w+)"\)', source))  # the curve's legend
    assert asked == TEXTS["en"]["modiste"].keys()


@pytest.mark.parametrize("node", NODES)
def test_every_node_has_help_in_three_languages_that_names_only_real_nodes_and_inputs(node):
    for file in (WEB / f"docs/{node}.md", WEB / f"docs/{node}/zh-TW.md", WEB / f"docs/{node}/zh.md"):
        text = file.read_text(encoding="utf-8")
        language = "en" if file.parent.name == "docs" else file.stem
        assert text.startswith(f"# {TEXTS[language]['nodeDefs'][node]['display_name']}\n"), file
        assert len(text) > 200 and "http" not in text
    named = re.findall(r"^- \*\*([\w ]+)\*\*:", (WEB / f"docs/{node}.md").read_text(encoding="utf-8"), re.M)
    known = {slot["name"] for part in ("inputs", "outputs") for slot in TEXTS["en"]["nodeDefs"][node][part].values()}
    assert {name for name in named if name[0].islower()} <= known, node


def test_no_help_page_is_left_of_a_node_that_is_gone():
    assert {file.relative_to(WEB / "docs").parts[0].removesuffix(".md") for file in WEB.glob("docs/**/*.md")} == set(
        NODES
    )


# ── examples ──


@pytest.mark.parametrize("name", workflows.PLANS)
def test_an_example_is_what_its_plan_gives_with_the_nodes_of_today(name):
    file = workflows.FOLDER / f"{name}.json"
    assert file.read_text(encoding="utf-8") == workflows.text(name), "python tests/comfy_page/workflows.py"


@pytest.mark.parametrize("name", workflows.PLANS)
def test_an_example_is_whole_every_link_fits_and_every_value_is_allowed(name):
    saved = json.loads((workflows.FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    nodes = {node["id"]: node for node in saved["nodes"]}
    known = workflows.definitions()
    for number, source, out, target, into, type_ in saved["links"]:
        assert number in nodes[source]["outputs"][out]["links"]
        assert nodes[target]["inputs"][into]["link"] == number and nodes[source]["outputs"][out]["type"] == type_
    for node in saved["nodes"]:
        if node["type"] in known:
            given = {slot["name"]: slot["link"] for slot in node["inputs"]}
            for slot, (type_, *_) in known[node["type"]]["input"]["required"].items():
                linked = given[slot] is not None
                assert linked or isinstance(type_, list) or type_ in workflows.WIDGETS, (node["type"], slot)
    assert any(known.get(node["type"], {}).get("output_node") for node in saved["nodes"])


def test_every_node_is_used_by_an_example_and_every_example_has_its_picture():
    used = {node["type"] for name in workflows.PLANS for node in json.loads(workflows.text(name))["nodes"]}
    assert set(NODES) - {"ModistePromptCandidates", "ModisteJudge", "ModisteJudgeLoras"} <= used, (
        "those are for graphs of the user's own"
    )
    assert {file.stem for file in workflows.FOLDER.glob("*.json")} == set(workflows.PLANS)
    for name in workflows.PLANS:
        file = workflows.FOLDER / f"{name}.jpg"
        with Image.open(file) as picture:
            assert picture.format == "JPEG" and min(picture.size) >= 300 and file.stat().st_size < 150_000


# ── the registry ──


def test_the_registry_reads_the_version_of_the_package_and_the_changelog_has_its_heading():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    path = re.search(r"\[tool\.comfy\.version\]\npath = \"(.+)\"", project)[1]
    source = (ROOT / path).read_text(encoding="utf-8")
    read = re.search(r'^(?:__version__|VERSION)[ \t]*=[ \t]*"([^"\\\n]*)"', source, re.M)[1]  # as comfy-cli reads it
    assert read == VERSION and re.fullmatch(r"\d+\.\d+\.\d+", read)
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert headings[0] == "Unreleased" and headings[1:2] in ([], [VERSION]), "a release's heading is the version"


def test_a_pack_for_the_registry_leaves_out_whole_folders_at_the_root_that_no_node_needs():
    lines = (ROOT / ".comfyignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns and all(re.fullmatch(r"/[\w.]+/", pattern) for pattern in patterns), "docs/ alone is web/docs/ too"
    left_out = {pattern.strip("/") for pattern in patterns}
    assert left_out == {".ci", ".github", "bench", "docs", "tests"} and all((ROOT / name).is_dir() for name in left_out)


def test_the_registry_finds_a_name_an_icon_and_the_host_it_needs():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = project.split("[tool.comfy]")[1].split("\n[")[0]
    fields = dict(re.findall(r'^(\S+) = "(.*)"$', section, re.M))
    assert fields["DisplayName"] == "Modiste" and fields["requires-comfyui"].startswith(">=")
    assert "web" not in fields  # WEB_DIRECTORY registers the folder already
    icon = (WEB / "icon.svg").read_text(encoding="utf-8")
    assert "<script" not in icon and "http" not in icon.replace("http://www.w3.org/2000/svg", "")
    with Image.open(WEB / "icon.png") as picture:
        assert picture.size == (400, 400)
