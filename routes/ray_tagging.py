"""`tag --engine ray`: a catalogue spread over the workers of a Ray cluster, each with a tagger of its own.

    photos → Ray Data → workers: fashion/batch_tagging.py's own batch → lines, back in the catalogue's order

A photo is one row. Ray runs the batch of a worker that died again; what was observed before is in the cache of its
machine, by content. Only this process writes, and writes a photo once. Photos are read where the workers are: by paths
that every machine sees, or s3:// and the like.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..fashion.batch_tagging import BATCH, CATALOGUE_BATCH, BatchEntry, TaggingThreads, usable_lines
from ..fashion.photos import Skip, nothing_usable
from ..fashion.remote import as_path, is_remote
from ..fashion.tag_file import TaggedFile
from .ray_cluster import ClusterError, ClusterOptions, WorkerPool, connected, watched

if TYPE_CHECKING:
    import numpy as np

    from ..fashion.shards import Catalogue
    from ..models.presets import Preset


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker needs to tag as this process would."""

    preset: Preset
    device: str
    trigger: str = ""
    bound: tuple[str, ...] | None = None


def tag_by_ray(
    catalogue: Catalogue,
    settings: WorkerSettings,
    cluster: ClusterOptions,
    *,
    done: frozenset[str] = frozenset(),
    without_garment: Callable[[Path], bool] = lambda path: False,
    skipped: list[Skip],
    tagged: Callable[[int, int, Path], None] = lambda done, total, path: None,
) -> Iterator[tuple[Path, TaggedFile]]:
    """`tag_photos` by a cluster; the lines come in the same order. Raises ClusterError where none comes any more."""
    files, unusable = catalogue.find()
    skipped += unusable
    todo = [file for file in files if str(file) not in done]
    used = len(files) - len(todo)
    with connected(cluster.address) as ray:
        rows = _rows(ray, todo, settings, cluster.workers) if todo else iter(())
        used += yield from usable_lines(
            _in_order(todo, watched(rows, "no photo was tagged")),
            used,
            without_garment=without_garment,
            skipped=skipped,
            tagged=lambda count, path: tagged(count, len(files), path),
        )
    if not used and not (catalogue.shard and not files and not unusable):
        raise nothing_usable(catalogue.paths, skipped)


def _in_order(files: Sequence[Path], rows: Iterator[dict[str, Any]]) -> Iterator[tuple[Path, BatchEntry | Skip]]:
    for number, (path, row) in enumerate(zip(files, rows, strict=True)):
        if row["number"] != number:
            raise ClusterError(f"the cluster answered for photo {row['number']} where {number} was next")
        yield path, _entry(path, json.loads(row["entry"]))


class TaggingWorker:
    """A process of the cluster with a tagger, which stays open from batch to batch."""

    def __init__(self, settings: WorkerSettings):
        from ..fashion.encoder_cache import ObservationCache
        from ..fashion.prompts.captions import caption_of
        from ..models.vision import open_tagger

        tagger = open_tagger(settings.preset, settings.device, cpu_batch=CATALOGUE_BATCH)
        caption = partial(caption_of, taxonomy=tagger.taxonomy, trigger=settings.trigger, bound=settings.bound)
        self.work = TaggingThreads(tagger, ObservationCache(tagger.key), caption)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        """The entries of a batch of paths, as JSON, with their photos' numbers."""
        files = [as_path(str(text)) for text in batch["place"]]
        entries = self.work.read(self.work.encode(self.work.decode(files)))
        return {"number": batch["number"], "entry": [json.dumps(_as_json(entry)) for entry in entries]}


def _as_json(entry: BatchEntry | Skip) -> dict[str, Any]:
    return {"code": entry.code, "reason": entry.reason} if isinstance(entry, Skip) else asdict(entry)


def _entry(path: Path, fields: dict[str, Any]) -> BatchEntry | Skip:
    if "code" in fields:
        return Skip(path, fields["code"], fields["reason"])
    line = {**fields["line"], "image": str(path), "notes": tuple(fields["line"]["notes"])}
    return BatchEntry(TaggedFile(**line), fields["garment"])


def _rows(ray: Any, files: Sequence[Path], settings: WorkerSettings, workers: int | None) -> Iterator[dict[str, Any]]:
    """A row for each file, in order."""
    from ray.data import ActorPoolStrategy, DataContext, from_items

    context = DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    blocks = -(-len(files) // BATCH)
    pool = WorkerPool.of_cluster(ray, settings.device, workers, blocks)
    # Workers may have another current folder.
    items = [
        {"number": number, "place": str(file if is_remote(file) else file.absolute())}
        for number, file in enumerate(files)
    ]
    lines = from_items(items, override_num_blocks=blocks).map_batches(
        TaggingWorker,
        fn_constructor_args=(settings,),
        batch_size=None,  # a block is a batch: a worker that dies costs one
        compute=ActorPoolStrategy(size=pool.size),
        **pool.reserved,
    )
    yield from lines.iter_rows()
