"""A prompt taken apart: each of its words a factor that can be left out, so that a screening tells its worth."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .strategies import REFINED, STRATEGIES, TaggedPhoto, form_of
from .tree import Clause, Phrase, Prompt

if TYPE_CHECKING:
    from ..tags import Tag

VIEW, NEGATIVE, AVOID = EXTRAS = "view", "negative prompt", "avoid"  # factors that are no tags


@dataclass(frozen=True)
class Composition:
    """A strategy's prompt for a photo, with its factors; `avoid` are words that bad pictures showed."""

    strategy: str
    wardrobe: TaggedPhoto
    avoid: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What a prompt with some factors left out is called in reports."""
        return self.strategy.removesuffix(REFINED) + REFINED

    def factors(self, most: int) -> tuple[str, ...]:
        """At most `most` of them: the least certain tags, then the negative prompt, the view, what to avoid.

        A tag that is certain hardly costs anything; where there are more than can be screened it stays in.
        """
        extras = [NEGATIVE] * bool(self.wardrobe.taxonomy.negative) + [VIEW] * bool(self.wardrobe.taxonomy.view)
        extras += [AVOID] * bool(self.avoid)
        noun = self.wardrobe.noun
        tags = sorted((tag for tag in self.wardrobe.tags.tags if tag != noun), key=lambda tag: tag.confidence)
        kept = {factor_of(tag) for tag in tags[: max(0, most - len(extras))]}
        in_order = [factor_of(tag) for tag in self.wardrobe.tags.tags if factor_of(tag) in kept and tag != noun]
        return tuple([*in_order, *extras][:most])

    def prompt(self, factors: Sequence[str], on: Collection[str]) -> Prompt | None:
        """The prompt with just those of `factors` that are `on`; what is no factor stays as the strategy has it."""
        out = set(factors) - set(on)
        written = STRATEGIES[form_of(self.strategy)].write(self.wardrobe.only(lambda tag: factor_of(tag) not in out))
        if written is None:
            return None
        positive, negative = written.positive, written.negative
        if VIEW in factors:
            said = set(self.wardrobe.taxonomy.view)
            positive = tuple(clause for clause in positive if clause.text not in said)
            positive += _clauses(self.wardrobe.taxonomy.view) if VIEW in on else ()
        if NEGATIVE in factors:
            negative = _clauses(self.wardrobe.taxonomy.negative) if NEGATIVE in on else ()
        if AVOID in on:
            negative += _clauses(self.avoid)
        return replace(written, positive=positive, negative=negative)


def factor_of(tag: Tag) -> str:
    """A tag's name as a factor."""
    return f"{tag.group}: {tag.label}"


def _clauses(texts: Sequence[str]) -> tuple[Clause, ...]:
    return tuple(Clause((Phrase(text),)) for text in texts)
