"""Puts a trainable adapter on a frozen model, or frees all of the UNet.

        ┌── W, frozen ──────────────┐
x ──────┤                           ├─ + ── h        A: rank × in, random    B: out × rank, 0
        └── A ── B ── alpha / rank ─┘
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...core.torchvision_ops import patch_torchvision_ops
from ..seeding import seed_for
from .fast_layers import make_lean

if TYPE_CHECKING:
    import torch

    from ..config import NetworkConfig, TrainConfig
    from .base_model import StableDiffusionParts

ADAPTER = "default"
# Attention, feed-forward and the projections around them: 192 layers in SD 1.5, those of kohya's LoRA.
UNET_LAYERS = r".*transformer_blocks\..*\.(to_q|to_k|to_v|to_out\.0|ff\.net\.0\.proj|ff\.net\.2)"
UNET_BLOCKS = {"down": "down_blocks", "mid": "mid_block", "up": "up_blocks"}
UNET_PROJECTIONS = r".*attentions\.\d+\.(proj_in|proj_out)"
UNET_CONVOLUTIONS = r".*(resnets\.\d+\.conv[12]|downsamplers\.0\.conv|upsamplers\.0\.conv)"
TEXT_LAYERS = r".*(self_attn\.(q_proj|k_proj|v_proj|out_proj)|mlp\.fc[12])"


def trainable(base: StableDiffusionParts, config: TrainConfig) -> dict[str, torch.nn.Parameter]:
    """Name → parameter of all that the run changes, in float32; names begin with the part.

    The adapter's start depends on the seed alone.
    """
    import torch

    if config.method == "full":
        base.unet.requires_grad_(True).float()
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(config.seed, "adapter"))
            add_adapters(base, config.network)
        if not (config.network.dropout or config.network.rank_dropout):  # which the cheaper forwards know nothing of
            make_lean(base, config.data.resolution)
    parameters = {
        f"{part}.{name}": parameter
        for part, module in base.parts.items()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }
    for parameter in parameters.values():
        parameter.data = parameter.data.float()
    return parameters


def add_adapters(base: StableDiffusionParts, network: NetworkConfig) -> None:
    """Injects the adapter by peft into UNet and, where asked, text encoders."""
    patch_torchvision_ops()
    from peft import inject_adapter_in_model

    convolutions = f"|{UNET_CONVOLUTIONS}" if network.conv_rank else ""
    blocks = "|".join(UNET_BLOCKS[block] for block in network.blocks)
    layers = f"^(?=({blocks})\\.)({UNET_LAYERS}|{UNET_PROJECTIONS}{convolutions})$"
    exceptions = (
        {UNET_CONVOLUTIONS: (network.conv_rank, network.conv_alpha or network.conv_rank)} if network.conv_rank else {}
    )
    inject_adapter_in_model(_peft_config(network, layers, network.rank, network.alpha, exceptions), base.unet, ADAPTER)
    if network.text_rank:
        alpha = network.text_alpha or network.text_rank
        text = _peft_config(network, f"^({TEXT_LAYERS})$", network.text_rank, alpha, {})
        for encoder in base.text_encoders:
            inject_adapter_in_model(text, encoder, ADAPTER)


def _peft_config(
    network: NetworkConfig, layers: str, rank: int, alpha: Any, exceptions: Mapping[str, tuple[int, float]]
) -> Any:
    """`exceptions`: pattern → rank and alpha of layers that have others. peft annotates int, and takes fractions."""
    from peft import LoHaConfig, LoKrConfig, LoraConfig

    common: dict[str, Any] = dict(
        r=rank,
        target_modules=layers,
        rank_pattern={pattern: of_these for pattern, (of_these, _) in exceptions.items()},
        alpha_pattern={pattern: of_these for pattern, (_, of_these) in exceptions.items()},
    )
    if network.kind == "loha":
        return LoHaConfig(**common, alpha=alpha)
    if network.kind == "lokr":
        return LoKrConfig(**common, alpha=alpha)
    return LoraConfig(
        **common, lora_alpha=alpha, use_rslora=network.rslora, use_dora=network.dora, lora_dropout=network.dropout
    )


class adapters_disabled:
    """Inside `with`, the adapters are off: what the base model itself would say."""

    def __init__(self, base: StableDiffusionParts):
        from peft.tuners.tuners_utils import BaseTunerLayer

        self.layers = [
            layer for part in base.parts.values() for layer in part.modules() if isinstance(layer, BaseTunerLayer)
        ]

    def __enter__(self) -> None:
        for layer in self.layers:
            layer.enable_adapters(False)

    def __exit__(self, *error: object) -> None:
        for layer in self.layers:
            layer.enable_adapters(True)
