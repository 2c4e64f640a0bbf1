"""What a LoRA file holds, whatever model it is of: whether it is one, whole and finite."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import InputError

if TYPE_CHECKING:
    from ...trainer.lora.groups import ModuleGroup


def refuse_no_lora(file: Path) -> None:
    """InputError for a file without one whole module of a LoRA in any program's names, or with NaN or infinity."""
    if not any(group.kind for group in _groups(file).values()):
        raise InputError("this is no LoRA of a kind that is known", where=str(file), to_try="a LoRA .safetensors file")
    refuse_not_finite(file)


def refuse_not_finite(file: Path) -> None:
    """InputError for a file that holds NaN or infinity."""
    groups = _groups(file)
    broken = [name for name, group in groups.items() if group.not_finite]
    if broken:
        raise InputError(
            f"{len(broken)} of the LoRA's {len(groups)} modules hold NaN or infinity, e.g. {broken[0]}",
            where=str(file),
            to_try="an earlier checkpoint of its training",
        )


def names_another_model(file: Path) -> bool:
    """Whether its modules are those of a model beyond Stable Diffusion 1, 2 and XL."""
    from ...trainer.lora.groups import other_model

    return other_model(_groups(file)) is not None


def _groups(file: Path) -> dict[str, ModuleGroup]:
    from ...trainer.lora.file import read_tensors
    from ...trainer.lora.groups import grouped

    return grouped(read_tensors(file)[0])
