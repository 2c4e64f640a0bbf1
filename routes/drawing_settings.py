"""Who draws a run's pictures, and with which sampling: what the settings of every route have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from ..fashion.prompts.strategies import CAPTIONER, YOUR_WORDS
from .drawing_size import PHOTO, refuse_aspect, refuse_size, size_in_aspect
from .given_words import caption_as_prompt, photo_id, words_prompt

if TYPE_CHECKING:
    from ..fashion.prompts.tree import Prompt
    from ..models.session import Session

# Of search, confirmation and verdict: a folder that was begun by other rules is not continued, so that no report mixes
# figures of both. 1: up to 0.9, which did not write it down.
RULES = 3
SAMPLING = ("steps", "cfg_scale", "sampler", "width", "height")  # fields of every request

Settings = TypeVar("Settings", bound="DrawingSettings")


class DrawingSettings(BaseModel):
    """Preset, host and sampling of a run; a run folder belongs to one of these with the fields of its route."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: Literal[3] = RULES
    preset: str
    host: str  # its kind: local | webui | comfy
    checkpoint: str
    checkpoint_hash: str | None = None
    workflow: str | None = None  # digest of the ComfyUI graph that draws in place of the plain one
    steps: int
    cfg_scale: float
    sampler: str
    width: int  # pixels; with `aspect` their product is the area that each picture keeps
    height: int
    aspect: Literal["photo"] | None = None  # each photo's pictures have about its shape; None: width × height
    words: dict[str, str] = {}  # photo (given_words.photo_id) → its user's words
    captions: dict[str, str] = {}  # photo → the captioner's

    @classmethod
    def of_session(cls: type[Settings], session: Session, fields: dict[str, Any]) -> Settings:
        """The sampling of the preset, or of the host's own workflow, with `fields` in its place; None: the default."""
        preset, host = session.preset, session.host.describe()
        values: dict[str, Any] = {name: getattr(preset, name) for name in SAMPLING}
        values |= host.drawing
        values |= {name: value for name, value in fields.items() if value is not None}
        aspect = values.pop("aspect", None)
        refuse_aspect(aspect)
        refuse_size(values["width"], values["height"])
        if aspect == PHOTO:
            values["aspect"] = aspect
        elif aspect is not None:
            values["width"], values["height"] = size_in_aspect(values["width"], values["height"], aspect)
        drawer = dict(host=host.kind, checkpoint=host.checkpoint, checkpoint_hash=host.checkpoint_hash)
        drawer |= {"workflow": host.workflow}
        return cls(preset=preset.name, **drawer, **values)

    @model_serializer(mode="wrap")
    def _without_a_workflow_that_is_none(self, document: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Run folders that were begun before there were workflows stay the same run."""
        fields: dict[str, Any] = document(self)
        if fields.get("workflow") is None:
            fields.pop("workflow", None)
        return fields

    def given_with(self, sha256: str) -> dict[str, Prompt]:
        """The words from elsewhere for a photo: strategy → prompt."""
        photo = photo_id(sha256)
        words = words_prompt(self.words[photo]) if photo in self.words else None
        caption = caption_as_prompt(self.captions[photo]) if photo in self.captions else None
        prompts = {YOUR_WORDS: words, CAPTIONER: caption}
        return {strategy: prompt for strategy, prompt in prompts.items() if prompt is not None}

    @property
    def drawing(self) -> dict[str, Any]:
        """What every request of the run has in common; with `aspect` the size is that of a square photo."""
        return {name: getattr(self, name) for name in SAMPLING}

    @property
    def size_and_sampling(self) -> dict[str, Any]:
        """`drawing`, and the aspect where each photo has its own size: what a folder of pictures belongs to."""
        return self.drawing | ({} if self.aspect is None else {"aspect": self.aspect})


class CaptionedSettings(DrawingSettings):
    """Settings of a route that draws tuned models by captions: their form, their trigger, and what is left to it."""

    trigger: str
    strategy: str = "sentence"  # the form of prompts and captions
    bound: tuple[str, ...] | None = None  # groups left to the trigger; None: those that the vocabulary binds
