"""Everything that decides what a prompt run draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from ...fashion.prompts.strategies import DEFAULT_STRATEGIES
from ...fashion.tag_edits import choices_of, chosen_tags
from ..drawing_settings import DrawingSettings
from .criterion import COLOUR_WEIGHT
from .few_steps import few_step_sampling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...fashion.tags import PhotoTags
    from ...fashion.taxonomy import Taxonomy
    from ...models.session import Session


UNSAID_IF_EMPTY = ("pin", "leave_out", "search_sampling", "apart")


class PromptSettings(DrawingSettings):
    """Everything that decides what a prompt run draws; a run folder belongs to one of these."""

    budget: int  # pictures a photo, confirmation included
    seed: int
    strategies: tuple[str, ...] = DEFAULT_STRATEGIES
    feedback: bool = True  # words that the first pictures miss are said otherwise, in arms of their own
    colour_weight: float = COLOUR_WEIGHT  # of similarity, for a unit of ΔE between the garments' colours
    refine: bool = True  # screen the winner's words where the budget allows it
    same_seeds: bool = False  # as if nobody had looked at these photos before: for replays
    pin: tuple[str, ...] = ()  # tags that every photo has, as the user says: `colour:red`
    leave_out: tuple[str, ...] = ()  # tags or whole groups that none has: `colour:red`, `neckline`
    captioner: str = ""  # model and address of what wrote `captions`
    search_sampling: dict[str, Any] = {}  # fields of a request in place of `drawing`'s, for pictures that only choose
    learn: bool = True  # from photos before, of this run and earlier ones, so that later ones begin with what worked

    # learn from earlier runs alone, none of this run's photos from another, so that they can be searched side by side
    apart: bool = False

    @model_serializer(mode="wrap")
    def _without_what_is_empty(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As before there were these fields: the folders of runs without them go on."""
        return {name: value for name, value in serialize(self).items() if value or name not in UNSAID_IF_EMPTY}

    @classmethod
    def for_session(
        cls, session: Session, search_steps: int | None = None, search_lora: str | None = None, **fields: Any
    ) -> PromptSettings:
        """The preset's drawing defaults, overridden by `fields`; None and empty mean the default.

        `search_steps` and `search_lora` (few_steps.py) draw what only chooses in another way than what proves.
        """
        settings = cls.of_session(session, {name: value for name, value in fields.items() if value != ()})
        sampling = few_step_sampling(settings.drawing, search_steps, search_lora, settings.host == "local")
        return settings.model_copy(update={"search_sampling": sampling}) if sampling else settings

    @property
    def search_drawing(self) -> dict[str, Any]:
        """What the requests of the pictures that only choose have in common."""
        return self.drawing | self.search_sampling

    def edited(self, tags: Sequence[PhotoTags], taxonomy: Taxonomy) -> list[PhotoTags]:
        """The photos' tags with the user's edits."""
        pin, leave_out = (
            choices_of(",".join(choices), taxonomy, option)
            for option, choices in (("--pin", self.pin), ("--leave-out", self.leave_out))
        )
        if not pin and not leave_out:
            return list(tags)
        return [chosen_tags(photo_tags, taxonomy, 0.0, pin, leave_out) for photo_tags in tags]

    def criterion_key(self, session: Session) -> str:
        """What the search compares: gains of the same key can be learned from."""
        colour = f"|{self.colour_weight:g} for a unit of colour difference" if self.colour_weight else ""
        sampling = f"|drawn with {self.search_sampling}" if self.search_sampling else ""
        return f"{session.vision.scorer.key}{colour}{sampling}"
