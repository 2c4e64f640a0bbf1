"""A catalogue in a parquet table or a bucket: the rows and the content keys of the same photos in a folder."""

from __future__ import annotations

import copy
import json
import shutil
import tarfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from modiste.cli.app import app
from modiste.core.errors import InputError
from modiste.fashion.photos import BadPhoto, find_photos, read_file
from modiste.fashion.remote import RemotePath, as_path
from modiste.fashion.shards import Shard

LOOKS = Path(__file__).parents[2] / "examples" / "photos"
NAMES = [f"look-{number:02}.jpg" for number in (3, 12)]
needs_pyarrow = pytest.mark.skipif(find_spec("pyarrow") is None, reason="needs pyarrow, the extra parquet")
needs_fsspec = pytest.mark.skipif(find_spec("fsspec") is None, reason="needs fsspec, the extra remote")


def modiste(*words: object):
    return CliRunner().invoke(app, [*map(str, words)])


def keys(paths: list[object]) -> dict[str, str]:
    """Name → content key, in the order of the catalogue."""
    files, skipped = find_photos(paths, containers=True)
    assert skipped == []
    return {file.name: read_file(file).sha256 for file in files}


def rows(text: str) -> list[dict]:
    """The lines without the folder that their photos lie in."""
    return [{**row, "image": row["image"].rpartition("/")[2]} for row in map(json.loads, text.splitlines())]


def write_table(file: Path, /, **columns: list) -> Path:
    from pyarrow import parquet, table

    parquet.write_table(table(columns), file, row_group_size=1)
    return file


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("catalogue") / "shop"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes((LOOKS / name).read_bytes())
    return folder


@pytest.fixture
def bucket(shop):
    """The shop's photos, a hidden file and a note in fsspec's memory."""
    import fsspec

    files = fsspec.filesystem("memory")
    for name in NAMES:
        files.pipe(f"/brand/shop/{name}", (shop / name).read_bytes())
    files.pipe("/brand/shop/deep/.hidden.jpg", b"x")
    files.pipe("/brand/shop/deep/z.jpg", b"no picture")
    files.pipe("/brand/shop/notes.txt", b"x")
    yield files
    files.rm("/brand", recursive=True)


@needs_pyarrow
def test_a_table_of_pictures_or_of_paths_has_the_content_keys_of_its_files(shop, tmp_path):
    data = [(shop / name).read_bytes() for name in NAMES]
    hub = [{"bytes": each, "path": name} for each, name in zip(data, NAMES, strict=True)]
    expected = keys([shop])
    assert keys([write_table(tmp_path / "hub.parquet", image=hub, label=[1, 2])]) == expected
    assert keys([write_table(tmp_path / "names.parquet", jpg=data, file_name=NAMES)]) == expected
    assert keys([write_table(shop.parent / "paths.parquet", path=[f"shop/{name}" for name in NAMES])]) == expected
    numbered = keys([write_table(tmp_path / "twice.parquet", image=data, file_name=["a.jpg", "a.jpg"])])
    assert numbered == dict(zip(["00000000", "00000001"], expected.values(), strict=True))
    escaping = keys([write_table(tmp_path / "up.parquet", image=data, file_name=["../a.jpg", "b.jpg"])])
    assert list(escaping) == ["00000000", "00000001"]


@needs_pyarrow
def test_a_table_without_photos_or_with_addresses_and_a_row_without_a_picture_are_told(shop, tmp_path):
    for columns, words in (
        ({"price": [1]}, "no column holds photos; there are price"),
        ({"a": [b"x"], "b": [b"x"]}, "which column holds the photos"),
        ({"path": ["https://brand/look.jpg"]}, "names an address"),
        ({"path": [None, "a.jpg"]}, "row 0 names no photo"),
    ):
        with pytest.raises(InputError, match=words):
            find_photos([write_table(tmp_path / "t.parquet", **columns)], containers=True)
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:40])
    with pytest.raises(InputError, match="no whole parquet file"):
        find_photos([tmp_path / "cut.parquet"], containers=True)
    empty = write_table(tmp_path / "empty.parquet", image=[(shop / NAMES[0]).read_bytes(), None])
    good, none = find_photos([empty], containers=True)[0]
    assert read_file(good).data
    with pytest.raises(BadPhoto, match="the file is empty"):
        read_file(none)
    with pytest.raises(BadPhoto, match="no such photo any more"):
        read_file(empty / "nobody")


@needs_fsspec
def test_a_bucket_has_the_photos_of_its_folder_in_the_same_order_and_shards(shop, bucket, tmp_path):
    shop = shutil.copytree(shop, tmp_path / "shop")
    (shop / "deep").mkdir()
    (shop / "deep" / "z.jpg").write_bytes(b"no picture")
    place = as_path("memory://brand/shop")
    assert str(place / "x.jpg") == "memory://brand/shop/x.jpg" and copy.deepcopy(place) == place
    there, here = find_photos([place])[0], find_photos([shop])[0]
    assert [str(file) for file in there] == [f"memory://brand/shop/{name}" for name in (*NAMES, "deep/z.jpg")]
    assert [read_file(file).sha256 for file in there] == [read_file(file).sha256 for file in here]
    for number in (1, 2):
        shares = (Shard(number, 2).own(files, [root]) for files, root in ((there, place), (here, shop)))
        assert [file.name for file in next(shares)] == [file.name for file in next(shares)]
    with pytest.raises(BadPhoto, match="the file is gone"):
        read_file("memory://brand/shop/nobody.jpg")
    for address, words in (
        ("memory://elsewhere", "no such photo or folder"),
        ("nonsense://a/b", "fsspec knows no nonsense://"),
    ):
        with pytest.raises(InputError, match=words):
            find_photos([address])


@needs_fsspec
@needs_pyarrow
def test_a_bucket_and_a_table_in_it_give_the_rows_of_the_folder_and_a_parquet_table_of_them(shop, bucket, tmp_path):
    from pyarrow.parquet import read_table

    data = [(shop / name).read_bytes() for name in NAMES]
    table = write_table(tmp_path / "shop.parquet", image=data, file_name=NAMES)
    bucket.pipe("/brand/shop.parquet", table.read_bytes())
    with tarfile.open(tmp_path / "shop.tar", "w") as tar:
        for name in NAMES:
            tar.add(shop / name, name)
    bucket.pipe("/brand/shop.tar", (tmp_path / "shop.tar").read_bytes())
    out = {name: tmp_path / f"{name}.jsonl" for name in ("files", "bucket", "table", "tar")}
    given = {
        "files": [shop / name for name in NAMES],
        "bucket": [f"memory://brand/shop/{name}" for name in NAMES],
        "table": ["memory://brand/shop.parquet"],
        "tar": ["memory://brand/shop.tar"],
    }
    for name, photos in given.items():
        done = modiste("tag", *photos, "--preset", "mini", "--out", out[name])
        assert done.exit_code == 0, done.output
        assert rows(out[name].read_text()) == rows(out["files"].read_text())
    assert '"image": "memory://brand/shop.parquet/look-03.jpg"' in out["table"].read_text()

    parquet = tmp_path / "tags.parquet"
    for shard in ("1/2", "2/2"):
        done = modiste("tag", shop, "--preset", "mini", "--out", parquet, "--shard", shard)
        assert done.exit_code == 0 and not parquet.exists() and "--join writes" in done.stderr
    assert modiste("tag", shop, "--out", parquet, "--join").exit_code == 0
    expected = [{"notes": [], **row} for row in map(json.loads, out["files"].read_text().splitlines())]
    assert read_table(parquet).to_pylist() == [{key: row[key] for key in _COLUMNS} for row in expected]
    (tmp_path / "tags.parquet.jsonl").unlink()
    refused = modiste("tag", shop, "--preset", "mini", "--out", parquet)
    assert refused.exit_code == 2 and "another file for --out" in " ".join(refused.stderr.split())
    beside = modiste("tag", "memory://brand/shop", "--preset", "mini", "--captions")
    assert beside.exit_code == 2 and "into a bucket or server" in beside.stderr


_COLUMNS = ("image", "caption", "tags", "not_visible", "notes")


def test_paths_of_this_machine_stay_what_they_are():
    for text in ("a/b.jpg", "/a/b.jpg", "C:/shop/a.jpg", "C:\\shop", "a:b.jpg", "s3:bucket"):
        assert not isinstance(as_path(text), RemotePath), text
    assert isinstance(as_path("s3://bucket/a"), RemotePath) and as_path("s3://bucket/a").name == "a"
