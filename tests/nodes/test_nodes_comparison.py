"""Base beside tuned: the arithmetic of the verdict, and a comparison drawn on paper."""

from __future__ import annotations

import paper_studio
import pytest

from modiste.core.errors import InputError
from modiste.nodes.vision.comparison import compare, picture_pairs, strengths_in

DRAWING = dict(steps=1, cfg_scale=1.0, sampler="Pencil", width=64, height=64)


def quiet(*heard: object) -> None: ...


class Tuned(paper_studio.PaperHost):
    """Knows what its trigger stands for."""

    def generate(self, requests):
        yield from super().generate(
            [one.model_copy(update={"prompt": one.prompt.replace("vesper", "a photo of red")}) for one in requests]
        )


def compared(tuned: list, references: list, pictures: int = 4, trigger: str = "vesper"):
    pairs = picture_pairs(references, ["dress"], [""], pictures, 0, DRAWING, trigger)
    return compare(paper_studio.PaperHost(), tuned, pairs, references, paper_studio.session().vision, quiet)


@pytest.fixture(scope="module")
def photos() -> list:
    return [paper_studio.paint(paper_studio.COLOURS["red"], False, 4, seed) for seed in range(5)]


def test_strengths_are_read_once_each_and_nonsense_is_refused():
    assert strengths_in("0.6, 1,0.6\n0.8") == [0.6, 1.0, 0.8]
    for text in ("", "abc", "0.5;0.6", "nan", "9", ",".join(["0.1"] * 9)):
        with pytest.raises(InputError, match="strengths"):
            strengths_in(text)


def test_base_and_tuned_share_seeds_and_only_the_tuned_prompt_has_the_trigger(photos):
    pairs = picture_pairs(photos, ["a dress"], ["blurry"], 3, 7, DRAWING, "vesper")
    assert len(pairs) == 15 and len({one.base.seed for one in pairs}) == 15
    assert all(one.base.seed == one.tuned.seed and one.tuned.prompt == "vesper, a dress" for one in pairs)
    assert pairs[0].base.prompt == "a dress" and pairs[0].base.negative_prompt == "blurry"
    assert pairs[:3] == picture_pairs(photos[:1], ["a dress"], ["blurry"], 3, 7, DRAWING, "vesper")
    with pytest.raises(InputError, match="no prompt"):
        picture_pairs(photos, [" "], [""], 1, 0, DRAWING)
    with pytest.raises(InputError, match="2 prompts for 5 pictures"):
        picture_pairs(photos, ["a", "b"], [""], 1, 0, DRAWING)


def test_a_model_that_learned_the_look_is_proven_better_over_references(photos):
    sweep = compared([(0.5, paper_studio.PaperHost()), (1.0, Tuned())], photos, pictures=2)
    assert sweep.improved and sweep.best.strength == 1.0 and sweep.best.gain.n == 5
    assert sweep.best.gain.confidence == pytest.approx(0.975), "two strengths share the doubt"
    assert "at strength 1 is closer to the photos by +" in sweep.verdict and "on 5 references" in sweep.verdict
    rows = sweep.as_json()["rows"]
    assert [row["strength"] for row in rows] == [0.0, 0.5, 1.0] and rows[0]["gain"] == 0
    assert rows[2]["interval"][0] > 0 and rows[1]["gain"] == 0, "the same host draws the same pictures"
    assert [len(row) for row in sweep.rows_of_pictures(photos)] == [4] * 5


def test_a_single_reference_is_judged_over_seeds(photos):
    sweep = compared([(1.0, Tuned())], photos[:1], pictures=6)
    assert sweep.best.gain.n == 6 and "on 6 seeds" in sweep.verdict and sweep.improved


def test_the_same_model_twice_proves_nothing(photos):
    sweep = compared([(1.0, paper_studio.PaperHost())], photos, trigger="")
    assert not sweep.improved and sweep.best.gain.mean == 0 and "No gain is proven" in sweep.verdict
