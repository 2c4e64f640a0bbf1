"""The benches of drawing, growth and half precision: ratios of their own seconds, slopes that are slopes."""

from __future__ import annotations

import json
import re

import pytest
from tiny_models import tiny_diffusion

from modiste.bench import drawing, figures, growth, side_by_side
from modiste.bench.parity import Parity
from modiste.core.errors import InputError


def test_a_rung_is_drawn_by_plain_diffusers_lists_to_the_byte(tmp_path, capsys):
    folder = tiny_diffusion(tmp_path / "sd")
    words = ["--checkpoint", str(folder), "--prompts", "2", "--seeds", "1", "--steps", "1", "--batch", "2", "--json"]
    drawing.main([*words, "--device", "cpu"])
    found = json.loads(capsys.readouterr().out)
    ours, each, lists = found["rows"]
    assert {row["pictures"] for row in found["rows"]} == {2} and (lists["equal"], lists["largest_difference"]) == (2, 0)
    ratio = found["ratios"][f"pictures/s / {each['way']}"]
    assert ratio == pytest.approx(each["seconds"] / ours["seconds"], rel=0.05)


def test_an_exponent_is_the_slope_through_the_logarithms():
    square = growth.Growth("side", "pixels", {64: 1.0, 128: 4.0, 256: 16.0})
    assert square.exponent == pytest.approx(2) and square.last_exponent == pytest.approx(2)
    paid_once = growth.Growth("tag", "photos", {10: 1.1, 100: 2.0, 1000: 11.0})
    assert paid_once.exponent < paid_once.last_exponent < 1


def test_half_precision_passes_only_with_every_cosine_and_every_tag():
    assert Parity("bfloat16", 1000, 0.9991, 0, 1, 2).passed
    assert not Parity("bfloat16", 1000, 0.9989, 0, 1, 2).passed
    assert not Parity("bfloat16", 1000, 0.9999, 1, 1, 2).passed


@pytest.mark.parametrize("page", figures.PAGES, ids=lambda page: page.parent.name)
def test_the_pictures_of_what_it_costs_show_the_figures_of_its_tables(page):
    drawn = dict(figures.pictures(page))
    assert len(drawn) >= 5
    for path, chart in drawn.items():
        assert path.read_text(encoding="utf-8") == chart, "python -m modiste.bench.figures"


def test_a_bar_is_as_long_as_its_figure_and_a_table_without_figures_is_refused():
    chart = figures.chart_of("A\n| work | cost | exponent |\n|---|---|---|\n| a | 1, 2 s | 0.50 |\n| b | 3 | 1,000 |\n")
    ends = [float(end) for end in re.findall(r'x2="([\d.]+)" y2="[\d.]+" style="[^"]*stroke-width:3', chart)]
    assert ends == pytest.approx([360 * 0.5 / 1000, 360], abs=0.06)
    with pytest.raises(ValueError, match="no column with a figure"):
        figures.chart_of("A\n| work | cost |\n|---|---|\n| a | 1, 2 s |\n")


def test_runs_at_once_are_counted_together_and_one_that_fails_is_told(tmp_path):
    spent = side_by_side.spent_by([["--help"], ["--help"]], tmp_path / "helps")
    assert 0 < spent.wall_s and spent.cpu_s > 0
    row = side_by_side.SideBySide("tag", spent, side_by_side.Spent(10.0, 9.0), side_by_side.Spent(11.0, 12.0))
    assert side_by_side.as_json(row)["ratio"] == 1.1
    with pytest.raises(InputError, match="no such option|No such option"):
        side_by_side.spent_by([["--help"], ["tag", "--nothing"]], tmp_path / "wrong")
