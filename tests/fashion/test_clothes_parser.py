"""Worn photos: garment pixels by a clothes parser, never skin or hair; without one, colours by words that say so."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from clothes_parser_samples import COLOURS, colour_parser, person, random_parser
from PIL import Image, ImageDraw
from typer.testing import CliRunner
from word_encoder import WordEncoder

from modiste.cli.app import app
from modiste.core.errors import InputError
from modiste.fashion.clothes_parser import ClothesParser
from modiste.fashion.framing import Framer
from modiste.fashion.garment_finder import PLAIN_GROUND, GarmentFinder, skin_share
from modiste.fashion.tagger import Observation, Tagger
from modiste.fashion.taxonomy import load_taxonomy
from modiste.models.presets import PRESETS
from modiste.models.vision import open_finder

TAXONOMY = load_taxonomy("mini")
WITHOUT_PARSER = GarmentFinder(cautious=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return colour_parser(tmp_path_factory.mktemp("parser") / "model")


@pytest.fixture(scope="module")
def finder(folder) -> GarmentFinder:
    return GarmentFinder(ClothesParser(folder, "parser@1", "cpu"), cautious=True)


class ColourWords:
    """An encoder of three directions: texts that say red, that say unseen, and all others."""

    identity, logit_scale = WordEncoder.identity, 5.0

    def embed_texts(self, texts):
        axes = torch.eye(3)
        return torch.stack([axes[0 if "red" in text.split() else 1 if "unseen" in text else 2] for text in texts])


def share_near(pixels: np.ndarray, colour: tuple[int, int, int]) -> float:
    return float((np.abs(pixels.astype(int) - colour).max(-1) <= 24).mean())


def dress_on_plain_ground(colour=(190, 40, 40)) -> Image.Image:
    image = Image.new("RGB", (128, 160), (225, 225, 225))
    ImageDraw.Draw(image).polygon([(50, 20), (78, 20), (100, 140), (28, 140)], fill=colour)
    return image


def busy(image: Image.Image) -> Image.Image:
    """The picture in front of stripes and spots of many colours."""
    noise = np.random.default_rng(0).integers(0, 255, (24, 16, 3), np.uint8)
    ground = Image.fromarray(noise).resize(image.size, Image.Resampling.NEAREST)
    ground.paste(image.crop((28, 20, 100, 140)), (28, 20))
    return ground


def test_the_colour_of_a_worn_garment_is_not_taken_from_face_hair_and_hat(finder):
    worn = person()
    before, after = PLAIN_GROUND.pixels(worn), finder.pixels(worn)
    others = [COLOURS[name] for name in ("Face", "Hair", "Hat")]
    assert sum(share_near(before, colour) for colour in others) > 0.2  # what it was
    assert share_near(after, COLOURS["Upper-clothes"]) > 0.9
    assert sum(share_near(after, colour) for colour in others) < 0.02


def test_each_garment_has_its_pixels_the_largest_first_and_accessories_do_not_count_beside_them(finder):
    garments = finder.parser.parse(person(), (128, 192)).garments
    assert list(garments) == ["upper-clothes", "pants"]
    assert all(mask.shape == (192, 128) for mask in garments.values())
    assert not (garments["upper-clothes"] & garments["pants"]).any()
    left, top, right, bottom = finder.box(person())
    assert (left, top, right, bottom) == pytest.approx((36, 62, 92, 186), abs=7)


def test_the_framing_garment_cuts_out_what_is_worn_instead_of_the_person(finder):
    head = (slice(0, 40), slice(None))
    whole, clothes = Framer("garment")([person()])[0], Framer("garment", finder)([person()])[0]
    assert share_near(np.asarray(whole)[head].reshape(-1, 3), COLOURS["Hat"]) > 0.05
    assert share_near(np.asarray(clothes).reshape(-1, 3), COLOURS["Hat"]) == 0


def test_a_product_photo_that_the_parser_sees_no_clothes_on_is_read_by_its_plain_ground(finder):
    flat = dress_on_plain_ground((120, 20, 120))
    assert not finder.parser.parse(Image.new("RGB", (64, 64), COLOURS["Background"]), (64, 64)).garments
    assert share_near(PLAIN_GROUND.pixels(flat), (120, 20, 120)) > 0.9
    assert len(WITHOUT_PARSER.pixels(flat)) > 0


def test_a_face_alone_on_a_plain_ground_is_no_garment_where_the_parser_sees_it(finder):
    portrait = Image.new("RGB", (128, 128), COLOURS["Background"])
    ImageDraw.Draw(portrait).rectangle((32, 24, 96, 104), fill=COLOURS["Face"])
    assert len(PLAIN_GROUND.pixels(portrait)) > 0
    assert len(finder.pixels(portrait)) == 0 and finder.box(portrait) is None and finder.mask(portrait) is None


def test_who_finds_the_garment_is_a_part_of_an_encoders_identity_only_where_it_cuts_it_out(finder):
    assert {Framer(framing, finder).key for framing in ("pad", "crop")} == {"pad", "crop"}
    assert len({Framer("garment", each).key for each in (PLAIN_GROUND, WITHOUT_PARSER, finder)}) == 3


def test_without_a_parser_a_person_and_a_busy_ground_have_no_known_pixels_but_a_product_photo_has():
    assert len(WITHOUT_PARSER.pixels(person())) == 0
    assert len(WITHOUT_PARSER.pixels(busy(dress_on_plain_ground()))) == 0
    assert WITHOUT_PARSER.box(person()) is None and WITHOUT_PARSER.mask(person()) is None
    assert share_near(WITHOUT_PARSER.pixels(dress_on_plain_ground()), (190, 40, 40)) > 0.9
    beige = WITHOUT_PARSER.pixels(dress_on_plain_ground(COLOURS["Face"]))  # a garment as skin is: all of it
    assert skin_share(beige) > 0.9


def test_colour_comes_from_words_where_the_pixels_are_not_known_and_the_tags_say_so():
    tagger = Tagger(ColourWords(), TAXONOMY, groups=["colour"])
    embed = ColourWords().embed_texts(["red"])[0]
    blue = np.full((50, 3), (40, 60, 190), np.uint8)
    seen, unknown = tagger.read([Observation(embed, blue), Observation(embed, blue[:0])])
    assert seen.get("colour").label != "red" and seen.by_words == () and seen.notes == ()
    assert unknown.get("colour").label == "red" and unknown.by_words == ("colour",)
    assert "clothes-parser" in unknown.notes[0]


def test_a_colour_that_cannot_be_seen_is_said_so_by_words_and_never_against_pixels():
    group = TAXONOMY.group("colour").model_copy(update={"absent": ("unseen",)})
    others = tuple(each for each in TAXONOMY.groups if each.id != "colour")
    tagger = Tagger(ColourWords(), TAXONOMY.model_copy(update={"groups": (*others, group)}), groups=["colour"])
    embed = ColourWords().embed_texts(["unseen"])[0]
    blue = np.full((50, 3), (40, 60, 190), np.uint8)
    seen, unknown = tagger.read([Observation(embed, blue), Observation(embed, blue[:0])])
    assert seen.get("colour") is not None
    assert unknown.get("colour") is None and "colour" in unknown.not_visible
    assert load_taxonomy("garments").group("colour").absent


def test_observations_with_and_without_a_parser_do_not_share_a_cache(finder):
    keys = {Tagger(WordEncoder(), TAXONOMY, finder=each).key for each in (PLAIN_GROUND, WITHOUT_PARSER, finder)}
    assert len(keys) == 3


def test_the_parser_is_opened_from_the_hubs_cache_by_real_presets_and_never_by_the_embedded_one(
    folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert open_finder(PRESETS["sd15"], "cpu") == WITHOUT_PARSER
    snapshot = tmp_path / "models--mattmdjaga--segformer_b2_clothes" / "snapshots" / ("d" * 40)
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(folder)
    opened = open_finder(PRESETS["sd15"], "cpu")
    assert list(opened.parser.parse(person(), (64, 96)).garments)[0] == "upper-clothes"
    assert opened.key.endswith("d" * 40)
    assert open_finder(PRESETS["mini"], "cpu") is PLAIN_GROUND


def test_random_weights_of_the_architecture_open_and_give_a_class_to_every_pixel(tmp_path):
    random_parser(tmp_path)
    classes = ClothesParser(tmp_path, "random", "cpu").parse(person(), (40, 60)).classes
    assert classes.shape == (60, 40) and classes.min() >= 0 and classes.max() < 18


def test_a_segmenter_of_other_things_is_refused_in_words(tmp_path):
    random_parser(tmp_path, names=["road", "sky"])
    with pytest.raises(InputError, match="knows no clothes"):
        ClothesParser(tmp_path, "roads", "cpu")


def test_mask_writes_what_a_training_reads_and_names_photos_without_one(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    photos, masks = tmp_path / "photos", tmp_path / "masks"
    photos.mkdir()
    person().save(photos / "worn.png")
    dress_on_plain_ground().save(photos / "flat.png")
    words = ["mask", str(photos), "--out", str(masks), "--preset", "sd15", "--device", "cpu", "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 3 and [file.name for file in masks.iterdir()] == ["flat.png"]
    assert json.loads(done.stdout)["skipped"][0]["code"] == "NO_MASK"

    snapshot = tmp_path / "cache" / "models--mattmdjaga--segformer_b2_clothes" / "snapshots" / ("d" * 40)
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(folder)
    assert CliRunner().invoke(app, words).exit_code == 0
    white = np.asarray(Image.open(masks / "worn.png")) > 127
    worn = np.asarray(person())
    assert white.shape == worn.shape[:2] and share_near(worn[white], COLOURS["Face"]) < 0.05
    assert white[70:115, 45:85].mean() > 0.9 and white[:55].mean() < 0.03


def test_two_photos_that_would_share_a_mask_are_named_before_one_is_written(tmp_path):
    for number, folder in enumerate("ab"):
        (tmp_path / folder).mkdir()
        dress_on_plain_ground().crop((number, 0, 120, 190)).save(
            tmp_path / folder / "look.png"
        )  # the same one is left out
    words = ["mask", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "masks"), "--preset", "mini"]
    done = CliRunner().invoke(app, [*words, "--device", "cpu"])
    assert done.exit_code == 2 and "would have the name" in " ".join(done.stderr.split())
    assert not (tmp_path / "masks").exists()
    done = CliRunner().invoke(app, ["mask", str(tmp_path), "--out", str(tmp_path / "masks"), "--preset", "mini"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "masks" / "a" / "look.png").is_file() and (tmp_path / "masks" / "b" / "look.png").is_file()
