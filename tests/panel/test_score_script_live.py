"""The script Modiste score in a real A1111 or Forge at MODISTE_WEBUI_URL, through its API; minutes on a CPU."""

from __future__ import annotations

import base64
import json
import re

import pytest
import requests
from webui_tab import LONG_S, PHOTOS

pytestmark = [pytest.mark.webui, pytest.mark.slow]
DRAWING = {"prompt": "a red dress", "steps": 1, "width": 64, "height": 64, "sampler_name": "Euler", "seed": 1}
SCORE = re.compile(r"Modiste score: (-?[\d.]+)")


def infotexts(url: str, body: dict) -> list[str]:
    """One a picture of the answer, a grid's own first."""
    answer = requests.post(f"{url}/sdapi/v1/txt2img", json=body, timeout=LONG_S)
    assert answer.status_code == 200, answer.text
    return json.loads(answer.json()["info"])["infotexts"]


def test_a_picture_of_the_api_has_its_score_in_the_infotext_and_without_the_script_none(url):
    photo = base64.b64encode((PHOTOS / "look-01.jpg").read_bytes()).decode()
    batch = DRAWING | {"batch_size": 2, "alwayson_scripts": {"Modiste score": {"args": [True, photo, "mini"]}}}
    scores = [SCORE.search(text) for text in infotexts(url, batch)[-2:]]
    assert len(scores) == 2 and all(scores)
    assert not any("Modiste score" in text for text in infotexts(url, DRAWING))
    no_photo = DRAWING | {"alwayson_scripts": {"Modiste score": {"args": [True, "", "mini"]}}}
    assert "none (there is no reference photo)" in infotexts(url, no_photo)[0]


def test_the_axis_of_the_xyz_plot_scores_one_picture_against_each_photo(url):
    """The script itself is off: the axis is enough."""
    known = requests.get(f"{url}/sdapi/v1/script-info", timeout=LONG_S).json()
    (plot,) = [script for script in known if script["name"] == "x/y/z plot" and not script["is_img2img"]]
    axes = plot["args"][0]["choices"]
    chosen = {name: axes.index("Nothing") for name in ("Y type", "Z type")} | {"Include Sub Images": True}
    chosen["X type"] = axes.index("[Modiste] Reference photo")
    values = [chosen.get(argument["label"], argument["value"]) for argument in plot["args"]]
    values[1] = f"{PHOTOS / 'look-01.jpg'}, {PHOTOS / 'look-02.jpg'}"  # of the X axis
    texts = infotexts(url, DRAWING | {"script_name": "x/y/z plot", "script_args": values})
    scores = [SCORE.search(text)[1] for text in texts[-2:]]
    assert len(set(scores)) == 2, texts
    assert "[Modiste] Reference photo" in texts[0] and not SCORE.search(texts[0])
