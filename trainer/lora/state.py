"""What a LoRA file holds, and what it adds to each weight.

lora   ΔW = (alpha / r) · up @ down                          Hu et al., "LoRA" (ICLR 2022), §4.1
dora   W + ΔW = m · (W + ΔW) / ‖W + ΔW‖ by rows              Liu et al., "DoRA" (ICML 2024), eq. 5
loha   ΔW = (alpha / r) · (w1_a @ w1_b) ⊙ (w2_a @ w2_b)      Hyeon-Woo et al., "FedPara" (ICLR 2022), §2.2
lokr   ΔW = (alpha / r) · w1 ⊗ w2                            Yeh et al., "LyCORIS" (ICLR 2024), §3
full   ΔW = diff
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ...checkpoints.families.configs import Family
from ...core.errors import InputError
from .names import kohya_name

if TYPE_CHECKING:
    import torch

Kind = Literal["lora", "loha", "lokr", "full"]
# The suffix that gives a kind away, and those that ΔW can't be computed without.
SIGNS: Mapping[Kind, tuple[str, ...]] = {
    "lora": ("lora_up.weight", "lora_down.weight"),
    "loha": ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"),
    "lokr": ("lokr_w1", "lokr_w2"),
    "full": ("diff",),
}
SUFFIXES = frozenset(
    {name for names in SIGNS.values() for name in names}
    | {"alpha", "dora_scale", "lora_mid.weight", "hada_t1", "hada_t2"}
    | {"lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b", "lokr_t2"}
)


def kind_of(suffixes: Mapping[str, object]) -> Kind | None:
    """The kind whose tensors are complete; None for those of no kind, or for a part of one."""
    have = set(suffixes)
    for whole in ("lokr_w1", "lokr_w2"):
        if {f"{whole}_a", f"{whole}_b"} <= have:
            have.add(whole)
    return next((kind for kind, needed in SIGNS.items() if set(needed) <= have), None)


@dataclass(frozen=True)
class LoraModule:
    """One adapted layer: tensors by kohya's suffix, e.g. `lora_down.weight` (r, in) or (r, in, kh, kw)."""

    part: str
    path: str
    kind: Kind
    tensors: Mapping[str, torch.Tensor]

    @property
    def key(self) -> str:
        """`unet.down_blocks.0…`: what ΔW and base weights are asked for by."""
        return f"{self.part}.{self.path}"

    @property
    def dora(self) -> bool:
        """Whether magnitude and direction are apart."""
        return "dora_scale" in self.tensors

    @property
    def rank(self) -> int | None:
        """r; None where nothing is decomposed."""
        names = {"lora": ("lora_down.weight",), "loha": ("hada_w1_b",), "lokr": ("lokr_w2_b", "lokr_w1_b"), "full": ()}
        return next((self.tensors[name].shape[0] for name in names[self.kind] if name in self.tensors), None)

    @property
    def alpha(self) -> float | None:
        """None where the file says none: then the scale is 1."""
        return float(self.tensors["alpha"]) if "alpha" in self.tensors else None

    @property
    def scale(self) -> float:
        """alpha / r, as A1111, Forge and ComfyUI compute it."""
        return self.alpha / self.rank if self.alpha is not None and self.rank else 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        """Of ΔW: (out, in) or (out, in, kh, kw); LoHa and LoKr of a convolution may have its kernel within `in`."""
        tensors = self.tensors
        if self.kind == "full":
            return tuple(tensors["diff"].shape)
        if self.kind == "lora":
            kernel = tensors.get("lora_mid.weight", tensors["lora_down.weight"]).shape[2:]
            return (tensors["lora_up.weight"].shape[0], tensors["lora_down.weight"].shape[1], *kernel)
        if self.kind == "loha":
            tucker = tensors.get("hada_t1")
            out = tensors["hada_w1_a"].shape[0 if tucker is None else 1]
            return (out, tensors["hada_w1_b"].shape[1], *(() if tucker is None else tucker.shape[2:]))
        first, second = self._factor_shape("lokr_w1"), self._factor_shape("lokr_w2")
        return (first[0] * second[0], first[1] * second[1], *second[2:])

    def _factor_shape(self, name: str) -> tuple[int, ...]:
        if name in self.tensors:
            return tuple(self.tensors[name].shape)
        a, b, core = self.tensors[f"{name}_a"], self.tensors[f"{name}_b"], self.tensors.get("lokr_t2")
        if name == "lokr_w2" and core is not None:
            return (a.shape[1], b.shape[1], *core.shape[2:])
        return (a.shape[0], b.shape[1])

    @property
    def changes_nothing(self) -> bool:
        """Whether a factor of ΔW is 0 everywhere, as an untrained B is."""
        factors = [tensor for name, tensor in self.tensors.items() if name not in ("alpha", "dora_scale")]
        return any(not factor.any() for factor in factors)


@dataclass(frozen=True)
class AdapterState:
    """All adapted layers, and the metadata of the file that they were read from."""

    family: Family
    modules: tuple[LoraModule, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)

    def named_tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Kohya's keys and their tensors."""
        for module in self.modules:
            name = kohya_name(self.family, module.part, module.path)
            for suffix, tensor in module.tensors.items():
                yield f"{name}.{suffix}", tensor


def misfit(module: LoraModule) -> str:
    """Why ΔW can't be computed: factors whose shapes do not fit each other, or no single alpha; empty where it can."""
    if "alpha" in module.tensors and module.tensors["alpha"].numel() != 1:
        return f"alpha has {module.tensors['alpha'].numel()} numbers"
    try:  # on the meta device shapes are computed, and nothing else
        shape = _unscaled({name: tensor.to("meta") for name, tensor in module.tensors.items()}, module.kind).shape
        fitting = len(module.shape) >= 2 or module.kind == "full"
    except (RuntimeError, IndexError, ValueError):
        factors = {name: tuple(tensor.shape) for name, tensor in module.tensors.items() if name != "alpha"}
        return f"its factors do not fit each other: {', '.join(f'{name} {shape}' for name, shape in factors.items())}"
    return "" if fitting else f"ΔW would be {tuple(shape)}"


def refuse_unusable(state: AdapterState, where: str) -> None:
    """InputError for a module that holds NaN or infinity: what it is merged into would be broken."""
    for module in state.modules:
        for suffix, tensor in module.tensors.items():
            if not bool(tensor.isfinite().all()):
                raise InputError(
                    f"{module.key} holds NaN or infinity in {suffix}",
                    where=where,
                    to_try="an earlier step of that LoRA",
                )


def delta_weights(state: AdapterState, base: Mapping[str, torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
    """`part.path` → ΔW in float32, in its weight's shape.

    `base` gives the weights by the same keys: DoRA can't do without, and LoHa and LoKr of a 3×3 convolution take
    its shape from them (else ΔW stays (out, in · 9)). InputError names the weight that is missing or does not fit.
    """
    return {module.key: delta_weight(module, (base or {}).get(module.key)) for module in state.modules}


def delta_weight(module: LoraModule, weight: torch.Tensor | None = None) -> torch.Tensor:
    """One module's ΔW in float32; `weight` as for `delta_weights`."""
    delta = module.scale * _unscaled({name: tensor.float() for name, tensor in module.tensors.items()}, module.kind)
    if weight is not None:
        if delta.numel() != weight.numel():
            raise InputError(
                f"the LoRA's weight is {tuple(delta.shape)}, the model's {tuple(weight.shape)}",
                where=module.key,
                to_try="use it with the base model that it was trained on",
            )
        delta = delta.reshape(weight.shape)
    if not module.dora:
        return delta
    if weight is None:
        raise InputError("what DoRA adds depends on the base weight", where=module.key, to_try="give the base model")
    weight = weight.to(delta)
    return decomposed(weight, delta, module.tensors["dora_scale"].to(delta)) - weight


def decomposed(weight: torch.Tensor, delta: torch.Tensor, magnitude: torch.Tensor) -> torch.Tensor:
    """DoRA's weight: W + ΔW with its norms replaced, in W's shape (out, in, …).

    The magnitude is (out, 1, …) for rows as in peft, (1, in, …) for columns.

    ComfyUI and Forge divide rows by ‖W‖ in place of ‖W + ΔW‖ (Comfy-Org/ComfyUI, pull request 15458).
    """
    import torch

    changed = weight + delta
    axis = 0 if magnitude.shape[0] == weight.shape[0] and magnitude.numel() == weight.shape[0] else 1
    shape = [-1 if dimension == axis else 1 for dimension in range(weight.dim())]
    norms = torch.linalg.vector_norm(changed.transpose(0, axis).flatten(1), dim=1)
    factor: torch.Tensor = magnitude.reshape(shape) / norms.reshape(shape)
    return changed * factor


def _unscaled(tensors: Mapping[str, torch.Tensor], kind: Kind) -> torch.Tensor:
    """ΔW before the scale, in `LoraModule.shape`."""
    import torch

    if kind == "full":
        return tensors["diff"]
    if kind == "lora":
        up, down = tensors["lora_up.weight"], tensors["lora_down.weight"]
        if "lora_mid.weight" in tensors:
            return torch.einsum("nmkl,in,mj->ijkl", tensors["lora_mid.weight"], up.flatten(1), down.flatten(1))
        return (up.flatten(1) @ down.flatten(1)).reshape(up.shape[0], *down.shape[1:])
    if kind == "loha":
        first, second = (_product(tensors, f"hada_w{n}", f"hada_t{n}") for n in (1, 2))
        return first * second
    first = tensors["lokr_w1"] if "lokr_w1" in tensors else _product(tensors, "lokr_w1")
    second = tensors["lokr_w2"] if "lokr_w2" in tensors else _product(tensors, "lokr_w2", "lokr_t2")
    return torch.kron(first.reshape(*first.shape, *[1] * (second.dim() - 2)), second.contiguous())


def _product(tensors: Mapping[str, torch.Tensor], name: str, core: str = "") -> torch.Tensor:
    """a @ b, (out, in), or Tucker's core times both on its first two sides, (out, in, kh, kw)."""
    import torch

    a, b = tensors[f"{name}_a"], tensors[f"{name}_b"]
    if core in tensors:
        return torch.einsum("ijkl,ip,jr->prkl", tensors[core], a, b)
    return a @ b
