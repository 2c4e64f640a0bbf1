"""Will it load? How much of a LoRA file each program applies, by its own rules, without the program.

A1111    splits a key at its first dot and looks the name up among the checkpoint's modules (1.10.1,
         extensions-builtin/Lora/networks.py). One group of tensors that it can't place stops the whole file; of
         open_clip's fused attention it applies q, k, v and out together or not at all.
ComfyUI  has a map of names (a125cd84, comfy/lora.py) and leaves out in silence what is not in it.
Forge    has ComfyUI's map, and refuses a file of which more than 12 keys are left over (dfdcbab6).
diffusers is here, so it loads the file for real, on models without weights.

What each takes: A1111 LoRA, LoHa, LoKr, full differences, IA3 of matrices, GLoRA of old, OFT and norms; ComfyUI all of
these but IA3; Forge neither IA3 nor OFT (its loader says "TODO: OFT"); diffusers LoRA alone. LoKr with a Tucker core is
left out in ComfyUI and ends drawing in Forge, and so does there whatever has another shape than the model's.

DoRA by rows, as peft trains it, is exact in none: ComfyUI and Forge divide by ‖W‖ in place of ‖W + ΔW‖, A1111 takes
the magnitudes for those of columns, and diffusers drops them from kohya's form. Compared with the programs' own code in
tests/trainer/test_lora_verify_live.py.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

from ...core.errors import InputError
from ...core.library_output import without_bars
from .file import family_of_modules, read_tensors
from .groups import FileKind, ModuleGroup, grouped, other_model
from .names import SD_LAYOUT, open_clip_path, parse_kohya_name, sgm_path
from .state import LoraModule, misfit
from .targets import Targets, empty_model, targets_in, targets_of

# What ComfyUI's comfy/weight_adapter takes, and Forge's comfyui_lora_collection.
TAKEN: Mapping[str, frozenset[FileKind]] = {
    "ComfyUI": frozenset(("lora", "loha", "lokr", "full", "glora", "oft", "boft", "norm")),
    "Forge": frozenset(("lora", "loha", "lokr", "full", "glora", "norm")),
}
# What diffusers' conversion raises on files that it does not know.
REFUSALS = (ValueError, RuntimeError, KeyError, IndexError, AttributeError, TypeError, NotImplementedError)
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
    """One report each for A1111, Forge, ComfyUI and diffusers. InputError for a LoRA of another model than SD.

    `model` is the diffusers folder that the LoRA is for; None: the published model of its family. A file that holds
    NaN, or a factor of 0 in every module, loads everywhere and is right nowhere: each report says so.
    """
    tensors, metadata = read_tensors(path)
    groups = grouped(tensors)
    if other := other_model(groups):
        raise InputError(
            f"this is a LoRA of {other}: only those of Stable Diffusion 1.x, 2.x and XL are verified", where=str(path)
        )
    targets = targets_in(model) if model else targets_of(family_of_modules(_modules(groups), metadata, groups))
    reports = [
        _a1111(groups, targets),
        _comfyui(groups, targets, "Forge"),
        _comfyui(groups, targets, "ComfyUI"),
        _diffusers(path, tensors, groups, targets),
    ]
    notes = tuple(_content_notes(groups))
    return [replace(report, notes=(*report.notes, *notes)) for report in reports]


def is_of_other_model(path: Path) -> bool:
    """Whether modules of the file are whole, and none has the shape of a layer of its family's published model.

    Of such a model, as the embedded one is, no rule can tell what a program would apply.
    """
    tensors, metadata = read_tensors(path)
    groups = grouped(tensors)
    targets = targets_of(family_of_modules(_modules(groups), metadata, groups))
    shapes = {shape for part in targets.shapes.values() for shape in part.values()}
    matrices = {_matrix(shape) for shape in shapes}
    whole = [group for group in groups.values() if group.kind and not group.misfit]
    return bool(whole) and not any(
        _matrix(group.module.shape) in matrices if group.module else any(group.fits(shape) for shape in shapes)
        for group in whole
    )


def _matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    """(out, in × kernel): some kinds hold a convolution's kernel within the inputs."""
    return shape[0], math.prod(shape[1:])


def _content_notes(groups: Mapping[str, ModuleGroup]) -> Iterator[str]:
    """What is wrong with the numbers themselves, whoever reads them."""
    misfits = {name: group.misfit for name, group in groups.items() if group.misfit}
    broken = {name: group.not_finite for name, group in groups.items() if group.not_finite}
    if misfits:
        name, problem = next(iter(misfits.items()))
        yield f"{len(misfits)} modules can't be applied, e.g. {name}: {problem}"
    if broken:
        name, suffix = next(iter(broken.items()))
        yield f"{len(broken)} modules hold NaN or infinity, e.g. {name}.{suffix}: pictures turn black"
    if groups and all(group.changes_nothing for group in groups.values()):
        yield "the file changes nothing: in each module a factor is 0"


def _modules(groups: Mapping[str, ModuleGroup]) -> list[LoraModule]:
    return [group.module for group in groups.values() if group.module and not group.misfit]


def _report(reader: str, groups: Iterable[ModuleGroup], applied: set[str], notes: Iterable[str]) -> ReaderReport:
    groups = list(groups)
    unmatched = [key for group in groups if group.name not in applied for key in group.keys]
    return ReaderReport(reader, len(groups), len(applied), tuple(unmatched), tuple(notes))


# --- A1111 ---


def _a1111(groups: Mapping[str, ModuleGroup], targets: Targets) -> ReaderReport:
    known = _a1111_modules(targets)
    named = [name for name, group in groups.items() if not any(form.startswith("_") for form in group.spelt)]
    placed = {name: place for name in named if (place := _a1111_name(name, targets, known))}
    notes = []
    if unknown := next((name for name in placed if not _a1111_takes(groups[name])), None):
        return _report("A1111", groups.values(), set(), [f"stops at {unknown}: its tensors are of no kind it knows"])
    if one_dimensional := next((name for name in placed if _is_flat(groups[name])), None):
        return _report("A1111", groups.values(), set(), [f"stops at {one_dimensional}: a factor has one dimension"])
    applied = {name for name, place in placed.items() if _a1111_fits(groups[name], known[place])}
    if lost := set(placed) - applied:
        notes.append(f"{len(lost)} modules are not of a shape that it applies to the model's, e.g. {min(lost)}")
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
        notes.append(f"{len(wrong)} modules have DoRA by rows, which A1111 takes for columns: the picture breaks")
    return _report("A1111", groups.values(), applied, notes)


def _a1111_takes(group: ModuleGroup) -> bool:
    """Its network types' own conditions: GLoRA needs an alpha, a norm both parts; `lora.up` is none of them."""
    needed = {"glora": {"alpha"}, "norm": {"b_norm"}}
    foreign = any(form.startswith(("lora.", "lora_linear_layer.")) for form in group.spelt)
    return group.kind is not None and not foreign and needed.get(group.kind, set()) <= group.tensors.keys()


def _a1111_fits(group: ModuleGroup, shape: tuple[int, ...]) -> bool:
    """It multiplies GLoRA's factors in the order of LyCORIS before 3.0, and of IA3 only a matrix."""
    if group.kind == "ia3" and len(shape) != 2:
        return False
    return group.fits(shape) and (group.kind != "glora" or group.glora_is_old(shape))


def _is_flat(group: ModuleGroup) -> bool:
    """Whether a LoRA's factor has one dimension: then A1111 can't make a layer of it."""
    return group.kind == "lora" and any(
        tensor.dim() < 2 for name, tensor in group.tensors.items() if name.startswith("lora_")
    )


def _is_dora_by_rows(module: LoraModule | None) -> bool:
    if module is None or not module.dora:
        return False
    if misfit(module):
        return False
    scale = module.tensors["dora_scale"]
    return scale.shape[0] == module.shape[0] and scale.shape[0] != 1


def _a1111_modules(targets: Targets) -> dict[str, tuple[int, ...]]:
    """Its name of each layer → shape of the weight."""
    known = {
        f"diffusion_model_{_flat(sgm_path(path, targets.layout))}": shape
        for path, shape in {**targets.shapes["unet"], **targets.norms["unet"]}.items()
    }
    starts = {"text_encoder": "", "text_encoder_2": "1_"} if targets.family != "sdxl" else _SDXL_EMBEDDERS
    for part, start in starts.items():
        open_clip = part == "text_encoder_2" or targets.family == "sd2"
        norms: Mapping[str, tuple[int, ...]] = {} if open_clip else targets.norms.get(part, {})
        if targets.family != "sdxl":
            norms = {path: shape for path, shape in norms.items() if ".layers." in path}
        for path, shape in {**targets.shapes.get(part, {}), **norms}.items():
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
    if halved := next((name for name, group in groups.items() if name in known and group.lacks), None):
        return _report(reader, groups.values(), set(), [f"stops at {halved}: {groups[halved].lacks} is missing"])
    placed = {name: group for name, group in groups.items() if name in known and _comfyui_takes(group, reader)}
    left_over = sum(_left_over(group, name in known) for name, group in groups.items() if name not in placed)
    if reader == "Forge" and left_over > FORGE_PATIENCE:
        return _report(reader, groups.values(), set(), [f"refuses the file: {left_over} keys are left over"])
    # Of a Tucker core LoKr's product lies in memory in an order that the two can't multiply; A1111 copies it first.
    fitting = {name for name, group in placed.items() if group.fits(known[name]) and "lokr_t2" not in group.tensors}
    notes = []
    if reader == "Forge":
        padded = {name for name in placed if name not in fitting and _forge_pads(groups[name], known[name])}
        if stopping := min(placed.keys() - fitting - padded, default=""):
            why = f"drawing ends with an error: {stopping} makes no weight of the model's shape"
            return _report(reader, groups.values(), set(), [why])
        if padded:
            notes.append(f"{len(padded)} modules are narrower than the model's: Forge fills up, e.g. {min(padded)}")
        fitting |= padded
    else:
        if lost := placed.keys() - fitting:
            notes.append(f"{len(lost)} modules have another shape than the model's, e.g. {min(lost)}")
        notes += _oft_notes(placed)
    if rows := [name for name in fitting if _is_dora_by_rows(groups[name].module)]:
        notes.append(f"{len(rows)} modules have DoRA by rows: {reader} divides by ‖W‖ in place of ‖W + ΔW‖")
    return _report(reader, groups.values(), fitting, notes)


def _comfyui_takes(group: ModuleGroup, reader: str) -> bool:
    """ComfyUI's BOFT compares alpha without asking if there is one; of OFT's two names it knows the newer."""
    if "oft_diag" in group.tensors or (group.kind == "boft" and "alpha" not in group.tensors):
        return False
    return group.kind in TAKEN[reader]


def _left_over(group: ModuleGroup, named: bool) -> int:
    """How many keys of a module are left over in Forge; alpha, magnitude and bias of a name it knows never are."""
    return sum(not (named and key.endswith((".alpha", ".dora_scale", ".diff_b"))) for key in group.keys)


def _forge_pads(group: ModuleGroup, shape: tuple[int, ...]) -> bool:
    """Whether Forge fills a LoRA of a narrower matrix up with zeros, as it does for FLUX's own control LoRAs."""
    if group.kind != "lora" or group.module is None or group.misfit or len(shape) != 2:
        return False
    return group.module.shape[0] == shape[0] and group.module.shape[1] < shape[1]


def _oft_notes(groups: Mapping[str, ModuleGroup]) -> Iterator[str]:
    """What ComfyUI does otherwise than the trainer: alpha limits ‖Q‖ itself, and OFT's rescale is unused."""
    rotated = {name: group for name, group in groups.items() if group.kind in ("oft", "boft")}
    if limited := [name for name, group in rotated.items() if group.exceeds_alpha]:
        yield f"{len(limited)} rotations are limited to alpha, not to alpha × rows: too weak, e.g. {limited[0]}"
    unscaled = [name for name, group in rotated.items() if group.kind == "oft" and group.rescales]
    if unscaled:
        yield f"{len(unscaled)} modules have a rescale that ComfyUI leaves out of OFT, e.g. {unscaled[0]}"


def comfyui_names(targets: Targets) -> dict[str, tuple[int, ...]]:
    """Every name of ComfyUI's key map for Linear and Conv2d → shape of the weight."""
    known = {}
    for path, shape in {**targets.shapes["unet"], **targets.norms["unet"]}.items():
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
            # As the pipelines do it: only SDXL's has sgm's names translated.
            options = {"unet_config": models["unet"].config} if targets.family == "sdxl" else {}
            state_dict, alphas = mixin.lora_state_dict(str(path), **options)
            _load_all(mixin, models, dict(state_dict), alphas)
        except REFUSALS as error:
            reason = str(error).split("\n")[0] or type(error).__name__
            return _report("diffusers", groups.values(), set(), [f"refuses the file: {reason}"])
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
    if part == "unet" and path.endswith(".to_out"):
        path += ".0"
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
        with without_bars(), catch_warnings():
            simplefilter("ignore")  # peft warns of files with names that are not its own
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
