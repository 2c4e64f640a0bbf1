"""ComfyUI's folders: roots that nodes read from and write to, and the names in its lists."""

from __future__ import annotations

import logging
from pathlib import Path

from ...core.errors import InputError
from ...core.home import modiste_home
from ...core.suggestions import did_you_mean
from ...core.weights import MARKERS
from ...fashion.taxonomy import SHIPPED
from ..choices import AUTO, FASHION_CLIP, MINI, TRAINED
from .safe_paths import PATHS_FILE, inside, photo_folders, read_photo_roots

log = logging.getLogger("modiste")

ENCODERS = "fashion_clip"  # the folder under models/
LORAS = "loras"
RUNS = "modiste"  # the folder under output/
PHOTOS = "photos"  # the folder of input/ that texts recommend


def register() -> None:
    """Registers `models/fashion_clip`, so that extra_model_paths.yaml can name more folders."""
    import folder_paths

    folder_paths.add_model_folder_path(ENCODERS, str(Path(folder_paths.models_dir) / ENCODERS))


def encoder_folders() -> list[Path]:
    """The folders that are searched for encoders."""
    import folder_paths

    return [Path(folder) for folder in folder_paths.get_folder_paths(ENCODERS)]


def encoder_names() -> list[str]:
    """AUTO, FashionCLIP, present or not, each further folder of models/fashion_clip, then the embedded encoder."""
    names = {
        candidate.name
        for folder in encoder_folders()
        if folder.is_dir()
        for candidate in folder.iterdir()
        if any((candidate / marker).is_file() for marker in MARKERS)
    }
    return [AUTO, FASHION_CLIP, *sorted(names - {AUTO, FASHION_CLIP, MINI}), MINI]


def vocabulary_names() -> list[str]:
    """Shipped vocabularies and the user's own."""
    user_folder = modiste_home() / "vocabularies"
    return sorted({file.stem for folder in (SHIPPED, user_folder) for file in folder.glob("*.json")})


def input_root() -> Path:
    """ComfyUI's input folder."""
    import folder_paths

    return Path(folder_paths.get_input_directory())


def output_root() -> Path:
    """ComfyUI's output folder."""
    import folder_paths

    return Path(folder_paths.get_output_directory())


def runs_root() -> Path:
    """The folder of all runs, each in a folder of its own."""
    return output_root() / RUNS


def photo_folder(name: str, must_exist: bool = True) -> Path:
    """A folder of photos by its name under ComfyUI's input, or by its full path under input, output or a photo root.

    InputError where it lies elsewhere, or where `must_exist` and it does not exist.
    """
    if not name.strip():
        raise InputError("no folder of photos was named", to_try=_folders_there(""))
    folder = inside(name, [input_root(), output_root(), *photo_roots()])
    if must_exist and not folder.is_dir():
        raise InputError(f"there is no folder {name!r}", where=str(folder), to_try=_folders_there(name))
    return folder


def _folders_there(name: str) -> str:
    """The nearest folder of photos and all others; where there is none, where to put photos."""
    there = photo_folder_names()
    return did_you_mean(name, there) if there else f"copy your photos into {input_root() / PHOTOS}"


def photo_folder_names() -> list[str]:
    """Folders of ComfyUI's input, then of the photo roots by their full path, that hold photos."""
    try:
        roots = photo_roots()
    except InputError as error:  # the nodes stay listed; one that is run gives the error
        log.warning("%s", error)
        roots = []
    others = [str(folder) for root in roots for folder in (root, *(root / name for name in photo_folders(root)))]
    return [*photo_folders(input_root(), roots), *others]


def photo_roots() -> list[Path]:
    """Further folders that photos may lie in, from PATHS_FILE in ComfyUI's own folder and in MODISTE_HOME."""
    import folder_paths

    return [
        root
        for place in (Path(folder_paths.base_path), modiste_home())
        for root in read_photo_roots(place / PATHS_FILE)
    ]


def checkpoint_names() -> list[str]:
    """The checkpoints that ComfyUI's own loader lists."""
    import folder_paths

    return folder_paths.get_filename_list("checkpoints")


def checkpoint_file(name: str) -> Path:
    """The file of a checkpoint in ComfyUI's list; InputError where it is gone."""
    import folder_paths

    file = folder_paths.get_full_path("checkpoints", name)
    if file is None:
        raise InputError(
            f"there is no checkpoint {name!r}",
            where=", ".join(folder_paths.get_folder_paths("checkpoints")),
            to_try=did_you_mean(name, checkpoint_names()),
        )
    return Path(file)


def lora_folder() -> Path:
    """The folder for a new LoRA: output/loras where ComfyUI lists it, else the first folder of LoRAs."""
    import folder_paths

    output_loras, folders = output_root() / LORAS, folder_paths.get_folder_paths(LORAS)
    return output_loras if str(output_loras) in folders else Path(folders[0])


def lora_folders() -> list[Path]:
    """The folders that LoRA loaders search."""
    import folder_paths

    return [Path(folder) for folder in folder_paths.get_folder_paths(LORAS)]


def lora_names() -> list[str]:
    """The LoRAs that ComfyUI's own loaders list."""
    import folder_paths

    return folder_paths.get_filename_list(LORAS)


def lora_file(name: str) -> Path:
    """The file of a LoRA by its name in ComfyUI's list or by its age (TRAINED); InputError where there is none."""
    import folder_paths

    from ..training.history import trained_files

    if name in TRAINED:
        files = [file for file in map(_lora_path, trained_files(runs_root())) if file]
        age = TRAINED.index(name)
        if age >= len(files):
            raise InputError(
                "no LoRA has been trained here yet" if not files else "only one LoRA has been trained here",
                to_try="run the template *caption and train a LoRA*, or choose a LoRA by its name",
            )
        return files[age]
    path = _lora_path(name)
    if path is None:
        raise InputError(
            f"there is no LoRA {name!r}",
            where=", ".join(folder_paths.get_folder_paths(LORAS)),
            to_try="choose one of the list",
        )
    return path


def _lora_path(name: str) -> Path | None:
    import folder_paths

    path = folder_paths.get_full_path(LORAS, name)
    return Path(path) if path else None
