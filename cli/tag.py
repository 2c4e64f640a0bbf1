"""`modiste tag`: what each photo shows, as lines, captions, JSON lines or CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .choices import choose_preset, groups_of
from .engine_options import EngineOptions
from .exit_codes import EXIT_OK, EXIT_SKIPS
from .option_groups import VisionOptions, with_option_groups
from .options import (
    DEMONSTRATION,
    AllowRemote,
    AsJson,
    CaptionBind,
    Catalogued,
    Device,
    Force,
    Join,
    Overwrite,
    PresetName,
    ShardOfCatalogue,
    one_line,
)
from .search_option_groups import CaptionerOptions
from .streams import reader_left
from .terminal import Display, print_json, say

if TYPE_CHECKING:
    from ..fashion.caption_files import CaptionWriter
    from ..fashion.photos import Skip
    from ..fashion.shards import Catalogue
    from ..fashion.tag_file import TagFile, TaggedFile
    from ..fashion.taxonomy import Taxonomy
    from ..models.captioner import RememberingCaptioner
    from ..routes.ray_tagging import WorkerSettings


@with_option_groups
def tag(
    photos: Catalogued,
    *,
    preset: PresetName = None,
    out: Annotated[Path | None, typer.Option(help="FILE.jsonl, .csv or .parquet; goes on where it stopped.")] = None,
    captions: Annotated[bool, typer.Option("--captions", help="Write a .txt caption beside each photo.")] = False,
    overwrite: Overwrite = False,
    trigger: Annotated[str, one_line("A word in every caption that is to mean the brand's look.")] = "",
    bind: CaptionBind = None,
    describing: CaptionerOptions,
    allow_remote: AllowRemote = False,
    models: VisionOptions,
    force: Force = False,
    shard: ShardOfCatalogue = None,
    spread: EngineOptions,
    join: Join = False,
    device: Device = "auto",
    json: AsJson = False,
) -> int:
    """Say what each photo shows, group by group, with confidences."""
    from ..core.progress import Pace
    from ..fashion.caption_files import CaptionWriter
    from ..fashion.tag_file import TagFile
    from ..fashion.tag_table import lines_file
    from ..fashion.taxonomy import load_taxonomy
    from ..routes.ray_tagging import WorkerSettings

    if join:
        return join_files(photos, out)
    catalogue = catalogue_of(photos, shard, captions)
    chosen = choose_preset(preset, **models.as_fields())
    taxonomy = load_taxonomy(chosen.taxonomy)
    bound, skipped = groups_of(bind, taxonomy), list["Skip"]()
    with Display(quiet=json) as display, ExitStack() as open_files:
        start = open_engine(spread, WorkerSettings(chosen, device, trigger, bound), open_files)
        file = open_files.enter_context(TagFile(catalogue.file_of(lines_file(out)))) if out else None
        asked = describing.open(allow_remote)
        described = Described(open_files.enter_context(asked), taxonomy, trigger, bound) if asked else None
        refuse_other_captions(file, described, taxonomy, trigger, bound)
        writer = open_files.enter_context(CaptionWriter(overwrite)) if captions else None
        results = Results(file, writer, json)
        tagged_photos = start(
            catalogue,
            done=file.done if file else frozenset(),
            without_garment=Demonstration() if force else lambda path: False,
            skipped=skipped,
            tagged=Pace("tag", 0, display).found,
        )
        for photo, line in tagged_photos:
            results.add(photo, described.line(photo, line) if described else line)
            if results.nobody_reads():
                return EXIT_OK
        if writer and file:
            write_earlier_captions(photos, file, writer)
    return results.finish(skipped, out, shard)


def open_engine(
    spread: EngineOptions, settings: WorkerSettings, open_files: ExitStack
) -> Callable[..., Iterator[tuple[Path, TaggedFile]]]:
    """What tags a catalogue: a tagger in this process, opened, or a cluster's workers."""
    from ..fashion.batch_tagging import CATALOGUE_BATCH, tag_photos
    from ..fashion.encoder_cache import ObservationCache
    from ..fashion.prompts.captions import caption_of
    from ..models.vision import open_tagger
    from ..routes.ray_tagging import tag_by_ray

    if spread.is_ray:
        return partial(tag_by_ray, settings=settings, cluster=spread.cluster)
    tagger = open_tagger(settings.preset, settings.device, cpu_batch=CATALOGUE_BATCH)
    cache = open_files.enter_context(ObservationCache(tagger.key))
    caption = partial(caption_of, taxonomy=tagger.taxonomy, trigger=settings.trigger, bound=settings.bound)
    return partial(tag_photos, tagger=tagger, cache=cache, caption=caption)


def catalogue_of(photos: list[Path], shard: str | None, captions: bool) -> Catalogue:
    """What is to be tagged. InputError for no shard, and for captions where none can lie beside the photos."""
    from ..core.errors import InputError
    from ..fashion.containers import is_container
    from ..fashion.remote import is_remote
    from ..fashion.shards import Catalogue, Shard

    for path in photos if captions else []:
        if is_container(path) or is_remote(path):
            kind = "into a bucket or server" if is_remote(path) else "into an archive or a table"
            raise InputError(f"captions can't be written {kind}", where=str(path), to_try="--out tags.jsonl")
    return Catalogue(photos, Shard.parse(shard) if shard else None)


def join_files(photos: list[Path], out: Path | None) -> int:
    """Joins the files of all shards, and names the photos without a line; the exit code."""
    from ..core.errors import InputError
    from ..fashion.shards import Catalogue, join_shards
    from ..fashion.tag_table import lines_file

    if out is None:
        raise InputError("--join writes a file", to_try="--out with the name that the shards were given")
    lines, files = lines_file(out), Catalogue(photos).find()[0]
    missing = join_shards(lines, files)
    finish_table(out, lines, None)
    say(f"{len(files) - len(missing)} of {len(files)} photos in {out}")
    if missing:
        names = ", ".join(map(str, missing[:3])) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        say(f"no line: {names}; they were skipped, or their shard has not ended: the same --shard goes on")
    return EXIT_SKIPS if missing else EXIT_OK


def finish_table(out: Path, lines: Path, shard: str | None) -> None:
    """Writes the parquet table of the lines where one was asked for; a shard's lines wait for --join."""
    from ..fashion.tag_table import is_tag_table, write_tag_table

    if is_tag_table(out) and shard:
        say(f"this shard's lines are in {lines}; --join writes {out}")
    elif is_tag_table(out):
        write_tag_table(out, lines)


class Described:
    """Captions by a captioner instead of the tags, with what is bound left to the trigger."""

    def __init__(
        self, captioner: RememberingCaptioner, taxonomy: Taxonomy, trigger: str, bound: tuple[str, ...] | None
    ):
        self.captioner, self.taxonomy, self.trigger, self.bound = captioner, taxonomy, trigger, bound

    def line(self, photo: Path, line: TaggedFile) -> TaggedFile:
        """The photo's line with its caption; the captioner is asked where it was not before."""
        from dataclasses import replace

        from ..fashion.photos import decode_photo, read_file

        data = read_file(photo)
        text = self.captioner.describe(data.sha256, lambda: decode_photo(data).image)
        return replace(line, caption=self._written(text))

    def known(self, photo: str) -> str | None:
        """The caption of a photo that the captioner was asked about before; None for others, and where it is gone."""
        from ..fashion.photos import BadPhoto, read_file

        try:
            caption = self.captioner.known(read_file(photo).sha256)
        except BadPhoto:
            return None
        return None if caption is None else self._written(caption)

    def _written(self, text: str) -> str:
        from ..fashion.prompts.captions import caption_of_words

        return caption_of_words(text, self.taxonomy, self.trigger, self.bound)


def refuse_other_captions(
    file: TagFile | None, described: Described | None, taxonomy: Taxonomy, trigger: str, bound: tuple[str, ...] | None
) -> None:
    """InputError where an earlier run has written other captions into the file than this one would."""
    if file and described:
        file.refuse_captions_unlike(described.known)
    elif file:
        file.refuse_other_captions(taxonomy, trigger, bound)


class Results:
    """Where each photo's tags go: into the file, beside the photo, onto stdout, or into `lines` for `--json`."""

    def __init__(self, file: TagFile | None, writer: CaptionWriter | None, json: bool):
        self.file, self.writer, self.json = file, writer, json
        self.lines: list[TaggedFile] = []
        self.notes: dict[str, int] = {}  # how many photos have it

    def add(self, photo: Path, line: TaggedFile) -> None:
        """Writes, prints or keeps the tags of one photo."""
        for note in line.notes:
            self.notes[note] = self.notes.get(note, 0) + 1
        if self.file:
            self.file.add(line)
        if self.writer:
            self.writer.write(photo, line.caption)
        if self.json:
            self.lines.append(line)
        elif not self.file:
            print(f"{line.image}: {line.caption}", flush=True)

    def nobody_reads(self) -> bool:
        """Whether the lines go to standard output alone, and its reader has left (`| head -1`)."""
        return reader_left() and not (self.file or self.writer or self.json)

    def finish(self, skipped: list[Skip], out: Path | None, shard: str | None) -> int:
        """Writes the table, prints the JSON document, and names what was skipped and kept; the exit code."""
        if out and self.file:
            finish_table(out, self.file.path, shard)
        if self.json:
            print_json([line.as_json() for line in self.lines])
        for skip in skipped:
            say(f"skipped {skip.path}: {skip.code}, {skip.reason}")
        for note, count in self.notes.items():
            say(f"{count} {'photo' if count == 1 else 'photos'}, {note}")
        kept = self.writer.kept if self.writer else []
        say_kept(kept)
        return EXIT_SKIPS if skipped or kept else EXIT_OK


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


class Demonstration:
    """Lets photos without a garment be tagged, and says once, at the first of them, what that is worth."""

    def __init__(self) -> None:
        self.said = False

    def __call__(self, photo: Path) -> bool:
        """True: the photo is tagged."""
        if not self.said:
            say(f"{photo}: {DEMONSTRATION}")
        self.said = True
        return True
