"""The page of a training: one file in two languages, read again for as long as it trains."""

from __future__ import annotations

import pytest
from PIL import Image

from modiste.reports.training_page import (
    MOST_POINTS,
    GainRow,
    PictureRow,
    SampleRow,
    TrainingStory,
    render_training,
    thinned,
)


def story(**changes) -> TrainingStory:
    told = TrainingStory("vesper <3", step=20, total=40, choices={"base": "a&b"}, messages=["opening <base>"])
    told.losses = [(float(step), 1 / step) for step in range(1, 21)]
    told.gains = [GainRow(0, 0.0, 0.0, 0.0), GainRow(20, 0.01, -0.01, 0.03)]
    for name, value in changes.items():
        setattr(told, name, value)
    return told


def test_a_page_reloads_while_it_trains_and_no_longer(tmp_path):
    training = render_training(story(), tmp_path)
    assert '<meta http-equiv="refresh" content="10">' in training and "Training: step 20 of 40." in training
    for state, sentence in (("finished", "Finished at step 20."), ("stopped", "Stopped at step 20 of 40")):
        page = render_training(story(state=state), tmp_path)
        assert "refresh" not in page and sentence in page


def test_a_page_is_whole_in_itself_in_both_languages_and_escapes_what_it_is_told(tmp_path):
    Image.new("RGB", (64, 64), "red").save(tmp_path / "a.png")
    samples = [SampleRow(20, "a.png", "a dress", 0.8), SampleRow(20, "../gone.png", "missing")]
    page = render_training(story(samples=samples), tmp_path)
    assert "vesper &lt;3" in page and "a&amp;b" in page and "opening &lt;base&gt;" in page
    assert (
        "data:image/webp;base64," in page
        and "similarity 80 of 100" in page
        and "相似度 80" in page
        and 'class="missing"' in page
    )
    assert '<span lang="zh-TW">基礎模型</span>' in page and '<span lang="en">base</span>' in page
    assert "訓練中：第 20 步，共 40 步。" in page and "<script" not in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


def test_the_page_draws_what_pictures_say_beside_the_loss_and_names_the_rule_in_both_languages(tmp_path):
    rows = [PictureRow(0, 0.2, 0.1), PictureRow(20, 0.7, 0.6)]
    page = render_training(story(pictures=rows, reason="step 20 draws …", best_step=20, chosen_by="pictures"), tmp_path)
    assert "Held-out garments in few steps" in page and "保留的服裝" in page
    assert "― judge<" in page and "― 評審<" in page and "依保留服裝的圖片，採用第 20 步。" in page
    unjudged = render_training(story(pictures=[PictureRow(0, 0.2), PictureRow(20, 0.7)]), tmp_path)
    assert "― 評審<" not in unjudged and "Held-out garments in few steps" not in render_training(story(), tmp_path)


def test_a_curve_of_thousands_of_steps_becomes_means_of_neighbours():
    points = [(float(step), float(step % 2)) for step in range(10_000)]
    found = thinned(points)
    assert len(found) == MOST_POINTS and all(y == pytest.approx(0.5) for _, y in found)
    assert found[0][0] == pytest.approx(24.5) and thinned(points[:3]) == points[:3] and thinned([]) == []
