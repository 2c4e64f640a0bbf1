"""Anchors measured on a user's own catalogue: kept by encoder, used from then on, right on photos kept out."""

from __future__ import annotations

import csv
import json
import shutil
from itertools import combinations
from pathlib import Path
from statistics import median

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from modiste.cli.app import app
from modiste.core.errors import InputError
from modiste.fashion.catalogue_anchors import CataloguePhotos, measure_anchors
from modiste.fashion.photos import read_photo
from modiste.fashion.temperatures import fitted_temperature
from modiste.mini.catalogue import make_catalogue
from modiste.models.presets import MINI_WEIGHTS, PRESETS
from modiste.models.vision import open_judge, open_tagger, scorer_of
from modiste.routes.calibrate import garments_of

GARMENTS = 24


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory) -> Path:
    """Two photos a garment: those to measure on in `used/`, those kept out in `kept/`."""
    root = tmp_path_factory.mktemp("catalogue")
    shots = make_catalogue(2 * GARMENTS, "test-calibrate", views=2, held_out=None, workers=1)
    for number, views in enumerate(shots.pictures):
        folder = root / ("used" if number < GARMENTS else "kept")
        folder.mkdir(exist_ok=True)
        for view, pixels in zip(("front", "back"), views, strict=True):
            Image.fromarray(pixels).save(folder / f"sku{number:03d}-{view}.png")
    return root


@pytest.fixture
def encoder(tmp_path, monkeypatch) -> str:
    """An encoder whose anchors nobody has measured, and an empty MODISTE_HOME."""
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "home"))
    return str(shutil.copytree(MINI_WEIGHTS / "clip", tmp_path / "my-clip"))


def calibrate(folder: Path, encoder: str, *words: str):
    return CliRunner().invoke(
        app, ["calibrate", str(folder), "--preset", "mini", "--encoder", encoder, "--device", "cpu", *words]
    )


def scores(scorer, folder: Path) -> tuple[float, float]:
    """Medians of photos of one garment, and of two garments, 0 … 100 and beyond."""
    files = sorted(folder.glob("*.png"))
    embeds = scorer.encoder.embed_images([read_photo(file).image for file in files])
    fronts, backs = embeds[1::2], embeds[::2]
    same = [scorer.compare(back[None], front)[0].unclipped for front, back in zip(fronts, backs, strict=True)]
    others = [scorer.compare(second[None], first)[0].unclipped for first, second in combinations(fronts, 2)]
    return 100 * median(same), 100 * median(others)


def test_after_it_the_medians_on_photos_kept_out_are_near_100_and_below_a_quarter(catalogue, encoder):
    preset = PRESETS["mini"].replaced(encoder=encoder)
    tagger = open_tagger(preset, "cpu")
    assert scorer_of(preset, tagger).calibration.kind == "generic"
    done = calibrate(catalogue / "used", encoder, "--json")
    assert done.exit_code == 0, done.output
    measured = {entry["role"]: entry for entry in json.loads(done.stdout)}
    assert measured.keys() == {"clip", "judge"} and measured["clip"]["garments"] == GARMENTS
    assert measured["clip"]["pairs"] == GARMENTS and not measured["clip"]["from_altered"]
    scorer, judge = scorer_of(preset, tagger), open_judge(preset, "cpu")
    assert scorer.calibration.kind == judge.calibration.kind == "catalogue"
    assert scorer.calibration.note.startswith(f"measured on your {GARMENTS} garments, 20")
    for each in (scorer, judge):
        same, others = scores(each, catalogue / "kept")
        assert 85 < same < 115 and others < 25  # others of any category: at the zero of one's own kind, or below


def test_it_belongs_to_the_framing_and_can_be_forgotten(catalogue, encoder):
    assert calibrate(catalogue / "used", encoder).exit_code == 0
    pads, crops = (PRESETS["mini"].replaced(encoder=encoder, framing=framing) for framing in ("pad", "crop"))
    kinds = [scorer_of(preset, open_tagger(preset, "cpu")).calibration.kind for preset in (pads, crops)]
    assert kinds == ["catalogue", "generic"]
    photo = str(next((catalogue / "kept").glob("*.png")))
    said = CliRunner().invoke(app, ["score", photo, photo, "--preset", "mini", "--encoder", encoder]).output
    assert f"anchors: catalogue (measured on your {GARMENTS} garments" in said
    assert "forgotten" in calibrate(catalogue / "used", encoder, "--forget").stderr
    assert scorer_of(pads, open_tagger(pads, "cpu")).calibration.kind == "generic"


def test_single_photos_get_their_upper_anchor_from_altered_copies_and_it_is_marked(catalogue, encoder, tmp_path):
    singles = tmp_path / "singles"
    singles.mkdir()
    for file in sorted((catalogue / "used").glob("*-front.png"))[:10]:
        shutil.copy(file, singles)
    done = calibrate(singles, encoder)
    assert done.exit_code == 0 and "altered copies of single photos" in done.output


def test_labels_fit_the_temperatures_which_the_tagger_then_has(catalogue, encoder, tmp_path):
    tags = json.loads(CliRunner().invoke(app, ["tag", str(catalogue / "used"), "--preset", "mini", "--json"]).stdout)
    rows = [
        {"image": entry["image"], "category": next(t["label"] for t in entry["tags"] if t["group"] == "category")}
        for entry in tags
    ]
    labels = tmp_path / "labels.csv"
    with labels.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["image", "category"])
        writer.writeheader()
        writer.writerows(rows)
    assert calibrate(catalogue / "used", encoder, "--labels", str(labels)).exit_code == 0
    assert open_tagger(PRESETS["mini"].replaced(encoder=encoder), "cpu").temperatures["category"] < 1
    labels.write_text("image,category\na.png,spaceship\n")
    wrong = calibrate(catalogue / "used", encoder, "--labels", str(labels))
    assert wrong.exit_code == 2 and "spaceship" in wrong.stderr


def test_too_few_garments_and_folders_that_are_categories_are_refused(catalogue, encoder, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    for file in sorted((catalogue / "used").glob("*.png"))[:6]:
        shutil.copy(file, few)
    done = calibrate(few, encoder)
    assert done.exit_code == 2 and "3 garments are too few" in done.stderr
    assert calibrate(few, encoder, "--by", "size").exit_code == 2


def test_folders_of_few_photos_are_garments_where_names_tell_nothing(tmp_path):
    garments = [tmp_path / f"sku{i}" / f"{k}.jpg" for i in range(6) for k in (1, 2)]
    categories = [tmp_path / kind / f"{k}.jpg" for kind in ("dresses", "tops") for k in range(40)]
    assert len(set(garments_of(garments, "auto"))) == 6
    assert len(set(garments_of(categories, "auto"))) == 80
    assert len(set(garments_of(categories, "folders"))) == 2


def test_pairs_that_are_no_more_alike_than_strangers_are_no_anchors():
    torch.manual_seed(0)
    embeds = torch.nn.functional.normalize(torch.randn(40, 16), dim=-1)
    with pytest.raises(InputError, match="no more alike"):
        measure_anchors(CataloguePhotos(embeds, [str(i // 2) for i in range(40)], ["dress"] * 40))


def test_the_temperature_is_that_of_the_labels_draws():
    torch.manual_seed(0)
    logits = 3 * torch.randn(4000, 5)
    labels = torch.distributions.Categorical(logits=logits / 2).sample().tolist()
    assert 1.8 < fitted_temperature(logits, labels) < 2.2
