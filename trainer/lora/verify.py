"""Will it load? How much of a LoRA file each program applies, by its own rules, without the program.

A1111    splits a key at its first dot and looks the name up among the checkpoint's modules (1.10.1,
         extensions-builtin/Lora/networks.py). One group of tensors that it can't place stops the whole file; of
         open_clip's fused attention it applies q, k, v and out together or not at all.
ComfyUI  has a map of names (a125cd84, comfy/lora.py) and leaves out in silence what is not in it.
Forge    has ComfyUI's map, and refuses a file of which more than 12 keys are left over (dfdcbab6).
diffusers is here, so it loads the file for real, on models without weights.

DoRA by rows, as peft trains it, is exact in none: ComfyUI and Forge divide by ‖W‖ in place of ‖W + ΔW‖, A1111 takes
the magnitudes for those of columns, and diffusers drops them from kohya's form.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.library_output import without_bars
from .file import family_of_modules, read_tensors
from .names import SD_LAYOUT, open_clip_path, parse_kohya_name, sgm_path
from .state import LoraModule, kind_of
from .targets import Targets, empty_model, targets_in, targets_of

if TYPE_CHECKING:
    import torch

FORGE_PATIENCE = 12  # keys left over before Forge refuses the file


@dataclass(frozen=True)
class ReaderReport:
    """What one program makes of a file: `applied` of `modules`, and the keys that it leaves out."""

    reader: str
    modules: int
    applied: int
    unmatched: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all of the file is applied, as it was trained."""
        return self.applied == self.modules and not self.unmatched and not self.notes


def verify(path: Path, model: Path | None = None) -> list[ReaderReport]:
    """One report each for A1111, Forge, ComfyUI and diffusers.

    `model` is the diffusers folder that the LoRA is for; None: the published model of its family.
    """
    tensors, metadata = read_tensors(path)
    groups = grouped(tensors)
    targets = targets_in(model) if model else targets_of(family_of_modules(_modules(groups), metadata, groups))
    return [
        _a1111(groups, targets),
        _comfyui(groups, targets, "Forge"),
        _comfyui(groups, targets, "ComfyUI"),
        _diffusers(path, tensors, groups, targets),
    ]


# --- what the file holds, whatever it calls it ---

SPELLINGS = {
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
}


@dataclass
class ModuleGroup:
    """The tensors of one name: `keys` as in the file, `tensors` by kohya's suffix, `spelt` as the file spells them."""

    name: str
    keys: list[str] = field(default_factory=list)
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    spelt: set[str] = field(default_factory=set)

    @property
    def module(self) -> LoraModule | None:
        """None where the tensors are no whole adapter."""
        kind = kind_of(self.tensors)
        part, path = parse_kohya_name(self.name) or ("unet", self.name)
        return LoraModule(part, path, kind, self.tensors) if kind else None

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether ΔW has as many numbers as a weight of this shape."""
        import math

        return self.module is not None and math.prod(self.module.shape) == math.prod(shape)


def grouped(tensors: Mapping[str, Any]) -> dict[str, ModuleGroup]:
    """Name → its tensors: what stands before a suffix that some reader knows, or before the first dot."""
    groups: dict[str, ModuleGroup] = {}
    for key, tensor in tensors.items():
        form = next((spelling for spelling in SPELLINGS if key.endswith(f".{spelling}")), None)
        name = key.removesuffix(f".{form}") if form else key.partition(".")[0]
        tensors_of_name = groups.setdefault(name, ModuleGroup(name))
        tensors_of_name.keys.append(key)
        tensors_of_name.spelt.add(form or key[len(name) + 1 :])
        if form:
            tensors_of_name.tensors[SPELLINGS[form]] = tensor
    return groups


def _modules(groups: Mapping[str, ModuleGroup]) -> list[LoraModule]:
    return [group.module for group in groups.values() if group.module]


def _report(reader: str, groups: Iterable[ModuleGroup], applied: set[str], notes: Iterable[str]) -> ReaderReport:
    groups = list(groups)
    unmatched = [key for group in groups if group.name not in applied for key in group.keys]
    return ReaderReport(reader, len(groups), len(applied), tuple(unmatched), tuple(notes))


# --- A1111 ---


def _a1111(groups: Mapping[str, ModuleGroup], targets: Targets) -> ReaderReport:
    known = _a1111_modules(targets)
    placed = {name: place for name in groups if (place := _a1111_name(name, targets, known))}
    notes = []
    if broken := next((name for name in placed if groups[name].module is None), None):
        return _report("A1111", groups.values(), set(), [f"stops at {broken}: its tensors are of no kind it knows"])
    applied = {name for name, place in placed.items() if groups[name].fits(known[place])}
    if lost := set(placed) - applied:
        notes.append(f"{len(lost)} modules have another shape than the model's, e.g. {min(lost)}")
    fused: dict[str, set[str]] = {}
    for name in applied:
        layer, _, end = placed[name].partition("_attn_")
        if "transformer_resblocks" in layer and end:
            fused.setdefault(layer, set()).add(name)
    for layer, names in fused.items():
        if len(names) < 4:
            applied -= names
            notes.append(f"{layer}: q, k, v and out must all be there")
    if wrong := [name for name in applied if _is_dora_by_rows(groups[name].module)]:
        applied -= set(wrong)
        notes.append(f"{len(wrong)} modules have DoRA by rows, which A1111 takes for columns: the picture breaks")
    return _report("A1111", groups.values(), applied, notes)


def _is_dora_by_rows(module: LoraModule | None) -> bool:
    if module is None or not module.dora:
        return False
    scale = module.tensors["dora_scale"]
    return scale.shape[0] == module.shape[0] and scale.shape[0] != 1


def _a1111_modules(targets: Targets) -> dict[str, tuple[int, ...]]:
    """Its name of each layer → shape of the weight."""
    known = {
        f"diffusion_model_{_flat(sgm_path(path, targets.layout))}": shape
        for path, shape in targets.shapes["unet"].items()
    }
    starts = {"text_encoder": "", "text_encoder_2": "1_"} if targets.family != "sdxl" else _SDXL_EMBEDDERS
    for part, start in starts.items():
        open_clip = part == "text_encoder_2" or targets.family == "sd2"
        for path, shape in targets.shapes.get(part, {}).items():
            known[start + (f"model_{_open_clip_name(path)}" if open_clip else f"transformer_{_flat(path)}")] = shape
    return known


_SDXL_EMBEDDERS = {"text_encoder": "0_", "text_encoder_2": "1_"}


def _open_clip_name(path: str) -> str:
    """`…_attn_q_proj` for the thirds of in_proj: A1111 finds the attention by what stands before."""
    name, third = open_clip_path(path)
    return _flat(name.replace("in_proj", f"{'qkv'[third]}_proj") if third is not None else name)


def _a1111_name(name: str, targets: Targets, known: Mapping[str, Any]) -> str | None:
    """Its own name for a file's; diffusers' names are counted as in SD 1, whatever the model."""
    candidates = [name.replace("lora_unet", "diffusion_model")]
    part, path = parse_kohya_name(name) or ("", "")
    if path and name.endswith(_flat(path)):  # spelt as diffusers and transformers 4 do
        texts = {
            "lora_te_": f"model_{_open_clip_name(path)}" if targets.family == "sd2" else f"transformer_{_flat(path)}",
            "lora_te1": f"{'0_' if targets.family == 'sdxl' else ''}transformer_{_flat(path)}",
            "lora_te2": f"1_model_{_open_clip_name(path)}",
        }
        unet = f"diffusion_model_{_flat(sgm_path(path, SD_LAYOUT))}"
        candidates.append(unet if part == "unet" else texts[name[:8]])
    return next((name for name in candidates if name in known), None)


def _flat(path: str) -> str:
    return path.replace(".", "_")


# --- ComfyUI and Forge ---


def _comfyui(groups: Mapping[str, ModuleGroup], targets: Targets, reader: str) -> ReaderReport:
    known = comfyui_names(targets)
    placed = {name: group for name, group in groups.items() if name in known and group.module}
    applied = {name for name, group in placed.items() if group.fits(known[name])}
    notes = []
    if lost := set(placed) - applied:
        notes.append(f"{len(lost)} modules have another shape than the model's, e.g. {min(lost)}")
    left_over = sum(len(group.keys) for name, group in groups.items() if name not in placed)
    if reader == "Forge" and left_over > FORGE_PATIENCE:
        return _report(reader, groups.values(), set(), [f"refuses the file: {left_over} keys are left over"])
    if rows := [name for name in applied if _is_dora_by_rows(groups[name].module)]:
        notes.append(f"{len(rows)} modules have DoRA by rows: {reader} divides by ‖W‖ in place of ‖W + ΔW‖")
    return _report(reader, groups.values(), applied, notes)


def comfyui_names(targets: Targets) -> dict[str, tuple[int, ...]]:
    """Every name of ComfyUI's key map for Linear and Conv2d → shape of the weight."""
    known = {}
    for path, shape in targets.shapes["unet"].items():
        sgm = sgm_path(path, targets.layout)
        processor = path.replace(".to_", ".processor.to_").removesuffix(".0" if path.endswith(".to_out.0") else "\0")
        for name in (
            *(f"lora_unet_{_flat(sgm)}", f"diffusion_model.{sgm}", f"lora_unet_{_flat(path)}"),
            *(f"lycoris_{_flat(path)}", processor, f"unet.{processor}"),
        ):
            known[name] = shape
    prefixes = {"text_encoder": ("lora_te", "lora_te1"), "text_encoder_2": ("lora_te2",)}
    for part, starts in prefixes.items():
        for path, shape in targets.shapes.get(part, {}).items():
            if ".layers." in path:
                for name in (*(f"{start}_{_flat(path)}" for start in starts), f"{part}.{path}"):
                    known[name] = shape
    return known


# --- diffusers ---


def _diffusers(
    path: Path, tensors: Mapping[str, Any], groups: Mapping[str, ModuleGroup], targets: Targets
) -> ReaderReport:
    """Loads into models on the meta device: names and shapes are checked as in earnest, and nothing is computed."""
    from diffusers.loaders.lora_pipeline import StableDiffusionLoraLoaderMixin, StableDiffusionXLLoraLoaderMixin

    models = {part: empty_model(part, config) for part, config in targets.configs.items()}
    mixin = StableDiffusionXLLoraLoaderMixin if targets.family == "sdxl" else StableDiffusionLoraLoaderMixin
    notes = []
    if any(key.endswith(".dora_scale") for key in tensors):
        notes.append("diffusers drops DoRA's magnitudes from kohya's form")
    with _captured_warnings() as warnings:
        try:
            state_dict, alphas = mixin.lora_state_dict(str(path), unet_config=models["unet"].config)
            _load_all(mixin, models, dict(state_dict), alphas)
        except (ValueError, RuntimeError, KeyError, NotImplementedError) as error:
            return _report("diffusers", groups.values(), set(), [f"refuses the file: {str(error).split(chr(10))[0]}"])
    notes += [text.split("\n")[0] for text in warnings if "unexpected" in text.lower() or "missing" in text.lower()]
    loaded = {
        (part, name if part == "unet" else name.removeprefix("text_model."))
        for part, model in models.items()
        for name, layer in model.named_modules()
        if getattr(layer, "lora_A", None)
    }
    applied = {name for name in groups if _diffusers_place(name) in loaded}
    return _report("diffusers", groups.values(), applied, notes)


def _load_all(mixin: Any, models: Mapping[str, Any], state_dict: dict[str, Any], alphas: Any) -> None:
    options: dict[str, Any] = dict(network_alphas=alphas, low_cpu_mem_usage=True)
    if any(key.startswith("unet.") for key in state_dict):
        models["unet"].load_lora_adapter(dict(state_dict), prefix="unet", **options)
    for part in ("text_encoder", "text_encoder_2"):
        if part in models and any(key.startswith(f"{part}.") for key in state_dict):
            mixin.load_lora_into_text_encoder(dict(state_dict), text_encoder=models[part], prefix=part, **options)


def _diffusers_place(name: str) -> tuple[str, str]:
    where = parse_kohya_name(name)
    part, path = where or (name.partition(".")[0], name.partition(".")[2])
    path = path.replace(".processor.", ".")
    return part, path if part == "unet" else path.removeprefix("text_model.")


@contextmanager
def _captured_warnings() -> Iterator[list[str]]:
    """What diffusers and transformers warn of, in place of their printing it; no bars."""
    warnings: list[str] = []
    handler = _WarningHandler(warnings)
    loggers = [logging.getLogger(name) for name in ("diffusers", "transformers")]
    before = [(logger.handlers[:], logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [handler], False
    try:
        with without_bars():
            yield warnings
    finally:
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate


class _WarningHandler(logging.Handler):
    def __init__(self, warnings: list[str]):
        super().__init__(logging.WARNING)
        self.warnings = warnings

    def emit(self, record: logging.LogRecord) -> None:
        self.warnings.append(record.getMessage())
