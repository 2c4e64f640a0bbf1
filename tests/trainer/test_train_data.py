"""Folders become samples: every photo once, in words and shapes that training can trust; the rest is named."""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from modiste.core.errors import InputError
from modiste.fashion.photos import read_photo
from modiste.trainer.data.buckets import MOST_LOST, Bucket, assign, cut, make_buckets, nearest
from modiste.trainer.data.caption_files import (
    MOST_BYTES,
    MOST_CHARACTERS,
    BadCaption,
    caption_file,
    clean,
    metadata_in,
    own_caption,
    read_caption,
    read_metadata,
)
from modiste.trainer.data.captions import caption_of, possible_captions
from modiste.trainer.data.config import DataConfig
from modiste.trainer.data.dataset import load_dataset
from modiste.trainer.data.photo_files import class_words_of, repeats_of
from modiste.trainer.data.sample import Dataset, Sample
from modiste.trainer.data.sd_scripts_toml import read_dataset_file


def photo(path: Path, size=(96, 96), colour=None, caption: str | None = "a dress, red, short") -> Path:
    """A photo whose content is of its name, with its caption beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = colour or tuple(hashlib.sha256(path.name.encode()).digest()[:3])
    Image.new("RGB", size, colour).save(path, quality=95)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return path


def mask(path: Path, size=(96, 96), box=(24, 24, 72, 72)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((size[1], size[0]), np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = 255
    Image.fromarray(pixels).save(path)
    return path


def config(folder: Path, **settings) -> DataConfig:
    defaults = dict(resolution=64, bucket_step=8, held_out=0.0, held_out_least=0)
    return DataConfig(folders=(folder,), **(defaults | settings))


def load(folder: Path, tag=None, **settings) -> Dataset:
    return load_dataset(config(folder, **settings), read_photo, tag)


def by_name(dataset: Dataset) -> dict[str, Sample]:
    return {one.path.name: one for one in (*dataset.samples, *dataset.held_out)}


# ── config ──


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(resolution=500), "resolution 500 is no multiple of bucket_step 8"),
        (dict(resolution=516, buckets=False), "resolution 516 is no multiple of the latents' step 8"),
        (dict(bucket_step=12), "bucket_step 12 is no multiple of 8"),
        (dict(keep_tokens=2), "keep_tokens 2 .*shuffle_captions is False"),
        (dict(trigger="zkw, dress"), "trigger 'zkw, dress' holds the caption_separator ','"),
        (dict(trigger="zkw\ndress"), "holds a line break, a caption is one line"),
        (dict(trigger=" zkw"), "begins or ends with a space"),
        (dict(caption_separator=" "), "caption_separator ' ' is blank"),
        (dict(prior_weight=0.5), "prior_weight 0.5 .*prior_folder is None"),
        (dict(prior_folder="photos"), "prior_folder 'photos' holds the photos of folders 'photos'"),
        (dict(masks="."), "masks '.' holds the photos of folders 'photos'"),
        (dict(caption_dropout=float("nan")), "caption_dropout"),
        (dict(held_out=-0.1), "held_out"),
        (dict(resolutoin=512), "resolutoin"),
        (dict(folders=()), "folders"),
    ],
)
def test_settings_that_do_not_fit_are_named_with_both_values(settings, message):
    with pytest.raises(ValidationError, match=message):
        DataConfig(**({"folders": ("photos",), "bucket_step": 8} | settings))


def test_a_config_comes_back_equal_from_json():
    one = DataConfig(folders=("a", "b"), masks="m", prior_folder="p", prior_weight=0.5, trigger="zkw", seed=3)
    assert DataConfig.model_validate_json(one.model_dump_json()) == one


# ── buckets ──


@pytest.mark.parametrize(("resolution", "step", "max_aspect"), [(64, 8, 2.0), (512, 64, 2.0), (1024, 64, 4.0)])
def test_buckets_have_about_the_area_of_the_square_and_never_more(resolution, step, max_aspect):
    buckets = make_buckets(resolution, step, max_aspect)
    assert Bucket(resolution, resolution) in buckets and len(set(buckets)) == len(buckets)
    for one in buckets:
        short, area = min(one.width, one.height), one.width * one.height
        assert one.width % step == one.height % step == 0
        assert resolution**2 * (1 - step / (short + step)) < area <= resolution**2
        assert max(one.width, one.height) <= max_aspect * short
        assert Bucket(one.height, one.width) in buckets


def test_the_buckets_of_sdxl_are_among_those_of_1024_pixels():
    published = {(1152, 896), (1216, 832), (1344, 768), (1536, 640)}  # Podell et al., appendix I
    assert published <= {(one.width, one.height) for one in make_buckets(1024, 64, 4.0)}


def test_a_picture_takes_the_bucket_of_the_nearest_log_aspect():
    buckets = make_buckets(512, 64, 2.0)
    rng = np.random.default_rng(0)
    for width, height in rng.integers(64, 4000, (200, 2)):
        chosen = nearest((int(width), int(height)), buckets)
        away = [abs(one.log_aspect - np.log(width / height)) for one in buckets]
        assert abs(chosen.log_aspect - np.log(width / height)) == pytest.approx(min(away), abs=1e-9)
        turned = nearest((int(height), int(width)), buckets)
        assert (turned.width, turned.height) == (chosen.height, chosen.width)


def test_a_cut_covers_its_bucket_from_the_centre_and_stretches_nothing():
    rng = np.random.default_rng(1)
    for width, height in rng.integers(64, 3000, (200, 2)):
        size = (int(width), int(height))
        bucket = nearest(size, make_buckets(512, 64, 2.0))
        crop = cut(size, bucket)
        assert (crop.width, crop.height) == (bucket.width, bucket.height)
        assert crop.resized[0] >= bucket.width and crop.resized[1] >= bucket.height
        assert crop.resized[0] == bucket.width or crop.resized[1] == bucket.height
        assert abs(2 * crop.left + crop.width - crop.resized[0]) <= 1
        assert abs(2 * crop.top + crop.height - crop.resized[1]) <= 1
        assert crop.resized[0] / crop.resized[1] == pytest.approx(size[0] / size[1], rel=1 / min(crop.resized))
        sample = Sample("id", Path("a.png"), "", "", 1, bucket, crop)
        assert sample.time_ids == (size[1], size[0], crop.top, crop.left, bucket.height, bucket.width)
        twice = replace(sample, original=(2 * size[0], 2 * size[1]))
        assert twice.time_ids[:2] == (2 * size[1], 2 * size[0]) and twice.time_ids[2:] == sample.time_ids[2:]


def test_a_large_picture_is_never_drawn_larger():
    for size in ((512, 512), (640, 512), (512, 800), (4000, 1000)):
        assert cut(size, nearest(size, make_buckets(512, 64, 2.0))).scale <= 1
    assert cut((256, 256), Bucket(512, 512)).scale == 2


def test_the_centre_of_a_picture_is_what_is_kept():
    picture = Image.new("RGB", (300, 100), (0, 0, 0))
    picture.paste((255, 255, 255), (100, 0, 200, 100))
    kept = np.asarray(cut(picture.size, Bucket(64, 64)).apply(picture))
    assert kept.shape == (64, 64, 3) and kept[:, 4:-4].min() > 240


def test_lonely_pictures_go_to_the_next_bucket_where_that_cuts_little():
    buckets = make_buckets(512, 64, 2.0)
    sizes = [(1000, 1000)] * 10 + [(1100, 900)]
    assert set(assign(sizes, buckets, least=1)) == {Bucket(512, 512), Bucket(576, 448)}
    assert assign([*sizes[:-1], (1060, 1000)], buckets, least=4) == [Bucket(512, 512)] * 11
    for least in (2, 4, 20):
        for size, bucket in zip(sizes, assign(sizes, buckets, least), strict=True):
            assert bucket == nearest(size, buckets) or cut(size, bucket).lost <= MOST_LOST
    wide = assign([(1000, 1000)] * 10 + [(2000, 1000)], buckets, least=4)
    assert wide[-1] == nearest((2000, 1000), buckets)


def test_fewer_buckets_are_fuller_and_cost_no_picture_more_than_the_limit():
    rng = np.random.default_rng(2)
    buckets, gone = make_buckets(512, 64, 2.0), 0
    for least in (2, 4, 6, 9) * 5:
        sizes = [(int(1000 * aspect), 1000) for aspect in np.exp(rng.normal(0, 0.25, 40))]
        before, after = assign(sizes, buckets), assign(sizes, buckets, least)
        assert set(after) <= set(before)
        lonely = [sum(one.count(bucket) < least for bucket in one) for one in (before, after)]
        assert lonely[1] <= lonely[0]
        for size, chosen in zip(sizes, after, strict=True):
            assert chosen == nearest(size, buckets) or cut(size, chosen).lost <= MOST_LOST
        gone += len(set(before)) - len(set(after))
    assert gone >= 12  # of the 24 lonely ones


# ── caption files ──


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_byte_order_marks_are_decoded(mark, encoding, tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(mark + "une robe, 紅色\n".encode(encoding))
    assert read_caption(path).text == "une robe, 紅色"


def test_latin_1_is_named_with_its_offset(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("a café dress".encode("latin-1"))
    with pytest.raises(BadCaption, match=r"byte 0xe9 at offset 5 .*a\.txt\); save it as UTF-8") as caught:
        read_caption(path)
    assert caught.value.code == "ENCODING" and caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (codecs.BOM_UTF8 + b"a\xff", "no UTF-8 text: byte 0xff at offset 4"),
        (codecs.BOM_UTF16_BE + b"\0a\0", "no UTF-16-BE text: byte 0x00 at offset 4"),
        (b"ab\x01c", "binary data, no text: control character 0x01 at character 2"),
    ],
)
def test_a_caption_that_is_no_text_is_named_with_the_byte_that_is_none(content, reason, tmp_path):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(BadCaption) as caught:
        read_caption(tmp_path / "a.txt")
    error = caught.value
    assert (error.code, error.reason, error.path) == ("ENCODING", reason, tmp_path / "a.txt")
    assert str(error) == f"{reason} ({tmp_path / 'a.txt'}); save it as UTF-8 text"


def test_words_of_a_caption_that_can_not_be_read_are_named_with_its_file(tmp_path):
    (tmp_path / "folder.txt").mkdir()
    (tmp_path / "book.txt").write_bytes(b"x" * 2_500_001)
    for name, code, words in (
        ("folder.txt", "PERM", "the caption can't be read: Is a directory"),
        ("none.txt", "GONE", "the caption's file is gone"),
        ("book.txt", "TOO_LONG", "a file of 3 MB is no caption"),
    ):
        with pytest.raises(BadCaption) as caught:
            read_caption(tmp_path / name)
        assert caught.value.code == code and str(caught.value) == f"{words} ({tmp_path / name})"
    (tmp_path / "book.txt").write_bytes(b"x" * MOST_BYTES)
    assert len(read_caption(tmp_path / "book.txt").text) == MOST_CHARACTERS


def test_a_caption_is_that_of_the_text_file_beside_its_photo_else_of_the_folders_table(tmp_path):
    file = tmp_path / "a.png"
    assert caption_file(file) is None and own_caption(file) is None and metadata_in(tmp_path) == {}
    (tmp_path / "metadata.csv").write_text("file_name,text\na.png,of the csv\n")
    assert own_caption(file) == "of the csv" and own_caption(tmp_path / "b.png") is None
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "of the table"}')
    assert own_caption(file) == "of the table"
    (tmp_path / "a.caption").write_text("kohya's")
    assert caption_file(file) == tmp_path / "a.caption" and own_caption(file) == "kohya's"
    (tmp_path / "a.txt").write_text("beside")
    assert caption_file(file) == tmp_path / "a.txt" and own_caption(file) == "beside"
    assert caption_file(file, (".tags", ".caption")) == tmp_path / "a.caption"


def test_nul_is_removed_lines_become_one_and_a_book_is_cut_with_a_note():
    assert clean("a\0 dress\n\n  red\t").text == "a dress red"
    assert clean("a\0").notes == ("NUL characters removed from the caption",)
    book = clean("red dress, " * 10_000)
    assert len(book.text) <= MOST_CHARACTERS and book.text.endswith(", red")
    assert book.notes == ("the caption of 109,999 characters was cut to 2,000",)
    assert clean("X" * 100_000).text == "X" * MOST_CHARACTERS
    assert clean("a " * (MOST_CHARACTERS // 2 - 1) + "bc").notes == ()  # as long as it may be
    assert clean("a" + " b" * (MOST_CHARACTERS // 2)).text == "a" + " b" * (MOST_CHARACTERS // 2 - 1)
    assert clean(f"aaa {'b' * (MOST_CHARACTERS - 4)} c").text.endswith("b")  # the last word that is whole stays
    assert clean(f"aaa {'b' * (MOST_CHARACTERS - 3)} c").text == "aaa"
    assert clean("a\0" * 1500).notes[0].startswith("NUL") and len(clean("a\0" + "b" * 3000).notes) == 2
    assert clean("<script>alert(1)</script>").text == "<script>alert(1)</script>"  # words here; the page escapes them


def test_metadata_is_read_as_hugging_face_writes_it_and_a_bad_line_is_named(tmp_path):
    path = tmp_path / "metadata.jsonl"
    path.write_text('{"file_name": "a.jpg", "text": "one"}\n\n{"file_name": "b/c.jpg", "text": "two", "more": 1}\n')
    assert {name: one.text for name, one in read_metadata(path).items()} == {"a.jpg": "one", "b/c.jpg": "two"}
    lacking = "has no file_name and text"
    lines = dict.fromkeys(['{"file_name": "a"}', '{"text": "a"}', '{"file_name": "a", "text": 1}', "[1]"], lacking)
    lines |= {"{": "is no JSON: Expecting property name enclosed in double quotes", '"a": 1': "is no JSON: Extra data"}
    for line, message in lines.items():
        path.write_text(f'\n{{"file_name": "a.jpg", "text": "one"}}\n{line}\n')
        with pytest.raises(InputError) as caught:
            read_metadata(path)
        form = '{"file_name": "a.jpg", "text": "a red dress"}'
        assert str(caught.value) == f"line 3 {message} ({path}); each line is like {form}"
    path.write_text("[" * 200_000)
    with pytest.raises(InputError, match="^line 1 is no JSON: (?!None)"):
        read_metadata(path)


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv"])
def test_metadata_of_many_photos_may_be_larger_than_any_caption(name, tmp_path):
    row = json.dumps({"file_name": "a.png", "text": "x" * 900}) if name.endswith("jsonl") else f"a.png,{'x' * 900}"
    (tmp_path / name).write_text("file_name,text\n" * name.endswith("csv") + f"{row}\n" * 1200)
    assert metadata_in(tmp_path)["a.png"].text == "x" * 900


# ── captions of visits ──


def sample(caption: str, prior: bool = False) -> Sample:
    return Sample("0", Path("a.jpg"), "0", caption, 1, Bucket(64, 64), cut((64, 64), Bucket(64, 64)), prior=prior)


def words(**settings) -> DataConfig:
    return config(Path("photos"), **({"caption_dropout": 0.0} | settings))


def test_the_trigger_comes_first_unless_the_caption_says_it():
    triggered = words(trigger="zkw")
    assert caption_of(sample("a dress, red"), triggered) == "zkw, a dress, red"
    assert caption_of(sample("a dress, zkw, red"), triggered) == "zkw, a dress, red"
    assert caption_of(sample("photo of a zkw dress"), triggered) == "photo of a zkw dress"
    assert caption_of(sample("a zkwx dress"), triggered) == "zkw, a zkwx dress"
    assert caption_of(sample(""), triggered) == "zkw"
    assert caption_of(sample("a dress", prior=True), triggered) == "a dress"


def test_shuffling_keeps_the_first_parts_and_every_word():
    shuffled = words(trigger="zkw", shuffle_captions=True, keep_tokens=1)
    seen = {caption_of(sample("dress, a, b, c, d"), shuffled, Random(seed)) for seed in range(200)}
    assert len(seen) == 24
    assert all(one.startswith("zkw, dress, ") and sorted(one.split(", ")[2:]) == list("abcd") for one in seen)
    assert caption_of(sample("dress, a, b, c, d"), shuffled) == "zkw, dress, a, b, c, d"
    again = [caption_of(sample("dress, a, b, c, d"), shuffled, Random(7)) for _ in range(2)]
    assert again[0] == again[1]


def test_another_separator_splits_and_joins():
    lines = words(caption_separator=";", shuffle_captions=True)
    assert sorted(caption_of(sample("a, b; c"), lines, Random(0)).split("; ")) == ["a, b", "c"]
    assert caption_of(sample("a, b;; c ;"), lines) == "a, b; c"
    assert caption_of(sample("a, b"), words(caption_separator=", ")) == "a, b"


def test_dropout_leaves_out_everything_at_its_rate():
    dropped = words(trigger="zkw", caption_dropout=0.2)
    said = [caption_of(sample("a dress"), dropped, Random(seed)) for seed in range(4000)]
    assert set(said) == {"", "zkw, a dress"} and 0.17 < said.count("") / len(said) < 0.23
    assert caption_of(sample("a dress"), dropped) == "zkw, a dress"

    class LeastRandom(Random):
        def random(self) -> float:
            return 0.0

    assert caption_of(sample("a dress"), words(), LeastRandom()) == "a dress", "a rate of 0 drops nothing"


def test_all_that_visits_can_say_is_known_before_unless_they_shuffle():
    samples = [sample("a"), sample("b", prior=True), sample("a")]
    assert possible_captions(samples, words(trigger="zkw")) == ["zkw, a", "b"]
    assert possible_captions(samples, words(caption_dropout=0.1)) == ["a", "b", ""]
    assert possible_captions(samples, words(shuffle_captions=True)) is None


# ── the dataset ──


def test_captions_come_from_beside_then_from_metadata_then_from_the_tagger(tmp_path):
    photo(tmp_path / "a.png", caption="beside")
    photo(tmp_path / "sub" / "b.png", caption=None)
    photo(tmp_path / "sub" / "c.png", caption=None)
    photo(tmp_path / "d.png", caption=None)
    rows = [{"file_name": "a.png", "text": "not this"}, {"file_name": "sub/b.png", "text": "from the root"}]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "sub" / "metadata.jsonl").write_text('{"file_name": "c.png", "text": "from its folder"}')
    dataset = load(tmp_path, lambda photos: [f"{one.path.name}\0 {one.image.size}" for one in photos])
    said = {name: one.caption for name, one in by_name(dataset).items()}
    expected = {"a.png": "beside", "b.png": "from the root", "c.png": "from its folder", "d.png": "d.png (96, 96)"}
    assert said == expected
    assert "captions written by the tagger: 1" in dataset.notes
    assert any("NUL" in note and "d.png" in note for note in dataset.notes)


def test_a_photo_without_words_is_an_error_where_nobody_can_tag_it(tmp_path):
    for name in "abcde":
        photo(tmp_path / f"{name}.png", caption=None if name < "e" else "a dress")
    with pytest.raises(InputError, match="4 of 5 photos have no caption: a.png, b.png, c.png, ….*NAME.txt.*tagger"):
        load(tmp_path)


def test_an_empty_caption_file_is_an_empty_caption_with_a_note(tmp_path):
    photo(tmp_path / "a.png", caption=" \n")
    dataset = load(tmp_path)
    assert dataset.samples[0].caption == "" and "a.png: its caption a.txt is empty" in dataset.notes[0]


def test_each_content_is_a_sample_once_whatever_its_name(tmp_path):
    first = photo(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(first.read_bytes())
    photo(tmp_path / "ü 裙子.png")
    dataset = load(tmp_path)
    assert [one.path.name for one in dataset.samples] == ["a.png", "ü 裙子.png"]
    assert dataset.duplicates == {dataset.samples[0].sha256: (tmp_path / "b.png",)}
    assert dataset.skipped == ()


def test_words_and_mask_of_a_copy_are_the_photos_where_it_has_none(tmp_path):
    first = photo(tmp_path / "a.png", caption=None)
    (tmp_path / "b.png").write_bytes(first.read_bytes())
    (tmp_path / "b.txt").write_text("from the copy")
    mask(tmp_path / "b-masklabel.png")
    (one,) = load(tmp_path).samples
    assert (one.path.name, one.caption, one.mask.path.name) == ("a.png", "from the copy", "b-masklabel.png")


def test_what_is_no_good_photo_is_skipped_with_its_code(tmp_path):
    for index in range(40):
        photo(tmp_path / f"{index:02}.png")
    (tmp_path / "html.jpg").write_text("<html>")
    (tmp_path / "empty.png").touch()
    photo(tmp_path / "latin.png").with_suffix(".txt").write_bytes(b"caf\xe9")
    photo(tmp_path / "masked.png")
    (tmp_path / "masked-masklabel.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    dataset = load(tmp_path)
    assert {skip.path.name: skip.code for skip in dataset.skipped} == {
        "html.jpg": "NOT_IMAGE",
        "empty.png": "EMPTY",
        "latin.png": "ENCODING",
        "masked.png": "MASK",
    }
    assert all(skip.reason for skip in dataset.skipped) and len(dataset.samples) == 40
    reasons = {skip.path.name: skip.reason for skip in dataset.skipped}
    assert "latin.txt" in reasons["latin.png"] and "offset 3" in reasons["latin.png"]
    assert "masked-masklabel.png: TRUNCATED" in reasons["masked.png"]


def test_more_than_a_tenth_of_bad_files_stops_before_training_and_before_tagging(tmp_path):
    for index in range(17):
        photo(tmp_path / f"{index:02}.png", caption=None)
    for name in "ab":
        (tmp_path / f"{name}.jpg").touch()
    asked = []
    with pytest.raises(InputError, match="2 of 19 files can't be used: a.jpg: EMPTY") as caught:
        load(tmp_path, lambda photos: asked.append(photos) or ["a"] * len(photos))
    assert caught.value.exit_code == 2 and not asked
    photo(tmp_path / "17.png")
    assert len(load(tmp_path, lambda photos: ["a"] * len(photos)).samples) == 18  # 2 of 20 are a tenth


def test_an_empty_an_all_bad_and_a_missing_folder_are_errors(tmp_path):
    with pytest.raises(InputError, match="no photos here"):
        load(tmp_path)
    with pytest.raises(InputError, match="no such folder.*nowhere"):
        load(tmp_path / "nowhere")
    (tmp_path / "a.jpg").touch()
    with pytest.raises(InputError, match="none of the photos can be used: a.jpg: EMPTY"):
        load(tmp_path)


def test_an_error_without_a_code_is_nobodys_skip(tmp_path):
    photo(tmp_path / "a.png")

    def broken(path):
        raise InputError("the disk is gone")

    with pytest.raises(InputError, match="the disk is gone"):
        load_dataset(config(tmp_path), broken)


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_a_link_out_of_the_folder_and_hidden_files_are_left_out(tmp_path):
    for index in range(20):
        photo(tmp_path / "in" / f"{index:02}.png")
    photo(tmp_path / "in" / ".hidden.png")
    photo(tmp_path / "in" / ".cache" / "x.png")
    (tmp_path / "in" / "out.png").symlink_to(photo(tmp_path / "secret.png"))
    dataset = load(tmp_path / "in")
    assert [(skip.path.name, skip.code) for skip in dataset.skipped] == [("out.png", "OUTSIDE_ROOT")]
    assert len(dataset.samples) == 20


def test_pictures_too_small_for_their_bucket_are_told(tmp_path):
    photo(tmp_path / "small.png", (48, 48))
    photo(tmp_path / "large.png", (96, 96))
    dataset = load(tmp_path)
    assert dataset.notes == ("small.png: too small for 64×64, drawn 1.33 times larger",)


def test_repeats_and_squares_are_as_the_config_says(tmp_path):
    photo(tmp_path / "a.png", (120, 80))
    (square,) = load(tmp_path, buckets=False, repeats=7).samples
    assert square.bucket == Bucket(64, 64) and square.repeats == 7 and square.crop.left > 0
    (wide,) = load(tmp_path).samples
    assert wide.bucket.width > wide.bucket.height


# ── masks ──


def test_masks_are_found_beside_the_photo_and_in_their_folder(tmp_path):
    photos = tmp_path / "photos"
    for name in ("a.png", "b.jpg", "sub/c.webp", "d.png"):
        photo(photos / name)
    mask(photos / "a-masklabel.png")
    mask(photos / "masks" / "b.png")
    mask(photos / "masks" / "sub" / "c.png", (48, 48), (0, 0, 12, 48))
    dataset = load(photos, masks=photos / "masks")
    found = {name: one.mask and one.mask.path.name for name, one in by_name(dataset).items()}
    assert found == {"a.png": "a-masklabel.png", "b.jpg": "b.png", "c.webp": "c.png", "d.png": None}
    assert by_name(dataset)["c.webp"].mask.box == (0, 0, 0.25, 1) and dataset.skipped == ()
    assert "d.png: no mask, all of it counts" in dataset.notes


def test_a_folder_of_masks_that_fits_no_photo_is_an_error(tmp_path):
    photo(tmp_path / "photos" / "a.png")
    mask(tmp_path / "masks" / "b.png")
    with pytest.raises(InputError, match="none of the photos has a mask.*name the mask of a.jpg a.png"):
        load(tmp_path / "photos", masks=tmp_path / "masks")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (dict(size=(96, 40), box=(0, 0, 40, 40)), "another shape"),
        (dict(box=(0, 0, 0, 0)), "all black"),
        (dict(size=(300, 100), box=(0, 0, 40, 100)), "cut off"),
    ],
)
def test_a_mask_that_keeps_nothing_leaves_its_photo_out(how, reason, tmp_path):
    for index in range(10):
        photo(tmp_path / f"{index}.png")
    photo(tmp_path / "a.png", (300, 100) if reason == "cut off" else (96, 96))
    mask(tmp_path / "a-masklabel.png", **how)
    (skip,) = load(tmp_path, buckets=False).skipped
    assert (skip.path.name, skip.code) == ("a.png", "MASK") and reason in skip.reason


# ── held out, priors, the manifest ──


def collection(folder: Path, count: int) -> Path:
    for index in range(count):
        photo(folder / f"{index:03}.png", (64, 64), (index % 256, index // 256, 9))
    return folder


@pytest.mark.parametrize(
    ("photos", "share", "least", "held"),
    [
        (20, 0.15, 2, 3),
        (20, 0.1, 2, 2),
        (60, 0.2, 2, 12),
        (3, 0.15, 2, 1),
        (5, 0.0, 3, 2),
        (1, 0.15, 2, 0),
        (8, 0.0, 0, 0),
    ],
)
def test_as_many_photos_are_held_out_as_the_share_says_and_no_more_than_half(photos, share, least, held, tmp_path):
    dataset = load(collection(tmp_path, photos), held_out=share, held_out_least=least)
    assert (len(dataset.held_out), len(dataset.samples)) == (held, photos - held)
    assert not {one.id for one in dataset.held_out} & {one.id for one in dataset.samples}
    assert any("too few to hold any out" in note for note in dataset.notes) == (photos == 1)


def test_photos_of_one_garment_are_held_out_together_or_not_at_all(tmp_path):
    collection(tmp_path, 40)
    for path in sorted(tmp_path.glob("*.*")):
        number = int(path.stem)
        path.rename(path.with_name(f"{number // 4:02}-view {number % 4}{path.suffix}"))

    def garment(path: Path) -> str:
        return path.stem.partition("-")[0]

    whole = load_dataset(config(tmp_path, held_out=0.2), read_photo, garment=garment)
    held = {garment(one.path) for one in whole.held_out}
    assert len(whole.held_out) == 8 and len(held) == 2
    assert not held & {garment(one.path) for one in whole.samples}
    apart = load_dataset(config(tmp_path, held_out=0.2), read_photo)
    assert {garment(one.path) for one in apart.held_out} & {garment(one.path) for one in apart.samples}
    few = load_dataset(config(tmp_path, held_out=0.05), read_photo, garment=garment)  # 2 photos, and garments have 4
    assert len({garment(one.path) for one in few.held_out}) == 1 and len(few.held_out) == 4
    one = load_dataset(config(tmp_path, held_out=0.2), read_photo, garment=lambda path: "one")
    assert one.held_out == () and len(one.samples) == 40


def test_names_and_seeds_do_not_choose_what_is_held_out(tmp_path):
    before = load(collection(tmp_path, 30), held_out=0.2)
    (tmp_path / "000.png").rename(tmp_path / "zzz.png")
    (tmp_path / "000.txt").rename(tmp_path / "zzz.txt")
    after = load(tmp_path, held_out=0.2, seed=5)
    assert {one.id for one in after.held_out} == {one.id for one in before.held_out}


def test_by_photo_adding_photos_moves_none(tmp_path):
    few = load(collection(tmp_path, 60), held_out=0.2, held_out_by="photo")
    held = {one.id for one in few.held_out}
    assert 5 <= len(held) <= 20 and not held & {one.id for one in few.samples}
    more = load(collection(tmp_path, 90), held_out=0.2, held_out_by="photo")
    assert {one.id for one in more.held_out} & {one.id for one in (*few.samples, *few.held_out)} == held


def test_by_photo_at_least_so_many_are_held_out_and_something_is_left(tmp_path):
    collection(tmp_path, 5)
    assert len(load(tmp_path, held_out_least=3, held_out_by="photo").held_out) == 3
    with pytest.raises(InputError, match="held_out_least 5 .*of 5 photos leave nothing to train"):
        load(tmp_path, held_out_least=5, held_out_by="photo")


def test_a_copy_is_never_on_the_other_side(tmp_path):
    collection(tmp_path, 20)
    for path in sorted(tmp_path.glob("*.png")):
        (tmp_path / f"copy-{path.name}").write_bytes(path.read_bytes())
    dataset = load(tmp_path, held_out=0.5)
    assert len(dataset.samples) + len(dataset.held_out) == 20 and len(dataset.duplicates) == 20
    assert not {one.sha256 for one in dataset.samples} & {one.sha256 for one in dataset.held_out}


def test_prior_pictures_train_with_their_weight_and_are_never_held_out(tmp_path):
    collection(tmp_path, 6)
    for name in "xyz":
        photo(tmp_path / "prior" / f"{name}.png", caption="a person")
    copy = photo(tmp_path / "prior" / "copy.png")
    copy.write_bytes((tmp_path / "000.png").read_bytes())
    dataset = load(tmp_path, held_out=0.5, prior_folder=tmp_path / "prior", prior_weight=0.5, repeats=4)
    priors = [one for one in dataset.samples if one.prior]
    assert {one.path.name for one in priors} == {"x.png", "y.png", "z.png"}
    assert {(one.weight, one.repeats) for one in priors} == {(0.5, 1)}
    assert {(one.weight, one.repeats) for one in dataset.samples if not one.prior} == {(1.0, 4)}
    assert not any(one.prior for one in dataset.held_out)


def test_the_manifest_changes_with_every_photo_caption_and_mask_and_not_with_a_name(tmp_path):
    def manifest(**settings):
        return load(tmp_path, **settings).manifest_sha256

    collection(tmp_path, 6)
    seen = [manifest()]
    assert manifest() == seen[0]
    (tmp_path / "000.png").rename(tmp_path / "zzz.png")
    (tmp_path / "000.txt").rename(tmp_path / "zzz.txt")
    assert manifest() == seen[0]
    (tmp_path / "zzz.txt").write_text("another caption")
    seen.append(manifest())
    photo(tmp_path / "zzz.png", (64, 64), (1, 2, 3), caption="another caption")
    seen.append(manifest())
    mask(tmp_path / "zzz-masklabel.png", (64, 64))
    seen.append(manifest())
    mask(tmp_path / "zzz-masklabel.png", (64, 64), (0, 0, 9, 9))
    seen.append(manifest())
    seen += [manifest(held_out_least=2), manifest(repeats=2)]
    assert len(set(seen)) == len(seen)
    rows = load(tmp_path, held_out_least=2).manifest()
    assert json.loads(json.dumps(rows)) == rows and sum(row["held_out"] for row in rows) == 2


def test_progress_counts_the_photos(tmp_path):
    told = []
    load_dataset(config(collection(tmp_path, 3)), read_photo, progress=told.append)
    assert [(one.stage, one.done, one.total) for one in told] == [("photos", index, 3) for index in (1, 2, 3)]


def test_a_data_set_of_sd_scripts_has_its_repeats_and_captions(tmp_path):
    photo(tmp_path / "10_vesper dress" / "a.png", colour=(1, 2, 3))
    photo(tmp_path / "10_vesper dress" / "deeper" / "b.png", colour=(4, 5, 6), caption=None)
    photo(tmp_path / "3_coat" / "c.png", colour=(7, 8, 9), caption=None)
    photo(tmp_path / "plain" / "d.png", colour=(10, 11, 12))
    (tmp_path / "10_vesper dress" / "deeper" / "b.caption").write_text("a long dress")
    (tmp_path / "3_coat" / "c.TXT").write_text("a coat")
    samples = by_name(load(tmp_path, repeats=2))
    assert {name[0]: sample.repeats for name, sample in samples.items()} == {"a": 20, "b": 20, "c": 6, "d": 2}
    assert samples["b.png"].caption == "a long dress" and samples["c.png"].caption == "a coat"
    [note] = [note for note in load(tmp_path).notes if "kohya_names" in note]
    assert note.endswith("1 photos 1×, 1 photos 3×, 2 photos 10×")
    with pytest.raises(InputError, match="2 of 4 photos have no caption"):
        load(tmp_path, kohya_names=False)
    assert {one.repeats for one in load(tmp_path / "10_vesper dress").samples} == {10}, (
        "the folder that is named itself"
    )


def test_a_year_before_a_folders_name_is_no_number_of_repeats(tmp_path):
    for name, expected in (
        ("2026_summer", (1, "")),
        ("999_coat", (999, "coat")),
        ("0_coat", (1, "")),
        ("x_2", (1, "")),
    ):
        file = tmp_path / name / "a.png"
        assert (repeats_of(file, tmp_path), class_words_of(file, tmp_path)) == expected


def test_kohyas_layout_gives_class_words_and_pictures_of_the_class(tmp_path):
    photo(tmp_path / "img" / "10_vesper dress" / "a.png", colour=(1, 2, 3), caption=None)
    photo(tmp_path / "img" / "10_vesper dress" / "b.png", colour=(4, 5, 6), caption="a vesper dress, long")
    photo(tmp_path / "reg" / "1_dress" / "c.png", colour=(7, 8, 9), caption=None)
    data = load(tmp_path)
    samples = by_name(data)
    assert {name[0]: (s.caption, s.repeats, s.prior) for name, s in samples.items()} == {
        "a": ("vesper dress", 10, False),
        "b": ("a vesper dress, long", 10, False),
        "c": ("dress", 1, True),
    }
    [note] = [note for note in data.notes if "class_words" in note]
    assert "'vesper dress' 1×" in note and "'dress' 1×" in note
    with pytest.raises(InputError, match="2 of 3 photos have no caption"):
        load(tmp_path, class_words=False)


def test_a_folder_named_reg_without_repeats_holds_photos_like_any_other(tmp_path):
    photo(tmp_path / "reg" / "a.png")
    photo(tmp_path / "coats" / "b.png")
    assert [sample.prior for sample in load(tmp_path).samples] == [False, False]


def test_captions_by_the_tagger_are_taken_whatever_lies_there(tmp_path):
    photo(tmp_path / "5_vesper dress" / "a.png", caption="somebody's own words")
    photo(tmp_path / "class" / "b.png", caption="a dress", colour=(9, 9, 9))
    asked = dict(captions="tag", prior_folder=tmp_path / "class")
    samples = by_name(
        load_dataset(config(tmp_path / "5_vesper dress", **asked), read_photo, lambda photos: ["a red dress"])
    )
    assert samples["a.png"].caption == "a red dress" and samples["b.png"].caption == "a dress"
    assert (tmp_path / "5_vesper dress" / "a.txt").read_text() == "somebody's own words"
    with pytest.raises(InputError, match="captions 'tag' needs a tagger"):
        load(tmp_path / "5_vesper dress", **asked)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_captions_stand_in_a_metadata_csv_too(delimiter, tmp_path):
    photo(tmp_path / "a.png", caption=None)
    photo(tmp_path / "inner" / "b.png", caption=None)
    rows = [["file_name", "text", "price"], ["a.png", '"a dress, red"', "9"], ["inner/b.png", "a coat", "8"]]
    table = tmp_path / "metadata.csv"
    table.write_bytes(codecs.BOM_UTF8 + "\r\n".join(delimiter.join(row) for row in rows).encode())
    assert {name: s.caption for name, s in by_name(load(tmp_path)).items()} == {
        "a.png": "a dress, red",
        "b.png": "a coat",
    }
    table.write_text(f'file_name{delimiter}text\na.png{delimiter}"a, b; c,\td, e; f; g"\n')  # others within words
    assert read_metadata(table)["a.png"].text == "a, b; c, d, e; f; g"
    for names in ("name, caption", "file_name", "text, price", "nothing"):
        table.write_text("" if names == "nothing" else delimiter.join(names.split(", ")) + "\na.png\n")
        with pytest.raises(InputError) as caught:
            read_metadata(table)
        assert str(caught.value) == f"line 1 names the columns {names} ({table}); columns file_name and text"
    for row in ("a.png", ",a dress"):
        table.write_text(f"file_name,text\nb.png,a coat\n{row}\n")
        with pytest.raises(InputError, match=rf"^line 3 has no file_name and text \({re.escape(str(table))}\); each"):
            read_metadata(table)


# ── sd-scripts' dataset config ──

DATASET = """
[general]
shuffle_caption = true
keep_tokens = 1
caption_extension = ".txt"
color_aug = false

[[datasets]]
resolution = [64, 64]
batch_size = 3
enable_bucket = true
bucket_reso_steps = 8

  [[datasets.subsets]]
  image_dir = "dresses"
  class_tokens = "vesper dress"
  num_repeats = 4

  [[datasets.subsets]]
  image_dir = "any"
  is_reg = true
  class_tokens = "dress"
"""


def test_a_dataset_config_of_sd_scripts_is_read_as_sd_scripts_reads_it(tmp_path):
    photo(tmp_path / "dresses" / "a.png", colour=(1, 2, 3), caption=None)
    photo(tmp_path / "dresses" / "7_other" / "b.png", colour=(4, 5, 6))
    photo(tmp_path / "any" / "c.png", colour=(7, 8, 9), caption=None)
    file = tmp_path / "data.toml"
    file.write_text(DATASET)
    read = read_dataset_file(file)
    data = DataConfig(**read.fields, held_out=0.0, held_out_least=0)
    assert read.batch_size == 3 and read.notes == ("data.toml: color_aug left out",)
    assert (data.resolution, data.buckets, data.bucket_step) == (64, True, 8)
    assert (data.shuffle_captions, data.keep_tokens) == (True, 1)
    samples = by_name(load_dataset(data, read_photo))
    assert {name[0]: (s.caption, s.repeats, s.prior) for name, s in samples.items()} == {
        "a": ("vesper dress", 4, False),
        "b": ("a dress, red, short", 4, False),
        "c": ("dress", 1, True),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("num_repeats = 4", "flip_aug = true"), None),
        (("is_reg = true", "flip_aug = true"), None),
        (("is_reg = true", "resolution = 128"), "differ in resolution"),
        (("[64, 64]", "[64, 128]"), "resolution 64 × 128 is no square"),
        (('image_dir = "any"', ""), "has no image_dir"),
        (("is_reg = true", 'metadata_file = "m.json"'), "metadata_file of sd-scripts' own form"),
        (('".txt"', '".tags"'), "captions in files .tags are not read"),
        (("num_repeats = 4", "is_reg = true"), "names no subset to train on"),
        (("[general]", "[general"), "is no TOML"),
        (("[[datasets.subsets]]", "[[datasets.others]]"), "has no .*subsets"),
    ],
)
def test_what_a_dataset_config_says_otherwise_for_its_parts_is_refused(change, message, tmp_path):
    file = tmp_path / "data.toml"
    old, new = change
    file.write_text(DATASET.replace(old, new) if "subsets" in old else DATASET.replace(old, new, 1))
    if message is None:
        assert read_dataset_file(file).fields["flip"] is True
        return
    with pytest.raises(InputError, match=message):
        read_dataset_file(file)
