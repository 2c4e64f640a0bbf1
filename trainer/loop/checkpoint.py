"""Checkpoints that a kill at any instant leaves whole: files first, then the manifest that vouches for them.

    checkpoints/step-000200/  weights.safetensors  optimizer.safetensors  [ema.safetensors]  [best.safetensors]
                              manifest.json   ← last: names each file with its sha256; without it the folder is nothing

Randomness needs no state: every draw is counted from the seed (data/sampler.py), so step and position are enough.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ...core.files import make_folder, replace_file, sha256_of, sync_folder, write_whole

if TYPE_CHECKING:
    import torch

log = logging.getLogger("modiste")

MANIFEST = "manifest.json"
KEPT = 2
FORMAT = 1


@dataclass
class TrainState:
    """Everything that a run's future depends on, beside its config and its data."""

    step: int = 0  # updates done
    consumed: int = 0  # pictures seen, over all processes
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    ema: dict[str, torch.Tensor] = field(default_factory=dict)
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)  # JSON: losses, validations, best step, skipped steps

    def not_finite(self) -> str:
        """What of it holds NaN or infinity, so that nothing could go on from it; empty where all is finite."""
        moments = _flattened(self.optimizer)[0]
        parts = {"weights": self.weights, "averaged weights": self.ema, "optimizer's moments": moments}
        parts["weights that were kept"] = self.best
        broken = (name for name, tensors in parts.items() if not all(map(_is_finite, tensors.values())))
        return next(broken, "")


def save_checkpoint(folder: Path, state: TrainState, identity: Mapping[str, Any]) -> Path:
    """Writes `folder`/step-N and returns it; older ones go only after this one reads back whole.

    `identity` (JSON) is what a resume must find the same: config, data, base model, versions.
    """
    target = folder / f"step-{state.step:06d}"
    _remove(target)
    try:
        _write_files(target, state, identity)
        if verify(target) is None:
            raise OSError(f"the checkpoint {target} does not read back as it was written")
    except OSError:
        _remove(target)  # what is half written takes room that the disk may not have
        raise
    others = [checkpoint for checkpoint in whole_checkpoints(folder) if checkpoint != target]
    newer = [other for other in others if _order(other) > _order(target)]  # damaged: else the run had gone on from them
    older = [other for other in others if other not in newer]
    for outdated in [*newer, *older[: len(older) + 1 - KEPT]]:
        _remove(outdated)
    return target


def _write_files(target: Path, state: TrainState, identity: Mapping[str, Any]) -> None:
    make_folder(target)
    optimizer, scalars = _flattened(state.optimizer)
    parts = {"weights": state.weights, "optimizer": optimizer, "ema": state.ema, "best": state.best}
    files = {f"{name}.safetensors": _write(target / f"{name}.safetensors", t) for name, t in parts.items() if t}
    manifest = {
        "format": FORMAT,
        "step": state.step,
        "consumed": state.consumed,
        "files": files,
        "optimizer": scalars,
        "record": state.record,
        "identity": dict(identity),
    }
    # With Infinity, which is no JSON: Prodigy's settings have one, and only Python reads this file.
    write_whole(target / MANIFEST, json.dumps({**manifest, "sha256": _digest(manifest)}).encode())


def load_latest(folder: Path, identity: Mapping[str, Any], accept_versions: bool = False) -> TrainState | None:
    """The newest checkpoint that is whole, or None where there are none; a damaged one is passed over and said aloud.

    `accept_versions`: that of other library versions too. InputError with the difference where the run has become
    another one, and where all checkpoints are damaged: what they held is not begun again unasked.
    """
    checkpoints = whole_checkpoints(folder)
    for candidate in reversed(checkpoints):
        manifest = verify(candidate)
        if manifest is None:
            log.warning("the checkpoint %s is damaged; going back to the one before", candidate)
            continue
        refuse_other(manifest["identity"], identity, candidate, accept_versions)
        return _read(candidate, manifest)
    if checkpoints:
        raise InputError(
            f"each of the {len(checkpoints)} checkpoints is damaged",
            where=str(folder),
            to_try="delete that folder to begin again, or name another --out",
        )
    return None


def newest_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of the newest checkpoint that is whole; None where there is none."""
    manifests = (verify(checkpoint) for checkpoint in reversed(whole_checkpoints(folder)))
    return next((manifest for manifest in manifests if manifest is not None), None)


def whole_checkpoints(folder: Path) -> list[Path]:
    """Those with a manifest, oldest first."""
    return sorted((path.parent for path in folder.glob(f"step-*/{MANIFEST}")), key=_order)


def verify(checkpoint: Path) -> dict[str, Any] | None:
    """Its manifest, if each file is as the manifest says; else None."""
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        whole = manifest.pop("sha256") == _digest(manifest) and manifest["format"] == FORMAT
        whole = whole and all(sha256_of([checkpoint / name]) == sha for name, sha in manifest["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return manifest if whole else None


def refuse_other(old: Mapping[str, Any], new: Mapping[str, Any], where: Path, accept_versions: bool = False) -> None:
    """InputError that shows each value which is not as it was; `accept_versions` lets library versions differ."""
    before, now = _leaves(dict(old)), _leaves(json.loads(json.dumps(dict(new))))
    names = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    versions = [name for name in names if name.startswith("versions.")]
    names = [name for name in names if not (accept_versions and name in versions)]
    if names:
        changed = [f"{name}: {before.get(name, 'nothing')} → {now.get(name, 'nothing')}" for name in names]
        to_try = "the settings of before, or another --out"
        if names == versions:
            to_try = "--accept-versions goes on, and notes it in train.json; the libraries of before; or another --out"
        raise InputError(
            f"this run is not the one that the checkpoint belongs to: {'; '.join(changed)}",
            where=str(where),
            to_try=to_try,
        )


def _leaves(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {
            k: v for key, inner in value.items() for k, v in _leaves(inner, f"{name}.{key}" if name else key).items()
        }
    return {name: value}


def _read(checkpoint: Path, manifest: dict[str, Any]) -> TrainState:
    from safetensors.torch import load_file

    tensors = {Path(name).stem: load_file(checkpoint / name) for name in manifest["files"]}
    return TrainState(
        step=manifest["step"],
        consumed=manifest["consumed"],
        weights=tensors.get("weights", {}),
        optimizer=_nested(tensors.get("optimizer", {}), manifest["optimizer"]),
        ema=tensors.get("ema", {}),
        best=tensors.get("best", {}),
        record=manifest["record"],
    )


# ── an optimizer's state as tensors and JSON ──


def _flattened(state: dict[str, Any]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """A torch optimizer's state_dict as named tensors and what is left, which is JSON.

    A parameter's slots may be dicts of slots, as bitsandbytes keeps its quantised ones.
    """
    import torch

    tensors: dict[str, torch.Tensor] = {}
    scalars: dict[str, Any] = {"state": {}, "param_groups": state.get("param_groups", [])}
    for index, slots in state.get("state", {}).items():
        for name, value in _paths(slots):
            if torch.is_tensor(value):
                value = value.detach().cpu().contiguous()
                # Slots within slots share tables of quantisation, and a safetensors file holds nothing twice.
                tensors[f"{index}.{name}"] = value.clone() if "." in name else value
            else:
                scalars["state"].setdefault(str(index), {})[name] = value
    return tensors, scalars


def _paths(slots: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """`name`, or `name.inner` of a dict within, and its value."""
    for name, value in slots.items():
        if isinstance(value, dict):
            yield from _paths(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _nested(tensors: Mapping[str, torch.Tensor], scalars: Mapping[str, Any]) -> dict[str, Any]:
    slots: dict[int, dict[str, Any]] = {}
    plain = {f"{index}.{name}": value for index, values in scalars["state"].items() for name, value in values.items()}
    for path, value in {**plain, **tensors}.items():
        index, *folders, name = path.split(".")
        inside = slots.setdefault(int(index), {})
        for folder in folders:
            inside = inside.setdefault(folder, {})
        inside[name] = value
    return {"state": slots, "param_groups": scalars["param_groups"]}


def _is_finite(tensor: torch.Tensor) -> bool:
    return bool(tensor.isfinite().all())


# ── files ──


def _order(checkpoint: Path) -> tuple[int, str]:
    """Of steps: a name with more digits is a later one."""
    return len(checkpoint.name), checkpoint.name


def _remove(checkpoint: Path) -> None:
    """The manifest first: what is left of it after a kill is no checkpoint."""
    (checkpoint / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(checkpoint, ignore_errors=True)


def _digest(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _write(path: Path, tensors: Mapping[str, torch.Tensor]) -> str:
    """Temporary → fsync → replace; returns the sha256."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary)
    except SafetensorError as error:  # its word for a full disk, too
        raise OSError(f"{path.name}: {error}") from error
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    sha = sha256_of([temporary])
    replace_file(temporary, path)
    sync_folder(path.parent)
    return sha
