"""The nodes' schemas as a real ComfyUI lists them (tests/data), beside the code; no ComfyUI is needed."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((ROOT / "tests" / "data" / "comfy_object_info.json").read_text(encoding="utf-8"))
DRAWN_BY_THE_PAGE = {f"Modiste{name}" for name in ("Tagger", "Scorer", "LoraTrainer", "PromptSearch", "Compare")}
TELL_THE_PAGE = DRAWN_BY_THE_PAGE | {"ModisteJudge", "ModisteJudgeLoras"}  # with a notice at least
FILES = {node: re.sub(r"(?<!^)(?=[A-Z])", "_", node.removeprefix("Modiste")).lower() for node in GOLDEN}


def inputs_of(node: str) -> dict[str, tuple[str, dict]]:
    found = {}
    for section in ("required", "optional"):
        found |= {name: (kind, about) for name, (kind, about) in GOLDEN[node]["input"].get(section, {}).items()}
    return found


def function(node: str, name: str) -> ast.FunctionDef | None:
    tree = ast.parse((ROOT / "nodes" / f"{FILES[node]}.py").read_text(encoding="utf-8"))
    return next((one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef) and one.name == name), None)


def arguments(node: str, name: str) -> list[str]:
    return [one.arg for one in function(node, name).args.args[1:]]


@pytest.mark.parametrize("node", GOLDEN)
def test_a_node_takes_exactly_the_inputs_that_its_schema_lists(node):
    if function(node, "execute").args.kwarg is None:  # a form hands them on as they are
        assert arguments(node, "execute") == list(inputs_of(node))
    else:
        assert arguments(node, "execute") == [] and node == "ModisteTrainingOptions"


@pytest.mark.parametrize("node", GOLDEN)
def test_a_node_returns_as_many_values_as_its_schema_has_outputs(node):
    returned = [
        one
        for one in ast.walk(function(node, "execute"))
        if isinstance(one, ast.Call) and "NodeOutput" in ast.unparse(one.func)
    ]
    assert [len(one.args) for one in returned] == [len(GOLDEN[node]["output"])]
    shown = {word.arg for one in returned for word in one.keywords}
    assert shown == ({"ui"} if node in TELL_THE_PAGE else set())


@pytest.mark.parametrize("node", GOLDEN)
def test_checks_and_fingerprints_name_inputs_that_there_are(node):
    for name in ("validate_inputs", "fingerprint_inputs"):
        if function(node, name):
            assert set(arguments(node, name)) <= set(inputs_of(node)), name


@pytest.mark.parametrize("node", GOLDEN)
def test_everything_that_people_see_has_a_name_and_a_tooltip(node):
    about = GOLDEN[node]
    assert about["category"] == "Modiste" and about["display_name"] and about["description"].endswith(".")
    for name, (_, shown) in inputs_of(node).items():
        assert shown["display_name"] and shown["tooltip"].endswith("."), name
    assert all(tip and tip.endswith(".") for tip in about["output_tooltips"])
    assert all(name != kind for name, kind in zip(about["output_name"], about["output"], strict=True))


@pytest.mark.parametrize("node", GOLDEN)
def test_every_widget_has_a_default_within_its_bounds(node):
    for name, (kind, about) in inputs_of(node).items():
        if kind in ("INT", "FLOAT"):
            assert about["min"] <= about["default"] <= about["max"], name
        elif kind == "COMBO":
            assert about["default"] in about["options"], name
        elif kind in ("STRING", "BOOLEAN") and not about.get("forceInput"):
            assert "default" in about, name


def test_no_node_needs_a_library_that_install_py_does_not_bring_to_a_host():
    brought = (ROOT / "requirements.txt").read_text(encoding="utf-8").split()
    for file in (ROOT / "nodes").glob("*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LIBRARIES":
                assert set(ast.literal_eval(node.value)) <= set(brought), file.name


def test_a_designer_sees_few_fields_at_first():
    for node in GOLDEN:
        widgets = [about for kind, about in inputs_of(node).values() if "default" in about]
        assert sum(not about.get("advanced") for about in widgets) <= 13, node


def test_what_a_trained_lora_leaves_by_fits_the_nodes_that_comfyui_ships():
    assert GOLDEN["ModisteLoraTrainer"]["output"][:3] == ["LORA_MODEL", "MODEL", "LOSS_MAP"]
    assert inputs_of("ModisteCompare")["lora"][0] == "LORA_MODEL"


# ── the workflows that come along ──


def workflows() -> list[Path]:
    return sorted((ROOT / "example_workflows").glob("*.json"))


@pytest.mark.parametrize("file", workflows(), ids=lambda file: file.stem)
def test_an_example_workflow_uses_inputs_and_outputs_that_there_are(file):
    graph = json.loads(file.read_text(encoding="utf-8"))
    kinds = {node["id"]: node["type"] for node in graph["nodes"]}
    ours = [node for node in graph["nodes"] if node["type"].startswith("Modiste")]
    assert ours
    for node in ours:
        about = GOLDEN[node["type"]]
        names = {one["name"] for one in node.get("inputs", [])}
        assert names <= set(inputs_of(node["type"])), node["type"]
        assert len(node.get("outputs", [])) == len(about["output"]), node["type"]
    for _, source, slot, target, _, kind in graph["links"]:
        if kinds[source].startswith("Modiste"):
            assert GOLDEN[kinds[source]]["output"][slot] == kind, (kinds[source], kinds[target])
