"""`check`: what a training would make of photos, said before it begins."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paper_studio
import pytest
from PIL import Image, ImageFilter
from typer.testing import CliRunner

from modiste.cli.app import app
from modiste.routes.check_photos import check_photos


def photo(seed: int, ground: tuple[int, int, int], side: int = 600) -> Image.Image:
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (side, side), ground)
    cloth = Image.fromarray(rng.integers(0, 255, (side // 4, side // 4, 3), dtype=np.uint8))
    image.paste(cloth.resize((side // 2, side // 2), Image.Resampling.NEAREST), (side // 4, side // 4))
    return image


@pytest.fixture
def folder(tmp_path) -> Path:
    """Six garments on white from the front, two also from the back; a blurred one, a small one, an unreadable one."""
    place = tmp_path / "photos"
    place.mkdir()
    for garment in range(6):
        photo(garment, (250, 250, 250)).save(place / f"sku{garment}-front.png")
    for garment in range(2):
        photo(100 + garment, (250, 250, 250)).save(place / f"sku{garment}-back.png")
    photo(7, (250, 250, 250)).filter(ImageFilter.GaussianBlur(14)).save(place / "soft.png")
    photo(8, (250, 250, 250), 128).save(place / "tiny.png")
    (place / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    return place


def test_blurred_small_and_unreadable_photos_are_marked_and_sharp_ones_are_not(folder):
    checked = check_photos([folder], None, 512)
    marks = {entry.path.stem: entry.marks for entry in checked.photos}
    assert marks["soft"] == ["blurred"] and marks["tiny"] == ["small"]
    assert all(not marks[f"sku{garment}-front"] for garment in range(6))
    assert [skip.path.name for skip in checked.skipped] == ["broken.jpg"]
    assert any("1 blurred" in sentence for sentence in checked.findings)


def test_one_background_and_missing_views_are_said_and_not_where_there_are_none(folder, tmp_path):
    findings = " ".join(check_photos([folder], None, 512).findings)
    assert "have one background" in findings and "back of 6 garments" in findings
    various = tmp_path / "various"
    various.mkdir()
    for index in range(6):
        photo(index, (40 * index, 255 - 40 * index, 128)).save(various / f"{index}.png")
    assert "one background" not in " ".join(check_photos([various], None, 512).findings)


def test_near_copies_are_found_by_the_encoder(tmp_path):
    red, blue = (paper_studio.paint(paper_studio.COLOURS[name], name == "blue", 4, 0) for name in ("red", "blue"))
    red.save(tmp_path / "a.png")
    red.resize((70, 70)).save(tmp_path / "b.png")
    blue.save(tmp_path / "c.png")
    checked = check_photos([tmp_path], paper_studio.ColourEyes(), 64)
    assert [entry.copy_of and entry.copy_of.name for entry in checked.photos] == [None, "a.png", None]
    assert "2 of them no near-copy" in checked.findings[0]


def test_the_command_prints_a_table_and_leaves_a_contact_sheet(folder, tmp_path):
    sheet = tmp_path / "out" / "sheet.jpg"
    done = CliRunner().invoke(app, ["check", str(folder), "--preset", "mini", "--out", str(sheet), "--json"])
    assert done.exit_code == 3, done.output
    rows = {Path(row["image"]).name: row for row in json.loads(done.stdout)["photos"]}
    assert rows["soft.png"]["marks"] and rows["sku0-front.png"]["width"] == 600
    with Image.open(sheet) as picture:
        assert picture.size == (6 * 170, 2 * 204)
    table = CliRunner().invoke(app, ["check", str(folder), "--preset", "mini"])
    assert "blurred" in table.output and "a training would learn from" in table.output
