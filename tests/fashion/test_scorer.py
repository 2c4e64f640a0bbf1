"""What a similarity of 0 and of 100 means, and that every score says so."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image, ImageStat
from safetensors.torch import save_file

from modiste.core.errors import InputError
from modiste.fashion.calibration import Calibration, load_temperatures
from modiste.fashion.encoders.protocol import EncoderIdentity
from modiste.fashion.scorer import Scorer

IDENTITY = EncoderIdentity(id="test", revision="1", preprocessing="none")


class ColourEncoder:
    """A picture's embedding is its mean colour, as a unit vector."""

    identity = IDENTITY

    def embed_images(self, images):
        rows = [[float(stat + 1) for stat in ImageStat.Stat(image).sum] for image in images]
        return torch.nn.functional.normalize(torch.tensor(rows), dim=-1)


def plain(*rgb: int) -> Image.Image:
    return Image.new("RGB", (8, 8), rgb)


def calibration(zero=0.5, hundred=0.9, mean=None) -> Calibration:
    return Calibration("bundled", zero, hundred, zero, hundred, 10, mean=mean)


def test_the_anchors_are_0_and_100_and_between_them_it_is_a_straight_line():
    scorer = Scorer(ColourEncoder(), calibration())
    reference = torch.tensor([1.0, 0.0])
    cosines = torch.tensor([-0.2, 0.5, 0.7, 0.9, 1.0])
    pictures = torch.stack([cosines, (1 - cosines**2).sqrt()], 1)
    seen = scorer.compare(pictures, reference)
    assert [one.similarity_score for one in seen] == pytest.approx([0, 0, 0.5, 1, 1], abs=1e-6)
    assert [one.unclipped for one in seen] == pytest.approx([-1.75, 0, 0.5, 1, 1.25], abs=1e-6)
    assert [one.raw_cosine for one in seen] == pytest.approx(cosines.tolist(), abs=1e-6)


def test_a_picture_is_most_like_itself_and_likeness_goes_both_ways():
    scorer = Scorer(ColourEncoder(), calibration(mean=torch.tensor([0.4, 0.5, 0.6])))
    pictures = [plain(200, 30, 40), plain(40, 200, 30), plain(90, 90, 90)]
    for one in pictures:
        own, *others = scorer.score([one, *(other for other in pictures if other is not one)], one)
        assert own.raw_cosine == pytest.approx(1, abs=1e-5) and own.centred_cosine == pytest.approx(1, abs=1e-5)
        assert all(other.centred_cosine < own.centred_cosine for other in others)
    first, second = scorer.score([pictures[0]], pictures[1])[0], scorer.score([pictures[1]], pictures[0])[0]
    assert first.unclipped == pytest.approx(second.unclipped, abs=1e-5)


def test_centring_takes_out_what_all_photos_share():
    common = torch.tensor([10.0, 0.0, 0.0])
    photos = torch.nn.functional.normalize(common + torch.eye(3), dim=-1)
    mean = photos.mean(0)
    raw = Scorer(ColourEncoder(), calibration()).compare(photos[1:2], photos[2])[0]
    centred = Scorer(ColourEncoder(), calibration(mean=mean)).compare(photos[1:2], photos[2])[0]
    assert raw.centred_cosine == raw.raw_cosine > 0.98 and centred.centred_cosine < 0


def test_bundled_anchors_are_read_from_their_folder(tmp_path):
    anchors = {"same_category": 0.1, "same_garment": 0.8, "pairs": 55}
    anchors["raw"] = {"same_category": 0.9, "same_garment": 0.98}
    (tmp_path / "calibration.json").write_text(json.dumps({"clip": anchors, "temperatures": {"category": 2.5}}))
    save_file({"clip.mean": torch.tensor([1.0, 2.0])}, tmp_path / "calibration.safetensors")
    found = Calibration.bundled(tmp_path, "clip")
    assert (found.zero, found.hundred, found.raw_zero, found.raw_hundred, found.pairs) == (0.1, 0.8, 0.9, 0.98, 55)
    assert found.mean.tolist() == [1, 2] and found.kind == "bundled"
    assert load_temperatures(tmp_path) == {"category": 2.5} and load_temperatures(None) == {}


def test_generic_anchors_say_that_they_are_and_for_what():
    found = Calibration.generic(IDENTITY)
    assert found.kind == "generic" and "test" in found.note and found.zero < found.hundred


def test_scores_of_other_anchors_have_another_key():
    keys = {
        Scorer(ColourEncoder(), one).key
        for one in (calibration(), calibration(0.4), calibration(mean=torch.ones(3)), calibration(mean=torch.zeros(3)))
    }
    assert len(keys) == 4
    assert Scorer(ColourEncoder(), calibration()).key in keys


def test_anchors_that_can_not_tell_garments_apart_are_refused():
    with pytest.raises(InputError, match="can't tell"):
        calibration(0.9, 0.9)


def test_no_pictures_have_no_scores():
    assert Scorer(ColourEncoder(), calibration()).score([], plain(1, 2, 3)) == []
