"""Tags → prompt text, as the prompt route writes it, with the user's locked fields and extra words."""

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


def _joined(*parts: str) -> str:
    return ", ".join(part.strip().strip(",").strip() for part in parts if part.strip(" ,\n"))
