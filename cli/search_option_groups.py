"""Groups of options that say what a search may cost, what it begins with, and which words it is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .option_groups import HostOptions, OptionGroup
from .options import (
    CaptionerModel,
    CaptionerUrl,
    LearnFromEarlier,
    LeaveOut,
    Pin,
    SameSeeds,
    SearchBudget,
    SearchedPhotos,
    SearchLora,
    SearchSteps,
    Words,
)

if TYPE_CHECKING:
    from ..fashion.photos import Gathered
    from ..fashion.taxonomy import Taxonomy
    from ..models.captioner import RememberingCaptioner
    from .terminal import Display


@dataclass(frozen=True)
class PipelineSearchOptions(OptionGroup):
    """What the prompt route inside `pipeline` may cost."""

    budget: SearchBudget = 16
    searched: SearchedPhotos = 8
    search_steps: SearchSteps = None
    search_lora: SearchLora = None

    def as_fields(self) -> dict[str, Any]:
        """What PromptSettings.for_session takes."""
        return {"budget": self.budget, "search_steps": self.search_steps, "search_lora": self.search_lora}


@dataclass(frozen=True)
class SearchSamplingOptions(OptionGroup):
    """How the pictures that only choose are drawn."""

    search_steps: SearchSteps = None
    search_lora: SearchLora = None

    def as_fields(self) -> dict[str, Any]:
        """What PromptSettings.for_session takes."""
        return {"search_steps": self.search_steps, "search_lora": self.search_lora}


@dataclass(frozen=True)
class EarlierRunsOptions(OptionGroup):
    """What a search takes from the runs before it."""

    same_seeds: SameSeeds = False
    learn: LearnFromEarlier = True

    def as_fields(self) -> dict[str, bool]:
        """The fields of PromptSettings."""
        return {"same_seeds": self.same_seeds, "learn": self.learn}


@dataclass(frozen=True)
class CaptionerOptions(OptionGroup):
    """A model that describes photos."""

    captioner: CaptionerUrl = None
    captioner_model: CaptionerModel = None

    def open(self, allow_remote: bool, ca_file: Path | None = None) -> RememberingCaptioner | None:
        """The captioner; None where there is none to ask."""
        from ..models.captioner import open_captioner

        return open_captioner(self.captioner, self.captioner_model, allow_remote=allow_remote, ca_file=ca_file)


@dataclass(frozen=True)
class WordsOptions(OptionGroup):
    """Words for the photos from elsewhere: the user's own, and a captioner's."""

    words: Words = None
    captioner: CaptionerUrl = None
    captioner_model: CaptionerModel = None

    def as_fields(self, gathered: Gathered, host: HostOptions, display: Display) -> dict[str, Any]:
        """The fields of PromptSettings; text files that can't be read join the skipped ones.

        Asks the captioner for every photo. InputError for an address or words that can't be used.
        """
        from ..routes.given_words import photo_id, words_for

        captioner = CaptionerOptions(self.captioner, self.captioner_model).open(host.allow_remote, host.ca_file)
        fields: dict[str, Any] = {"words": words_for(gathered, self.words)}
        if captioner is not None:
            with captioner:
                captions = captioner.describe_all(gathered.photos, display)
            fields |= {"captioner": captioner.name}
            fields |= {"captions": {photo_id(sha256): caption for sha256, caption in captions.items()}}
        return fields


@dataclass(frozen=True)
class TagEditOptions(OptionGroup):
    """The user's edits of the tags."""

    pin: Pin = None
    leave_out: LeaveOut = None

    def as_fields(self, taxonomy: Taxonomy) -> dict[str, tuple[str, ...]]:
        """The fields of PromptSettings; InputError, with the nearest name, for what the vocabulary lacks."""
        from ..fashion.tag_edits import choices_of, written

        given = {"pin": ("--pin", self.pin), "leave_out": ("--leave-out", self.leave_out)}
        choices = {name: choices_of(",".join(texts or ()), taxonomy, option) for name, (option, texts) in given.items()}
        return {name: written(chosen) for name, chosen in choices.items()}
