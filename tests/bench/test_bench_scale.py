"""The benches of drawing, growth and half precision: ratios of their own seconds, slopes that are slopes."""

from __future__ import annotations

import json

import pytest
from tiny_models import tiny_diffusion

from modiste.bench import drawing, growth
from modiste.bench.parity import Parity


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
