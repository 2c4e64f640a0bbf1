"""Photos and captions laid out as the trainer's folders."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.files import make_folder, write_whole
from ..fashion.prompts.captions import caption_of
from ..fashion.prompts.strategies import Context, label_shares
from ..hosts.attention import read_weights
from ..trainer.data.caption_files import own_caption
from ..trainer.data.photo_files import MASK

if TYPE_CHECKING:
    from ..fashion.photos import Photo
    from ..fashion.prompts.tree import Prompt
    from ..fashion.tags import PhotoTags
    from ..fashion.taxonomy import Taxonomy

PHOTOS, GENERATED = "photos", "generated"  # folders of a dataset


def lay_out(
    photos: Sequence[Photo],
    captions: Mapping[str, str],
    generated: Mapping[Path, str],
    dataset: Path,
) -> dict[str, Any]:
    """The trainer's folders: photos with their captions (sha256 → text), and `generated` pictures (file → prompt).

    A caption that somebody wrote beside a photo stays. Returns what of DataConfig follows from it. Done twice it is
    the same, so that a run that was stopped here goes on.
    """
    for photo in photos:
        file = dataset / PHOTOS / f"{photo.sha256[:12]}-{photo.path.name}"
        _take(photo.path, file)
        mask = photo.path.with_name(f"{photo.path.stem}{MASK}.png")
        if mask.is_file():
            _take(mask, file.with_name(f"{file.stem}{MASK}.png"))
        written = own_caption(photo.path)
        _write(file.with_suffix(".txt"), captions[photo.sha256] if written is None else written)
    for picture, prompt in generated.items():
        file = dataset / GENERATED / picture.name
        _take(picture, file)
        _write(file.with_suffix(".txt"), "".join(run.text or " " for run in read_weights(prompt)))
    return {"folders": [dataset / PHOTOS], "prior_folder": dataset / GENERATED if generated else None}


def captions_of(
    photos: Sequence[Photo],
    tags: Sequence[PhotoTags],
    strategy: str,
    taxonomy: Taxonomy,
    trigger: str,
    bound: Sequence[str] | None,
    given: Callable[[str], Mapping[str, Prompt]] = lambda sha256: {},
) -> dict[str, str]:
    """sha256 → caption in the strategy's form; what belongs to the brand is left to the trigger.

    `given`: sha256 → words for the photo from elsewhere, by strategy.
    """
    context = Context(share=label_shares(tags))
    return {
        photo.sha256: caption_of(
            photo_tags, taxonomy, trigger, bound, strategy=strategy, context=context, given=given(photo.sha256)
        )
        for photo, photo_tags in zip(photos, tags, strict=True)
    }


def _take(source: Path, file: Path) -> None:
    """The same file under another name; a copy where the disk has no such links."""
    if file.exists():
        return
    make_folder(file.parent)
    try:
        os.link(source.resolve(), file)
    except OSError:
        temporary = file.with_name(f"{file.name}.part")
        shutil.copyfile(source, temporary)
        temporary.replace(file)


def _write(file: Path, text: str) -> None:
    make_folder(file.parent)
    write_whole(file, f"{text}\n".encode())
