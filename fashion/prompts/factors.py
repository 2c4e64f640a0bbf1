"""The factors of a prompt: the words that a screening leaves out one by one, to learn what each is worth."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .strategies import GIVEN, REFINED, TaggedPhoto, form_of, strategy_of
from .tree import Clause, Phrase, Prompt

if TYPE_CHECKING:
    from ..tags import Tag

VIEW, NEGATIVE, AVOID = EXTRAS = "view", "negative prompt", "avoid"  # factors that are no tags


@dataclass(frozen=True)
class Composition:
    """A strategy's prompt for a photo, by factors; `avoid` are words for what bad pictures showed."""

    strategy: str
    photo: TaggedPhoto
    avoid: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name in reports of a prompt with some factors left out."""
        return self.strategy.removesuffix(REFINED) + REFINED

    def factors(self, most: int) -> tuple[str, ...]:
        """At most `most` factors: the least certain tags, then the negative prompt, the view, what to avoid.

        Where there are more tags than can be screened, the most certain ones are no factors: they cost the least.
        """
        extras = [NEGATIVE] * bool(self.photo.taxonomy.negative) + [VIEW] * bool(self.photo.taxonomy.view)
        extras += [AVOID] * bool(self.avoid)
        if form_of(self.strategy) in GIVEN:  # no tag stands in them
            return tuple(extras[:most])
        noun = self.photo.noun
        tags = sorted((tag for tag in self.photo.tags.tags if tag != noun), key=lambda tag: tag.confidence)
        kept = {factor_of(tag) for tag in tags[: max(0, most - len(extras))]}
        in_order = [factor_of(tag) for tag in self.photo.tags.tags if factor_of(tag) in kept and tag != noun]
        return tuple([*in_order, *extras][:most])

    def prompt(self, factors: Sequence[str], on: Collection[str]) -> Prompt | None:
        """The strategy's prompt with only those of `factors` that are `on`; None where the strategy writes none."""
        out = set(factors) - set(on)
        written = strategy_of(self.strategy).write(self.photo.only(lambda tag: factor_of(tag) not in out))
        if written is None:
            return None
        positive, negative = written.positive, written.negative
        if VIEW in factors:
            view = set(self.photo.taxonomy.view)
            positive = tuple(clause for clause in positive if clause.text not in view)
            positive += _clauses(self.photo.taxonomy.view) if VIEW in on else ()
        if NEGATIVE in factors:
            negative = _clauses(self.photo.taxonomy.negative) if NEGATIVE in on else ()
        if AVOID in on:
            negative += _clauses(self.avoid)
        return replace(written, positive=positive, negative=negative)


def factor_of(tag: Tag) -> str:
    """The factor's name of a tag."""
    return f"{tag.group}: {tag.label}"


def _clauses(texts: Sequence[str]) -> tuple[Clause, ...]:
    return tuple(Clause((Phrase(text),)) for text in texts)
