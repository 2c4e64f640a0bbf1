"""A catalogue in shards: each photo in one of them, on every machine the same, joined to what one process writes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from modiste.cli.app import app
from modiste.core.errors import InputError
from modiste.fashion.photos import BadPhoto, find_photos, read_photo
from modiste.fashion.shards import Shard, join_shards

LOOKS = Path(__file__).parents[2] / "examples" / "photos"
NAMES = [f"look-{number:02}.jpg" for number in (3, 12, 16)]


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory) -> Path:
    """Three photos in a folder, the same three and a damaged one in an archive."""
    folder = tmp_path_factory.mktemp("catalogue")
    (folder / "photos").mkdir()
    for name in NAMES:
        shutil.copy(LOOKS / name, folder / "photos")
    (folder / "broken.jpg").write_bytes((LOOKS / NAMES[0]).read_bytes()[:2000])
    with tarfile.open(folder / "shop.tar", "w") as tar:
        for name in NAMES:
            tar.add(folder / "photos" / name, f"0/{name}")
            tar.addfile(tarfile.TarInfo(f"0/{name}.json"))
        tar.add(folder / "broken.jpg", "0/broken.jpg")
        tar.addfile(tarfile.TarInfo("0/.hidden.jpg"))
    return folder


def modiste(*words: object):
    return CliRunner().invoke(app, [*map(str, words)])


def test_every_photo_is_in_one_shard_wherever_the_catalogue_is_mounted():
    files = [Path(f"/a/shop/{number}.jpg") for number in range(500)]
    shards = [Shard(number, 4) for number in (1, 2, 3, 4)]
    shares = [shard.own(files, [Path("/a/shop")]) for shard in shards]
    assert sorted(sum(shares, [])) == sorted(files) and all(len(share) > 90 for share in shares)
    elsewhere = [Path("/b/c", file.name) for file in files]
    assert [[file.name for file in shard.own(elsewhere, [Path("/b/c")])] for shard in shards] == [
        [file.name for file in share] for share in shares
    ]
    assert shards[0].own(files[:7], [Path("/a/shop")]) == [file for file in files[:7] if file in shares[0]]


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "1", "a/b", "1/4/2", "-1/4", "¹/4"])
def test_what_is_no_shard_is_refused_with_an_example(text):
    with pytest.raises(InputError, match="--shard 1/8"):
        Shard.parse(text)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_joined_shards_are_the_file_that_one_process_writes(catalogue, suffix, tmp_path):
    given = (catalogue / "shop.tar", catalogue / "photos", "--preset", "mini", "--trigger", "vesper")
    whole, parts = tmp_path / f"whole{suffix}", tmp_path / f"parts{suffix}"
    done = modiste("tag", *given, "--out", whole)
    assert done.exit_code == 3 and "TRUNCATED" in done.stderr, done.output
    codes = [modiste("tag", *given, "--out", parts, "--shard", f"{number}/3").exit_code for number in (1, 2, 3)]
    assert sorted(codes) == [0, 0, 3] and not parts.exists(), "the damaged photo is one shard's alone"
    joined = modiste("tag", *given, "--out", parts, "--join")
    assert joined.exit_code == 3 and "6 of 7 photos" in joined.stderr and "broken.jpg" in joined.stderr
    assert parts.read_bytes() == whole.read_bytes() and b"vesper" in parts.read_bytes()
    assert modiste("tag", *given, "--out", parts, "--join").exit_code == 3
    assert parts.read_bytes() == whole.read_bytes(), "joined once more"
    last = tmp_path / f"parts-3-of-3{suffix}"
    last.rename(tmp_path / "away")
    missing = modiste("tag", *given, "--out", parts, "--join")
    assert (
        missing.exit_code == 2 and "1 of 3 shards are missing: 3 " in missing.stderr and "--shard 3/3" in missing.stderr
    )


def lines(path: Path, *images: str) -> None:
    rows = (f'{{"image": "{image}", "tags": [], "not_visible": [], "caption": "x"}}\n' for image in images)
    path.write_text("".join(rows))


def test_no_line_is_lost_or_mixed_with_those_of_another_division(tmp_path):
    out, photos = tmp_path / "t.jsonl", [Path("b"), Path("a"), Path("new")]
    with pytest.raises(InputError, match="no file of a shard"):
        join_shards(out, photos)
    lines(tmp_path / "t-1-of-2.jsonl", "a", "gone")
    lines(tmp_path / "t-2-of-2.jsonl", "b")
    lines(tmp_path / "other-1-of-1.jsonl", "c")
    assert join_shards(out, photos) == [Path("new")]
    assert [line.split('"')[3] for line in out.read_text().splitlines()] == ["b", "a", "gone"]
    lines(out, "a", "only here")
    with pytest.raises(InputError, match="1 lines that no shard has, such as only here"):
        join_shards(out, photos)
    assert "only here" in out.read_text()
    lines(tmp_path / "t-1-of-3.jsonl", "a")
    with pytest.raises(InputError, match="2 of 2, 1 of 3"):
        join_shards(out, photos)


def test_a_shard_without_a_photo_of_its_own_ends_well_and_has_its_file(catalogue, tmp_path):
    photo, out = catalogue / "photos" / NAMES[0], tmp_path / "t.jsonl"
    done = [modiste("tag", photo, "--preset", "mini", "--out", out, "--shard", f"{n}/2") for n in (1, 2)]
    assert [each.exit_code for each in done] == [0, 0], done[0].output + done[1].output
    assert sorted(len(file.read_text().splitlines()) for file in tmp_path.glob("t-*")) == [0, 1]


def test_photos_in_an_archive_are_read_where_they_lie(catalogue):
    files, skipped = find_photos([catalogue / "shop.tar"], containers=True)
    assert [file.name for file in files] == [*NAMES, "broken.jpg"] and skipped == []
    inside, outside = read_photo(files[0]), read_photo(catalogue / "photos" / NAMES[0])
    assert inside.sha256 == outside.sha256 and inside.image.tobytes() == outside.image.tobytes()
    with pytest.raises(BadPhoto, match="no such photo any more"):
        read_photo(catalogue / "shop.tar" / "0" / "nobody.jpg")


def test_a_damaged_or_compressed_archive_and_captions_beside_its_photos_are_refused(catalogue, tmp_path):
    whole = (catalogue / "shop.tar").read_bytes()
    cut = tmp_path / "cut.tar"
    cut.write_bytes(whole[: len(whole) // 3])
    with tarfile.open(tmp_path / "small.tar.gz", "w:gz") as tar:
        tar.add(catalogue / "broken.jpg")
    Image.new("RGB", (40, 40)).save(tmp_path / "picture.png")
    (tmp_path / "picture.png").rename(tmp_path / "picture.tar")
    for name, words in {"cut.tar": "whole .tar", "small.tar.gz": "decompress it", "picture.tar": "whole .tar"}.items():
        done = modiste("tag", tmp_path / name, "--preset", "mini")
        assert done.exit_code == 2 and words in " ".join(done.stderr.split()), (name, done.output)
    done = modiste("tag", catalogue / "shop.tar", "--preset", "mini", "--captions")
    assert done.exit_code == 2 and "can't be written into an archive" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Slurm is for Linux")
def test_the_script_for_slurm_tags_a_shard_a_task_and_joins_once_in_the_end(tmp_path):
    script, told = LOOKS.parent / "cluster" / "tag.sbatch", tmp_path / "told"
    for name in ("modiste", "sbatch"):
        (tmp_path / name).write_text(
            f'#!/bin/sh\necho {name} "$@" >> {told}\n[ {name} = sbatch ] || exit ${{CODE:-0}}\n'
        )
        (tmp_path / name).chmod(0o755)

    def task(**variables: str) -> int:
        path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
        words = {"PATH": path, "CATALOGUE": "a.tar b.tar", "OUT": "tags.jsonl", "SLURM_ARRAY_TASK_COUNT": "2"}
        return subprocess.run(["bash", script], env=words | variables, check=False).returncode

    ids = {"SLURM_ARRAY_JOB_ID": "77", "SLURM_ARRAY_TASK_MIN": "1"}
    assert task(**ids, SLURM_ARRAY_TASK_ID="1", CODE="3") == 0, "skipped photos do not fail a task"
    assert task(**ids, SLURM_ARRAY_TASK_ID="2", CODE="4") == 4, "a failure does"
    assert task(**ids, SLURM_ARRAY_TASK_ID="1", SLURM_RESTART_COUNT="1") == 0
    assert task(JOIN="1", CODE="3") == 3
    assert told.read_text().splitlines() == [
        f"sbatch --dependency=afterany:77 --export=ALL,JOIN=1 {script}",
        "modiste tag a.tar b.tar --out tags.jsonl --shard 1/2",
        "modiste tag a.tar b.tar --out tags.jsonl --shard 2/2",
        "modiste tag a.tar b.tar --out tags.jsonl --shard 1/2",
        "modiste tag a.tar b.tar --out tags.jsonl --join",
    ]
