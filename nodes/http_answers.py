"""Answers to the page's requests: the groups of all vocabularies, the tags of one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..fashion.photos import read_photo
from ..fashion.prompts.captions import caption_of
from ..fashion.taxonomy import load_taxonomy
from .choices import AUTO
from .comfy.folders import vocabulary_names
from .comfy.model_management import encoder_notice, vision_models_for
from .comfy.safe_paths import inside
from .vision.batches import tag
from .vision.tag_edits import tag_rows

ROOTS = ("input", "output", "temp")


def groups() -> list[dict[str, Any]]:
    """Every group of every vocabulary once, with a fixed colour, and its labels, with their names by language."""
    by_id: dict[str, dict[str, Any]] = {}
    for name in vocabulary_names():
        for group in load_taxonomy(name).groups:
            fresh = {"id": group.id, "names": {"en": group.id, **group.name}, "colour_index": len(by_id), "labels": {}}
            labels = by_id.setdefault(group.id, fresh)["labels"]
            for label in group.labels:
                labels.setdefault(label.id, {"text": label.prompt_text, "names": label.name})
    return list(by_id.values())


class NoPicture(InputError):
    """There is no such picture, or it lies outside ComfyUI's folders."""


def tags_of(request: dict[str, Any], encoder: str) -> dict[str, Any]:
    """Tags and caption of a picture that the server finds by filename, subfolder and type; "" as encoder is AUTO.

    `notice` says where AUTO fell back to the embedded encoder; else "".
    """
    photo = read_photo(
        picture_file(text_in(request, "filename"), text_in(request, "subfolder"), text_in(request, "type") or "input")
    )
    chosen = encoder or AUTO
    vision = vision_models_for(chosen, AUTO)
    tags = tag(vision, [photo.image], lambda done, total: None)[0]
    return {"tags": tag_rows(tags), "caption": caption_of(tags, vision.taxonomy), "notice": encoder_notice(chosen)}


def picture_file(filename: str, subfolder: str, kind: str) -> Path:
    """The file inside the folder of its type; NoPicture where there is none or the path leads outside."""
    import folder_paths

    root = folder_paths.get_directory_by_type(kind) if kind in ROOTS else None
    if root is None or Path(filename).name != filename or not filename:
        raise NoPicture("there is no such picture")
    try:
        file = inside(str(Path(subfolder or ".") / filename), [Path(root)])
    except InputError:
        raise NoPicture("there is no such picture") from None
    if not file.is_file():
        raise NoPicture("there is no such picture")
    return file


def text_in(request: dict[str, Any], name: str) -> str:
    """A text field of a request, "" where it is missing; TypeError where it is no text."""
    value = request.get(name, "")
    if not isinstance(value, str):
        raise TypeError(name)
    return value
