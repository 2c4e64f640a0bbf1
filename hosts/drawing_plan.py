"""How a model is drawn with in the memory that is free: number format, what waits on the CPU, pictures at once.

    all on the device → VAE in slices and tiles → parts moved as they are needed → layer by layer
                                                  (diffusers' model offload)       (sequential offload)

What a family needs is arithmetic from its published sizes: weights to the byte, activations as ESTIMATED here. A device
that says otherwise by running out of memory is believed: `Plan.less` is the next step down.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ..checkpoints.families.configs import Family
from ..core.device import GIB, choose_dtype, has_native_bf16
from .errors import OutOfMemory

Offload = Literal["none", "model", "sequential"]

# Weights of the published models, in millions: UNet, text encoders, VAE.
WEIGHTS: dict[Family, tuple[float, float, float]] = {
    "sd1": (859.5, 123.1, 83.7),
    "sd2": (865.9, 340.4, 83.7),
    "sdxl": (2567.5, 123.1 + 694.7, 83.7),
}
# ESTIMATED, GiB in half precision: a UNet step with guidance at 512×512 px, decoding 512×512 px whole, and one tile.
STEP_GIB: dict[Family, float] = {"sd1": 0.55, "sd2": 0.55, "sdxl": 0.45}
DECODE_GIB, TILE_GIB = 1.2, 0.5
AREA = 512 * 512
SPARE_GIB = 0.4  # of what is free, for the driver's and torch's own
LAYER_SHARE = 0.06  # of the UNet's weights that sequential offload holds at once
MOST_AT_ONCE = 16
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class DrawingPlan:
    """How a batch is drawn. `batch` is the most pictures at once."""

    dtype: str
    batch: int
    vae_slicing: bool = False
    vae_tiling: bool = False
    offload: Offload = "none"
    attention_slicing: bool = False

    def less(self) -> DrawingPlan | None:
        """The next plan that takes less memory: half the batch, then slices and tiles, then offload; None: no less."""
        if self.batch > 1:
            return replace(self, batch=self.batch // 2, vae_slicing=True)
        if not self.vae_tiling:
            return replace(self, vae_slicing=True, vae_tiling=True)
        if self.offload == "none":
            return replace(self, offload="model")
        if self.offload == "model":
            return replace(self, offload="sequential", attention_slicing=True)
        return None

    def within(self, most: DrawingPlan) -> DrawingPlan:
        """This plan with no more than `most` at once and nothing that `most` saves left out."""
        order = ("none", "model", "sequential")
        return replace(
            self,
            batch=min(self.batch, most.batch),
            vae_slicing=self.vae_slicing or most.vae_slicing,
            vae_tiling=self.vae_tiling or most.vae_tiling,
            offload=max(self.offload, most.offload, key=order.index),
            attention_slicing=self.attention_slicing or most.attention_slicing,
        )

    @property
    def saves(self) -> bool:
        """Whether anything is slower for the sake of memory."""
        return self.vae_tiling or self.attention_slicing or self.offload != "none"

    @property
    def text(self) -> str:
        """`float16, 2 pictures at once, VAE in tiles, parts moved as they are needed`."""
        at_once = "1 picture at once" if self.batch == 1 else f"{self.batch} pictures at once"
        moved = {"model": "parts moved as they are needed", "sequential": "layer by layer (slow)"}
        words = [self.dtype, at_once, *["VAE in tiles"] * self.vae_tiling]
        return ", ".join([*words, *([moved[self.offload]] if self.offload != "none" else [])])


def needed_gib(plan: DrawingPlan, family: Family, pixels: int) -> float:
    """What drawing `plan.batch` pictures of so many pixels takes of a device, in GiB, weights among it."""
    scale = BYTES[plan.dtype] / 2
    unet, texts, vae = (millions * 1e6 * BYTES[plan.dtype] / GIB for millions in WEIGHTS[family])
    size = pixels / AREA
    step = STEP_GIB[family] * plan.batch * size * scale
    decoded_at_once = 1 if plan.vae_slicing else plan.batch
    # SDXL's VAE overflows in float16 and decodes in float32.
    decode_scale = 2.0 if family == "sdxl" and plan.dtype == "float16" else scale
    decode = decode_scale * DECODE_GIB * decoded_at_once * size
    if plan.vae_tiling:
        decode = decode_scale * min(TILE_GIB, DECODE_GIB * size)
    if plan.offload == "none":
        return unet + texts + vae + max(step, decode)
    if plan.offload == "model":
        return max(unet + step, texts, vae + decode)
    return max(unet * LAYER_SHARE + step, vae + decode)


def plan_drawing(
    family: Family, pixels: int, free_gib: float, dtype: str = "float16", low_memory: bool = False
) -> DrawingPlan:
    """The fastest plan for `free_gib` of a device; `low_memory` begins with parts that are moved, one picture at once.

    Where nothing fits by the arithmetic it is the smallest one: the device has the last word.
    """
    room = free_gib - SPARE_GIB
    plan = DrawingPlan(dtype, MOST_AT_ONCE)
    if low_memory:
        plan = DrawingPlan(dtype, 1, vae_slicing=True, vae_tiling=True, offload="model")
    while needed_gib(plan, family, pixels) > room:
        smaller = plan.less()
        if smaller is None:
            return plan
        plan = smaller
    return plan


def no_less(plan: DrawingPlan, size: str, device: str, dtype: str) -> OutOfMemory:
    """The error where a picture of `size` finds no memory even by the plan that takes the least."""
    advice = ["close other programs", "a smaller --width and --height"]
    if device != "cpu":
        advice += [*["--dtype float16"] * (dtype == "float32"), "--device cpu"]
    return OutOfMemory(
        f"the device has too little memory for one picture of {size}, drawn with the least there is a way to",
        where=f"{device}: {plan.text}",
        to_try=", ".join(advice[:-1]) + f", or {advice[-1]}",
    )


def dtype_name(device: str, name: str, low_memory: bool) -> str:
    """The number format by its name; on a CPU that multiplies bfloat16 itself, what saves memory takes that."""
    if name == "auto" and low_memory and device == "cpu" and has_native_bf16():
        return "bfloat16"
    return str(choose_dtype(device, name)).removeprefix("torch.")
