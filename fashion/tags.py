"""The tags of one photo."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

BY_WORDS = (
    "by the encoder's words, not from pixels: the photo is not of one thing on a plain ground, and no clothes parser "
    "found a garment (`modiste get clothes-parser`)"
)


class Tag(BaseModel):
    """A label with its calibrated probability and the second most probable label of its group."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: str
    label: str
    confidence: float = Field(ge=0, le=1)  # probability within the group after its learned temperature
    text: str  # the label's prompt_text
    runner_up: str | None = None  # label id
    margin: float = Field(default=1.0, ge=0, le=1)  # confidence − the runner-up's


class PhotoTags(BaseModel):
    """The tags of one photo in the vocabulary's order; `not_visible`: the groups that the photo says nothing about.

    `garment`: whether one that the encoder knows was found. `by_words`: groups that are else read from pixels, named by
    the encoder's words alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tags: tuple[Tag, ...]
    not_visible: tuple[str, ...] = ()
    garment: bool = True
    by_words: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """How tags were read, where that is worth a sentence."""
        return (f"{', '.join(self.by_words)}: {BY_WORDS}",) if self.by_words else ()

    def get(self, group: str) -> Tag | None:
        """The most confident tag of `group`; None where it has none."""
        tags = [tag for tag in self.tags if tag.group == group]
        return max(tags, key=lambda tag: tag.confidence, default=None)
