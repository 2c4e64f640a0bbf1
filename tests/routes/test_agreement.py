"""The second look: palettes, tags found again, and the flag for a score that pleases only itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import paper_studio
import pytest
import torch
from paper_studio import COLOURS, STRIPE, TAXONOMY, ColourEyes, paint

from modiste.fashion.agreement import measure_agreement, palette, palette_difference
from modiste.fashion.calibration import Calibration
from modiste.fashion.encoders.protocol import EncoderIdentity
from modiste.fashion.photos import gather_photos
from modiste.fashion.scorer import Scorer
from modiste.fashion.tagger import Tagger
from modiste.routes.prompt.optimise import optimise_prompts


def pixels(*parts: tuple[tuple[int, int, int], int]) -> np.ndarray:
    return np.concatenate([np.tile(np.array(rgb, np.uint8), (count, 1)) for rgb, count in parts])


# ── palettes ──


def test_a_palette_holds_the_colours_with_their_shares():
    found = palette(pixels((COLOURS["red"], 700), (STRIPE, 300)))
    assert sorted(found.shares.tolist()) == pytest.approx([0.3, 0.7]) and len(found.colours) == 2


def test_one_colour_is_a_palette_and_many_are_no_more_than_four():
    assert palette(pixels((COLOURS["blue"], 50))).shares.tolist() == [1.0]
    noise = np.random.default_rng(0).integers(0, 256, (500, 3)).astype(np.uint8)
    assert len(palette(noise).shares) <= 4 and palette(noise).shares.sum() == pytest.approx(1)


def test_palettes_differ_by_nothing_from_themselves_and_equally_both_ways():
    one = pixels((COLOURS["red"], 700), (STRIPE, 300))
    two = pixels((COLOURS["blue"], 500), (STRIPE, 500))
    assert palette_difference(one, one) == pytest.approx(0, abs=1e-6)
    assert palette_difference(one, two) == pytest.approx(palette_difference(two, one))
    assert palette_difference(one, two) > palette_difference(one, pixels((COLOURS["red"], 500), (STRIPE, 500))) + 5


def test_how_many_pixels_a_palette_is_made_of_does_not_matter():
    few, many = pixels((COLOURS["red"], 7), (STRIPE, 3)), pixels((COLOURS["red"], 700), (STRIPE, 300))
    assert palette_difference(few, many) == pytest.approx(0, abs=1e-6)


# ── tags found again ──


def test_agreement_is_the_share_of_pictures_that_show_the_photos_label():
    tagger = Tagger(ColourEyes(), TAXONOMY)
    photo = paint(COLOURS["red"], False, 0, 1)
    drawn = [paint(COLOURS[name], striped, 0, 1) for name, striped in (("red", False), ("red", True), ("blue", False))]
    seen, *pictures = tagger.observe([photo, *drawn])
    found = measure_agreement(tagger, seen, tagger.read([seen])[0], pictures)
    assert found.agreement == pytest.approx({"category": 1, "colour": 2 / 3, "pattern": 2 / 3})
    assert measure_agreement(tagger, seen, tagger.read([seen])[0], [seen]).palette_delta_e == pytest.approx(0, abs=1e-6)


# ── a score that pleases only itself ──


class Indifferent:
    """A judge to whom all pictures are alike."""

    identity = EncoderIdentity(id="indifferent", revision="1", preprocessing="none")

    def embed_images(self, images):
        return torch.nn.functional.normalize(torch.ones(len(images), 4), dim=-1)


def run(photos, out, judge):
    session = paper_studio.session()
    session = replace(
        session, vision=replace(session.vision, judge=Scorer(judge, Calibration("bundled", 0.2, 0.9, 0.2, 0.9)))
    )
    return optimise_prompts(gather_photos([photos / "0.png"]), session, paper_studio.settings(), out).images[0]


def test_a_gain_that_the_judge_does_not_see_is_flagged_and_the_page_says_so(paper_photos, tmp_path):
    flagged = run(paper_photos, tmp_path / "a", Indifferent())
    assert flagged.improved and flagged.metric_hacking and flagged.judge_interval.mean == 0
    assert "sees no gain" in (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    agreed = run(paper_photos, tmp_path / "b", ColourEyes())
    assert agreed.improved and not agreed.metric_hacking and agreed.judge_interval.mean > 0
    assert "sees no gain" not in (tmp_path / "b" / "report.html").read_text(encoding="utf-8")


def test_what_words_do_not_reach_is_named(paper_photos, tmp_path):
    image = run(paper_photos, tmp_path, ColourEyes())
    assert set(image.agreement) == {"category", "colour", "pattern"} and image.palette_delta_e < 15
    missed = {group for group, share in image.agreement.items() if share < 0.5}
    assert set(image.beyond_words) - {"look"} == missed
