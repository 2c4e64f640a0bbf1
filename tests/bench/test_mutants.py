"""What is mutated, and by which tests: every file and every word of a selection is there."""

from __future__ import annotations

import ast
import json
import re

import pytest

from modiste.bench.mutants import ROOMS, ROOT, changed_lines, lay_out, main, results


@pytest.mark.parametrize("name", ROOMS)
def test_every_file_of_a_room_is_there_and_every_word_of_its_selection_finds_a_test(name):
    room = ROOMS[name]
    assert all((ROOT / file).is_file() for file in room.files)
    names = [file.rpartition("/")[2] for file in room.tests]
    for file in room.tests:
        nodes = ast.walk(ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8")))
        names += [node.name for node in nodes if isinstance(node, ast.FunctionDef)]
    for word in re.findall(r"\w+", room.fast):
        assert word in ("and", "or", "not") or any(word in name for name in names), word


def test_the_copy_has_the_package_in_a_folder_of_its_name_and_what_mutmut_is_told(tmp_path):
    lay_out(ROOMS["guard"], tmp_path)
    assert (tmp_path / "modiste" / "server" / "guard.py").is_file() and not (tmp_path / "modiste" / "tests").exists()
    text = (tmp_path / "pyproject.toml").read_text(encoding="utf-8")
    assert 'only_mutate = ["modiste/server/guard.py"]' in text and "[tool.pytest.ini_options]" in text
    notes = tmp_path / "mutants" / "modiste" / "guard.py.meta"
    notes.parent.mkdir(parents=True)
    notes.write_text(json.dumps({"exit_code_by_key": {"a__mutmut_1": 1, "a__mutmut_2": 0}}))
    assert results(tmp_path) == {"a__mutmut_1": 1, "a__mutmut_2": 0}


def test_of_a_diff_the_lines_that_went_and_came_are_shown():
    assert changed_lines("--- a\n+++ b\n@@ -1 +1 @@\n same\n- x = 1\n+ x = 2\n") == ["- x = 1", "+ x = 2"]


def test_a_room_that_there_is_not_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["attic"])
    assert "no room attic" in capsys.readouterr().err
