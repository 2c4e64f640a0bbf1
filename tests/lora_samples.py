"""Adapters with random factors: on tiny living modules, and in the shapes of the published models."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tiny_models import tiny_diffusion

from modiste.trainer.lora.state import AdapterState, LoraModule
from modiste.trainer.lora.targets import targets_of

# One block each way, so that tests stay quick: attention, resnets, a down- and an upsampler.
UNET_LAYERS = r"(down_blocks|up_blocks)\.0\..*(to_[qkv]|to_out\.0|ff\.net\.0\.proj|ff\.net\.2|proj_in|proj_out)"
CONVOLUTIONS = r"(down_blocks|up_blocks)\.0\..*(resnets\.\d+\.(conv[12]|conv_shortcut|time_emb_proj)|samplers\.0\.conv)"
TEXT_LAYERS = r".*(self_attn\.[qkv]_proj|self_attn\.out_proj|mlp\.fc[12])"
KINDS: dict[str, dict[str, Any]] = {
    "lora": dict(lora_alpha=2.0),
    "rslora": dict(lora_alpha=2.0, use_rslora=True),
    "dora": dict(lora_alpha=2.0, use_dora=True),
    "loha": dict(alpha=2.0),
    "loha-tucker": dict(alpha=2.0, use_effective_conv2d=True),
    "lokr": dict(alpha=2.0, r=4),
    "lokr-both": dict(alpha=2.0, r=1, decompose_both=True, decompose_factor=4),
    "lokr-whole": dict(alpha=2.0, r=64),
    "lokr-tucker": dict(alpha=2.0, use_effective_conv2d=True),
}


def tiny_parts(folder: Path) -> dict[str, torch.nn.Module]:
    """UNet and text encoder of a tiny Stable Diffusion 1, which is made in `folder` where it is not there yet."""
    if not folder.exists():
        tiny_diffusion(folder)
    return copy.deepcopy(_opened(folder))


@cache
def _opened(folder: Path) -> dict[str, torch.nn.Module]:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel

    return {
        "unet": UNet2DConditionModel.from_pretrained(folder / "unet"),
        "text_encoder": CLIPTextModel.from_pretrained(folder / "text_encoder"),
    }


def adapt(parts: dict[str, torch.nn.Module], kind: str, adapter: str = "default", seed: int = 0) -> None:
    """Puts a random adapter of one kind on layers of all sorts that Modiste trains, convolutions too."""
    from peft import LoHaConfig, LoKrConfig, LoraConfig, inject_adapter_in_model

    config = {"loha": LoHaConfig, "lokr": LoKrConfig}.get(kind.split("-")[0], LoraConfig)
    layers = {"unet": f"{UNET_LAYERS}|{CONVOLUTIONS}", "text_encoder": TEXT_LAYERS}
    generator = torch.Generator().manual_seed(seed)
    for part, model in parts.items():
        before = {name for name, _ in model.named_parameters()}
        options = {"r": 3, **KINDS[kind], "target_modules": layers[part]}
        inject_adapter_in_model(config(**options), model, adapter)
        for name, parameter in model.named_parameters():
            if name.replace(".base_layer", "") in before:
                continue
            if "magnitude" in name:
                parameter.data *= 1 + 0.1 * torch.rand(parameter.shape, generator=generator)
            else:
                parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)


def merged_differences(parts: dict[str, torch.nn.Module], adapter: str = "default") -> dict[str, torch.Tensor]:
    """`part.path` → what peft's own merge adds to the weight; the adapters stay unmerged."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    found = {}
    for part, model in parts.items():
        for name, layer in model.named_modules():
            if isinstance(layer, BaseTunerLayer) and adapter in layer.r:
                before = layer.get_base_layer().weight.detach().clone()
                layer.merge(adapter_names=[adapter])
                path = name if part == "unet" or name.startswith("text_model.") else f"text_model.{name}"
                found[f"{part}.{path}"] = layer.get_base_layer().weight.detach() - before
                layer.unmerge()
                layer.get_base_layer().weight.data.copy_(before)
    return found


def base_weights(parts: dict[str, torch.nn.Module]) -> dict[str, torch.Tensor]:
    """`part.path` → weight, of modules with or without adapters."""
    found = {}
    for part, model in parts.items():
        for name, parameter in model.named_parameters():
            if name.endswith(".weight"):
                path = name.removesuffix(".weight").removesuffix(".base_layer")
                found[f"{part}.{path if part == 'unet' else 'text_model.' + path.removeprefix('text_model.')}"] = (
                    parameter
                )
    return found


@cache
def random_lora(family: str, kind: str = "lora", resnets: bool = True, rank: int = 2, seed: int = 0) -> AdapterState:
    """A LoRA of all that sd-scripts trains, in the shapes of the published model; `kind`: lora, dora, loha, lokr."""
    generator = torch.Generator().manual_seed(seed)

    def factor(*shape: int, size: float = 1.0) -> torch.Tensor:
        return size * torch.randn(shape, generator=generator)

    modules = []
    for part, shapes in targets_of(family).shapes.items():
        for path, shape in shapes.items():
            wanted = "attentions." in path or ".layers." in path
            if not wanted and not (resnets and ("resnets." in path or "samplers." in path)):
                continue
            out, width, kernel = shape[0], shape[1], shape[2:]
            flat = width * (kernel[0] * kernel[1] if kernel else 1)
            tensors = {"alpha": torch.tensor(1.0)}
            if kind in ("lora", "dora"):
                tensors["lora_down.weight"] = factor(rank, width, *kernel)
                tensors["lora_up.weight"] = factor(out, rank, *(1 for _ in kernel), size=0.02)
            elif kind == "loha":
                tensors |= {f"hada_w{n}_a": factor(out, rank, size=0.1) for n in (1, 2)}
                tensors |= {f"hada_w{n}_b": factor(rank, flat, size=0.1) for n in (1, 2)}
            else:
                tensors["lokr_w1"] = factor(4, 4, size=0.1)
                tensors |= {"lokr_w2_a": factor(out // 4, rank), "lokr_w2_b": factor(rank, flat // 4)}
            if kind == "dora":
                tensors["dora_scale"] = 1 + factor(out, *(1 for _ in shape[1:]), size=0.05)
            modules.append(LoraModule(part, path, "lora" if kind == "dora" else kind, tensors))
    return AdapterState(family, tuple(modules))


def small_lora(metadata: dict[str, str] | None = None) -> AdapterState:
    """A LoRA of two layers of a Stable Diffusion 1, made in a millisecond: where any file will do."""
    block, modules = "down_blocks.0.attentions.0.transformer_blocks.0", []
    for layer, width in (("attn1.to_q", 320), ("attn2.to_k", 768)):
        generator = torch.Generator().manual_seed(width)
        up, down = torch.randn((320, 2), generator=generator), torch.randn((2, width), generator=generator)
        tensors = {"lora_up.weight": up, "lora_down.weight": down, "alpha": torch.tensor(2.0)}
        modules.append(LoraModule("unet", f"{block}.{layer}", "lora", tensors))
    return AdapterState("sd1", tuple(modules), metadata or {})
