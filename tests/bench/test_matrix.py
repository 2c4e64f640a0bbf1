"""The fault matrix: no row without a test that exists."""

from __future__ import annotations

from modiste.bench.matrix import MATRIX, ROOT, Row, main, rows, unheld


def test_every_row_of_the_matrix_names_a_test_that_there_is():
    matrix = rows(MATRIX.read_text(encoding="utf-8"))
    assert len(matrix) > 100 and len({(row.section, row.fault) for row in matrix}) == len(matrix)
    assert unheld(matrix) == []


def test_a_row_without_a_test_or_with_one_that_was_renamed_is_found():
    missing = Row("Images", "a zero-byte file", "EMPTY", ())
    renamed = Row("Images", "a bomb", "BOMB", (("tests/fashion/test_photos.py", "test_of_yesterday"),))
    moved = Row("Images", "a link", "GONE", (("tests/nowhere.py", "test_x"),))
    problems = unheld([missing, renamed, moved], ROOT)
    assert len(problems) == 3 and "names no test" in problems[0]
    assert "test_of_yesterday" in problems[1] and "tests/nowhere.py" in problems[2]


def test_the_count_is_printed(capsys):
    assert main([]) == 0
    assert f"{len(rows(MATRIX.read_text(encoding='utf-8')))} rows, held by" in capsys.readouterr().out
