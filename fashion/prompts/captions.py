"""Tags → captions: the plain words of a photo, and those that leave the brand's look to a trigger word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .grammar import article
from .renderers import render
from .strategies import STRATEGIES, Context, TaggedPhoto, form_of, sentence
from .tree import Phrase, Prompt

if TYPE_CHECKING:
    from ..tags import PhotoTags
    from ..taxonomy import Taxonomy


def plain(strategy: str, tags: PhotoTags, taxonomy: Taxonomy, context: Context) -> Prompt:
    """The strategy's own prompt of a photo; the sentence where it has none."""
    wardrobe = TaggedPhoto(tags, taxonomy, context)
    prompt = STRATEGIES[form_of(strategy)].write(wardrobe) or sentence(wardrobe)
    assert prompt is not None  # a sentence can always be written
    return prompt


def branded(
    strategy: str, tags: PhotoTags, taxonomy: Taxonomy, context: Context, trigger: str, bound: Sequence[str] | None
) -> Prompt:
    """The same as captions say it: the trigger before the garment's words, nothing of the `bound` groups, no weights.

    `bound` None: the groups that the vocabulary binds. What is not of the garment, such as light, is left out.
    """
    if trigger and bound is None:
        bound = [group.id for group in taxonomy.groups if group.binds]
    unsaid = set(bound or ()) if trigger else set()
    kept = tuple(tag for tag in tags.tags if tag.group not in unsaid)
    prompt = plain(strategy, tags.model_copy(update={"tags": kept}), taxonomy, context)
    first, *rest = prompt.positive
    clauses = [first, *(clause for clause in rest if any(phrase.group for phrase in clause.phrases))]
    clauses = [
        replace(clause, phrases=tuple(replace(phrase, weight=1.0) for phrase in clause.phrases)) for clause in clauses
    ]
    if trigger:
        clauses[0] = replace(clauses[0], phrases=_with_trigger(clauses[0].phrases, trigger))
    return replace(prompt, positive=tuple(clauses))


def _with_trigger(phrases: tuple[Phrase, ...], trigger: str) -> tuple[Phrase, ...]:
    """`a photo of an | orange | dress` → `a photo of a | vesper | orange | dress`."""
    at = next((index for index, phrase in enumerate(phrases) if phrase.group), len(phrases) - 1)
    before, after = list(phrases[:at]), phrases[at:]
    if before:
        right = article(f"{trigger} dress").partition(" ")[0]
        before[-1] = replace(before[-1], text=re.sub(r"\ban?$", right, before[-1].text))
    return (*before, Phrase(trigger), *after)


def caption_in(
    strategy: str, tags: PhotoTags, taxonomy: Taxonomy, context: Context, trigger: str, bound: Sequence[str] | None
) -> str:
    """A photo's caption in a format."""
    return render(branded(strategy, tags, taxonomy, context, trigger, bound), "plain").positive


def caption_of(tags: PhotoTags, taxonomy: Taxonomy, trigger: str = "", bound: Sequence[str] | None = None) -> str:
    """`a photo of a midi red dress with long sleeves`; a trigger word stands in front of the noun phrase.

    Beside a trigger the groups `bound` to it (None: those that the vocabulary binds) are not said: what a caption
    leaves out goes into the trigger, what it says stays free to be changed by other words.
    """
    if not trigger:
        bound = ()
    elif bound is None:
        bound = [group.id for group in taxonomy.groups if group.binds]
    said = [tag for tag in tags.tags if tag.group not in bound]
    noun = tags.get(taxonomy.noun.id)
    before = [tag.text for tag in said if taxonomy.group(tag.group).slot == "before"]
    words = " ".join(filter(None, (trigger, *before, noun.text if noun else "garment")))
    details = [article(tag.text) for tag in said if taxonomy.group(tag.group).slot == "after"]
    ending = f" with {' and '.join(details)}" if details else ""
    return f"{taxonomy.subject} {article(words)}{ending}"
