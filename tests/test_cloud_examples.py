"""The examples for clouds and clusters: SkyPilot's own parser reads them, and their commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
import yaml

from modiste.cli.app import app

EXAMPLES = Path(__file__).parents[1] / "examples"
TASKS = sorted((EXAMPLES / "cloud").glob("*.yaml"))
SCRIPTS = [*TASKS, *(EXAMPLES / "cluster").glob("*.sbatch")]


def calls(text: str) -> list[tuple[str, set[str]]]:
    """Command and options of each `modiste …` in a script, comments included."""
    joined = re.sub(r"\\\n\s*", " ", text)
    found = re.findall(r"(?:bin/|\s)modiste (\w+)([^\n|]*)", joined)
    return [(command, set(re.findall(r"--[a-z-]+", rest))) for command, rest in found]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_every_command_of_an_example_exists_with_its_options(script):
    commands = typer.main.get_command(app).commands
    found = calls(script.read_text(encoding="utf-8"))
    assert len(found) >= 2
    for command, options in found:
        known = {name for option in commands[command].params for name in option.opts}
        assert options <= known, (command, options - known)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_mounts_each_folder_that_it_names(task):
    content = yaml.safe_load(task.read_text(encoding="utf-8"))
    folders = set(re.findall(r"(?<![\w.])/(?:catalogue|photos|results)\b", content["run"]))
    assert folders == set(content["file_mounts"]) and content["workdir"] == "."
    used = set(re.findall(r"\$([A-Z]+)\b", content["run"]))
    assert used <= set(content.get("envs", {}))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_skypilots_own_parser_reads_the_task(task):
    sky = pytest.importorskip("sky", reason="skypilot is not installed here")
    parsed = sky.Task.from_yaml(str(task))
    assert parsed.name == f"modiste-{task.stem}" and {"/results"} < set(parsed.storage_mounts)
