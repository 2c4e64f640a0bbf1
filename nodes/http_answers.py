"""What the page is told of vocabularies and of one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..fashion.photos import read_photo
from ..fashion.prompts.captions import caption_of
from ..fashion.taxonomy import load_taxonomy
from .choices import AUTO, FASHION_CLIP
from .comfy.folders import vocabulary_names
from .comfy.model_management import eyes_for
from .comfy.safe_paths import inside
from .vision.batches import tag
from .vision.tag_edits import shown

ROOTS = ("input", "output", "temp")


def groups() -> list[dict[str, Any]]:
    """Every group of every vocabulary, once, with a colour that stays its own."""
    found: dict[str, dict[str, Any]] = {}
    for name in vocabulary_names():
        for group in load_taxonomy(name).groups:
            english = group.name.get("en", group.id)
            about = {"id": group.id, "name": english, "name_zh": group.name.get("zh-TW", english)}
            found.setdefault(group.id, {**about, "colour_index": len(found)})
    return list(found.values())


class NoPicture(InputError):
    """Not there, or not for asking."""


def tags_of(asked: dict[str, Any], encoder: str) -> dict[str, Any]:
    """Tags and caption of a picture that the server knows by filename, subfolder and type."""
    photo = read_photo(
        picture_file(text_in(asked, "filename"), text_in(asked, "subfolder"), text_in(asked, "type") or "input")
    )
    vision = eyes_for(encoder or FASHION_CLIP, AUTO)
    found = tag(vision, [photo.image], lambda done, total: None)[0]
    return {"tags": shown(found), "caption": caption_of(found, vision.taxonomy)}


def picture_file(filename: str, subfolder: str, kind: str) -> Path:
    """The file, inside the folder of its type; refused as not there where it leads out."""
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


def text_in(asked: dict[str, Any], name: str) -> str:
    """A text of a request, "" where it is not there; TypeError where it is something else."""
    value = asked.get(name, "")
    if not isinstance(value, str):
        raise TypeError(name)
    return value
