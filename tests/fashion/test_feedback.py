"""What pictures get wrong, and the rewritings that answer it."""

from __future__ import annotations

from modiste.fashion.prompts.arms import factors_of, refuse_unknown_arm, write_arm
from modiste.fashion.prompts.feedback import Faults, find_faults, rewritten_arms, without_rewritings
from modiste.fashion.prompts.renderers import render
from modiste.fashion.prompts.strategies import Context, TaggedPhoto, describe
from modiste.fashion.tags import PhotoTags, Tag
from modiste.fashion.taxonomy import load_taxonomy

GARMENTS = load_taxonomy("garments")


def tags(**labels: str) -> PhotoTags:
    return PhotoTags(
        tags=tuple(
            Tag(group=group, label=label, confidence=0.9, text=GARMENTS.group(group).label(label).prompt_text)
            for group, label in labels.items()
        )
    )


PHOTO = TaggedPhoto(tags(category="dress", colour="red", neckline="v"), GARMENTS, Context())
RIGHT = PHOTO.tags
ROUND = tags(category="dress", colour="red", neckline="crew")
BOWS = tags(category="dress", colour="red", neckline="v", details="bow")


def texts(arm: str, faults: Faults) -> dict[str, tuple[str, str]]:
    prompt = write_arm(arm, PHOTO)
    assert prompt
    written = {name: render(tree, "a1111") for name, tree in rewritten_arms(arm, prompt, PHOTO, faults).items()}
    return {name: (text.positive, text.negative) for name, text in written.items()}


def test_a_label_that_most_pictures_miss_is_a_fault_and_what_most_show_uninvited_too():
    assert not find_faults(PHOTO, [ROUND, RIGHT]), "half shows it, half does not: no fault yet"
    faults = find_faults(PHOTO, [ROUND, ROUND, RIGHT])
    assert [tag.label for tag in faults.missed] == ["v"] and faults.uninvited == ("crew neckline",)
    faults = find_faults(PHOTO, [BOWS, BOWS, RIGHT])
    assert not faults.missed and faults.uninvited == ("bow detail",)


def test_pictures_as_the_photo_have_no_fault_and_none_have_none():
    assert not find_faults(PHOTO, [RIGHT, RIGHT, ROUND])
    assert not find_faults(PHOTO, [])
    assert texts("sentence", Faults()) == {}


def test_another_garment_is_a_missed_name_and_never_a_word_to_avoid():
    skirt = tags(category="skirt", colour="red")
    faults = find_faults(PHOTO, [skirt, skirt])
    assert [tag.group for tag in faults.missed] == ["category", "neckline"] and not faults.uninvited


def test_each_fault_has_its_rewriting():
    faults = find_faults(PHOTO, [ROUND, ROUND])
    written = texts("all_tags, no view", faults)
    assert written == {
        "all_tags, no view, missed stressed": ("dress, red, (v-neckline:1.2)", ""),
        "all_tags, no view, missed first": ("v-neckline, dress, red, v-neckline", ""),
        "all_tags, no view, missed in other words": ("dress, red, v-shaped neck", ""),
        "all_tags, no view, missed stressed, uninvited avoided": ("dress, red, (v-neckline:1.2)", "crew neckline"),
        "all_tags, no view, missed first, uninvited avoided": ("v-neckline, dress, red, v-neckline", "crew neckline"),
        "all_tags, no view, missed in other words, uninvited avoided": ("dress, red, v-shaped neck", "crew neckline"),
        "all_tags, no view, uninvited avoided": ("dress, red, v-neckline", "crew neckline"),
    }


def test_a_word_that_is_as_heavy_as_pictures_bear_is_not_stressed_again():
    faults = find_faults(PHOTO, [ROUND, ROUND])
    written = texts("weighted_by_confidence", faults)
    assert "weighted_by_confidence, missed stressed" not in written
    assert "weighted_by_confidence, missed first" in written


def test_a_rewritten_arm_is_known_by_its_name_its_factors_and_its_description():
    arm = "sentence, no view, missed first, uninvited avoided"
    assert without_rewritings(arm) == "sentence, no view"
    assert factors_of(arm) == {"sentence": 1.0, "missed first": 1.0, "uninvited avoided": 1.0}
    refuse_unknown_arm(arm)
    assert "said first" in describe(arm) and "移到最前面" in describe(arm, "zh-TW")


def test_other_words_are_other_words_and_need_no_escape():
    labels = [label for group in GARMENTS.groups for label in group.labels if label.other_text]
    assert len(labels) > 100
    for label in labels:
        assert label.other_text.lower() != label.prompt_text.lower() and not set(label.other_text) & set("()[]<>:")
