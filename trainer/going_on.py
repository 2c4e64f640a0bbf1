"""A run that goes on: beyond its last step, or from a LoRA that some run has left.

run of 30 steps, finished    ── extend 30 ──▶  steps 31 … 60, the learning rate's schedule once more
LoRA of rank 16              ── from_lora ──▶  an adapter that adds the same ΔW; rank kept, or cut and padded
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError
from ..core.progress import Progress, ProgressCallback
from .config import Extension, NetworkConfig
from .lora.file import read_lora
from .lora.peft_layers import adapters_of, write_module
from .lora.state import AdapterState, LoraModule, refuse_unusable
from .lora.tools import cut_to_rank
from .model.adapters import ADAPTER
from .results import RECORD

if TYPE_CHECKING:
    from .config import TrainConfig
    from .loop.trained_model import TrainedModel

SCALED_FACTORS = ("lora_up.weight", "hada_w1_a", "lokr_w1", "lokr_w1_a")  # ΔW is linear in each


# ── more steps ──


def as_extended(config: TrainConfig, out: Path, manifest: Mapping[str, Any] | None) -> TrainConfig:
    """`config` with the extensions that the run in `out` has had, and with one more where `extend` asks for it.

    The same command goes on with an extension that is under way: only a finished one is followed by another.
    InputError where there is no run.
    """
    if manifest is None:
        if config.extend:
            raise InputError("there is no run to extend", where=str(out), to_try="leave out --extend, and set --steps")
        return config
    extended = tuple(Extension(**row) for row in manifest["record"].get("extended", ()))
    if config.extended and config.extended != extended:
        raise InputError(
            f"this run was extended by {_listed(extended)}, not by {_listed(config.extended)}",
            where=str(out),
            to_try="leave out `extended`; --extend adds steps",
        )
    more, config = config.extend, config.model_copy(update={"extended": extended, "extend": 0})
    under_way = bool(extended) and extended[-1].steps == more and not _is_finished(out, manifest)
    if not more or under_way:
        return config
    at = manifest["step"] if _is_finished(out, manifest) else config.last_step
    return config.model_copy(update={"extended": (*extended, Extension(at=at, steps=more))})


def _is_finished(out: Path, manifest: Mapping[str, Any]) -> bool:
    """Whether the newest checkpoint is that of a run which has written its result: early, or at its last step."""
    try:
        record = json.loads((out / RECORD).read_text(encoding="utf-8"))
        return bool(record["steps"] == manifest["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _listed(extended: Iterable[Extension]) -> str:
    return ", ".join(f"{part.steps} at step {part.at}" for part in extended) or "nothing"


# ── from a LoRA ──


def with_lora_network(config: TrainConfig) -> TrainConfig:
    """`config` with the network of its `from_lora`, field by field where `network` does not say another."""
    if config.from_lora is None:
        return config
    network = network_of(read_lora(config.from_lora), config.from_lora)
    asked = {name: getattr(config.network, name) for name in config.network.model_fields_set}
    if "rank" in asked and "alpha" not in asked:
        asked["alpha"] = asked["rank"] * network.alpha / network.rank
    return config.model_copy(update={"network": NetworkConfig(**{**network.model_dump(), **asked})})


def network_of(state: AdapterState, where: Path) -> NetworkConfig:
    """The network that holds a LoRA: of mixed ranks the largest, of mixed scales the most frequent.

    InputError for a kind that training has no form of.
    """
    kinds = {(module.kind, module.dora) for module in state.modules}
    kind, dora = next(iter(kinds))
    if len(kinds) > 1 or kind == "full" or (dora and kind != "lora"):
        names = ", ".join(sorted(f"{name}{' with DoRA' if with_dora else ''}" for name, with_dora in kinds))
        raise InputError(f"training can't go on from {names}", where=str(where), to_try="a LoRA, LoHa or LoKr")
    if any("lora_mid.weight" in module.tensors for module in state.modules):
        raise InputError(
            "training can't go on from a Tucker decomposition",
            where=str(where),
            to_try="modiste lora resize makes a LoRA",
        )
    groups = {name: [module for module in state.modules if _group(module) == name] for name in ("", "conv_", "text_")}
    fields: dict[str, Any] = {"kind": kind, "dora": dora}
    if kind == "lokr" and "ss_network_dim" in state.metadata:  # its factors may be whole, and then tell no rank
        rank = int(state.metadata["ss_network_dim"])
        return NetworkConfig(kind="lokr", rank=rank, alpha=float(state.metadata.get("ss_network_alpha", rank)))
    for name, modules in groups.items():
        if modules:
            rank = max(module.rank or 1 for module in modules)
            scale = Counter(round(module.scale, 6) for module in modules).most_common(1)[0][0]
            fields |= {f"{name}rank": rank, f"{name}alpha": scale * rank}
    return NetworkConfig(**fields)


def _group(module: LoraModule) -> str:
    """Whose rank a module has: the text encoders', the 3×3 convolutions' or the UNet's, as NetworkConfig's prefix."""
    if module.part != "unet":
        return "text_"
    return "conv_" if any(name in module.path for name in ("resnets.", "downsamplers.", "upsamplers.")) else ""


def begin_with(model: TrainedModel, config: TrainConfig, progress: ProgressCallback) -> None:
    """Puts the LoRA of `from_lora` into the model's fresh adapters; those that it does not have stay at 0.

    A LoRA of a larger rank is cut to the best one of the adapter's (SVD), one of a smaller rank padded so that ΔW
    stays. InputError for one of another family, and for modules that this network has no adapter on.
    """
    file = config.from_lora
    if file is None:
        return
    state = read_lora(file)
    refuse_unusable(state, str(file))
    if state.family != model.base.family:
        raise InputError(f"the LoRA is for {state.family}, the model is {model.base.family}", where=str(file))
    layers = adapters_of(model.base.parts)
    missing = [module.key for module in state.modules if module.key not in layers]
    if missing:
        raise InputError(
            f"the LoRA has {len(missing)} modules that this run trains no adapter on: {missing[0]}",
            where=str(file),
            to_try="leave `network` out, so that it is the file's",
        )
    resized = 0
    for module in state.modules:
        layer, rank = layers[module.key], layers[module.key].r[ADAPTER]
        if module.rank is not None and module.rank != rank:
            module, resized = _with_rank(module, rank, layer, file), resized + 1
        _fill(layer, module, file)
    told = f"begins with {file.name}: {len(state.modules)} modules"
    progress(Progress("model", 1, 1, f"{told}, {resized} of them brought to this run's rank" if resized else told))


def _with_rank(module: LoraModule, rank: int, layer: Any, file: Path) -> LoraModule:
    """A LoRA module of another rank: cut by SVD, or with the fresh adapter's A and zeros of B behind its own."""
    import torch

    if module.kind != "lora":
        raise InputError(
            f"a {module.kind} of rank {module.rank} can't become one of rank {rank}",
            where=str(file),
            to_try="its own rank, or `modiste lora resize`, which makes a LoRA of it",
        )
    if (module.rank or 0) > rank:
        return cut_to_rank(module, rank)
    up, down = module.tensors["lora_up.weight"], module.tensors["lora_down.weight"]
    fresh = layer.lora_A[ADAPTER].weight.detach().to(down)[down.shape[0] :]
    padded = torch.cat([up.float(), torch.zeros((up.shape[0], rank - up.shape[1], *up.shape[2:]))], 1)
    tensors = {
        **module.tensors,
        "lora_up.weight": padded,
        "lora_down.weight": torch.cat([down, fresh.reshape(-1, *down.shape[1:])]),
    }
    return replace(module, tensors=tensors | {"alpha": torch.tensor(module.scale * rank)})


def _fill(layer: Any, module: LoraModule, file: Path) -> None:
    """Writes a module into its layer, whose own scale stays: a resume knows no other; one factor carries the rest."""
    scale = layer.scaling[ADAPTER]
    name = next(name for name in SCALED_FACTORS if name in module.tensors)
    tensors = {**module.tensors, name: module.tensors[name].float() * (module.scale / scale)}
    write_module(layer, replace(module, tensors=tensors), ADAPTER, str(file))
    layer.scaling[ADAPTER] = scale
