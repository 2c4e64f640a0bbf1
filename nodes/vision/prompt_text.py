"""Tags → prompt text, as the prompt route writes it, with what a person locks and adds."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...fashion.prompts.renderers import Rendered, render
from ...fashion.prompts.strategies import (
    STRATEGIES,
    Context,
    TaggedPhoto,
    label_shares,
    refuse_unknown_strategies,
    sentence,
)
from .tag_edits import locked_tags, locks_of

if TYPE_CHECKING:
    from ...fashion.prompts.renderers import Dialect
    from ...fashion.tags import PhotoTags
    from ...fashion.taxonomy import Taxonomy

log = logging.getLogger("modiste")


def written(
    seen: Sequence[tuple[PhotoTags, Taxonomy]], strategy: str, locks: str, extra: str, avoid: str, dialect: Dialect
) -> list[Rendered]:
    """One prompt a picture; the sentence where the strategy makes no sense for one, which is said aloud."""
    refuse_unknown_strategies([strategy])
    tags = [locked_tags(one, taxonomy, locks_of(locks, taxonomy)) for one, taxonomy in seen]
    context = Context(share=label_shares(tags))
    prompts = []
    for one, (_, taxonomy) in zip(tags, seen, strict=True):
        wardrobe = TaggedPhoto(one, taxonomy, context)
        prompt = STRATEGIES[strategy].write(wardrobe)
        if prompt is None:
            log.warning("the strategy %s says nothing about this picture: its sentence is used", strategy)
            prompt = sentence(wardrobe)
        assert prompt is not None  # a sentence can always be written
        text = render(prompt, dialect)
        prompts.append(Rendered(_joined(text.positive, extra), _joined(text.negative, avoid), None, text.dropped))
    return prompts


def _joined(*parts: str) -> str:
    return ", ".join(part.strip().strip(",").strip() for part in parts if part.strip(" ,\n"))
