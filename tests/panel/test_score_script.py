"""The script Modiste score: a picture and a reference become a score in the infotext, by a process that stays."""

from __future__ import annotations

import base64
import json
import sys
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest
import stand_in_gradio
from PIL import Image
from typer.testing import CliRunner

from modiste.cli.app import app
from modiste.panel import environment, score_worker
from modiste.panel.commands import score_command
from modiste.panel.score_script import controls, infotext_value, score_of
from modiste.panel.score_worker import NoScore, ScoreWorker, bytes_of
from modiste.panel.texts import Words

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"
RED = Image.new("RGB", (8, 8), "red")
# The redder the picture, the higher its score; a line on stderr a start.
SCORES = """
import json, sys
from PIL import Image
print("started", file=sys.stderr, flush=True)
for line in sys.stdin:
    pair = json.loads(line)
    image, reference = Image.open(pair["images"][0]), Image.open(pair["reference"])
    if image.size == (1, 1): sys.exit("error: out of memory")
    if reference.size == (1, 1): print(json.dumps({"error": "no garment in " + pair["reference"]}), flush=True)
    else: print(json.dumps({"scores": [image.getpixel((0, 0))[0] / 255]}), flush=True)
"""


@pytest.fixture
def worker(monkeypatch):
    monkeypatch.setattr(environment, "is_installed", lambda: True)
    monkeypatch.setattr(
        score_worker, "score_command", lambda preset, encoder, device: [sys.executable, "-c", SCORES, preset]
    )
    worker = ScoreWorker()
    yield worker
    worker.close()


def base64_of(image: Image.Image) -> str:
    file = BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_one_process_scores_all_pictures_of_a_preset_whatever_form_the_reference_has(worker):
    assert score_of(worker, RED, True, RED, "mini") == "100.0"
    process = worker._process
    assert score_of(worker, Image.new("RGB", (8, 8), (51, 0, 0)), True, base64_of(RED), "mini") == "20.0"
    assert score_of(worker, RED, True, f"data:image/png;base64,{base64_of(RED)}", "mini") == "100.0"
    assert worker._process is process
    assert score_of(worker, RED, True, RED, "sd15") == "100.0" and worker._process is not process


def test_a_script_that_is_off_starts_nothing(worker):
    assert score_of(worker, RED, False, RED, "mini") is None and worker._process is None


def test_what_goes_wrong_stands_in_the_infotext_and_the_next_picture_has_its_score(worker, monkeypatch):
    tiny = Image.new("RGB", (1, 1))
    assert "no reference photo" in score_of(worker, RED, True)
    assert "is no base64" in score_of(worker, RED, True, "/etc/passwd", "mini")
    assert "no preset 'huge'" in score_of(worker, RED, True, RED, "huge")
    refused = score_of(worker, RED, True, tiny, "mini")
    assert refused.startswith("none (no garment in") and "/tmp" not in refused
    assert "out of memory" in score_of(worker, tiny, True, RED, "mini")
    assert score_of(worker, RED, True, RED, "mini") == "100.0"
    monkeypatch.setattr(environment, "is_installed", lambda: False)
    worker.close()
    assert "Set-up" in score_of(worker, RED, True, RED, "mini")


def test_a_text_is_never_a_path_of_this_machine():
    with pytest.raises(NoScore, match="base64"):
        bytes_of(str(PHOTOS / "look-01.jpg"))
    with pytest.raises(NoScore, match="too large"):
        bytes_of("A" * (score_worker.MOST_BYTES + 1))


def test_a_grid_of_pictures_has_no_score_of_its_own():
    """As A1111 calls it: modules/processing.py gives a callable its own variables."""
    value = infotext_value("71.3")
    cell = SimpleNamespace(extra_generation_params={})
    plot = SimpleNamespace(extra_generation_params={"Script": "X/Y/Z plot", "X Type": "Seed"})
    assert value(p=cell, index=0, use_main_prompt=False) == "71.3"
    assert value(p=cell, use_main_prompt=True) is None and value(p=plot, use_main_prompt=False) is None


def test_its_fields_are_those_of_the_api_and_off_at_every_start(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", stand_in_gradio)
    with stand_in_gradio.Blocks():
        fields = controls(Words("en"), "mini", lambda name: f"txt2img_{name}")
    assert [type(field).__name__ for field in fields] == ["Checkbox", "Image", "Dropdown"]
    assert fields[0].options["value"] is False and all(field.do_not_save_to_config for field in fields)


def test_the_real_command_scores_line_by_line_until_its_input_ends():
    photos = [str(PHOTOS / f"look-0{number}.jpg") for number in (1, 2)]
    lines = [{"images": photos, "reference": photos[0]}, {"images": ["/no/such.png"], "reference": photos[0]}, {"x": 1}]
    command = score_command("mini", "", "cpu")[2:]
    done = CliRunner().invoke(app, command, input="\n".join(map(json.dumps, lines)))
    same, missing, wrong = map(json.loads, done.stdout.splitlines())
    assert done.exit_code == 0 and same["scores"][0] > 0.99 > same["scores"][1] and same["without_garment"] == []
    assert "no/such.png" in missing["error"] and "images" in wrong["error"]
