"""LoRA files in the names that A1111, Forge, ComfyUI and diffusers know: written whole, read back, read.

`collect` → `write_lora` → `read_lora` → `load_adapter` is the identity, but for the file's number format.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...checkpoints.families.configs import Family
from ...core.errors import InputError
from ...core.files import make_folder, write_whole
from .groups import grouped, other_model
from .names import kohya_name, parse_kohya_name, text_path
from .peft_layers import collect, load_adapter
from .state import SUFFIXES, AdapterState, LoraModule, delta_weights, kind_of, misfit

if TYPE_CHECKING:
    import torch

__all__ = [
    "AdapterState",
    "LoraModule",
    "collect",
    "delta_weights",
    "load_adapter",
    "read_lora",
    "write_diffusers",
    "write_lora",
]

Dtype = Literal["float32", "float16", "bfloat16"]
WIDE = (
    ".alpha",
    ".dora_scale",
    ".lora_magnitude_vector",
)  # stay float32: half a per mille of a magnitude is half a per mille of W itself
ZIP, PICKLE = b"PK\x03\x04", b"\x80"
LEGACY_START, LEGACY_LENGTH = 0x100000, 0x10000
PEFT_METADATA = "lora_adapter_metadata"  # diffusers' key
PEFT_KEY = re.compile(
    r"(unet|text_encoder|text_encoder_2)\.(.+?)"
    r"(?:\.lora(?:_linear_layer)?\.(down|up)\.weight|_lora\.(down|up)\.weight|\.lora_([AB])\.weight"
    r"|\.(lora_magnitude_vector)(?:\.weight)?|\.(alpha))"
)


def write_lora(
    state: AdapterState, path: Path, metadata: Mapping[str, str], dtype: Dtype = "float16", allow_zero: bool = False
) -> str:
    """Casts, hashes, writes whole and reads back; returns `sshs_model_hash`.

    InputError for NaN or infinity (also those that `dtype` would make), and for a LoRA that changes nothing, unless
    `allow_zero`. Hashes as sd-scripts computes them: of the cast tensors, so a change of metadata keeps them.
    """
    tensors = cast_tensors(dict(state.named_tensors()), dtype, path)
    if not allow_zero and all(_cast_module(module, tensors, state).changes_nothing for module in state.modules):
        raise InputError(
            "this LoRA changes nothing: in each of its modules a factor is 0",
            where=str(path),
            to_try=f"train longer, or write it in float32 if {dtype} is too coarse for it",
        )
    return write_tensors(tensors, path, metadata)


def write_tensors(tensors: Mapping[str, torch.Tensor], path: Path, metadata: Mapping[str, str]) -> str:
    """Writes tensors of any names with their hashes in the metadata; returns `sshs_model_hash`."""
    from safetensors.torch import save

    ordered = {name: tensor.contiguous() for name, tensor in sorted(tensors.items())}
    training = {key: value for key, value in metadata.items() if key.startswith("ss_")}
    hashed = save(ordered, training)
    model_hash, legacy_hash = model_hash_of(hashed), legacy_hash_of(hashed)
    hashes = {"sshs_model_hash": model_hash, "sshs_legacy_hash": legacy_hash}
    if any(key.startswith("modelspec.") for key in metadata):
        hashes["modelspec.hash_sha256"] = f"0x{model_hash}"
    data = save(ordered, {**metadata, **hashes})
    make_folder(path.parent)
    write_whole(path, data)
    if path.read_bytes() != data:
        raise InputError("what was written reads back differently", where=str(path), to_try="check the disk")
    return model_hash


def cast_tensors(tensors: Mapping[str, torch.Tensor], dtype: Dtype, where: Path | str = "") -> dict[str, torch.Tensor]:
    """On the CPU in `dtype`, alpha and magnitudes in float32; InputError names a tensor with NaN or infinity."""
    import torch

    cast = {}
    for name, tensor in tensors.items():
        target = torch.float32 if name.endswith(WIDE) else getattr(torch, dtype)
        cast[name] = tensor.detach().to("cpu", target)
        if not cast[name].isfinite().all():
            broken = "holds NaN or infinity" if not tensor.isfinite().all() else f"does not fit into {dtype}"
            raise InputError(
                f"{name} {broken}", where=str(where), to_try="lower the learning rate, or write float32 or bfloat16"
            )
    return cast


def model_hash_of(data: bytes) -> str:
    """sha256 of all behind a safetensors file's header."""
    return hashlib.sha256(memoryview(data)[8 + int.from_bytes(data[:8], "little") :]).hexdigest()


def legacy_hash_of(data: bytes) -> str:
    """The additional-networks extension's first hash: 64 KiB from 1 MiB on; of small files, that of nothing."""
    return hashlib.sha256(data[LEGACY_START : LEGACY_START + LEGACY_LENGTH]).hexdigest()[:8]


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """All tensors and the metadata of a safetensors file; InputError for a pickle, a torn or a forged file."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError("there is no such LoRA file", where=str(path), to_try="check the path")
    with path.open("rb") as file:
        start = file.read(9)
    if start[8:] != b"{" and start.startswith((ZIP, PICKLE)):  # safetensors: 8 bytes of length, then JSON
        raise InputError(
            "pickled weights are not opened: they can run code", where=str(path), to_try="a .safetensors file"
        )
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})
    except SafetensorError as error:
        raise InputError(f"this is no whole safetensors file: {error}", where=str(path)) from error


def read_lora(path: Path) -> AdapterState:
    """A LoRA of SD 1, SD 2 or SDXL in kohya's names or in diffusers' own. InputError for any other file.

    Of a diffusers file, alpha is read from its keys, else from its metadata, else the scale is 1.
    """
    tensors, metadata = read_tensors(path)
    if model := other_model(grouped(tensors)):
        raise InputError(f"this is a LoRA of {model}", where=str(path), to_try="one of Stable Diffusion 1.x, 2.x or XL")
    kohya = {key: tensor for key, tensor in tensors.items() if parse_kohya_name(key.partition(".")[0])}
    groups = _group_kohya(kohya) if kohya else _group_diffusers(tensors, metadata)
    modules = []
    for (part, name), suffixes in groups.items():
        kind = kind_of(suffixes)
        if kind is None:
            raise InputError(f"{name} has {', '.join(sorted(suffixes))}, which is no whole LoRA", where=str(path))
        module = LoraModule(part, name, kind, suffixes)
        if problem := misfit(module):
            raise InputError(f"{name} can't be used: {problem}", where=str(path), to_try="make the file anew")
        modules.append(module)
    strange = [key for key in tensors if not (_known(key) if kohya else PEFT_KEY.fullmatch(key))]
    if strange or not modules:
        contents = strange[0] if strange else "no tensors"
        raise InputError(f"this is no LoRA of Stable Diffusion 1, 2 or XL: it holds {contents}", where=str(path))
    names = [key.partition(".")[0] for key in kohya]
    return AdapterState(family_of_modules(modules, metadata, names), tuple(modules), metadata)


def family_of_modules(modules: Iterable[LoraModule], metadata: Mapping[str, str], names: Iterable[str] = ()) -> Family:
    """From parts, depth and widths first: metadata is often copied from elsewhere. In doubt SD 1."""
    modules = list(modules)
    by_width: dict[int, Family] = {2048: "sdxl", 1024: "sd2", 768: "sd1"}
    deep = any(".transformer_blocks.1." in module.path for module in modules)
    if deep or any(module.part == "text_encoder_2" for module in modules):
        return "sdxl"
    # What the UNet's cross-attention reads comes before names: diffusers writes `lora_te1` for SD 1 too.
    cross = {module.shape[1] for module in modules if module.path.endswith((".attn2.to_k", ".attn2.to_v"))}
    if cross.isdisjoint(by_width) and any("_te1_" in name for name in names):
        return "sdxl"
    widths = cross | {module.shape[1] for module in modules if module.part == "text_encoder"}
    for width, family in by_width.items():
        if width in widths:
            return family
    if metadata.get("ss_base_model_version", "").startswith("sdxl"):
        return "sdxl"
    return "sd2" if metadata.get("ss_v2") == "True" else "sd1"


def write_diffusers(state: AdapterState, path: Path, dtype: Dtype = "float16") -> None:
    """The form of diffusers' own scripts, for `load_lora_weights`: scale within B, no alpha. LoRA and DoRA only.

    A1111 reads nothing of it, and ComfyUI and Forge a part.
    """
    tensors = {}
    for module in state.modules:
        if module.kind != "lora" or "lora_mid.weight" in module.tensors:
            raise InputError(f"diffusers' form has no {module.kind}", where=module.key, to_try="write_lora")
        tensors[f"{module.key}.lora_A.weight"] = module.tensors["lora_down.weight"]
        tensors[f"{module.key}.lora_B.weight"] = module.tensors["lora_up.weight"].float() * module.scale
        if module.dora:
            magnitude = module.tensors["dora_scale"].flatten()
            convolution = module.tensors["lora_down.weight"].dim() == 4
            ending = "" if module.part == "unet" else ".weight"  # transformers 5 loses those without it
            tensors[f"{module.key}.lora_magnitude_vector{ending}"] = (
                magnitude.reshape(1, -1, 1, 1) if convolution else magnitude
            )
    write_tensors(cast_tensors(tensors, dtype, path), path, {"format": "pt"})


def _cast_module(module: LoraModule, cast: Mapping[str, torch.Tensor], state: AdapterState) -> LoraModule:
    name = kohya_name(state.family, module.part, module.path)
    return LoraModule(
        module.part, module.path, module.kind, {suffix: cast[f"{name}.{suffix}"] for suffix in module.tensors}
    )


def _known(key: str) -> bool:
    name, _, suffix = key.partition(".")
    return parse_kohya_name(name) is not None and suffix in SUFFIXES


def _group_kohya(tensors: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for key, tensor in tensors.items():
        name, _, suffix = key.partition(".")
        where = parse_kohya_name(name)
        if where is not None and suffix in SUFFIXES:
            groups.setdefault(where, {})[suffix] = tensor
    return groups


def _group_diffusers(tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> dict[tuple[str, str], dict[str, Any]]:
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for key, tensor in tensors.items():
        match = PEFT_KEY.fullmatch(key)
        if match is None:
            continue
        part, path, *forms = match.groups()
        path = path.replace(".processor.", ".")
        if part == "unet":
            path = re.sub(r"\.to_out$", ".to_out.0", path)
        else:
            path = text_path(re.sub(r"\.to_(q|k|v|out)$", r".\1_proj", path))
        form = next(group for group in forms if group)
        suffix = {"down": "lora_down.weight", "A": "lora_down.weight", "up": "lora_up.weight", "B": "lora_up.weight"}
        groups.setdefault((part, path), {})[suffix.get(form, "dora_scale" if "magnitude" in form else form)] = tensor
    for (part, path), suffixes in groups.items():
        _complete(part, path, suffixes, metadata)
    return groups


def _complete(part: str, path: str, suffixes: dict[str, Any], metadata: Mapping[str, str]) -> None:
    """Adds alpha from peft's metadata, and gives magnitudes kohya's shape."""
    import torch

    down = suffixes.get("lora_down.weight")
    if down is None:
        return
    if "dora_scale" in suffixes:
        suffixes["dora_scale"] = suffixes["dora_scale"].reshape(-1, *[1] * (down.dim() - 1))
    config = json.loads(metadata.get(PEFT_METADATA, "{}"))
    alpha = config.get(f"{part}.lora_alpha")
    for pattern, value in (config.get(f"{part}.alpha_pattern") or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", path):
            alpha = value
    if alpha is not None and "alpha" not in suffixes:
        rank = down.shape[0]
        rslora = config.get(f"{part}.use_rslora", False)
        suffixes["alpha"] = torch.tensor(alpha * rank**0.5 if rslora else alpha, dtype=torch.float32)
