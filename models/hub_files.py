"""Which files of a hub's repository Modiste uses: safetensors (fp16 where there are any), configs, tokenizers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from ..core.errors import InputError

WEIGHTS = ".safetensors"
HALF = ".fp16"
# The folders of a diffusers repository that are opened; a safety checker, Flax and ONNX copies are not.
PARTS = ("scheduler", "tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2", "unet", "vae", "feature_extractor")
CONFIGS = (
    "model_index.json",
    "config.json",
    "open_clip_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "scheduler_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)
# The same model as one file, the form that ComfyUI and A1111 read.
SINGLE_FILES = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "v1-5-pruned-emaonly.safetensors",
    "stabilityai/stable-diffusion-xl-base-1.0": "sd_xl_base_1.0.safetensors",
}


@dataclass(frozen=True)
class HubFile:
    """A file of a repository at one commit; `sha256` is None for small files, which the hub keeps in git."""

    name: str
    size: int  # bytes
    sha256: str | None = None

    @property
    def folder(self) -> str:
        """The folder it lies in; empty at the root."""
        return "" if "/" not in self.name else self.name.rpartition("/")[0]

    @property
    def base_name(self) -> str:
        """Its name without the folder."""
        return PurePosixPath(self.name).name


def used_files(model: str, files: Sequence[HubFile], single: str | None = None) -> list[HubFile]:
    """The files to fetch, the one that marks a whole model last; `single` names one checkpoint file of the repository.

    InputError where the repository has no safetensors that Modiste reads.
    """
    names = {file.name for file in files}
    if single is not None:
        return _single(model, files, single)
    if "model_index.json" in names:
        return _diffusers(model, files)
    if names & {"config.json", "open_clip_config.json"}:
        return _transformers(model, files)
    return _single(model, files, None)


def is_diffusers(files: Sequence[HubFile]) -> bool:
    """Whether a repository is a diffusers folder."""
    return any(file.name == "model_index.json" for file in files)


def _diffusers(model: str, files: Sequence[HubFile]) -> list[HubFile]:
    inside = [file for file in files if file.folder in PARTS]
    weights = [file for file in inside if _is_weights(file)]
    parts = {file.folder for file in weights}
    if "unet" not in parts:
        raise InputError(
            f"{model} has no UNet as safetensors: Stable Diffusion 1.x, 2.x and XL can be used", to_try="another model"
        )
    has_half = {file.folder for file in weights if HALF in file.base_name}
    half = has_half == parts  # a mixture of both forms would not open as a whole
    chosen = [file for file in weights if (HALF in file.base_name) is half]
    indexes = [file for file in inside if ".index." in file.base_name and file.name.endswith(".json")]
    chosen += [file for file in indexes if _of_safetensors(file) and (HALF in file.base_name) is half]
    configs = [file for file in inside if file.base_name in CONFIGS]
    return [*chosen, *configs, *(file for file in files if file.name == "model_index.json")]


def _transformers(model: str, files: Sequence[HubFile]) -> list[HubFile]:
    at_root = [file for file in files if not file.folder]
    open_clip = [file for file in at_root if file.base_name == "open_clip_config.json"]
    stem = "open_clip_model" if any(file.name == f"open_clip_model{WEIGHTS}" for file in at_root) else "model"
    chosen = [file for file in at_root if _is_weights(file) and file.name.startswith(stem) and HALF not in file.name]
    chosen += [file for file in at_root if file.name == f"{stem}{WEIGHTS}.index.json"]
    if not any(_is_weights(file) for file in chosen):
        raise InputError(
            f"{model} has no weights as safetensors (pickled ones are not opened)", to_try="another model or revision"
        )
    marker = "open_clip_config.json" if open_clip else "config.json"
    configs = [file for file in at_root if file.base_name in CONFIGS and file.name != marker]
    return [*chosen, *configs, *(file for file in at_root if file.name == marker)]


def _single(model: str, files: Sequence[HubFile], single: str | None) -> list[HubFile]:
    weights = [file for file in files if file.name.endswith(WEIGHTS)]
    chosen = [file for file in weights if single in (None, file.name)]
    if len(chosen) == 1:
        return chosen
    known = ", ".join(file.name for file in weights[:12]) or "none"
    raise InputError(
        f"{model} has {f'no file {single}' if single else 'several checkpoint files, or none that is used here'}",
        to_try=f"{model}/FILE with one of its .safetensors: {known}",
    )


def _is_weights(file: HubFile) -> bool:
    return file.name.endswith(WEIGHTS) and ".non_ema" not in file.base_name and "openvino" not in file.base_name


def _of_safetensors(file: HubFile) -> bool:
    return WEIGHTS in file.base_name and ".non_ema" not in file.base_name
