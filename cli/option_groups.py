"""Options that belong together as one parameter: `host: HostOptions` in a command is four options on the command line.

typer reads a command's options from its signature. `with_option_groups` gives it one in which every group is spread
out, in the group's place and order, and hands the command the groups again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from ..core.errors import InputError
from .options import (
    AcceptVersions,
    AllowRemote,
    Aspect,
    BrandWord,
    CaFile,
    CaptionBind,
    CaptionSource,
    CfgScale,
    Checkpoint,
    DeliverAs,
    DeliverTo,
    Dtype,
    Encoder,
    Extend,
    Force,
    Framing,
    FromLora,
    Height,
    HostKind,
    LearningRate,
    LowMemory,
    Masks,
    Method,
    Prediction,
    Rank,
    Regularisation,
    Resume,
    SamplePrompts,
    Sampler,
    Steps,
    TrainingConfigFile,
    Trigger,
    Urls,
    Vocabulary,
    Width,
    Workflow,
)

if TYPE_CHECKING:
    from ..models.drawing_host import HostChoice
    from ..models.presets import Preset


class OptionGroup:
    """A frozen dataclass whose fields are options."""


@dataclass(frozen=True)
class HostOptions(OptionGroup):
    """Who draws, and where."""

    host: HostKind = "local"
    url: Urls = None
    allow_remote: AllowRemote = False
    workflow: Workflow = None
    ca_file: CaFile = None
    dtype: Dtype = "auto"
    low_memory: LowMemory = False

    def choice(self, lora_dir: Path | None = None) -> HostChoice:
        """The host as the models' room knows it; a WebUI's user and password come from MODISTE_WEBUI_AUTH alone."""
        from ..models.drawing_host import HostChoice

        servers = (tuple(self.url or ()), self.allow_remote, self.workflow, lora_dir, self.ca_file)
        return HostChoice(self.host, *servers, self.dtype, self.low_memory)

    @property
    def is_local(self) -> bool:
        """Whether this process draws."""
        return self.host == "local"

    @property
    def needed_models(self) -> tuple[str, ...]:
        """The roles of models that a run of pictures opens on this machine: a server has its own checkpoint."""
        return ("checkpoint", "encoder") if self.is_local else ("encoder",)


@dataclass(frozen=True)
class SamplingOptions(OptionGroup):
    """How a picture is drawn; None: the preset's own."""

    steps: Steps = None
    cfg_scale: CfgScale = None
    sampler: Sampler = None
    width: Width = None
    height: Height = None
    aspect: Aspect = None

    def as_fields(self) -> dict[str, Any]:
        """The fields of DrawingSettings, None where nothing was given."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def size(self, preset: Preset) -> tuple[int, int]:
        """(width, height) of a picture without a photo; InputError for a size that no picture has."""
        from ..routes.drawing_size import PHOTO, refuse_size, size_in_aspect

        if self.aspect == PHOTO:
            raise InputError("--aspect photo needs a photo, and this draws a prompt", to_try="W:H, such as 3:4")
        width, height = self.width or preset.width, self.height or preset.height
        refuse_size(width, height)
        return (width, height) if self.aspect is None else size_in_aspect(width, height, self.aspect)


@dataclass(frozen=True)
class ModelOptions(OptionGroup):
    """Models and settings in place of the preset's."""

    checkpoint: Checkpoint = None
    prediction: Prediction = None
    vocabulary: Vocabulary = None
    encoder: Encoder = None
    framing: Framing = None

    def as_fields(self) -> dict[str, str | None]:
        """The fields of a Preset that they replace, None where the preset's own stays."""
        looking = VisionOptions(self.vocabulary, self.encoder, self.framing)
        return {"checkpoint": self.checkpoint, "prediction": self.prediction, **looking.as_fields()}


@dataclass(frozen=True)
class VisionOptions(OptionGroup):
    """The same without a checkpoint, for commands that draw nothing."""

    vocabulary: Vocabulary = None
    encoder: Encoder = None
    framing: Framing = None

    def as_fields(self) -> dict[str, str | None]:
        """The fields of a Preset that they replace, None where the preset's own stays."""
        return {"taxonomy": self.vocabulary, "encoder": self.encoder, "framing": self.framing}


@dataclass(frozen=True)
class TrainOptions(OptionGroup):
    """What is trained; None: the config file's, else TrainConfig's own."""

    method: Method = None
    config: TrainingConfigFile = None
    rank: Rank = None
    learning_rate: LearningRate = None
    from_lora: FromLora = None

    def from_file(self) -> dict[str, Any]:
        """The fields of the config file; empty without one."""
        from ..trainer.config import read_fields

        return read_fields(self.config) if self.config else {}

    def as_fields(self, steps: int | None, seed: int | None, device: str) -> dict[str, Any]:
        """The fields of a TrainConfig, None where nothing was given."""
        return {
            **{"method": self.method, "steps": steps, "learning_rate": self.learning_rate, "seed": seed},
            "device": None if device == "auto" else device,
            "from_lora": None if self.from_lora is None else str(self.from_lora),
            "network": None if self.rank is None else {"rank": self.rank, "alpha": float(self.rank)},
        }


@dataclass(frozen=True)
class DeliveryOptions(OptionGroup):
    """Where a finished LoRA goes, and under which name."""

    deliver_to: DeliverTo = None
    deliver_as: DeliverAs = None

    def refuse_full(self, method: str | None) -> None:
        """InputError where there will be no LoRA to deliver."""
        if self.deliver_to is not None and method == "full":
            raise InputError(
                "--deliver-to is for LoRAs and --method full makes none",
                to_try="copy fashion_sd_model.safetensors into the host's checkpoints yourself",
            )

    def deliver(self, file: Path, trigger: str, out: Path, **strength: float) -> dict[str, Any]:
        """The field `delivered` of a command's JSON, after the copy; empty where nothing is to be delivered."""
        from ..routes.delivery import deliver_file
        from .terminal import say

        if self.deliver_to is None:
            return {}
        name = self.deliver_as or trigger or file.stem
        delivered = deliver_file(file, self.deliver_to, name, trigger, out, **strength)
        say(f"delivered: {delivered.file}; in a prompt: {delivered.prompt}")
        for note in delivered.notes:
            say(f"note: {note}")
        return {"delivered": delivered.model_dump(mode="json")}


@dataclass(frozen=True)
class DatasetOptions(OptionGroup):
    """What a training makes of its photos; None: the config file's, else DataConfig's own."""

    trigger: BrandWord = None
    masks: Masks = None
    captions: CaptionSource = None
    reg: Regularisation = None
    sample_prompts: SamplePrompts = None

    def as_fields(self) -> dict[str, str | None]:
        """The fields of a DataConfig, None where nothing was given."""
        folders = {"masks": self.masks, "prior_folder": self.reg}
        named = {name: None if folder is None else str(folder) for name, folder in folders.items()}
        return {"trigger": self.trigger, "captions": self.captions, **named}

    def validation_fields(self) -> dict[str, str | None]:
        """The fields of a ValidationConfig, None where nothing was given."""
        return {"prompts_file": None if self.sample_prompts is None else str(self.sample_prompts)}


@dataclass(frozen=True)
class GoingOnOptions(OptionGroup):
    """How the run in `--out` goes on."""

    extend: Extend = None
    accept_versions: AcceptVersions = False
    resume: Resume = False

    def as_fields(self) -> dict[str, Any]:
        """The fields of a TrainConfig, None where nothing was given."""
        return {"extend": self.extend, "accept_versions": self.accept_versions or None}


@dataclass(frozen=True)
class BrandOptions(OptionGroup):
    """The brand's word, what captions leave to it, and which of its photos count."""

    trigger: Trigger = "modiste"
    bind: CaptionBind = None
    force: Force = False


def with_option_groups(command: Callable[..., int]) -> Callable[..., int]:
    """The command with a signature in which each group's fields stand in the group's place."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[OptionGroup]] = {}
    spread: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        annotation = hints[parameter.name]
        if isinstance(annotation, type) and issubclass(annotation, OptionGroup):
            groups[parameter.name] = annotation
            spread += _parameters_of(annotation)
        else:
            kind = inspect.Parameter.KEYWORD_ONLY
            spread.append(inspect.Parameter(parameter.name, kind, default=parameter.default, annotation=annotation))

    @wraps(command)
    def spread_out(**given: Any) -> int:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in _fields_of(group)})
        return command(**given)

    spread_out.__signature__ = inspect.Signature(spread, return_annotation=int)  # type: ignore[attr-defined]
    spread_out.__annotations__ = {parameter.name: parameter.annotation for parameter in spread} | {"return": int}
    del spread_out.__wrapped__  # type: ignore[attr-defined]  # else typing looks at the command behind
    return spread_out


def _parameters_of(group: type[OptionGroup]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in _fields_of(group)
    ]


def _fields_of(group: type[OptionGroup]) -> tuple[Field[Any], ...]:
    return fields(group)  # type: ignore[arg-type]
