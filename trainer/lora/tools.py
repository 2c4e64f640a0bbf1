"""What one does with finished LoRA files: look inside, make smaller, merge into a model, cut out of a model."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...checkpoints.families.configs import PARTS, Family, configs_in, family_of_unet
from ...core.errors import InputError
from ...core.files import TEMPORARY, make_folder
from .file import Dtype, read_lora, write_lora
from .model_weights import change_checkpoint, change_folder, part_weights
from .state import AdapterState, LoraModule, delta_weight, refuse_unusable
from .targets import targets_of

if TYPE_CHECKING:
    import torch

# What hosts adapt; embeddings and norms have no LoRA, and conv_in, conv_out and time embeddings no hosts that agree.
ADAPTABLE = ("attentions.", "resnets.", "downsamplers.", "upsamplers.", "self_attn.", "mlp.")


def inspect(path: Path) -> dict[str, Any]:
    """What a file holds, as JSON could say it; `norms` are Frobenius norms of ΔW by module.

    They are None for DoRA, and where a module holds NaN or infinity: `not_finite` names those.
    """
    state = read_lora(path)
    not_finite = [module.key for module in state.modules if not _finite(module)]
    norms = {module.key: None if module.dora or module.key in not_finite else _norm(module) for module in state.modules}
    known = [norm for norm in norms.values() if norm is not None]
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "family": state.family,
        "modules": dict(Counter(module.part for module in state.modules)),
        "kinds": dict(Counter(f"{module.kind}{'+dora' if module.dora else ''}" for module in state.modules)),
        "convolutions": sum(len(module.shape) == 4 and module.shape[-1] > 1 for module in state.modules),
        "ranks": _counted(module.rank for module in state.modules),
        "alphas": _counted(module.alpha for module in state.modules),
        "scales": _counted(round(module.scale, 6) for module in state.modules),
        "dtypes": _counted(
            str(tensor.dtype).removeprefix("torch.")
            for module in state.modules
            for name, tensor in module.tensors.items()
            if name not in ("alpha", "dora_scale")
        ),
        "untrained": [module.key for module in state.modules if module.changes_nothing],
        "not_finite": not_finite,
        "norm": sum(norm**2 for norm in known) ** 0.5,
        "norms": norms,
        "metadata": dict(state.metadata),
    }


def _finite(module: LoraModule) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in module.tensors.values())


def _norm(module: LoraModule) -> float:
    """‖BA‖² = tr(BᵀB · AAᵀ): r × r in place of out × in."""
    if module.kind != "lora" or "lora_mid.weight" in module.tensors:
        return float(delta_weight(module).norm())
    up, down = (module.tensors[f"lora_{side}.weight"].double().flatten(1) for side in ("up", "down"))
    return abs(module.scale) * float(((up.T @ up) * (down @ down.T)).sum().clamp(min=0).sqrt())


def _counted(values: Any) -> dict[str, int]:
    return {str(value): n for value, n in Counter(values).most_common()}


def merge(lora: Path, strength: float, model: Path, out: Path) -> None:
    """Writes `model` with W + strength · ΔW; strength 0 leaves every weight as it is, to the bit.

    `model` is a diffusers folder (`out` becomes one) or a host's .safetensors checkpoint (`out` becomes one). Weights
    keep their number format. InputError where the LoRA has a module that the model lacks, or `out` is there already.
    """
    state = read_lora(lora)
    refuse_unusable(state, str(lora))
    if out.exists():
        raise InputError("there is something already", where=str(out), to_try="name a new place")
    make_folder(out.parent)
    changes = {(module.part, module.path): _adding(module, strength) for module in state.modules}
    if model.is_file():
        change_checkpoint(model, out, state.family, changes)
        return
    family = family_of_unet(configs_in(model)["unet"])
    if family != state.family:
        raise InputError(f"the LoRA is for {state.family}, the model is {family}", where=str(model))
    beside = out.with_name(f"{out.name}.{os.getpid()}{TEMPORARY}")
    try:
        shutil.copytree(model, beside)
        for part in dict.fromkeys(module.part for module in state.modules):
            change_folder(beside, part, {path: change for (of, path), change in changes.items() if of == part})
        beside.replace(out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _adding(module: LoraModule, strength: float) -> Any:
    def added(weight: torch.Tensor) -> torch.Tensor:
        if strength == 0:
            return weight
        return (weight.float() + strength * delta_weight(module, weight)).to(weight.dtype)

    return added


def resize(path: Path, out: Path, tolerance: float = 0.05, dtype: Dtype = "float16") -> dict[str, int]:
    """Writes the LoRA with the smallest rank per module that loses at most `tolerance` of ΔW's Frobenius norm.

    The best approximation of a rank is the truncated SVD, and what it loses is √Σ σᵢ² over the singular values cut
    off: Eckart & Young, Psychometrika 1 (1936). LoHa and LoKr become LoRA; the trigger and all metadata stay. Returns
    `part.path` → rank. InputError for DoRA of other kinds than LoRA, and for `diff`.
    """
    if not 0 <= tolerance < 1:
        raise InputError(
            f"tolerance is {tolerance:g}; it must be between 0 and 1",
            to_try="0.05 loses at most 5 % of a change's norm",
        )
    state = read_lora(path)
    refuse_unusable(state, str(path))
    modules = tuple(_resized(module, tolerance, _kernel(state.family, module)) for module in state.modules)
    ranks = {module.key: module.rank or 0 for module in modules}
    most = max(ranks.values())
    metadata = {
        **state.metadata,
        "ss_network_dim": str(most),
        "ss_network_alpha": str(float(most)),
        "modiste.resized": f"tolerance {tolerance} from {state.metadata.get('sshs_model_hash', path.name)}",
    }
    write_lora(AdapterState(state.family, modules), out, metadata, dtype, allow_zero=True)
    return ranks


def _kernel(family: Family, module: LoraModule) -> tuple[int, ...]:
    """The kernel of the layer (kh, kw), as the published model has it; empty for a Linear."""
    return targets_of(family).shapes.get(module.part, {}).get(module.path, ())[2:]


def _resized(module: LoraModule, tolerance: float, kernel: tuple[int, ...]) -> LoraModule:
    """The module as LoRA; `kernel` is the convolution's, which LoHa and LoKr may hold within `in`."""
    if module.kind == "full" or (module.dora and module.kind != "lora"):
        raise InputError(f"a {module.kind} can't be resized", where=module.key)
    svd, shape, kept = _decomposed(module, kernel)
    sigma = svd[1]
    lost = sigma.square().flip(0).cumsum(0).flip(0).sqrt()  # lost[k]: by keeping the first k
    rank = max(1, int((lost > tolerance * sigma.norm()).sum()))
    return _low_rank(module.part, module.path, svd, rank, shape, kept)


def cut_to_rank(module: LoraModule, rank: int) -> LoraModule:
    """The best approximation of a LoRA module by a smaller rank, its scale 1; DoRA's magnitudes stay."""
    svd, shape, kept = _decomposed(module, ())
    return _low_rank(module.part, module.path, svd, rank, shape, kept)


def _decomposed(module: LoraModule, kernel: tuple[int, ...]) -> tuple[Any, tuple[int, ...], Any]:
    """The SVD (u, σ, vᵀ) of ΔW, its shape, and the magnitudes that stay beside it."""
    import torch

    kept = {"dora_scale": module.tensors["dora_scale"]} if module.dora else {}
    if module.kind == "lora" and "lora_mid.weight" not in module.tensors:
        up = module.scale * module.tensors["lora_up.weight"].double().flatten(1)
        down = module.tensors["lora_down.weight"].double()
        (q_up, r_up), (q_down, r_down) = torch.linalg.qr(up), torch.linalg.qr(down.flatten(1).T)
        u, sigma, vh = torch.linalg.svd(r_up @ r_down.T)
        u, vh, shape = q_up @ u, vh @ q_down.T, (up.shape[0], *down.shape[1:])
    else:
        delta = delta_weight(module).double()
        if kernel and delta.dim() == 2:
            delta = delta.reshape(delta.shape[0], -1, *kernel)
        u, sigma, vh = torch.linalg.svd(delta.flatten(1), full_matrices=False)
        shape = tuple(delta.shape)
    return (u, sigma, vh), shape, kept


def _low_rank(
    part: str, path: str, svd: Any, rank: int, shape: tuple[int, ...], kept: dict[str, torch.Tensor] | None = None
) -> LoraModule:
    """√σ goes to both sides, so that float16 holds either; alpha = rank, a scale of 1."""
    import torch

    u, sigma, vh = svd
    root = sigma[:rank].clamp(min=0).sqrt()
    ones = [1] * (len(shape) - 2)
    tensors = {
        "lora_up.weight": (u[:, :rank] * root).reshape(shape[0], rank, *ones).float(),
        "lora_down.weight": (root[:, None] * vh[:rank]).reshape(rank, *shape[1:]).float(),
        "alpha": torch.tensor(float(rank)),
    }
    return LoraModule(part, path, "lora", tensors | (kept or {}))


def extract(base: Path, tuned: Path, rank: int, out: Path, dtype: Dtype = "float16") -> dict[str, Any]:
    """Writes what a full fine-tune has changed as a LoRA: the truncated SVD of each weight's difference.

    Both are diffusers folders of module family. Modules that are equal in both are left out. Returns how many `modules`
    there are, the `error` (share of the change's Frobenius norm that is lost), and `left_out`: weights that changed
    and that no LoRA holds. InputError where nothing differs.
    """
    family: Family = family_of_unet(configs_in(base)["unet"])
    if family != family_of_unet(configs_in(tuned)["unet"]):
        raise InputError("the two models are of two families", where=f"{base}, {tuned}")
    modules, left_out, lost, whole = [], [], 0.0, 0.0
    for part in PARTS:
        if not (base / part).is_dir() or not (tuned / part).is_dir():
            continue
        before, after = part_weights(base, part), part_weights(tuned, part)
        for path in sorted(before.keys() & after.keys()):
            difference = after[path].double() - before[path].double()
            if not difference.any():
                continue
            if difference.dim() < 2 or not any(name in path for name in ADAPTABLE):
                left_out.append(f"{part}.{path}")
                continue
            module, sigma = _extracted(part, path, difference, rank)
            modules.append(module)
            whole += float(sigma.square().sum())
            lost += float(sigma[module.rank :].square().sum())
    if not modules:
        raise InputError("the two models are equal in all that a LoRA can hold", where=f"{base}, {tuned}")
    state = AdapterState(family, tuple(modules))
    metadata = {
        "ss_output_name": out.stem,
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(float(rank)),
        "ss_v2": str(family == "sd2"),
        "ss_base_model_version": {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0"}[family],
        "ss_sd_model_name": base.name,
    }
    write_lora(state, out, metadata, dtype)
    return {"modules": len(modules), "error": (lost / whole) ** 0.5, "left_out": left_out}


def _extracted(part: str, path: str, difference: torch.Tensor, rank: int) -> tuple[LoraModule, torch.Tensor]:
    import torch

    u, sigma, vh = torch.linalg.svd(difference.flatten(1), full_matrices=False)
    there = max(1, int((sigma > sigma[0] * 1e-12).sum()))
    return _low_rank(part, path, (u, sigma, vh), min(rank, there), tuple(difference.shape)), sigma


def bake(path: Path, model: Path, out: Path, dtype: Dtype = "float16") -> None:
    """Writes a DoRA as full differences, which A1111, Forge and ComfyUI apply exactly at strength 1.

    Those programs each have their own reading of DoRA's magnitudes, and none has peft's (see verify.py). The file
    is as large as the layers themselves. `model` is the diffusers folder of its base. diffusers reads no differences.
    """
    state = read_lora(path)
    weights = {part: part_weights(model, part) for part in dict.fromkeys(module.part for module in state.modules)}
    modules = tuple(
        LoraModule(
            module.part, module.path, "full", {"diff": delta_weight(module, weights[module.part].get(module.path))}
        )
        if module.dora
        else module
        for module in state.modules
    )
    write_lora(AdapterState(state.family, modules), out, state.metadata, dtype)
