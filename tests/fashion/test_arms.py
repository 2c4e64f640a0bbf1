"""The arms of a search: all share view words and negative prompt, and what these bring has arms of its own."""

from __future__ import annotations

import pytest

from modiste.core.errors import InputError
from modiste.fashion.prompts.arms import (
    FORM_FACTORS,
    distinct_arms,
    factors_of,
    refuse_unknown_arm,
    write_arm,
)
from modiste.fashion.prompts.renderers import render
from modiste.fashion.prompts.strategies import DEFAULT_STRATEGIES, STRATEGIES, Context, TaggedPhoto, describe, form_of
from modiste.fashion.tags import PhotoTags, Tag
from modiste.fashion.taxonomy import load_taxonomy

MINI = load_taxonomy("mini")
VIEW, NEGATIVE = ", ".join(MINI.view), ", ".join(MINI.negative)


def tag(group: str, label: str, confidence: float = 0.95) -> Tag:
    text = MINI.group(group).label(label).prompt_text
    return Tag(group=group, label=label, confidence=confidence, text=text, margin=0.9)


DRESS = PhotoTags(tags=(tag("category", "dress"), tag("colour", "orange"), tag("sleeves", "long", 0.7)))


def arms(forms=DEFAULT_STRATEGIES):
    return distinct_arms(forms, TaggedPhoto(DRESS, MINI, Context()), lambda prompt: render(prompt, "a1111"))


def test_every_arm_has_the_same_view_words_and_no_negative_prompt_but_those_that_measure_them():
    written = arms()
    assert {"all_tags", "sentence", "all_tags, with negative", "sentence, no view"} <= set(written)
    for name, prompt in written.items():
        assert prompt.positive.endswith(VIEW) == (", no view" not in name), name
        assert prompt.negative == (NEGATIVE if ", with negative" in name else ""), name
    bare = write_arm("minimal", TaggedPhoto(DRESS, MINI, Context()))
    assert render(bare, "plain").positive == f"dress, {VIEW}" and render(bare, "plain").negative == ""


def test_strategies_that_differed_by_their_extras_alone_compete_once():
    written = arms()
    assert not {"sentence_negative", "sentence_view", "studio", "tags_negative"} & set(written)
    texts = [(prompt.positive, prompt.negative) for prompt in written.values()]
    assert len(texts) == len(set(texts))
    assert list(arms(("studio",))) == ["studio"], "asked for alone it is drawn under its own name"


def test_arms_teach_each_other_by_what_they_share():
    assert factors_of("sentence") == {"view": 1.0, "sentence": 1.0}
    assert factors_of("all_tags, with negative") == {"negative prompt": 1.0, "view": 1.0}
    assert factors_of("weighted_by_confidence, no view, refined") == {**{"sentence": 1.0, "weights": 1.0}}
    assert factors_of("a_new_form")["a_new_form"] == 1.0
    assert set(FORM_FACTORS) == set(STRATEGIES) - {"minimal"}


def test_an_arm_is_named_by_its_form_and_what_it_lacks_and_explained_in_both_languages():
    for name in arms():
        refuse_unknown_arm(name)
        assert form_of(f"{name}, refined") in STRATEGIES
        assert describe(name) and describe(name, "zh-TW")
    assert describe("sentence, with negative").endswith("With the negative prompt.")
    for wrong in ("nonsense", "sentence, no sleeves"):
        with pytest.raises(InputError, match="there is no strategy"):
            refuse_unknown_arm(wrong)
