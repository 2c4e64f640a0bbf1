"""The arms of a photo's search: forms of its words, all with the same view words and no negative prompt.

    every form                  with view words, without a negative prompt, the baseline and the bare name too
    the plain list, a sentence  once with the vocabulary's negative prompt: what it brings is an arm of its own
    the plain list, a sentence  once without the view words: and so is what light and background bring

Words that somebody gave with the photo are a form like the others: the same view words, no negative prompt.
So a form wins by how it says what the photo shows, and not because it alone has a negative prompt. Nor does the
baseline have one: on the embedded models it costs eight points (docs/log.md), and every arm without it would win.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ...core.errors import InputError
from .feedback import without_rewritings
from .strategies import (
    NO_VIEW,
    REFINED,
    REWRITINGS,
    WITH_NEGATIVE,
    TaggedPhoto,
    form_of,
    refuse_unknown_strategies,
    strategy_of,
)
from .tree import Clause, Phrase, Prompt

if TYPE_CHECKING:
    from ..taxonomy import Taxonomy
    from .renderers import Rendered

VIEW_FACTOR, NEGATIVE_FACTOR = "view", "negative prompt"  # as search/arm_model.py and the screening name them
MEASURING_FORMS = ("all_tags", "sentence")  # those that also compete with the negative prompt, and without the view

# Form → what it has beside the words themselves, and how much of it; what forms share they teach each other.
# A form that is not here is a factor of its own.
FORM_FACTORS: Mapping[str, Mapping[str, float]] = {
    "all_tags": {},
    "high_confidence_only": {"sure words only": 1.0},
    "category_first": {"noun first": 1.0},
    "weighted_by_confidence": {"sentence": 1.0, "weights": 1.0},
    "sentence": {"sentence": 1.0},
    "tag_list": {"noun list": 1.0},
    "colour_pattern_focus": {"sentence": 1.0, "weights": 0.7},
    "structure_focus": {"sentence": 1.0, "structure": 1.0},
    "style_focus": {"sentence": 1.0, "style": 1.0},
    "contrastive": {"sentence": 1.0, "weights": 1.0, "contrast": 1.0},
    "sentence_negative": {"sentence": 1.0},
    "sentence_view": {"sentence": 1.0},
    "studio": {"sentence": 1.0},
    "tags_negative": {},
}


def with_extras(prompt: Prompt, taxonomy: Taxonomy, view: bool = True, negative: bool = False) -> Prompt:
    """The prompt with the vocabulary's view words and negative prompt in place of its own, or without them."""
    view_words = set(taxonomy.view)
    positive = tuple(clause for clause in prompt.positive if clause.text not in view_words)
    return replace(
        prompt,
        positive=positive + (_clauses(taxonomy.view) if view else ()),
        negative=_clauses(taxonomy.negative) if negative else (),
    )


def with_extras_of(arm: str, prompt: Prompt, taxonomy: Taxonomy) -> Prompt:
    """The prompt with the view words and the negative prompt that an arm of that name has."""
    return with_extras(prompt, taxonomy, view=NO_VIEW not in arm, negative=WITH_NEGATIVE in arm)


def write_arm(arm: str, photo: TaggedPhoto) -> Prompt | None:
    """The prompt of an arm by its name, such as `sentence, with negative`; None where the form makes no sense here."""
    prompt = strategy_of(arm).write(photo)
    if prompt is None:
        return None
    return with_extras_of(arm, prompt, photo.taxonomy)


def refuse_unknown_arm(arm: str) -> None:
    """InputError for a name that no search gives a prompt."""
    refuse_unknown_strategies([form_of(arm)])
    behind = without_rewritings(arm.removesuffix(REFINED)).removeprefix(form_of(arm))
    if behind not in ("", WITH_NEGATIVE, NO_VIEW):
        known = f"{form_of(arm)!r}, or the same with {WITH_NEGATIVE!r} or {NO_VIEW!r} behind it"
        raise InputError(f"there is no strategy {arm!r}", to_try=known)


def distinct_arms(forms: Sequence[str], photo: TaggedPhoto, write: Callable[[Prompt], Rendered]) -> dict[str, Rendered]:
    """Arm → prompt text: every form of `forms` in its order, then those with the negative prompt and without view.

    Of arms that write the same text the first stays. `write` renders for the host. InputError for a name that is no
    strategy.
    """
    refuse_unknown_strategies(forms)
    measuring = [form for form in MEASURING_FORMS if form in forms]
    names = [*forms, *(form + extras for extras in (WITH_NEGATIVE, NO_VIEW) for form in measuring)]
    arms: dict[str, Rendered] = {}
    texts: set[tuple[str, str]] = set()
    for name in names:
        prompt = write_arm(name, photo)
        if prompt is None:
            continue
        text = write(prompt)
        if (text.positive, text.negative) not in texts:
            arms[name] = text
            texts.add((text.positive, text.negative))
    return arms


def factors_of(arm: str) -> dict[str, float]:
    """The factors of an arm with their amounts: of its form, its rewriting, its view words and its negative prompt."""
    form = form_of(arm)
    extras = {NEGATIVE_FACTOR: float(WITH_NEGATIVE in arm), VIEW_FACTOR: float(NO_VIEW not in arm)}
    rewritten = {name.removeprefix(", "): 1.0 for name in REWRITINGS if name in arm}
    amounts = {name: amount for name, amount in extras.items() if amount}
    return {**amounts, **FORM_FACTORS.get(form, {form: 1.0}), **rewritten}


def _clauses(texts: Sequence[str]) -> tuple[Clause, ...]:
    return tuple(Clause((Phrase(text),)) for text in texts)
