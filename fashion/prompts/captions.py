"""Captions: a photo's words in the form of a strategy, without those that are left to a trigger word.

What a caption leaves out goes into the trigger; what it says stays free to be changed by other words. This is the one
place that decides which words those are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .bound_words import without_bound_words
from .grammar import article
from .renderers import render
from .strategies import GIVEN, Context, TaggedPhoto, form_of, sentence, strategy_of
from .tree import Clause, Phrase, Prompt

if TYPE_CHECKING:
    from ..tags import PhotoTags
    from ..taxonomy import Taxonomy


def strategy_prompt(strategy: str, photo: TaggedPhoto) -> Prompt:
    """The strategy's prompt of a photo; the sentence where the strategy has none."""
    prompt = strategy_of(strategy).write(photo) or sentence(photo)
    assert prompt is not None  # a sentence can always be written
    return prompt


def caption_prompt(strategy: str, photo: TaggedPhoto, trigger: str, bound: Sequence[str] | None) -> Prompt:
    """The strategy's prompt as captions say it: no weights, and nothing that is not of the garment, such as light.

    With a trigger: the trigger before the garment's words, and no word of the `bound` groups (None: those that the
    vocabulary binds). The garment's name stays, whatever is bound. Words that were given with the photo have the
    trigger in front, and lose what the vocabulary knows of the bound groups.
    """
    unsaid = bound_groups(photo.taxonomy, trigger, bound)
    words = strategy_of(strategy).write(photo) if form_of(strategy) in GIVEN else None
    if words is not None:
        text = ", ".join(clause.text for clause in words.positive)
        return Prompt((Clause((Phrase(caption_of_words(text, photo.taxonomy, trigger, bound)),)),), whole=True)
    prompt = strategy_prompt(strategy, photo.only(lambda tag: tag.group not in unsaid))
    first, *rest = prompt.positive
    clauses = [first, *(clause for clause in rest if any(phrase.group for phrase in clause.phrases))]
    clauses = [
        replace(clause, phrases=tuple(replace(phrase, weight=1.0) for phrase in clause.phrases)) for clause in clauses
    ]
    if trigger:
        clauses[0] = replace(clauses[0], phrases=_with_trigger(clauses[0].phrases, trigger))
    return replace(prompt, positive=tuple(clauses))


def caption_of_words(text: str, taxonomy: Taxonomy, trigger: str, bound: Sequence[str] | None) -> str:
    """Free text as a caption: the trigger in front, and without the words of the groups that are left to it."""
    text = without_bound_words(text, taxonomy, bound_groups(taxonomy, trigger, bound))
    return ", ".join(part for part in (trigger, text) if part)


def bound_groups(taxonomy: Taxonomy, trigger: str, bound: Sequence[str] | None) -> frozenset[str]:
    """The ids of the groups that captions leave to the trigger; none without a trigger."""
    if not trigger:
        return frozenset()
    return frozenset(group.id for group in taxonomy.groups if group.binds) if bound is None else frozenset(bound)


def _with_trigger(phrases: tuple[Phrase, ...], trigger: str) -> tuple[Phrase, ...]:
    """`a photo of an | orange | dress` → `a photo of a | vesper | orange | dress`."""
    at = next((index for index, phrase in enumerate(phrases) if phrase.group), len(phrases) - 1)
    before, after = list(phrases[:at]), phrases[at:]
    if before:
        indefinite = article(f"{trigger} dress").partition(" ")[0]
        before[-1] = replace(before[-1], text=re.sub(r"\ban?$", indefinite, before[-1].text))
    return (*before, Phrase(trigger), *after)


def caption_of(
    tags: PhotoTags,
    taxonomy: Taxonomy,
    trigger: str = "",
    bound: Sequence[str] | None = None,
    *,
    strategy: str = "sentence",
    context: Context | None = None,
    given: Mapping[str, Prompt] | None = None,
) -> str:
    """A photo's caption, such as `a photo of a vesper midi red dress with long sleeves`.

    `bound`: groups whose words are left to the trigger; None: those that the vocabulary binds. `strategy`: its form;
    `given`: words for the photo from elsewhere, by strategy.
    """
    photo = TaggedPhoto(tags, taxonomy, context or Context(), given or {})
    return render(caption_prompt(strategy, photo, trigger, bound), "plain").positive
