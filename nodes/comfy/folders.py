"""Where ComfyUI keeps things: roots for what nodes read and write, and the names its lists show."""

from __future__ import annotations

from pathlib import Path

from ...core.errors import InputError
from ...core.home import modiste_home
from ...core.weights import MARKERS
from ...fashion.taxonomy import SHIPPED
from ..choices import FASHION_CLIP, MINI
from .safe_paths import inside, photo_folders

ENCODERS = "fashion_clip"  # the folder under models/
LORAS = "loras"
RUNS = "modiste"  # the folder under output/
PHOTOS = "photos"  # what the list of folders shows where there is none yet


def register() -> None:
    """Makes `models/fashion_clip` a place that extra_model_paths.yaml can move."""
    import folder_paths

    folder_paths.add_model_folder_path(ENCODERS, str(Path(folder_paths.models_dir) / ENCODERS))


def encoder_folders() -> list[Path]:
    """Where encoders are looked for."""
    import folder_paths

    return [Path(one) for one in folder_paths.get_folder_paths(ENCODERS)]


def encoder_names() -> list[str]:
    """FashionCLIP whether it is there or not, each further folder of models/fashion_clip, and the embedded one."""
    found = {
        one.name
        for folder in encoder_folders()
        if folder.is_dir()
        for one in folder.iterdir()
        if any((one / marker).is_file() for marker in MARKERS)
    }
    return [FASHION_CLIP, *sorted(found - {FASHION_CLIP, MINI}), MINI]


def vocabulary_names() -> list[str]:
    """Shipped vocabularies and the user's own."""
    own = modiste_home() / "vocabularies"
    return sorted({file.stem for folder in (SHIPPED, own) for file in folder.glob("*.json")})


def input_root() -> Path:
    """ComfyUI's input folder."""
    import folder_paths

    return Path(folder_paths.get_input_directory())


def output_root() -> Path:
    """ComfyUI's output folder."""
    import folder_paths

    return Path(folder_paths.get_output_directory())


def runs_root() -> Path:
    """Where runs live, each in a folder of its own."""
    return output_root() / RUNS


def photo_folder(name: str, must_exist: bool = True) -> Path:
    """A folder of photos by its name under ComfyUI's input, or by its full path under input or output.

    InputError where it lies elsewhere, or is not there.
    """
    folder = inside(name, [input_root(), output_root()])
    if must_exist and not folder.is_dir():
        raise InputError(
            f"there is no folder {name!r}", where=str(folder), to_try=f"copy your photos into {input_root() / PHOTOS}"
        )
    return folder


def photo_folder_names() -> list[str]:
    """Folders of ComfyUI's input that hold photos; where there are none yet, the name that one could have."""
    return photo_folders(input_root()) or [PHOTOS]


def checkpoint_names() -> list[str]:
    """The checkpoints that ComfyUI's own loader lists."""
    import folder_paths

    return folder_paths.get_filename_list("checkpoints")


def checkpoint_file(name: str) -> Path:
    """The file of a checkpoint that the list shows; InputError where it is gone."""
    import folder_paths

    found = folder_paths.get_full_path("checkpoints", name)
    if found is None:
        raise InputError(
            f"there is no checkpoint {name!r}",
            where=", ".join(folder_paths.get_folder_paths("checkpoints")),
            to_try="choose one of the list",
        )
    return Path(found)


def lora_folder() -> Path:
    """Where a new LoRA goes: output/loras, which ComfyUI lists; else the first folder of LoRAs."""
    import folder_paths

    own, listed = output_root() / LORAS, folder_paths.get_folder_paths(LORAS)
    return own if str(own) in listed else Path(listed[0])
