"""Base beside tuned: the arithmetic of the verdict, and a comparison drawn on paper."""

from __future__ import annotations

from types import SimpleNamespace

import paper_studio
import pytest
import torch

from modiste.core.errors import InputError
from modiste.nodes.comfy.patches import fitting, refuse_unchanged
from modiste.nodes.vision.comparison import compare, plan_pictures, strengths_in

DRAWING = dict(steps=1, cfg_scale=1.0, sampler="Pencil", width=64, height=64)


def quiet(*heard: object) -> None: ...


class Tuned(paper_studio.PaperHost):
    """Knows what its trigger stands for."""

    def generate(self, requests):
        yield from super().generate(
            [
                request.model_copy(update={"prompt": request.prompt.replace("vesper", "a photo of red")})
                for request in requests
            ]
        )


def compared(tuned: list, references: list, pictures: int = 4, trigger: str = "vesper", judge: bool = True):
    plan = plan_pictures(references, ["dress"], [""], pictures, 0, DRAWING, trigger)
    return compare(paper_studio.PaperHost(), tuned, plan, references, paper_studio.session(judge=judge).vision, quiet)


@pytest.fixture(scope="module")
def photos() -> list:
    return [paper_studio.paint(paper_studio.COLOURS["red"], False, 4, seed) for seed in range(5)]


def lora_patch(out: int, rank: int, inputs: int):
    """The factors of a LoRA as ComfyUI's loader leaves them: up, down, alpha, mid, dora."""
    return SimpleNamespace(name="lora", weights=(torch.zeros(out, rank), torch.zeros(rank, inputs), 1.0, None, None))


def test_a_lora_of_another_model_fits_no_weight_by_name_or_by_shape():
    shapes = {"to_q.weight": (320, 320), "to_k.weight": (320, 768)}
    assert fitting({"to_q.weight": lora_patch(320, 4, 320), "to_k.weight": lora_patch(320, 4, 2048)}, shapes) == 1
    assert fitting({"to_k.weight": lora_patch(320, 4, 2048), "elsewhere.weight": lora_patch(320, 4, 320)}, shapes) == 0
    assert fitting({("to_q.weight", (0, 0, 160)): lora_patch(160, 4, 320)}, shapes) == 1, "a third of fused attention"
    assert fitting({}, shapes) == 0


def patched(model: object, **patches: list) -> SimpleNamespace:
    return SimpleNamespace(model=model, patches=patches, object_patches={}, model_options={"transformer_options": {}})


def test_a_tuned_model_that_is_its_base_is_refused():
    weights = object()
    base = patched(weights, to_v=[1])
    refuse_unchanged(base, patched(weights, to_v=[1], to_q=[2]))
    refuse_unchanged(base, patched(object(), to_v=[1]))
    with pytest.raises(InputError, match="the tuned model is its base"):
        refuse_unchanged(base, patched(weights, to_v=[1]))


def test_strengths_are_read_once_each_and_nonsense_is_refused():
    assert strengths_in("0.6, 1,0.6\n0.8") == [0.6, 1.0, 0.8]
    for text in ("", "abc", "0.5;0.6", "nan", "9", ",".join(["0.1"] * 9)):
        with pytest.raises(InputError, match="strengths"):
            strengths_in(text)


def test_base_and_tuned_share_seeds_and_only_the_tuned_prompt_has_the_trigger(photos):
    plan = plan_pictures(photos, ["a dress"], ["blurry"], 3, 7, DRAWING, "vesper")
    assert len(plan.choosing) == len(plan.confirm) == 15
    assert len({pair.base.seed for pair in (*plan.choosing, *plan.confirm)}) == 30, "no seed chooses and decides"
    for pair in plan.confirm:
        assert pair.base.seed == pair.tuned.seed and pair.tuned.prompt == "vesper, a dress"
    assert plan.confirm[0].base.prompt == "a dress" and plan.confirm[0].base.negative_prompt == "blurry"
    assert plan.confirm[:3] == plan_pictures(photos[:1], ["a dress"], ["blurry"], 3, 7, DRAWING, "vesper").confirm
    with pytest.raises(InputError, match="no prompt"):
        plan_pictures(photos, [" "], [""], 1, 0, DRAWING)
    with pytest.raises(InputError, match="2 prompts for 5 pictures"):
        plan_pictures(photos, ["a", "b"], [""], 1, 0, DRAWING)


def test_with_the_aspect_photo_each_reference_is_drawn_in_its_own_shape_with_base_and_tuned_alike(photos):
    large = DRAWING | dict(width=512, height=512)
    shapes = [photos[0].resize((300, 600)), photos[1].resize((600, 400))]
    words = (["a dress"], [""], 2, 7, large, "vesper")
    plan = plan_pictures(shapes, *words, "photo")
    assert sizes_of(plan.confirm) == sizes_of(plan.choosing) == {0: {(384, 640)}, 1: {(640, 384)}}
    assert all((pair.base.width, pair.base.height) == (pair.tuned.width, pair.tuned.height) for pair in plan.confirm)
    assert sizes_of(plan_pictures(shapes, *words, "3:4").confirm) == {0: {(448, 576)}, 1: {(448, 576)}}
    assert sizes_of(plan_pictures(shapes, *words).confirm) == {0: {(512, 512)}, 1: {(512, 512)}}


def sizes_of(pairs: list) -> dict[int, set]:
    """Reference → the sizes in which it is drawn."""
    places = {pair.reference for pair in pairs}
    return {at: {(pair.base.width, pair.base.height) for pair in pairs if pair.reference == at} for at in places}


def test_a_model_that_learned_the_look_is_proven_better_over_references(photos):
    sweep = compared([(0.5, paper_studio.PaperHost()), (1.0, Tuned())], photos, pictures=2)
    assert sweep.improved and sweep.strength == 1.0 and sweep.gain.n == 5 and sweep.gain.confidence == 0.95
    assert "at strength 1 is closer to the photos by +" in sweep.verdict and "on 5 references" in sweep.verdict
    assert "The second opinion: +" in sweep.verdict
    rows = sweep.as_json()["rows"]
    assert [row["strength"] for row in rows] == [0.0, 0.5, 1.0] and rows[0]["gain"] == 0
    assert rows[2]["interval"][0] > 0 and rows[1]["gain"] == 0, "the same host draws the same pictures"
    assert [len(row) for row in sweep.rows_of_pictures(photos)] == [4] * 5


def test_the_strength_is_chosen_on_other_seeds_than_those_that_decide(photos):
    base, tuned = paper_studio.PaperHost(), [Tuned(), Tuned()]
    plan = plan_pictures(photos, ["dress"], [""], 2, 0, DRAWING, "vesper")
    sweep = compare(base, [(0.5, tuned[0]), (1.0, tuned[1])], plan, photos, paper_studio.session().vision, quiet)
    choosing, confirm = ({pair.base.seed for pair in pairs} for pairs in (plan.choosing, plan.confirm))
    assert sweep.strength == 0.5, "of two that are as good the weaker"
    assert (
        {request.seed for request in tuned[0].drawn} == {request.seed for request in base.drawn} == choosing | confirm
    )
    assert {request.seed for request in tuned[1].drawn} == choosing
    assert "chosen on these pictures" in sweep.report()


def test_a_single_reference_proves_nothing_about_others(photos):
    sweep = compared([(1.0, Tuned())], photos[:1], pictures=6)
    assert sweep.gain.mean > 0 and sweep.gain.n == 1 and not sweep.improved
    assert "on 1 reference (one pair has no spread" in sweep.verdict


def test_the_same_model_twice_changes_nothing(photos):
    sweep = compared([(1.0, paper_studio.PaperHost())], photos, trigger="")
    assert not sweep.improved and sweep.gain.mean == 0 and sweep.verdict.startswith("This file changes nothing")


def test_without_a_judge_the_verdict_says_so(photos):
    sweep = compared([(1.0, Tuned())], photos, judge=False)
    assert sweep.improved and sweep.evidence.judge is None and "no second opinion" in sweep.verdict
