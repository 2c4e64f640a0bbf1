"""Tags of a catalogue on disk: files that continue, captions beside photos, and nothing of the user's overwritten."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner
from word_encoder import TAXONOMY, WordEncoder, shown

from modiste.cli.app import app
from modiste.core.disk import DiskError, write_error
from modiste.core.errors import InputError
from modiste.fashion.batch_tagging import CATALOGUE_BATCH, tag_photos
from modiste.fashion.caption_files import CaptionWriter, write_caption, written_by_modiste
from modiste.fashion.encoder_cache import ObservationCache
from modiste.fashion.photos import Skip
from modiste.fashion.prompts.captions import caption_of
from modiste.fashion.shards import Catalogue
from modiste.fashion.tag_file import SYNC_EVERY, TagFile, TaggedFile
from modiste.fashion.tagger import Tagger


@pytest.fixture
def folder(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a.png", "b.png", "=c.png"):
        Image.new("RGB", (40, 40), (200, 30, 30)).save(photos / name)
    (photos / "bad.png").write_bytes(b"")
    return photos


class Plain(Tagger):
    """The same tags for every photo: what is written is tested here, not what is seen."""

    observed = 0

    def observe(self, images):
        self.observed += len(images)
        return Tagger(self.encoder, self.taxonomy).observe([shown(top=1, long_sleeves=1, casual=1) for _ in images])


def run(folder, out, skipped, tagger=None, trigger="") -> list[str]:
    tagger = tagger or Plain(WordEncoder(), TAXONOMY)
    with TagFile(out) as file, ObservationCache(tagger.encoder.identity.key, folder.parent / "cache") as cache:
        file.refuse_other_captions(TAXONOMY, trigger, None)
        caption = partial(caption_of, taxonomy=TAXONOMY, trigger=trigger)
        lines = list(
            tag_photos(Catalogue([folder]), tagger, cache=cache, caption=caption, done=file.done, skipped=skipped)
        )
        for path, line in lines:
            assert str(path) == line.image
            file.add(line)
    return [line.image for _, line in lines]


def line(image: str, caption: str = "a photo of a top") -> TaggedFile:
    return TaggedFile(image, [{"group": "category", "label": "top", "confidence": 0.9}], [], caption)


# ── files of tags ──


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_tag_file_goes_on_where_it_stopped_and_drops_a_torn_line(folder, suffix, tmp_path):
    out, skipped = tmp_path / "new" / f"tags{suffix}", []
    first = run(folder, out, skipped)
    assert len(first) == 3 and [skip.code for skip in skipped] == ["EMPTY"]
    whole = out.read_bytes()
    out.write_bytes(whole[:-9])  # killed while writing the last line
    again = run(folder, out, [])
    assert len(again) == 1 and out.read_bytes() == whole
    assert run(folder, out, []) == []


def test_lines_hold_tags_and_caption_and_cells_hold_no_formulas(folder, tmp_path):
    run(folder, tmp_path / "tags.jsonl", [])
    first = json.loads((tmp_path / "tags.jsonl").read_text().splitlines()[0])
    assert first.keys() == {"image", "tags", "not_visible", "caption"}
    assert {tag["label"] for tag in first["tags"]} == {"top", "long", "casual"}
    with TagFile(tmp_path / "cells.csv") as file:
        file.add(TaggedFile("=1+1.png", [], [], "+cmd"))
    rows = list(csv.DictReader((tmp_path / "cells.csv").read_text().splitlines()))
    assert rows[0]["image"] == "'=1+1.png" and rows[0]["caption"] == "'+cmd"
    with TagFile(tmp_path / "cells.csv") as again:
        assert again.done == {"=1+1.png"}


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
@pytest.mark.parametrize("name", ["a\u2028b", "a\u0085b", "a\u2029b", "a\nb", "a\r\nb", 'a"b', "a,b", "a; b: c (0.10)"])
def test_a_name_that_ends_a_line_elsewhere_is_read_again_as_it_is(suffix, name, tmp_path):
    out = tmp_path / f"tags{suffix}"
    with TagFile(out) as file:
        file.add(line(f"{name}.png"))
        file.add(line("last.png"))
    with TagFile(out) as again:
        assert again.done == {f"{name}.png", "last.png"}
    whole = out.read_bytes()
    for cut in range(1, len(whole) - whole.rindex(b"last")):  # torn anywhere in the last line
        out.write_bytes(whole[:-cut])
        with TagFile(out) as torn:
            assert torn.done == {f"{name}.png"}


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_file_has_one_writer(suffix, tmp_path):
    with TagFile(tmp_path / f"tags{suffix}") as file:
        file.add(line("a.png"))
        with pytest.raises(InputError, match="another run is writing this file.*tags"):
            TagFile(tmp_path / f"tags{suffix}")
    with TagFile(tmp_path / f"tags{suffix}") as file:
        assert file.done == {"a.png"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("prices.csv", b"sku,price\n1,2\n"),
        ("binary.csv", bytes(range(256)) + b"\n"),
        ("quote.csv", b'image,caption,tags\na,"b"c,d\n'),
        ("short.csv", b"image,caption,tags\na,b\n"),
        ("binary.jsonl", b"\xff\xfe\n"),
        ("other.jsonl", b'{"a": 1}\n'),
        ("list.jsonl", b"[]\n"),
        ("deep.jsonl", b"[" * 100_000 + b"\n"),
        ("nul.jsonl", bytes(100) + b"\n"),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused_and_stays_as_it_is(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"no file of tags.*{name}.*another file") as caught:
        TagFile(tmp_path / name)
    assert caught.value.exit_code == 2 and (tmp_path / name).read_bytes() == content


def test_places_that_can_not_hold_a_file_are_messages(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder.csv").mkdir()
    for place in ("file/tags.csv", "folder.csv"):
        with pytest.raises(InputError, match=place):
            TagFile(tmp_path / place)
    with pytest.raises(InputError, match=r"\.jsonl, \.csv or \.parquet"):
        TagFile(tmp_path / "tags.txt")
    read_only = write_error(tmp_path, OSError(errno.EROFS, "x"))
    assert isinstance(read_only, InputError) and "read-only" in str(read_only)


@pytest.mark.skipif(os.name == "nt", reason="no limits of that kind there")
def test_a_full_disk_is_a_message_with_exit_code_4_and_leaves_whole_lines(tmp_path):
    import resource

    out, limits = tmp_path / "tags.jsonl", resource.getrlimit(resource.RLIMIT_FSIZE)
    with TagFile(out) as file:
        file.add(line("a.png"))
    whole = out.read_bytes()
    with TagFile(out) as file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 20, limits[1]))
        try:
            with pytest.raises(DiskError, match=r"larger than the disk allows.*tags\.jsonl.*continues") as caught:
                file.add(line("b.png"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.exit_code == 4 and out.read_bytes() == whole


@pytest.mark.skipif(os.name == "nt", reason="an open file can't be deleted there")
@pytest.mark.parametrize("lines", [1, SYNC_EVERY])
def test_a_tag_file_whose_folder_is_deleted_meanwhile_is_an_error_and_no_silence(lines, tmp_path):
    out = tmp_path / "out" / "tags.jsonl"
    with pytest.raises(DiskError, match="deleted or moved while this run.*tags.jsonl.*same command") as gone:
        with TagFile(out) as file:
            shutil.rmtree(out.parent)
            for number in range(lines):
                file.add(line(f"{number}.png"))
            assert lines == 1, "a run does not go on to its end for nothing"
    assert gone.value.exit_code == 4
    with TagFile(out) as again:
        assert not again.done


def limited(database: sqlite3.Connection) -> None:
    """No page more: SQLite answers as on a full disk."""
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages}")


def overwritten(file: Path) -> None:
    """Every page but the first is noise."""
    data = file.read_bytes()
    file.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))


def test_a_full_disk_under_what_is_remembered_is_a_message_with_exit_code_4(folder, tmp_path):
    with ObservationCache("words", tmp_path) as cache:
        limited(cache._database)
        with pytest.raises(DiskError, match="the disk is full.*observations-1.sqlite.*continues") as full:
            cache.add_texts([("x" * 9000, torch.zeros(3))])
        assert full.value.exit_code == 4 and not cache.find_texts(["x" * 9000])
        cache._database.execute("PRAGMA max_page_count = 1000000")
        cache.add_texts([("x" * 9000, torch.zeros(3))])
        assert cache.find_texts(["x" * 9000])
    deep = folder / ("deep" * 40) / ("deeper" * 40) / ("deepest" * 30)
    deep.mkdir(parents=True)
    photos = [deep / f"{number}.png" for number in range(40)]
    with CaptionWriter(folder=tmp_path) as writer:
        limited(writer._database)
        with pytest.raises(DiskError, match="the disk is full.*captions-1.sqlite"):
            [writer.write(photo, "a photo of a top") for photo in photos]
    with CaptionWriter(folder=tmp_path) as writer:
        assert all(writer.write(photo, "a photo of a top") for photo in photos) and not writer.kept


def test_a_damaged_memory_is_named_with_what_deleting_it_costs(folder, tmp_path):
    with ObservationCache("words", tmp_path) as cache:
        cache.add_texts([(f"{number} words", torch.zeros(300)) for number in range(40)])
    with CaptionWriter(folder=tmp_path) as writer:
        assert writer.write(folder / "a.png", "a photo of a top")
    for name in ("observations-1.sqlite", "captions-1.sqlite"):
        overwritten(tmp_path / name)
    with ObservationCache("words", tmp_path) as cache:
        with pytest.raises(InputError, match="damaged.*observations-1.sqlite.*delete that file: photos.*again"):
            cache.find_texts([f"{number} words" for number in range(40)])
    with CaptionWriter(folder=tmp_path) as writer:
        with pytest.raises(InputError, match="damaged.*captions-1.sqlite.*delete that file: captions.*yours"):
            writer.write(folder / "a.png", "a photo of a vesper top")
    assert (folder / "a.txt").read_text() == "a photo of a top\n"


def test_lines_are_synced_before_the_file_is_closed(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync
    file = TagFile(tmp_path / "tags.jsonl")
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(fsync(descriptor)))
    for number in range(SYNC_EVERY):
        file.add(line(f"{number}.png"))
    assert len(synced) == 1
    file.add(line("more.png"))
    file.close()
    assert len(synced) == 2


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_captions_of_two_triggers_do_not_stand_in_one_file(folder, suffix, tmp_path):
    out = tmp_path / f"tags{suffix}"
    run(folder, out, [], trigger="vesper")
    whole = out.read_bytes()
    for trigger in ("", "atelier"):
        with pytest.raises(InputError, match="captions of another form.*vesper.*--trigger"):
            run(folder, out, [], trigger=trigger)
    assert run(folder, out, [], trigger="vesper") == [] and out.read_bytes() == whole


def test_a_folder_without_a_usable_photo_is_an_error(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"")
    skipped: list[Skip] = []
    with ObservationCache("words", tmp_path) as cache, pytest.raises(InputError, match="EMPTY"):
        list(tag_photos(Catalogue([tmp_path]), Plain(WordEncoder(), TAXONOMY), cache=cache, skipped=skipped))


# ── threads ──


@pytest.fixture
def catalogue(tmp_path):
    """A hundred photos, each with a gray of its own, and two that are none."""
    photos = tmp_path / "catalogue"
    photos.mkdir()
    for number in range(100):
        Image.new("RGB", (40, 40), (number, number, number)).save(photos / f"{number:03}.png")
    for number in (7, 64):
        (photos / f"{number:03}.png").write_bytes(b"")
    return photos


class ByGray(Tagger):
    """A photo darker than 50 is a top, a lighter one a dress; notes which threads encode how many, and their own."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.passes = []

    def observe(self, images):
        self.passes.append((len(images), torch.get_num_threads(), threading.current_thread() is MAIN))
        dark = [image.getpixel((0, 0))[0] < 50 for image in images]
        return super().observe([shown(top=is_dark, dress=not is_dark, casual=1) for is_dark in dark])


MAIN = threading.main_thread()


def test_threads_encode_a_catalogue_and_every_line_stands_in_its_place(catalogue, tmp_path):
    tagger, skipped, before = ByGray(WordEncoder(), TAXONOMY), [], torch.get_num_threads()
    images = run(catalogue, tmp_path / "1.jsonl", skipped, tagger)
    assert images == [str(path) for path in sorted(catalogue.iterdir()) if path.stat().st_size]
    assert [skip.path.stem for skip in skipped] == ["007", "064"]
    lines = [json.loads(text) for text in (tmp_path / "1.jsonl").read_text().splitlines()]
    nouns = [next(tag["label"] for tag in line["tags"] if tag["group"] == TAXONOMY.noun.id) for line in lines]
    assert nouns == ["top" if int(Path(image).stem) < 50 else "dress" for image in images]
    assert sum(count for count, _, _ in tagger.passes) == 98
    assert {count for count, _, _ in tagger.passes} == {CATALOGUE_BATCH, 7, 4}  # batches of 31, 32, 31 and 4
    assert {(threads, main) for _, threads, main in tagger.passes} == {(1, False)}
    with ThreadPoolExecutor(1) as later:
        assert torch.get_num_threads() == before == later.submit(torch.get_num_threads).result()


def test_what_fails_in_a_thread_ends_the_tagging_as_it_would_without_threads(catalogue, tmp_path):
    class Failing(ByGray):
        def observe(self, images):
            raise InputError("this encoder reads nothing")

    with pytest.raises(InputError, match="this encoder reads nothing"):
        run(catalogue, tmp_path / "1.jsonl", [], Failing(WordEncoder(), TAXONOMY))


def test_no_photo_is_encoded_twice_whatever_its_name_and_whatever_the_vocabulary(folder, tmp_path):
    first = Plain(WordEncoder(), TAXONOMY)
    run(folder, tmp_path / "1.jsonl", [], first)
    assert first.observed == 3  # photos that are the same are found before the batch is over only later
    (folder / "a.png").rename(folder / "renamed.png")
    other = TAXONOMY.model_copy(update={"groups": TAXONOMY.groups[:1]})
    second = Plain(WordEncoder(), other)
    assert len(run(folder, tmp_path / "2.jsonl", [], second)) == 3 and second.observed == 0


# ── captions beside photos ──


def test_a_caption_lies_beside_its_photo(folder):
    assert write_caption(folder / "a.png", "a photo of a top") == folder / "a.txt"
    assert (folder / "a.txt").read_text() == "a photo of a top\n"
    with pytest.raises(DiskError, match="^this can't be written: No such file or directory .*gone.*a.txt"):
        write_caption(folder / "gone" / "a.png", "a photo of a top")


def test_captions_that_modiste_wrote_are_known_in_the_home_until_somebody_edits_them(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "new" / "home"))
    texts = [folder / f"{name}.txt" for name in "abcd"]
    texts[3].write_text("a photo of a top\n")
    with CaptionWriter() as writer:
        assert all([writer.write(text.with_suffix(".png"), "a photo of a top") for text in texts])
        assert (writer.written, writer.kept) == (3, [])  # the fourth said so before
    assert (tmp_path / "new" / "home" / "cache" / "captions-1.sqlite").is_file()
    texts[1].write_text("edited\n")
    assert written_by_modiste(texts) == {texts[0], texts[2]} and written_by_modiste([]) == set()
    assert written_by_modiste([*texts, folder / "none.txt"]) == set()  # not all can be read: all are the user's
    with CaptionWriter() as writer:
        assert not writer.write(texts[3].with_suffix(".png"), "a photo of a vesper top")
    assert texts[3].read_text() == "a photo of a top\n", "content that Modiste wrote elsewhere is the user's here"
    (tmp_path / "new" / "home" / "cache" / "captions-1.sqlite").write_bytes(b"no database" * 400)
    assert written_by_modiste(texts) == set()


def test_a_link_or_folder_where_a_caption_would_lie_stays(folder, tmp_path):
    (folder / "a.txt").symlink_to(tmp_path / "nowhere")
    (folder / "b.txt").mkdir()
    with CaptionWriter(folder=tmp_path) as writer:
        assert not any([writer.write(folder / f"{name}.png", "a photo of a top") for name in "ab"])
        assert writer.kept == [folder / "a.txt", folder / "b.txt"] and writer.written == 0
    assert (folder / "a.txt").is_symlink() and not (tmp_path / "nowhere").exists()


def test_a_record_of_written_captions_that_can_not_be_used_is_named_and_a_look_at_it_makes_none(folder, tmp_path):
    assert written_by_modiste([folder / "a.txt"], tmp_path) == set()
    assert not (tmp_path / "captions-1.sqlite").exists()
    (tmp_path / "captions-1.sqlite").mkdir()
    with pytest.raises(InputError, match="^the record of written captions can't be used: unable to open") as caught:
        CaptionWriter(folder=tmp_path)
    assert caught.value.where == str(tmp_path / "captions-1.sqlite")
    assert caught.value.to_try == "delete that file, or name another folder in MODISTE_HOME"
    assert written_by_modiste([folder / "a.png"], tmp_path) == set()


def test_a_caption_of_the_user_s_stays_and_one_of_ours_is_replaced_until_it_is_edited(folder, tmp_path):
    (folder / "a.txt").write_text("my own words\n")
    with CaptionWriter(folder=tmp_path) as writer:
        assert [writer.write(folder / name, "a photo of a top") for name in ("a.png", "b.png")] == [False, True]
        assert writer.kept == [folder / "a.txt"] and writer.written == 1
    with CaptionWriter(folder=tmp_path) as again:
        assert again.write(folder / "b.png", "a photo of a vesper top") and again.written == 1
        (folder / "b.txt").write_text("edited\n")
        assert not again.write(folder / "b.png", "a photo of a top")
    assert (folder / "a.txt").read_text() == "my own words\n" and (folder / "b.txt").read_text() == "edited\n"
    with CaptionWriter(overwrite=True, folder=tmp_path) as writer:
        assert writer.write(folder / "a.png", "a photo of a top") and writer.kept == []
    assert (folder / "a.txt").read_text() == "a photo of a top\n"


def test_the_command_keeps_the_user_s_captions_and_writes_those_of_an_earlier_run(tmp_path, monkeypatch):
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "home"))
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("look-01.jpg", "look-02.jpg"):
        (photos / name).write_bytes((Path(__file__).parents[2] / "examples" / "photos" / name).read_bytes())
    tag = ["tag", str(photos), "--preset", "mini", "--out", str(tmp_path / "tags.jsonl")]
    assert CliRunner().invoke(app, tag).exit_code == 0 and not list(photos.glob("*.txt"))
    (photos / "look-01.txt").write_text("my own words\n")
    result = CliRunner().invoke(app, [*tag, "--captions"])
    assert result.exit_code == 3
    assert "kept 1 caption that Modiste did not write" in result.stderr and "--overwrite" in result.stderr
    assert (photos / "look-01.txt").read_text() == "my own words\n"
    assert (photos / "look-02.txt").read_text().startswith("a photo of")
    assert CliRunner().invoke(app, [*tag, "--captions", "--trigger", "vesper"]).exit_code == 2
    assert CliRunner().invoke(app, [*tag, "--captions", "--overwrite"]).exit_code == 0
    assert (photos / "look-01.txt").read_text().startswith("a photo of")
