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
    from ..fashion.batch_tagging import Tagged
    from ..fashion.photos import Skip


@with_option_groups
def tag(
    photos: Photos,
    *,
    preset: PresetName = None,
    out: Annotated[Path | None, typer.Option(help="FILE.jsonl or FILE.csv; goes on where it stopped.")] = None,
    captions: Annotated[bool, typer.Option("--captions", help="Write a .txt caption beside each photo.")] = False,
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
    from ..fashion.batch_tagging import TagFile, tag_photos, write_caption
    from ..fashion.encoder_cache import ObservationCache, RememberingEncoder
    from ..models.vision import open_tagger

    tagger = open_tagger(choose_preset(preset, **models.as_fields()), device)
    skipped: list[Skip] = []
    lines: list[Tagged] = []
    with Display(quiet=json) as display, ExitStack() as open_files:
        file = open_files.enter_context(TagFile(out)) if out else None
        cache = open_files.enter_context(ObservationCache(tagger.encoder.identity.key))
        tagger.encoder = RememberingEncoder(tagger.encoder, cache)
        pace = Pace("tag", 0, display)
        found = tag_photos(
            photos,
            tagger,
            cache=cache,
            trigger=trigger,
            bound=groups_of(bind, tagger.taxonomy),
            done=file.done if file else frozenset(),
            skipped=skipped,
            tagged=pace.found,
        )
        for photo, line in found:
            if file:
                file.add(line)
            if captions:
                write_caption(photo, line.caption)
            if json or not file:
                lines.append(line)
                if not json:
                    print(f"{line.image}: {line.caption}")
    if json:
        print_json([line.as_json() for line in lines])
    for skip in skipped:
        say(f"skipped {skip.path}: {skip.code}, {skip.reason}")
    return EXIT_SKIPS if skipped else EXIT_OK
