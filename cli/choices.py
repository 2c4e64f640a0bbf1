"""What the options choose: preset, host, the vocabulary's groups, fields of a training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .options import DEMONSTRATION
from .terminal import say

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ..fashion.photos import Gathered
    from ..fashion.taxonomy import Taxonomy
    from ..models.presets import Preset
    from ..models.session import Session
    from .option_groups import HostOptions, ModelOptions

EMBEDDED = "no Stable Diffusion weights on this machine: using the embedded preset mini (drawn garments, 64 px)"
EMBEDDED_EYES = (
    "not all weights of the preset sd15 that this needs are on this machine: using the embedded preset mini, so its "
    "encoder of drawn garments looks at the pictures, and the server is asked for 64×64 px; --preset sd15 says what "
    "is missing"
)


def choose_preset(
    name: str | None, host: str = "local", needed: Collection[str] = ("checkpoint", "encoder"), **instead: str | None
) -> Preset:
    """The named preset, or the machine's default, said aloud where it is the embedded one; `instead`: fields to change,
    None for those that stay. `needed`: the roles of models that the work opens on this machine.
    """
    from ..models.presets import default_preset, preset, preset_of_checkpoint

    checkpoint = instead.get("checkpoint") if host == "local" else None
    fitting = preset_of_checkpoint(checkpoint) if checkpoint else None
    chosen = preset(name) if name else fitting or default_preset(needed)
    if checkpoint and fitting:
        say_kind(checkpoint, instead.get("prediction"), chosen, fitting)
    elif name is None and chosen.name == "mini":
        say(EMBEDDED if host == "local" else EMBEDDED_EYES)
    return chosen.replaced(**{field: value for field, value in instead.items() if value is not None})


def leave_out_without_garment(gathered: Gathered, paths: Sequence[Path], session: Session, force: bool) -> None:
    """Moves photos without a garment to the skipped ones; with `force` they stay, and the first is named.

    InputError where none is left.
    """
    from ..fashion.batch_tagging import leave_out, photos_without_garment

    unknown = photos_without_garment(gathered.photos, session.vision.tagger)
    if unknown and force:
        others = f", and {len(unknown) - 1} more do not either" if len(unknown) > 1 else ""
        say(f"{unknown[0].path}: {DEMONSTRATION}{others}")
    elif unknown:
        leave_out(unknown, gathered, paths)


def say_kind(checkpoint: str, prediction: str | None, chosen: Preset, fitting: Preset) -> None:
    """Names a checkpoint's family, what its UNet predicts, and the preset; and where that one does not fit."""
    from ..checkpoints.kinds import PREDICTION_NAMES, kind_of
    from ..core.weights import locate

    source = locate(checkpoint)
    kind = kind_of(source) if source else None
    if source is None or kind is None:
        return
    as_told = f" (told: {PREDICTION_NAMES.get(prediction, prediction)})" if prediction else ""
    size = f"preset {chosen.name}, {chosen.width}×{chosen.height}"
    say(f"{source.name}: {kind.text}{as_told}; {size}")
    if (chosen.width, chosen.height) != (fitting.width, fitting.height):
        say(f"  such a model is made for {fitting.width}×{fitting.height}; without --preset that is what is drawn")


def open_chosen_session(
    preset: str | None,
    models: ModelOptions,
    host: HostOptions,
    device: str,
    lora_dir: Path | None = None,
    needed: Collection[str] | None = None,
) -> Session:
    """The models and the host that the options choose, opened; `needed`: the roles opened on this machine."""
    from ..models.session import open_session

    roles = host.needed_models if needed is None else needed
    chosen = choose_preset(preset, host.host, roles, **models.as_fields())
    session = open_session(chosen, host=host.choice(lora_dir), device=device)
    if session.vision.judge is None:
        say_no_judge(chosen)
    return session


def say_no_judge(preset: Preset) -> None:
    """Says that the second model is not here, what that costs, and the command that gets it."""
    from ..core.weights import get_command

    say(
        f"no judge: {preset.judge} is not on this machine, so nothing checks the score; `{get_command(preset.judge)}` "
        "gets it"
    )


def say_other_base(base: str, session: Session) -> None:
    """Says so where a server may draw with another model than the one that is trained on."""
    from ..routes.compare.server_lora import other_base

    notice = other_base(base, session.host.describe())
    if notice:
        say(notice)


def groups_of(text: str | None, vocabulary: Taxonomy) -> tuple[str, ...] | None:
    """`colour,pattern` → the vocabulary's groups, which refuses others; None where nothing was said."""
    if text is None:
        return None
    return tuple(vocabulary.group(name.strip()).id for name in text.split(",") if name.strip())
