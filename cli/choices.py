"""What the options choose: preset, host, the vocabulary's groups, fields of a training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .terminal import say

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..fashion.taxonomy import Taxonomy
    from ..models.drawing_host import HostChoice
    from ..models.presets import Preset
    from ..models.session import Session

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
    from ..models.presets import default_preset, preset

    chosen = default_preset(needed) if name is None else preset(name)
    if name is None and chosen.name == "mini":
        say(EMBEDDED if host == "local" else EMBEDDED_EYES)
    return chosen.replaced(**{field: value for field, value in instead.items() if value is not None})


def choose_host(
    kind: str, urls: list[str] | None, allow_remote: bool, workflow: Path | None, lora_dir: Path | None = None
) -> HostChoice:
    """Who draws, as the options say it; name and password of a WebUI come from MODISTE_WEBUI_AUTH alone."""
    from ..models.drawing_host import HostChoice

    return HostChoice(kind, tuple(urls or ()), allow_remote, workflow, lora_dir)


def say_other_base(base: str, session: Session) -> None:
    """Says so where a server may draw with another model than the one that is trained on."""
    from ..routes.compare.server_lora import other_base

    notice = other_base(base, session.host.describe())
    if notice:
        say(notice)


def groups_in(text: str | None, vocabulary: Taxonomy) -> tuple[str, ...] | None:
    """`colour,pattern` → the vocabulary's groups, which refuses others; None where nothing was said."""
    if text is None:
        return None
    return tuple(vocabulary.group(name.strip()).id for name in text.split(",") if name.strip())


def training_asked(
    method: str | None, steps: int | None, rank: int | None, learning_rate: float | None, seed: int | None, device: str
) -> dict[str, Any]:
    """The options of a training as fields of TrainConfig; None for what was not said."""
    return {
        **{"method": method, "steps": steps, "learning_rate": learning_rate, "seed": seed},
        "device": None if device == "auto" else device,
        "network": None if rank is None else {"rank": rank, "alpha": float(rank)},
    }


def pictures_need(host: str) -> tuple[str, ...]:
    """The roles of models that a run of pictures opens on this machine: a server has its own checkpoint."""
    return ("checkpoint", "encoder") if host == "local" else ("encoder",)
