"""A trained LoRA → the server's LoRA folder → on the server's list → proven: the same seed with it and without it.

lora.json   in the run's folder: what the proof has shown, and on which server; it is not drawn a second time there
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from ...core.errors import InputError
from ...core.files import make_folder, sha256_of, write_whole
from ...core.state_files import read_state
from ...hosts.errors import LoraWithoutEffect, NoPlace, RequestRefused
from ...hosts.lora_folder import give_to_host, name_on_host
from ...hosts.request import LoraRef
from .lora_content import names_another_model, refuse_not_finite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...hosts.request import GenerationRequest, Host, HostDescription
    from ...models.session import Session
    from .tuned import TunedModel

PROOF = "lora.json"
FOLDERS = "A1111 and Forge look into models/Lora, ComfyUI into models/loras, `serve` into its --lora-dir"


class Delivered(BaseModel):
    """A LoRA that the server draws with. `effect`, `noise`: mean differences of pixels, 0 … 255."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    server: str
    effect: float
    noise: float


def deliver(tuned: TunedModel, session: Session, request: GenerationRequest, out: Path) -> LoraRef:
    """The LoRA by the name that the host draws it by, at strength 1; a local host opens the file itself.

    `request`: what the proof draws. InputError where a server does not have the file: it says what to copy where.
    LoraWithoutEffect where the server draws the same picture as without it.
    """
    drawer = session.host.describe()
    if drawer.kind == "local":
        return LoraRef(name=tuned.file.stem, path=tuned.file.resolve())
    name, server = tuned.trigger or tuned.file.stem, str(drawer.url)
    refuse_unreadable(tuned.file, getattr(session.host, "lora_readers", ()))
    copied = _copy(tuned.file, session.lora_dir, name) if session.lora_dir is not None else None
    lora = LoraRef(name=name_on_host(tuned.file.read_bytes(), name))
    session.host.check(request)  # other refusals are reported as they are
    with_lora = request.model_copy(update={"loras": (lora,)})
    try:
        session.host.check(with_lora)
    except NoPlace:  # the workflow is what has to change, not the file
        if copied is not None:
            copied.unlink()
        raise
    except RequestRefused as refused:
        raise InputError(
            f"the trained LoRA has not reached the server: {refused.what}",
            where=server,
            to_try=_advice(tuned.file, lora.name, session.lora_dir),
        ) from refused
    try:
        _prove(session.host, with_lora, lora.name, server, out / PROOF)
    except LoraWithoutEffect:
        if copied is not None:
            copied.unlink()  # what is of no use there is not left behind
        raise
    return lora


def refuse_unreadable(file: Path, readers: Sequence[str]) -> None:
    """InputError for a file that holds NaN, or of which one of `readers` (A1111, Forge, ComfyUI) applies a part only.

    Only files of a published model's modules can be told by rule; for others the proof alone counts.
    """
    refuse_not_finite(file)
    partial = partial_readings(file) if readers else {}
    for reader in readers:
        if reader in partial:
            raise InputError(
                partial[reader],
                where=str(file),
                to_try="`modiste lora verify FILE` names the others; Modiste's own training writes names that all read",
            )


def partial_readings(file: Path) -> dict[str, str]:
    """Program → what it would apply, for each that would apply a part only; empty for a model that is not published."""
    from ...trainer.lora.verify import is_of_other_model, verify

    if names_another_model(file) or is_of_other_model(file):
        return {}
    return {
        report.reader: f"{report.reader} would apply {report.applied} of the LoRA's {report.modules} modules"
        for report in verify(file)
        if report.applied < report.modules
    }


def _copy(file: Path, folder: Path, name: str) -> Path | None:
    """The copy, None where the same content lay there already."""
    place = folder / f"{name_on_host(file.read_bytes(), name)}{file.suffix}"
    was_there = place.is_file()
    try:
        give_to_host(file, folder, name)
    except OSError as error:
        raise InputError(
            f"the LoRA can't be written here: {error.strerror or error}",
            where=str(folder),
            to_try=f"--lora-dir with a folder that may be written: {FOLDERS}",
        ) from error
    return None if was_there else place


def _advice(file: Path, name: str, folder: Path | None) -> str:
    if folder is not None:
        return f"{folder} has it, so the server looks elsewhere: {FOLDERS}"
    return (
        f"--lora-dir DIR copies it, or copy {file} yourself into the server's LoRA folder as {name}{file.suffix} and "
        f"start again ({FOLDERS})"
    )


def _prove(host: Host, request: GenerationRequest, name: str, server: str, record: Path) -> None:
    if record.is_file():
        known = read_state(record, Delivered.model_validate, "delete the file: the LoRA is proven again")
        if (known.name, known.server) == (name, server):
            return
    proof = host.prove(request, name)
    if not proof.proven:
        raise LoraWithoutEffect(
            f"the server draws the same picture with the LoRA {name!r} as without it",
            where=server,
            to_try="`lora verify FILE` says which keys the server knows; is its model of the family trained on?",
        )
    delivered = Delivered(name=name, server=server, effect=round(proof.effect, 4), noise=round(proof.noise, 4))
    make_folder(record.parent)
    write_whole(record, (delivered.model_dump_json(indent=1) + "\n").encode())


def other_base(base: str, drawer: HostDescription) -> str | None:
    """What to tell people where it is not certain that a server draws with `base`, the model that is trained on."""
    from ...core.weights import locate

    if drawer.kind == "local":
        return None
    base_path = locate(base)
    if base_path is not None and drawer.checkpoint_hash and _digest(base_path) == drawer.checkpoint_hash:
        return None
    named = f"{drawer.checkpoint} [{drawer.checkpoint_hash}]" if drawer.checkpoint_hash else drawer.checkpoint
    return (
        f"the training's base is {base}, the server draws with {named}: the server must have the same base loaded, "
        "or the LoRA is judged on a model that it was not made for"
    )


def _digest(base: Path) -> str:
    """As the hosts say it: our own that of the UNet, the WebUIs the file's."""
    from ...hosts.local import HASH_DIGITS, LocalHost

    if base.is_dir():
        return LocalHost(str(base), device="cpu").checkpoint_hash
    return sha256_of([base])[:HASH_DIGITS]
