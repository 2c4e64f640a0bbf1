"""A trained LoRA → the LoRA folder of a WebUI or of ComfyUI, by the process that trained it.

delivered.json   in the run's folder: where the file lies and what calls it in a prompt
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ..core.errors import InputError
from ..core.files import write_whole
from ..hosts.lora_folder import give_to_host
from .compare.lora_content import refuse_not_finite
from .compare.server_lora import partial_readings

RECORD = "delivered.json"
READERS = ("A1111", "Forge", "ComfyUI")
UNTRIED = 0.8  # strength in the prompt of a LoRA whose best strength nobody has measured


class DeliveredLora(BaseModel):
    """A LoRA in a host's folder; `prompt` is the text that applies it, `notes` are about hosts that read a part."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    trigger: str
    strength: float
    prompt: str
    notes: tuple[str, ...] = ()


def deliver_file(
    file: Path, folder: Path, name: str, trigger: str, out: Path, strength: float = UNTRIED
) -> DeliveredLora:
    """Copies the file whole into `folder`, under `name` and its content's digest, and writes RECORD into `out`.

    The same content is copied once. InputError, before anything is copied, for a file that holds NaN or that none of
    READERS applies whole; and where the folder can't be written to.
    """
    refuse_not_finite(file)
    partial = partial_readings(file)
    notes = tuple(partial[reader] for reader in READERS if reader in partial)
    if len(notes) == len(READERS):
        raise InputError(notes[0], where=str(file), to_try="`modiste lora verify FILE` names the modules")
    try:
        place = give_to_host(file, folder, name)
    except OSError as error:
        raise InputError(
            f"the LoRA can't be written here: {error.strerror or error}",
            where=str(folder),
            to_try=f"make room there, then the same command delivers it; or copy {file} yourself",
        ) from error
    tag = f"<lora:{place.stem}:{strength:g}>"
    prompt = f"{tag}, {trigger}" if trigger else tag
    delivered = DeliveredLora(file=str(place), trigger=trigger, strength=strength, prompt=prompt, notes=notes)
    write_whole(out / RECORD, (delivered.model_dump_json(indent=1) + "\n").encode())
    return delivered


def winning_lora(report: dict[str, Any]) -> tuple[Path, str, float] | None:
    """File, trigger and proven strength of a pipeline's LoRA, where the verdict is for training; else None."""
    tuned, verdict = report["tuned"], report["verdict"]
    if verdict["decision"] != "training" or tuned["kind"] != "lora":
        return None
    return Path(tuned["file"]), tuned["trigger"] or "", verdict["strength"]
