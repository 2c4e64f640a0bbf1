"""`modiste tag`: what each photo shows, as lines, captions, JSON lines or CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .choices import choose_preset, groups_of
from .exit_codes import EXIT_OK, EXIT_SKIPS
from .option_groups import VisionOptions, with_option_groups
from .options import AsJson, Device, Photos, PresetName
from .terminal import Display, print_json, say

if TYPE_CHECKING:
    from ..fashion.caption_files import CaptionWriter
    from ..fashion.photos import Skip
    from ..fashion.tag_file import TagFile, TaggedFile


@with_option_groups
def tag(
    photos: Photos,
    *,
    preset: PresetName = None,
    out: Annotated[Path | None, typer.Option(help="FILE.jsonl or FILE.csv; goes on where it stopped.")] = None,
    captions: Annotated[bool, typer.Option("--captions", help="Write a .txt caption beside each photo.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="With --captions: also replace .txt files that Modiste did not write.")
    ] = False,
    trigger: Annotated[str, typer.Option(help="A word in every caption that is to mean the brand's look.")] = "",
    bind: Annotated[
        str | None, typer.Option(help="With --trigger: groups to leave unsaid, comma-separated.", show_default=False)
    ] = None,
    models: VisionOptions,
    device: Device = "auto",
    json: AsJson = False,
) -> int:
    """Say what each photo shows, group by group, with confidences."""
    from contextlib import ExitStack

    from ..core.progress import Pace
    from ..fashion.batch_tagging import tag_photos
    from ..fashion.caption_files import CaptionWriter
    from ..fashion.encoder_cache import ObservationCache, RememberingEncoder
    from ..fashion.tag_file import TagFile
    from ..models.vision import open_tagger

    tagger = open_tagger(choose_preset(preset, **models.as_fields()), device)
    skipped: list[Skip] = []
    lines: list[TaggedFile] = []
    with Display(quiet=json) as display, ExitStack() as open_files:
        bound = groups_of(bind, tagger.taxonomy)
        file = open_files.enter_context(TagFile(out)) if out else None
        if file:
            file.refuse_other_captions(tagger.taxonomy, trigger, bound)
        writer = open_files.enter_context(CaptionWriter(overwrite)) if captions else None
        cache = open_files.enter_context(ObservationCache(tagger.encoder.identity.key))
        tagger.encoder = RememberingEncoder(tagger.encoder, cache)
        pace = Pace("tag", 0, display)
        found = tag_photos(
            photos,
            tagger,
            cache=cache,
            trigger=trigger,
            bound=bound,
            done=file.done if file else frozenset(),
            skipped=skipped,
            tagged=pace.found,
        )
        for photo, line in found:
            if file:
                file.add(line)
            if writer:
                writer.write(photo, line.caption)
            if json or not file:
                lines.append(line)
                if not json:
                    print(f"{line.image}: {line.caption}")
        if writer and file:
            write_earlier_captions(photos, file, writer)
    if json:
        print_json([line.as_json() for line in lines])
    for skip in skipped:
        say(f"skipped {skip.path}: {skip.code}, {skip.reason}")
    say_kept(writer.kept if writer else [])
    return EXIT_SKIPS if skipped or (writer and writer.kept) else EXIT_OK


def say_kept(files: list[Path]) -> None:
    """Names captions of the user's that were not replaced."""
    if files:
        names = ", ".join(map(str, files[:3])) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
        captions = "caption" if len(files) == 1 else "captions"
        say(f"kept {len(files)} {captions} that Modiste did not write: {names}; --overwrite replaces them")


def write_earlier_captions(photos: list[Path], file: TagFile, writer: CaptionWriter) -> None:
    """Writes the captions of photos that an earlier run has tagged into the same file."""
    from ..fashion.photos import find_photos

    for photo in find_photos(photos)[0]:
        if str(photo) in file.lines:
            writer.write(photo, file.lines[str(photo)].caption)
