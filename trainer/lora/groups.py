"""What a LoRA file holds, whatever its names and kinds: each module's tensors together, and what is wrong with them.

`state.py` computes with LoRA, DoRA, LoHa, LoKr and full differences. Of the other kinds that LyCORIS writes it is known
here how they are told and which layers they fit:

ia3    w ⊙ W by rows, or by columns               Liu et al., "T-Few" (NeurIPS 2022)
glora  b1 b2 + W a1 a2                            Chavan et al., "GLoRA" (arXiv 2306.07967)
oft    R W, R of orthogonal blocks                Qiu et al., "OFT" (NeurIPS 2023)
boft   R in butterfly factors                     Liu et al., "BOFT" (ICLR 2024)
norm   a difference of a norm's weight and bias
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from .names import parse_kohya_name
from .state import Kind, LoraModule, kind_of, misfit

if TYPE_CHECKING:
    import torch

FileKind = Kind | Literal["ia3", "glora", "oft", "boft", "norm"]
GLORA = ("a1.weight", "a2.weight", "b1.weight", "b2.weight")
# A suffix as some program writes it → kohya's or LyCORIS'; "weight" is the end of many others, so it is the last.
SPELLINGS = {
    "_lora.up.weight": "lora_up.weight",  # behind the name without a dot: diffusers' old attention processors
    "_lora.down.weight": "lora_down.weight",
    "lora_up.weight": "lora_up.weight",
    "lora_down.weight": "lora_down.weight",
    "lora_B.weight": "lora_up.weight",
    "lora_A.weight": "lora_down.weight",
    "lora.up.weight": "lora_up.weight",
    "lora.down.weight": "lora_down.weight",
    "lora_linear_layer.up.weight": "lora_up.weight",
    "lora_linear_layer.down.weight": "lora_down.weight",
    **{name: name for name in ("lora_mid.weight", "alpha", "dora_scale", "diff", "hada_t1", "hada_t2", "lokr_t2")},
    **{f"hada_w{n}_{side}": f"hada_w{n}_{side}" for n in (1, 2) for side in "ab"},
    **{f"lokr_w{n}{side}": f"lokr_w{n}{side}" for n in (1, 2) for side in ("", "_a", "_b")},
    **{name: name for name in (*GLORA, "oft_blocks", "oft_diag", "rescale", "w_norm", "b_norm", "diff_b", "on_input")},
    "weight": "weight",
}
# A factor → those that ComfyUI and Forge read with it, there or not (comfy/weight_adapter, comfyui_lora_collection).
TAKEN_FOR_GRANTED = {
    "lora_up.weight": ("lora_down.weight",),
    "hada_w1_a": ("hada_w1_b", "hada_w2_a", "hada_w2_b"),
    "a1.weight": GLORA,
}
# Names that only models beyond SD 1, 2 and XL have: a module's name in a file → who has such modules.
OTHER_MODELS = {
    r"(lora_unet_|lora_transformer_|diffusion_model\.|transformer\.)?(double_blocks|single_blocks)[._]\d+[._]": "FLUX",
    r"(lora_)?transformer[._]single_transformer_blocks[._]\d+[._]": "FLUX",
    r"(lora_unet_|diffusion_model\.)?joint_blocks[._]\d+[._]": "Stable Diffusion 3",
    r"(lora_unet_|diffusion_model[._]|transformer[._])?transformer_blocks[._]\d+[._](attn|img_mlp|img_mod|txt_mlp)": (
        "a diffusion transformer, such as Qwen-Image or Stable Diffusion 3"
    ),
    r"(lora_unet_|lycoris_|diffusion_model\.|transformer\.)?(blocks|layers)[._]\d+[._]": "a diffusion transformer",
}


@dataclass
class ModuleGroup:
    """The tensors of one name: `keys` as in the file, `tensors` by kohya's suffix, `spelt` as the file spells them."""

    name: str
    keys: list[str] = field(default_factory=list)
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    spelt: set[str] = field(default_factory=set)

    @property
    def kind(self) -> FileKind | None:
        """None where the tensors are no whole adapter."""
        kind = kind_of(self.tensors)
        if kind is not None:
            return kind
        if set(GLORA) <= self.tensors.keys():
            return "glora"
        blocks = self.oft_blocks
        if blocks is not None and blocks.dim() in (3, 4):
            return "boft" if blocks.dim() == 4 else "oft"
        if "w_norm" in self.tensors:
            return "norm"
        return "ia3" if {"weight", "on_input"} <= self.tensors.keys() else None

    @property
    def module(self) -> LoraModule | None:
        """None where the tensors are no whole adapter, or of a kind that ΔW is not computed of."""
        kind = kind_of(self.tensors)
        part, path = parse_kohya_name(self.name) or ("unet", self.name)
        return LoraModule(part, path, kind, self.tensors) if kind else None

    @property
    def misfit(self) -> str:
        """Why no program can apply it: factors that do not fit each other; else empty."""
        return misfit(self.module) if self.module else ""

    @property
    def not_finite(self) -> str:
        """The suffix of a tensor with NaN or infinity; else empty."""
        return next((suffix for suffix, tensor in self.tensors.items() if not bool(tensor.isfinite().all())), "")

    @property
    def lacks(self) -> str:
        """The suffix of a factor that ComfyUI and Forge take for granted beside another one that is there; else empty.

        Neither asks whether it is there: loading ends with an error, of LoKr drawing does.
        """
        for first, others in TAKEN_FOR_GRANTED.items():
            if first in self.tensors:
                return next((name for name in others if name not in self.tensors), "")
        if self.kind is None and any(name.startswith("lokr_") for name in self.tensors):
            return "lokr_w1 or lokr_w2"
        return ""

    @property
    def changes_nothing(self) -> bool:
        """Whether a factor of ΔW is 0 everywhere, as an untrained B is; also where all tensors of another kind are."""
        if self.module is not None:
            return not self.misfit and self.module.changes_nothing
        return bool(self.tensors) and not any(bool(tensor.any()) for tensor in self.tensors.values())

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether it can be applied to a weight of this shape, (out, in, …) or (channels,)."""
        kind, tensors = self.kind, self.tensors
        if kind is None or self.misfit:
            return False
        if self.module is not None:
            return math.prod(self.module.shape) == math.prod(shape)
        if kind == "norm":
            return tensors["w_norm"].numel() == math.prod(shape)
        if len(shape) < 2:
            return False
        if kind == "ia3":
            return tensors["weight"].numel() == (shape[1] if bool(tensors["on_input"].any()) else shape[0])
        if kind == "glora":
            return _glora_is_old(tensors, shape) or _glora_is_new(tensors, shape)
        blocks = self.oft_blocks
        return blocks is not None and blocks.shape[-3] * blocks.shape[-1] == shape[0]

    @property
    def oft_blocks(self) -> torch.Tensor | None:
        """OFT's blocks (number, side, side), BOFT's (factors, number, side, side), under either of their names."""
        return self.tensors.get("oft_blocks", self.tensors.get("oft_diag"))

    @property
    def exceeds_alpha(self) -> bool:
        """Whether a rotation's ‖Q‖, Q the blocks' skew part, is above its alpha; an alpha of 0 sets no limit."""
        blocks, alpha = self.oft_blocks, self.tensors.get("alpha")
        if blocks is None or alpha is None or alpha.numel() != 1 or float(alpha) <= 0:
            return False
        return float((blocks - blocks.transpose(-1, -2)).float().norm()) > float(alpha)

    @property
    def rescales(self) -> bool:
        """Whether a rotation's rows are scaled too."""
        return "rescale" in self.tensors and bool((self.tensors["rescale"] != 1).any())

    def glora_is_old(self, shape: tuple[int, ...]) -> bool:
        """Whether it is GLoRA of LyCORIS before 3.0: W a2 a1 + b2 b1, where the newer form is W a1 a2 + b1 b2."""
        return self.kind == "glora" and _glora_is_old(self.tensors, shape)


def _glora_is_old(tensors: Mapping[str, torch.Tensor], shape: tuple[int, ...]) -> bool:
    """a1 (r, in), a2 (in, r), b1 (r, in · kernel), b2 (out, r)."""
    a1, a2, b1, b2 = (tensors[name].flatten(1) if tensors[name].dim() > 1 else None for name in GLORA)
    if a1 is None or a2 is None or b1 is None or b2 is None:
        return False
    inner, rank = math.prod(shape[1:]), a1.shape[0]
    return (b2.shape, b1.shape) == ((shape[0], rank), (rank, inner)) and (a2.shape[0], a2.shape[1]) == (inner, rank)


def _glora_is_new(tensors: Mapping[str, torch.Tensor], shape: tuple[int, ...]) -> bool:
    """a1 (in, r), a2 (r, in), b1 (out, r), b2 (r, in · kernel)."""
    a1, a2, b1, b2 = (tensors[name].flatten(1) if tensors[name].dim() > 1 else None for name in GLORA)
    if a1 is None or a2 is None or b1 is None or b2 is None:
        return False
    rank = a2.shape[0]
    return (b1.shape, b2.shape) == ((shape[0], rank), (rank, math.prod(shape[1:]))) and a1.shape == (shape[1], rank)


def grouped(tensors: Mapping[str, Any]) -> dict[str, ModuleGroup]:
    """Name → its tensors: what stands before a suffix that some reader knows, or before the first dot."""
    groups: dict[str, ModuleGroup] = {}
    for key, tensor in tensors.items():
        form = next((spelling for spelling in SPELLINGS if key.endswith(_ending(spelling))), None)
        name = key.removesuffix(_ending(form)) if form else key.partition(".")[0]
        group = groups.setdefault(name, ModuleGroup(name))
        group.keys.append(key)
        group.spelt.add(form or key[len(name) + 1 :])
        if form:
            group.tensors[SPELLINGS[form]] = tensor
    return groups


def _ending(spelling: str) -> str:
    return spelling if spelling.startswith("_") else f".{spelling}"


def other_model(names: Iterable[str]) -> str | None:
    """Whose modules these are, where a model beyond Stable Diffusion 1, 2 and XL has such names; else None."""
    return next((model for name in names for pattern, model in OTHER_MODELS.items() if re.match(pattern, name)), None)
