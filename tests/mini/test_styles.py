"""Other styles than the renderer's own: the same words in another hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from modiste.mini.calibration import pictures_of, tagger_of
from modiste.mini.catalogue import COLUMNS, make_catalogue
from modiste.mini.garment import GROUPS, sample_garment
from modiste.mini.loose_prints import PRINTS, loose_fabric
from modiste.mini.photo import sample_photo
from modiste.mini.style import HELD_OUT, STYLES, TRAINED, UNTOUCHED, Style, again, placed
from modiste.mini.style_figures import SHEET, USES, style_table
from modiste.mini.styled import pieces, render_styled, rounded
from modiste.mini.weights import WEIGHTS

ROOT = Path(__file__).parent.parent.parent
CARD = ROOT / "mini" / "card.json"


def pixels(image) -> np.ndarray:
    return np.asarray(image, np.float32)


def styled(family: str, seed: int = 0, **garment) -> np.ndarray:
    """A picture of a garment with fixed words."""
    rng = Random(f"{family}-{seed}")
    style, photo = STYLES[family](rng), sample_photo(Random(1))
    words = {"category": "dress", "colour": "red", "pattern": "dotted", "length": "midi", "sleeves": "long"}
    cloth = sample_garment(Random(2), held_out=None, trait_share=0, **{**words, **garment})
    return pixels(render_styled(cloth, placed(photo, style, rng), style))


def test_no_style_is_both_trained_on_and_measured_on():
    families = [*TRAINED, *HELD_OUT, *UNTOUCHED]
    assert sorted(families) == sorted(set(families)) == sorted(STYLES) and len(UNTOUCHED) == 1


@pytest.mark.parametrize("family", STYLES)
def test_the_same_style_gives_the_same_picture_and_another_seed_another(family):
    first = styled(family)
    assert first.shape == (64, 64, 3) and np.array_equal(first, styled(family))
    assert np.abs(first - styled(family, seed=1)).mean() > 3


@pytest.mark.parametrize("family", STYLES)
@pytest.mark.parametrize(
    "words",
    [
        {"category": "trousers"},
        {"colour": "blue"},
        {"pattern": "plain"},
        {"pattern": "striped"},
        {"sleeves": "sleeveless"},
        {"length": "mini"},
    ],
)
def test_every_word_can_be_seen_in_every_style(family, words):
    assert np.abs(styled(family) - styled(family, **words)).max() > 40


def test_another_picture_of_a_garment_keeps_its_print_and_nothing_else():
    rng = Random(3)
    first = STYLES["flat_lay"](rng)
    second = again(first, "flat_lay", rng)
    garment = sample_garment(Random(4), held_out=None, pattern="floral")
    assert (second.print_scale, second.loose, second.petals) == (first.print_scale, first.loose, first.petals)
    assert second.seed != first.seed
    same = [replace(style, print_angle=0.0) for style in (first, second)]
    assert loose_fabric(garment, same[0], 4).tobytes() == loose_fabric(garment, same[1], 4).tobytes()


@pytest.mark.parametrize("pattern", PRINTS)
def test_a_print_has_its_period_at_every_scale_and_motifs_move_where_it_is_loose(pattern):
    garment = sample_garment(Random(5), held_out=None, pattern=pattern)
    sheets = [pixels(loose_fabric(garment, Style(print_scale=scale), 4)) for scale in (0.5, 1.0)]
    changes = [np.abs(np.diff(sheet, axis=axis)).sum() for sheet in sheets for axis in (0, 1)]
    assert max(changes[:2]) > 1.5 * max(changes[2:])  # twice as many edges at half the period
    assert not np.array_equal(sheets[1], pixels(loose_fabric(garment, Style(loose=1.0), 4)))


def test_edges_are_cut_into_pieces_and_corners_are_rounded_within_the_outline():
    square = [(0.0, 0.0), (12.0, 0.0), (12.0, 12.0), (0.0, 12.0)]
    assert len(pieces(square)) == 13 and pieces(square)[-1] == square[-1]
    outline = rounded(square)
    assert not {*square} & {*outline} and all(0 <= x <= 12 and 0 <= y <= 12 for x, y in outline)


def test_a_catalogue_in_styles_is_the_same_each_time_and_not_the_renderers_own():
    how = {"views": 2, "siblings": True, "styles": tuple(TRAINED)}
    first, second = (make_catalogue(6, "styles", **how) for _ in range(2))
    assert np.array_equal(first.pictures, second.pictures)
    assert not np.array_equal(first.pictures, make_catalogue(6, "styles", views=2, siblings=True).pictures)


# ── the shipped weights ──


def test_the_card_says_of_each_style_what_it_is_for_and_names_each_goal_that_is_not_reached():
    card, page = json.loads(CARD.read_text()), CARD.with_name("CARD.md").read_text(encoding="utf-8")
    assert {family: figures["use"] for family, figures in card["styles"].items()} == USES
    goals = card["goals"]["styles"]
    for family in (*HELD_OUT, *UNTOUCHED):
        for group in set(GROUPS) & goals.keys():
            share = card["styles"][family][group]
            assert (f"{group} {share:.2f}" in page.partition("Not reached: ")[2]) == (share < goals[group])
    assert style_table(card["styles"]) in page and (ROOT / "docs" / "img" / SHEET).is_file()


@pytest.mark.parametrize("family", [*HELD_OUT, *UNTOUCHED])
def test_the_tagger_reads_garments_in_a_style_that_nothing_was_trained_on_about_as_the_card_says(family):
    promised = json.loads(CARD.read_text())["styles"][family]
    shots = make_catalogue(100, f"tests-{family}", held_out=True, styles=(family,), workers=1)
    tagger = tagger_of(WEIGHTS)
    logits = tagger.logits(tagger.observe(pictures_of(shots)))
    for group in ("category", "colour", "pattern"):
        right = logits[group].argmax(1).numpy() == shots.table[:, COLUMNS.index(group)]
        # Four standard errors of 100 answers: a coin that is right 85 times of 100 shows less than 71 once in 10,000.
        assert right.mean() >= promised[group] - 4 * (promised[group] * (1 - promised[group]) / 100) ** 0.5, group
