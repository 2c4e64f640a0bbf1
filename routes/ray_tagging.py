"""`tag --engine ray`: a catalogue spread over the workers of a Ray cluster, each with a tagger of its own.

    photos → Ray Data → workers: fashion/batch_tagging.py's own batch → lines, back in the catalogue's order

A photo is one row. Ray runs the batch of a worker that died again; what was observed before is in the cache of its
machine, by content. Only this process writes, and writes a photo once. Photos are read where the workers are: by paths
that every machine sees, or s3:// and the like.
"""

from __future__ import annotations

import json
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError, ModisteError
from ..fashion.batch_tagging import BATCH, THREADS, BatchEntry, tag_batch, usable_lines
from ..fashion.photos import Skip, nothing_usable
from ..fashion.remote import as_path, is_remote
from ..fashion.tag_file import TaggedFile

if TYPE_CHECKING:
    import numpy as np

    from ..fashion.shards import Catalogue
    from ..models.presets import Preset

PATIENCE_S = 600.0  # without a line, opening the models of the first batch included
USAGE_STATISTICS = "RAY_USAGE_STATS_ENABLED"


class ClusterError(ModisteError):
    """The cluster is not there, or does nothing any more; what is written stays."""

    exit_code = 4


@dataclass(frozen=True)
class ClusterOptions:
    """Where it is tagged: a cluster's address, None for this machine; workers, None for one a processor or card."""

    address: str | None = None
    workers: int | None = None


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
            _in_order(todo, watched(rows)),
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

        self.tagger = open_tagger(settings.preset, settings.device)
        self.cache, self.pool = ObservationCache(self.tagger.key), ThreadPoolExecutor(THREADS)
        self.caption = partial(
            caption_of, taxonomy=self.tagger.taxonomy, trigger=settings.trigger, bound=settings.bound
        )

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        """The entries of a batch of paths, as JSON, with their photos' numbers."""
        files = [as_path(str(text)) for text in batch["place"]]
        entries = tag_batch(files, self.tagger, self.cache, self.pool, self.caption)
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
    kind = "CPU" if settings.device == "cpu" or not ray.cluster_resources().get("GPU") else "GPU"
    blocks, most = -(-len(files) // BATCH), int(ray.cluster_resources().get(kind, 1))
    # Workers may have another current folder.
    items = [
        {"number": number, "place": str(file if is_remote(file) else file.absolute())}
        for number, file in enumerate(files)
    ]
    lines = from_items(items, override_num_blocks=blocks).map_batches(
        TaggingWorker,
        fn_constructor_args=(settings,),
        batch_size=None,  # a block is a batch: a worker that dies costs one
        compute=ActorPoolStrategy(size=max(1, min(workers or most, most, blocks))),
        **({"num_gpus": 1} if kind == "GPU" else {"num_cpus": 1}),
    )
    yield from lines.iter_rows()


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Ray inside `with`, on this machine or at a cluster.

    Raises InputError where it is not installed, ClusterError where nobody answers.
    """
    if find_spec("ray") is None:
        raise InputError("--engine ray needs Ray", to_try='pip install "ray[data]>=2.52"')
    os.environ.setdefault(USAGE_STATISTICS, "0")
    import ray

    there = ray.is_initialized()
    try:
        if not there:
            here = {"include_dashboard": False} if address is None else {}
            ray.init(address=address or "local", log_to_driver=False, logging_level="warning", **here)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"no Ray cluster answers: {_last_line(error)}",
            where=address or "this machine",
            to_try="--address HOST:6379",
        ) from None
    try:
        yield ray
    finally:
        if not there:
            ray.shutdown()


def watched(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows; ClusterError where none comes for PATIENCE_S, or the cluster gives up."""
    arrived: queue.Queue[dict[str, Any] | BaseException | None] = queue.Queue(4 * BATCH)

    def pull() -> None:
        try:
            for row in rows:
                arrived.put(row)
            arrived.put(None)
        except BaseException as error:
            arrived.put(error)

    threading.Thread(target=pull, daemon=True).start()
    while True:
        try:
            row = arrived.get(timeout=PATIENCE_S)
        except queue.Empty:
            raise ClusterError(
                f"no photo was tagged for {PATIENCE_S / 60:.0f} minutes",
                to_try="`ray status` says why; the same command goes on",
            ) from None
        if row is None:
            return
        if isinstance(row, ModisteError):
            raise row
        if isinstance(row, BaseException):
            raise ClusterError(f"the cluster gave up: {_last_line(row)}", to_try="the same command goes on") from None
        yield row


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
