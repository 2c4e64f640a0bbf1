"""Pictures of several arms: labels, seeds and halves, the choice, and a verdict that luck does not win."""

from __future__ import annotations

import paper_studio
import pytest

from modiste.core.errors import InputError
from modiste.fashion.tags import PhotoTags, Tag
from modiste.fashion.taxonomy import load_taxonomy
from modiste.nodes.vision.judging import arms_of, judge
from modiste.nodes.vision.prompt_text import write_candidates

GARMENTS = load_taxonomy("garments")
CHOSEN = {"category": "dress", "length": "maxi", "colour": "red"}
DRESS = PhotoTags(
    tags=tuple(
        Tag(group=group, label=label, confidence=0.9, text=GARMENTS.group(group).label(label).prompt_text)
        for group, label in CHOSEN.items()
    )
)


def painted(colour: str, count: int, first_seed: int = 0) -> list:
    return [paper_studio.paint(paper_studio.COLOURS[colour], False, 4, first_seed + at) for at in range(count)]


def judged(arms: dict, references: list | None = None, second: bool = True):
    vision = paper_studio.session(judge=second).vision
    return judge(arms, references or painted("red", 1, 99), vision, lambda done, total: None)


def test_pictures_are_sorted_by_label_and_the_base_comes_first():
    pictures = painted("red", 4)
    assert arms_of(pictures, ["a", "b", "a", "b"], None) == {"a": pictures[::2], "b": pictures[1::2]}
    assert list(arms_of(pictures[:2], ["a", "b"], pictures[2:3])) == ["base", "a", "b"]
    assert arms_of(pictures[:2], [], pictures[2:]) == {"base": pictures[2:], "candidate": pictures[:2]}


@pytest.mark.parametrize(
    ("labels", "base", "message"),
    [
        ([], 0, "nothing to compare the pictures with"),
        (["a"], 0, "nothing to compare"),
        (["a", "a", "a", "b"], 0, r"different numbers of pictures \(a: 3, b: 1\)"),
        (["a", "b"], 0, "2 labels for 4 pictures"),
        ([], 3, r"\(base: 3, candidate: 4\)"),
    ],
)
def test_pictures_that_can_not_be_compared_are_refused_with_the_counts(labels, base, message):
    with pytest.raises(InputError, match=message):
        arms_of(painted("red", 4), labels, painted("blue", base) or None)


def test_the_nearer_arm_wins_with_a_proven_gain_and_the_second_opinion_beside_it():
    verdict = judged({"plain": painted("blue", 4), "green": painted("green", 4), "close": painted("red", 4)})
    assert (verdict.best, verdict.arm, verdict.improved, verdict.gain.n) == ("close", "close", True, 2)
    assert verdict.gain.low > 0 and verdict.second.low > 0
    assert max(verdict.scores, key=verdict.scores.get) == "close"
    told = verdict.report()
    assert told.startswith("close is nearer to the photos than plain: +") and "the second half" in told
    assert (
        "there is no second opinion" in judged({"a": painted("blue", 2), "b": painted("red", 2)}, second=False).report()
    )


def test_a_worse_candidate_leaves_the_base_and_a_gain_that_is_not_there_is_not_claimed():
    worse = judged({"base": painted("red", 4), "candidate": painted("blue", 4)})
    assert (worse.arm, worse.improved) == ("base", False) and worse.gain.high < 0
    same = judged({"base": painted("red", 4), "candidate": painted("red", 4)})
    assert (same.arm, same.improved, same.gain.mean) == ("base", False, 0.0)


def test_the_pictures_that_choose_do_not_decide():
    lucky = painted("red", 2) + painted("blue", 2)  # good on the half that chooses only
    verdict = judged({"base": painted("blue", 4), "lucky": lucky, "other": painted("green", 4)})
    assert verdict.best == "lucky" and verdict.arm == "base" and not verdict.improved
    with pytest.raises(InputError, match="2 arms compete on one picture each"):
        judged({"base": painted("blue", 1), "a": painted("red", 1), "b": painted("green", 1)})


def test_each_picture_is_compared_with_its_own_photo_and_photos_are_what_is_counted():
    references = [*painted("red", 1, 50), *painted("blue", 1, 51), *painted("green", 1, 52)]
    own = [*painted("red", 1), *painted("blue", 1), *painted("green", 1)]
    verdict = judged({"base": painted("green", 3), "candidate": own}, references)
    assert verdict.scores["candidate"] > verdict.scores["base"] and (verdict.gain.n, verdict.unit) == (3, "photos")
    with pytest.raises(InputError, match="3 references for 2 pictures"):
        judged({"base": painted("red", 2), "candidate": painted("red", 2)}, references)


def test_candidates_are_every_prompt_on_the_same_seeds_the_one_to_beat_first():
    plan = write_candidates([(DRESS, GARMENTS)], ["all_tags", "sentence"], 5, 7, "comfy")
    assert [each.label for each in plan] == ["all_tags"] * 5 + ["sentence"] * 5
    assert [each.seed for each in plan[:5]] == [each.seed for each in plan[5:]] and len(
        {each.seed for each in plan}
    ) == 5
    assert [each.seed % 2 for each in plan[:5]] == [0, 0, 1, 1, 1], "even seeds choose, odd ones decide"
    assert plan[0].positive != plan[5].positive and plan == write_candidates(
        [(DRESS, GARMENTS)], ["all_tags", "sentence"], 5, 7, "comfy"
    )
    for strategies, photos, message in (
        (["sentence"], 1, "sentence gives 1 prompts"),
        (["sentense"], 1, "did you mean 'sentence'"),
        (["all_tags", "sentence"], 2, "tags of 2 photos"),
    ):
        with pytest.raises(InputError, match=message):
            write_candidates([(DRESS, GARMENTS)] * photos, strategies, 4, 0, "comfy")
