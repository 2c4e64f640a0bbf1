"""Tags → prompt text, as the prompt route writes it, with the user's locked fields and extra words."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.errors import InputError
from ...fashion.prompts.renderers import Rendered, render
from ...fashion.prompts.strategies import (
    STRATEGIES,
    Context,
    TaggedPhoto,
    distinct_strategies,
    label_shares,
    refuse_unknown_strategies,
    sentence,
)
from ...search.seeds import seed_plan
from .tag_edits import locked_tags, locks_of

if TYPE_CHECKING:
    from ...fashion.prompts.renderers import Dialect
    from ...fashion.tags import PhotoTags
    from ...fashion.taxonomy import Taxonomy

log = logging.getLogger("modiste")


def write_prompts(
    pictures: Sequence[tuple[PhotoTags, Taxonomy]], strategy: str, locks: str, extra: str, avoid: str, dialect: Dialect
) -> list[Rendered]:
    """One prompt for each picture's tags; the sentence, with a warning, where the strategy does not apply."""
    refuse_unknown_strategies([strategy])
    tags = [locked_tags(photo_tags, taxonomy, locks_of(locks, taxonomy)) for photo_tags, taxonomy in pictures]
    context = Context(share=label_shares(tags))
    prompts = []
    for photo_tags, (_, taxonomy) in zip(tags, pictures, strict=True):
        tagged_photo = TaggedPhoto(photo_tags, taxonomy, context)
        prompt = STRATEGIES[strategy].write(tagged_photo)
        if prompt is None:
            log.warning("the strategy %s does not apply to this picture: the sentence is used", strategy)
            prompt = sentence(tagged_photo)
        assert prompt is not None  # a sentence can always be written
        text = render(prompt, dialect)
        prompts.append(Rendered(_joined(text.positive, extra), _joined(text.negative, avoid), None, text.dropped))
    return prompts


@dataclass(frozen=True)
class PromptCandidate:
    """A picture to draw: a strategy's prompt on one of the seeds that all strategies share."""

    label: str
    positive: str
    negative: str
    seed: int


def write_candidates(
    photos: Sequence[tuple[PhotoTags, Taxonomy]], strategies: Sequence[str], count: int, seed: int, dialect: Dialect
) -> list[PromptCandidate]:
    """`count` pictures of each strategy's prompt, those of the first strategy first; each on `count` common seeds.

    A strategy that writes what an earlier one wrote is left out. InputError unless two prompts or more are left.
    """
    if len(photos) != 1:
        raise InputError(f"there are tags of {len(photos)} photos", to_try="the tags of one photo: a prompt is for one")
    tags, taxonomy = photos[0]
    prompts = distinct_strategies(strategies, tags, taxonomy, Context(), lambda prompt: render(prompt, dialect))
    if len(prompts) < 2:
        raise InputError(
            f"{', '.join(strategies) or 'nothing'} gives {len(prompts)} prompts for this photo",
            to_try="name strategies that differ, such as all_tags, sentence, studio",
        )
    plan = seed_plan(seed, count // 2, count - count // 2)
    seeds = (*plan.search, *plan.confirm)
    return [
        PromptCandidate(label, text.positive, text.negative, each) for label, text in prompts.items() for each in seeds
    ]


def _joined(*parts: str) -> str:
    return ", ".join(part.strip().strip(",").strip() for part in parts if part.strip(" ,\n"))
