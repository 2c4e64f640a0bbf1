"""The signs of overfitting say what is true of the pictures: photos stand for drawn ones, the embedded eyes look."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modiste.core.torchvision_ops import patch_torchvision_ops
from modiste.fashion.photos import read_photo
from modiste.models.presets import preset
from modiste.models.vision import open_judge, open_tagger, scorer_of
from modiste.routes.finetune.overfitting import MemorisationCritic, garment_colour
from modiste.trainer.loop.samples import Gallery

COLLECTION = Path(__file__).parents[2] / "examples" / "collection"
PIECES = sorted(COLLECTION.glob("piece-*.jpg"))
HELD_OUT, TRAINING, OTHERS = PIECES[:8], PIECES[8:20], PIECES[20:28]


@pytest.fixture(scope="module")
def critic() -> MemorisationCritic:
    patch_torchvision_ops()
    mini = preset("mini")
    return MemorisationCritic(lambda: scorer_of(mini, open_tagger(mini, "cpu")))


def images(paths) -> tuple[Image.Image, ...]:
    return tuple(read_photo(path).image for path in paths)


def plain(count: int = len(HELD_OUT)) -> tuple[Image.Image, ...]:
    """Gray blocks on white: nothing of the collection."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        picture = np.full((64, 64, 3), 240, np.uint8)
        picture[16:48, 20:44] = rng.integers(60, 200)
        found.append(Image.fromarray(picture))
    return tuple(found)


def gallery(tuned, base=None, tuned_plain=(), base_plain=()) -> Gallery:
    return Gallery(tuple(HELD_OUT), tuple(TRAINING), base or plain(), tuned, base_plain, tuned_plain)


def test_a_look_gives_each_picture_its_scores_by_both_witnesses_and_its_colour_distance(critic):
    mini = preset("mini")
    judged = MemorisationCritic(critic.open_scorer, critic.open_finder, lambda: open_judge(mini, "cpu"))
    itself, other = judged.look(images([HELD_OUT[0], HELD_OUT[1]]), [HELD_OUT[0], HELD_OUT[0]], TRAINING)
    assert itself["similarity"] == 1 < itself["unclipped"] and itself["judge"] > 1 and itself["colour_delta_e"] == 0
    assert other["judge"] < 0.9 and other["unclipped"] < itself["unclipped"] and other["colour_delta_e"] > 1
    assert judged.key == critic.key == critic.scorer.key
    assert "judge" not in critic.look(images(HELD_OUT[:1]), HELD_OUT[:1], TRAINING)[0]


def test_pictures_that_are_training_photos_are_called_copies(critic):
    found = critic.signs(gallery(images(TRAINING[:8])))
    assert found["nearest_training"]["tuned"] > 1 > found["nearest_training"]["photos"]
    assert any("pictures copy training photos" in said for said in found["warnings"])
    json.dumps(found, allow_nan=False)


def test_pictures_that_are_the_held_out_photos_themselves_are_no_copies_and_have_their_colours(critic):
    found = critic.signs(gallery(images(HELD_OUT)))
    assert found["warnings"] == [] and found["leakage"] is None
    assert found["nearest_training"]["tuned"] == pytest.approx(found["nearest_training"]["photos"], abs=1e-3)
    assert found["colour_delta_e"]["tuned"] == 0 < found["colour_delta_e"]["base"]


def test_a_photo_that_was_trained_on_is_compared_with_the_others_only(critic):
    own = tuple(TRAINING[:4])
    found = critic.signs(Gallery(own, own, plain(4), images(own), (), ()))
    assert found["nearest_training"]["photos"] < 1 < found["nearest_training"]["tuned"]
    assert any("pictures copy training photos" in said for said in found["warnings"])


def test_a_garment_in_other_colours_than_the_photographed_one_is_a_drift(critic):
    turned = tuple(Image.merge("RGB", image.split()[1:] + image.split()[:1]) for image in images(HELD_OUT))
    drifted = critic.signs(gallery(turned, base=images(HELD_OUT)))
    assert drifted["colour_delta_e"]["base"] == 0 < drifted["colour_delta_e"]["tuned"]
    assert any("colour drifts: ΔE" in said for said in drifted["warnings"])
    back = critic.signs(gallery(images(HELD_OUT), base=turned))
    assert not any("colour drifts" in said for said in back["warnings"])


def test_a_look_that_comes_without_its_trigger_leaks_and_one_that_stays_away_does_not(critic):
    look, none = images(OTHERS), plain()
    leaking = critic.signs(gallery(look, tuned_plain=look, base_plain=none))
    assert leaking["leakage"]["share"] == 1 and any("leaks" in said for said in leaking["warnings"])
    bound = critic.signs(gallery(look, tuned_plain=none, base_plain=none))
    assert bound["leakage"]["share"] == 0 and not any("leaks" in said for said in bound["warnings"])


def test_a_picture_is_compared_with_its_own_photo_and_with_the_nearest_trained_one(critic):
    pictures = images([HELD_OUT[0], TRAINING[3]])
    own, copy = critic.look(pictures, [HELD_OUT[0], HELD_OUT[1]], TRAINING)
    assert own["similarity"] == 1 and own["nearest_training"] < 1
    assert copy["similarity"] < 1 < copy["nearest_training"]


def test_a_garments_colour_is_that_of_its_ground():
    picture = np.full((64, 64, 3), 245, np.uint8)
    picture[12:52, 16:48] = (200, 30, 40)
    picture[20:24, 16:48] = (30, 30, 200)
    lab = garment_colour(Image.fromarray(picture))
    assert lab == pytest.approx([43.0, 62.3, 38.1], abs=2)
