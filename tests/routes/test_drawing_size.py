"""The size of pictures: told, in an aspect, or in each photo's shape."""

from __future__ import annotations

import paper_studio
import pytest
from PIL import Image
from typer.testing import CliRunner

from modiste.cli.app import app
from modiste.fashion.photos import gather_photos
from modiste.routes.drawing_size import fitting_size, size_in_aspect
from modiste.routes.prompt.optimise import optimise_prompts
from modiste.routes.prompt.settings import PromptSettings


@pytest.mark.parametrize(
    ("shape", "size"),
    [((1000, 1000), (512, 512)), ((800, 1200), (384, 640)), ((1600, 900), (640, 384)), ((100, 1000), (320, 768))],
)
def test_a_photos_shape_becomes_the_nearest_bucket_of_the_presets_area(shape, size):
    width, height = fitting_size(512, 512, shape)
    assert width * height <= 512 * 512 and width % 64 == height % 64 == 0
    assert (width > height, width < height) == (size[0] > size[1], size[0] < size[1])
    assert abs(width / height - size[0] / size[1]) < 0.35


def test_sdxl_gets_its_own_area_and_a_small_model_no_side_below_what_hosts_draw():
    assert fitting_size(1024, 1024, (2, 3)) == (832, 1216)
    assert min(fitting_size(64, 64, (1, 2))) == 64
    assert size_in_aspect(512, 768, "1:1")[0] == size_in_aspect(512, 768, "1:1")[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--width", "100"], "--width 96"),
        (["--height", "4096"], "--height 2048"),
        (["--aspect", "wide"], "--aspect photo, or W:H"),
        (["--aspect", "photo"], "needs a photo"),
    ],
)
def test_sizes_that_no_picture_has_are_refused_with_the_nearest(options, words, tmp_path):
    done = CliRunner().invoke(app, ["generate", "x", "--preset", "mini", "--out", str(tmp_path), *options])
    assert done.exit_code == 2 and words in done.stderr


def test_generate_draws_the_size_that_is_asked_for(tmp_path):
    out = tmp_path / "a.png"
    done = CliRunner().invoke(
        app, ["generate", "x", "--preset", "mini", "--steps", "2", "--width", "96", "--height", "64", "--out", str(out)]
    )
    assert done.exit_code == 0
    with Image.open(out) as picture:
        assert picture.size == (96, 64)


def settings(session, aspect=None) -> PromptSettings:
    return PromptSettings.for_session(session, budget=8, seed=0, same_seeds=True, learn=False, aspect=aspect)


@pytest.mark.parametrize(("shape", "size"), [((100, 200), (64, 104)), ((100, 100), (64, 64))], ids=["tall", "square"])
def test_with_aspect_photo_every_picture_of_a_photo_has_its_shape(shape, size, tmp_path):
    paper_studio.paint(paper_studio.COLOURS["red"], False, 4, 0).resize(shape).save(tmp_path / "photo.png")
    session = paper_studio.session()
    report = optimise_prompts(gather_photos([tmp_path]), session, settings(session, "photo"), tmp_path / "out")
    assert report.images[0].generations == len(session.host.drawn) == 8
    assert {(request.width, request.height) for request in session.host.drawn} == {size}


def test_a_run_belongs_to_its_aspect_and_one_that_is_told_becomes_a_size():
    session = paper_studio.session()
    assert settings(session).aspect is None and settings(session, "photo").model_dump(mode="json")["aspect"] == "photo"
    wide = settings(session, "3:2")
    assert wide.aspect is None and (wide.width, wide.height) == (104, 64)
