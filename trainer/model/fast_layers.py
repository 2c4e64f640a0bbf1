"""What a CPU does slowly in a frozen UNet with adapters, done otherwise; numbers are the same to rounding.

LoRA         W x + s · B A x     as peft: two products, × s, +, copies     here: added inside the product
convolution  of few pixels       as oneDNN: reorders all weights each time  here: columns of pixels × weights
attention    in bfloat16         as flash: slow backward on a CPU           here: three products, where they fit

Measured on SD 1.5 at 256 px, one thread with AVX512-BF16: a step takes 20–24 % fewer CPU seconds with all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from .base_model import StableDiffusionParts

FEW_PIXELS = 8  # times fewer than output channels: then reordering the weights costs more than the columns
MOST_TOKENS = 1024  # whose attention is held as a matrix: 16 MB a layer of 8 heads

Forward = Callable[..., "torch.Tensor"]


def make_lean(base: StableDiffusionParts, resolution: int) -> None:
    """Gives the layers of a model on a CPU, adapters included, their cheaper forwards; `resolution` in pixels.

    They work where gradients are asked for. Elsewhere all is as it was, so that an adapter with B = 0 draws the base's
    own pictures, bit by bit.
    """
    import torch

    if base.unet.device.type != "cpu":
        return
    for part in base.parts.values():
        for layer in part.modules():
            if _is_plain_lora(layer):
                _replace_forward(layer, partial(_adapted, layer))
            elif isinstance(layer, torch.nn.Conv2d) and not layer.weight.requires_grad and _keeps_size(layer):
                _replace_forward(layer, partial(_convolved, layer, layer.forward))
    if base.unet.dtype == torch.bfloat16 and (resolution // 8) ** 2 <= MOST_TOKENS:
        base.unet.set_attn_processor(_Attention())


def _replace_forward(layer: torch.nn.Module, lean: Forward) -> None:
    forward = partial(_while_learning, lean, layer.forward)
    layer.forward = forward


def _while_learning(lean: Forward, otherwise: Forward, x: torch.Tensor, *more: Any) -> torch.Tensor:
    import torch

    return lean(x) if torch.is_grad_enabled() else otherwise(x, *more)


class _Attention:
    """diffusers' processors: three products while learning, torch's own attention otherwise."""

    def __init__(self) -> None:
        from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

        self.products, self.otherwise = AttnProcessor(), AttnProcessor2_0()

    def __call__(self, attn: Any, hidden_states: torch.Tensor, *more: Any, **named: Any) -> torch.Tensor:
        import torch

        processor: Any = self.products if torch.is_grad_enabled() else self.otherwise
        hidden: torch.Tensor = processor(attn, hidden_states, *more, **named)
        return hidden


# ── LoRA ──


def _is_plain_lora(layer: torch.nn.Module) -> bool:
    """A Linear, or a convolution of single pixels, with nothing but A and B."""
    import torch
    from peft.tuners.lora.layer import Conv2d, Linear

    if not isinstance(layer, Linear | Conv2d) or layer.lora_variant:
        return False
    base: Any = layer.get_base_layer()
    return isinstance(base, torch.nn.Linear) or bool(base.kernel_size == (1, 1) == base.stride and base.groups == 1)


def _adapted(layer: Any, x: torch.Tensor) -> torch.Tensor:
    """[…, in] → […, out], or [B, in, H, W] → [B, out, H, W]."""
    import torch

    base, (name,) = layer.get_base_layer(), layer.active_adapters
    out: torch.Tensor
    if layer.disable_adapters:
        out = base(x)
        return out
    x, pixels = x.to(base.weight.dtype), isinstance(base, torch.nn.Conv2d)
    a, b = (pair[name].weight.flatten(1).to(x.dtype) for pair in (layer.lora_A, layer.lora_B))
    rows = x.movedim(1, -1) if pixels else x
    with torch.autocast("cpu", enabled=False):  # all of it is in the weights' own format already
        apply: Any = _lora().apply
        out = apply(rows, base.weight.flatten(1), base.bias, a, b, layer.scaling[name])
    return out.movedim(-1, 1).contiguous() if pixels else out


@cache
def _lora() -> type[torch.autograd.Function]:
    """W x + bias + s · B (A x), which keeps x and A x for the backward."""
    import torch

    class LoraFunction(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *arguments: Any) -> torch.Tensor:
            x, weight, bias, a, b, scale = arguments
            rows = x.reshape(-1, x.shape[-1])
            inner = rows @ a.t()
            out = torch.nn.functional.linear(rows, weight, bias).addmm_(inner, b.t(), alpha=scale)
            ctx.save_for_backward(rows, inner, weight, a, b)
            ctx.scale, ctx.shape = scale, x.shape
            return out.view(*x.shape[:-1], -1)

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
            rows, inner, weight, a, b = ctx.saved_tensors
            out = gradients[0].reshape(-1, gradients[0].shape[-1])
            through = (out @ b).mul_(ctx.scale)
            of_x = (out @ weight).addmm_(through, a).view(ctx.shape) if ctx.needs_input_grad[0] else None
            return of_x, None, None, through.t() @ rows, (out.t() @ inner).mul_(ctx.scale), None

    return LoraFunction


# ── convolutions ──


def _keeps_size(layer: torch.nn.Conv2d) -> bool:
    """3 × 3 with a margin of one pixel, as in every block of the UNet; stride 2 halves."""
    usual = (3, 3), (1, 1), (1, 1), 1, "zeros"
    settings = layer.kernel_size, layer.padding, layer.dilation, layer.groups, layer.padding_mode
    return settings == usual and layer.bias is not None


def _convolved(layer: torch.nn.Conv2d, otherwise: Forward, x: torch.Tensor) -> torch.Tensor:
    """[B, in, H, W] → [B, out, h, w]: as columns where pixels are few, `otherwise` where they are many."""
    import torch

    assert layer.bias is not None and not isinstance(layer.padding, str)  # `_keeps_size`

    batch, _, height, width = x.shape
    height, width = (-(-side // step) for side, step in zip((height, width), layer.stride, strict=True))
    if layer.out_channels < FEW_PIXELS * batch * height * width:
        return otherwise(x)
    x = x.to(layer.weight.dtype)
    columns = torch.nn.functional.unfold(x, layer.kernel_size, padding=layer.padding, stride=layer.stride)
    weight = layer.weight.flatten(1).expand(batch, -1, -1)
    return torch.baddbmm(layer.bias[:, None], weight, columns).view(batch, -1, height, width)
