"""peft's adapters in living modules ↔ `AdapterState`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...checkpoints.families.configs import Family
from ...core.errors import InputError
from ...core.torchvision_ops import patch_torchvision_ops
from .names import live_path, text_path
from .state import AdapterState, Kind, LoraModule

if TYPE_CHECKING:
    import torch

HADA = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2")
LOKR = ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2")


def collect(parts: Mapping[str, torch.nn.Module], family: Family, adapter: str = "default") -> AdapterState:
    """A copy, on the CPU, of the adapter that training has put into `parts` ("unet", "text_encoder", …)."""
    modules = tuple(
        _read(part, name, layer, adapter)
        for part, module in parts.items()
        for name, layer in _adapted(module, adapter).items()
    )
    if not modules:
        raise InputError(f"there is no adapter {adapter!r} in {', '.join(parts)}")
    return AdapterState(family, modules)


def load_adapter(parts: Mapping[str, torch.nn.Module], state: AdapterState, adapter_name: str = "default") -> None:
    """Puts `state` into `parts`, injecting adapters where there are none yet: the inverse of `collect`.

    InputError for a part or module that is not there, another rank than the adapter's, or what peft has no word for
    (DoRA by columns, Tucker LoCon, `diff`).
    """
    for part in dict.fromkeys(module.part for module in state.modules):
        modules = [module for module in state.modules if module.part == part]
        if part not in parts:
            raise InputError(f"the LoRA has {len(modules)} modules of {part}, which this model lacks")
        model = parts[part]
        if not _adapted(model, adapter_name):
            _inject(model, modules, adapter_name)
        layers = _adapted(model, adapter_name)
        for module in modules:
            path = live_path(module.path, layers)
            if path is None:
                raise InputError(f"adapter {adapter_name!r} is not on {module.path}", where=part)
            write_module(layers[path], module, adapter_name)


def adapters_of(parts: Mapping[str, torch.nn.Module], adapter: str = "default") -> dict[str, Any]:
    """peft's layer of each adapted module, by `LoraModule.key`."""
    return {
        f"{part}.{name if part == 'unet' else text_path(name)}": layer
        for part, model in parts.items()
        for name, layer in _adapted(model, adapter).items()
    }


def _adapted(model: torch.nn.Module, adapter: str) -> dict[str, Any]:
    """Path → peft layer that carries the adapter."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers: dict[str, Any] = {}
    for name, layer in model.named_modules():
        if isinstance(layer, BaseTunerLayer):
            peft_layer: Any = layer  # its subclasses have `scaling` and `r`
            if adapter in peft_layer.scaling and adapter in peft_layer.r:
                layers[name.removeprefix("base_model.model.")] = peft_layer
    return layers


def _read(part: str, name: str, layer: Any, adapter: str) -> LoraModule:
    """rsLoRA's alpha / √r is written as the alpha whose alpha / r is the same: no reader knows rsLoRA."""
    import torch

    path = name if part == "unet" else text_path(name)
    rank, scaling = layer.r[adapter], float(layer.scaling[adapter])
    kind: Kind = "lora"
    if hasattr(layer, "hada_w1_a"):
        kind = "loha"
        tensors = {suffix: getattr(layer, suffix)[adapter] for suffix in HADA if _has(layer, suffix, adapter)}
    elif hasattr(layer, "lokr_w1"):
        kind = "lokr"
        tensors = {suffix: getattr(layer, suffix)[adapter] for suffix in LOKR if _has(layer, suffix, adapter)}
        if "lokr_w1" in tensors and "lokr_w2" in tensors:  # without a rank no reader scales
            tensors["lokr_w1"], rank, scaling = tensors["lokr_w1"] * scaling, 1, 1.0
    elif _has(layer, "lora_A", adapter):
        tensors = {"lora_down.weight": layer.lora_A[adapter].weight, "lora_up.weight": layer.lora_B[adapter].weight}
        if layer.lora_bias.get(adapter):
            raise InputError("a LoRA with biases has no form that hosts read", where=f"{part}.{path}")
        if _has(layer, "lora_magnitude_vector", adapter):
            magnitude = layer.lora_magnitude_vector[adapter].weight
            ones = [1] * (tensors["lora_down.weight"].dim() - 1)
            tensors["dora_scale"] = magnitude.reshape(-1, *ones)
    else:
        raise InputError(f"{type(layer).__name__} has no form that hosts read", where=f"{part}.{path}")
    copies = {suffix: tensor.detach().to("cpu", torch.float32, copy=True) for suffix, tensor in tensors.items()}
    return LoraModule(part, path, kind, copies | {"alpha": torch.tensor(rank * scaling, dtype=torch.float32)})


def _has(layer: Any, name: str, adapter: str) -> bool:
    return adapter in (getattr(layer, name, None) or {})


def _inject(model: torch.nn.Module, modules: list[LoraModule], adapter: str) -> None:
    patch_torchvision_ops()
    from peft import LoHaConfig, LoKrConfig, LoraConfig, inject_adapter_in_model

    names, forms = dict(model.named_modules()), {(module.kind, module.dora) for module in modules}
    if len(forms) > 1 or forms & {("full", False), ("full", True), ("loha", True), ("lokr", True)}:
        kinds = ", ".join(sorted(f"{kind}{' with DoRA' if dora else ''}" for kind, dora in forms))
        raise InputError(f"peft can't hold these modules in one adapter: {kinds}", where=modules[0].part)
    if missing := [module.path for module in modules if live_path(module.path, names) is None]:
        raise InputError(f"this model has no {missing[0]} ({len(missing)} modules are missing)", where=modules[0].part)
    kind, dora = forms.pop()
    ranks = {live_path(module.path, names) or module.path: module.rank or 1 for module in modules}
    common: dict[str, Any] = dict(
        r=max(ranks.values()),
        target_modules=list(ranks),
        rank_pattern={re.escape(path): rank for path, rank in ranks.items() if rank != max(ranks.values())},
    )
    if kind == "lora":
        common["use_dora"] = dora
    config = {"lora": LoraConfig, "loha": LoHaConfig, "lokr": LoKrConfig}[kind](**common)
    inject_adapter_in_model(config, model, adapter)


def write_module(layer: Any, module: LoraModule, adapter: str, fixed: str = "") -> None:
    """Puts a module and its scale into its peft layer; InputError where they do not fit.

    `fixed` names the file of a module whose factors must have the layer's shapes: its parameters are in use already.
    """
    tensors = dict(module.tensors)
    tensors.pop("alpha", None)
    layer.scaling[adapter] = module.scale
    if module.rank:
        layer.r[adapter] = module.rank
    if module.kind != "lora":
        suffixes = {"loha": HADA, "lokr": LOKR}.get(module.kind, ())
        here = {
            suffix: layer_factors[adapter].shape
            for suffix in suffixes
            if adapter in (layer_factors := getattr(layer, suffix))
        }
        if fixed and here != {suffix: tensors[suffix].shape for suffix in suffixes if suffix in tensors}:
            raise InputError(
                f"the {module.kind} of {module.key} has factors of other shapes than this run's",
                where=fixed,
                to_try="`modiste lora resize` makes a LoRA of it",
            )
        for suffix in suffixes:
            _set_parameter(getattr(layer, suffix), adapter, tensors.pop(suffix, None), layer)
    else:
        _copy(layer.lora_A[adapter].weight, tensors.pop("lora_down.weight"), module)
        _copy(layer.lora_B[adapter].weight, tensors.pop("lora_up.weight"), module)
        if "dora_scale" in tensors and _has(layer, "lora_magnitude_vector", adapter):
            _copy(layer.lora_magnitude_vector[adapter].weight, tensors.pop("dora_scale"), module)
    if tensors:
        raise InputError(f"peft's {type(layer).__name__} has no place for {', '.join(tensors)}", where=module.key)


def _copy(parameter: torch.nn.Parameter, tensor: torch.Tensor, module: LoraModule) -> None:
    if parameter.numel() != tensor.numel():
        raise InputError(
            f"the adapter here is {tuple(parameter.shape)}, the file's {tuple(tensor.shape)}",
            where=module.key,
            to_try="give both the same rank and base model",
        )
    parameter.data.copy_(tensor.reshape(parameter.shape))


def _set_parameter(factors: Any, adapter: str, tensor: torch.Tensor | None, layer: Any) -> None:
    """LoHa's and LoKr's factors: which there are depends on rank and factor, so they may come and go."""
    import torch

    if tensor is None:
        if adapter in factors:
            del factors[adapter]
    elif adapter in factors and factors[adapter].shape == tensor.shape:
        factors[adapter].data.copy_(tensor)
    else:
        like = layer.get_base_layer().weight
        factors[adapter] = torch.nn.Parameter(tensor.to(like.device, torch.float32))
