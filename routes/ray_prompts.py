"""`prompt --engine ray`: photos searched side by side by the workers of a Ray cluster, each with models of its own.

    photos, one at a time → workers: routes/prompt's own search, a journal a photo → gathered in the run's journal

A photo's search is the one of a single process: its seeds, arms and batches depend on nothing that another photo draws,
as long as photos do not teach each other (PromptSettings.apart). Its journal lies in a folder of the worker's machine
until the photo is finished; then pictures, rows and scores travel here, where alone the run's folder is written. The
ordinary route then finds everything drawn and writes the report. Ray searches a photo again whose worker died.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.errors import ModisteError
from ..core.progress import Pace, ProgressCallback, silent
from ..core.threads import wait_asleep
from ..hosts.errors import BrokenPicture
from .prompt.contest import SearchRun
from .prompt.optimise import evaluators_of, optimise_photo
from .ray_cluster import ClusterError, ClusterOptions, WorkerPool, connected, last_line, watched

if TYPE_CHECKING:
    from ..fashion.photos import Photo
    from ..fashion.tags import PhotoTags
    from ..models.drawing_host import HostChoice
    from ..models.presets import Preset
    from ..models.session import Session
    from ..runs.shards import FinishedPicture

POLL_S = 2.0  # between two questions how many pictures the workers have drawn
TRIES = 3  # workers that may die over one photo

Ahead = Callable[[Sequence["Photo"], Sequence["PhotoTags"], SearchRun], None]


@dataclass(frozen=True)
class PromptModels:
    """What a worker opens to search as this process would."""

    preset: Preset
    host: HostChoice
    device: str


@dataclass(frozen=True)
class SearchTask:
    """One photo with its tags, and the pictures that the run has of it already."""

    photo: Photo
    tags: PhotoTags
    known: list[FinishedPicture]


@dataclass(frozen=True)
class SearchedPhoto:
    """What a worker drew of a photo, and why it could not go on; `refusal` is empty where it did."""

    photo: Path
    pictures: list[FinishedPicture]
    refusal: str = ""


class Drawn(NamedTuple):
    """What a worker has drawn since it was started; steps tell that it is alive where a picture takes long."""

    pictures: int = 0
    steps: int = 0


@contextmanager
def ray_workers(models: PromptModels, cluster: ClusterOptions, progress: ProgressCallback = silent) -> Iterator[Ahead]:
    """Inside `with`, what searches photos ahead of `optimise_prompts` by a cluster's workers.

    Raises InputError without Ray, ClusterError where nobody answers, and later where the workers give up.
    """
    with connected(cluster.address) as ray:

        def ahead(photos: Sequence[Photo], photo_tags: Sequence[PhotoTags], run: SearchRun) -> None:
            search_by_workers(ray, list(zip(photos, photo_tags, strict=True)), run, models, cluster.workers, progress)

        yield ahead


def search_by_workers(
    ray: Any,
    photos: Sequence[tuple[Photo, PhotoTags]],
    run: SearchRun,
    models: PromptModels,
    workers: int | None,
    progress: ProgressCallback,
) -> None:
    """Fills the run's journal with what the workers draw, photo by photo as each is finished."""
    from ..runs.shards import FinishedPictures, gather

    journal = run.evaluator.journal
    known = FinishedPictures(journal, scorer_keys(run.session))
    pool = WorkerPool.of_cluster(ray, models.device, workers, len(photos), shared_out=True)
    worker = ray.remote(PromptWorker).options(
        max_restarts=-1, max_task_retries=TRIES - 1, max_concurrency=2, **pool.reserved
    )
    shared = ray.put(without_models(run))
    actors = [worker.remote(models, shared) for _ in range(pool.size)]
    tasks = (SearchTask(photo, tags, known.of_photo(photo.sha256)) for photo, tags in photos)
    pace = Pace("workers", len(photos) * run.settings.budget, progress)
    finished = 0
    for news in watched(_news(ray, actors, tasks), "no picture was drawn"):
        if isinstance(news, int):
            pace.advance(min(news, pace.total - pace.done))
            continue
        gather(news.pictures, journal)
        if news.refusal:
            raise ClusterError(
                f"a worker could not go on: {news.refusal}", where=str(news.photo), to_try="the same command goes on"
            )
        finished += 1
        pace.reach(max(pace.done, finished * run.settings.budget), news.photo.name)


def _news(ray: Any, actors: Sequence[Any], tasks: Iterator[SearchTask]) -> Iterator[SearchedPhoto | int]:
    """Each photo's result as soon as it is there, and how many more pictures there are, where there was a step."""
    from ray.exceptions import RayError

    searching, before = {}, dict.fromkeys(actors, Drawn())
    for actor, task in zip(actors, tasks, strict=False):
        searching[actor.search.remote(task)] = actor, task.photo.path
    while searching:
        ended, _ = ray.wait(list(searching), timeout=POLL_S)
        for call in ended:
            actor, photo = searching.pop(call)
            try:
                yield ray.get(call)
            except RayError as error:
                raise ClusterError(
                    f"each worker that tried this photo failed: {last_line(error)}",
                    where=str(photo),
                    to_try="without it, or with fewer --workers where memory is short; the same command goes on",
                ) from None
            if (task := next(tasks, None)) is not None:
                searching[actor.search.remote(task)] = actor, task.photo.path
        if ended:
            continue
        asked = {actor.drawn.remote(): actor for actor, _ in searching.values()}
        pictures = steps = 0
        for answer in ray.wait(list(asked), num_returns=len(asked), timeout=POLL_S)[0]:
            try:
                now = ray.get(answer)
            except RayError:  # it has just died: Ray starts it again
                continue
            earlier, before[asked[answer]] = before[asked[answer]], now
            pictures += max(0, now.pictures - earlier.pictures)
            steps += now.steps != earlier.steps
        if steps:
            yield pictures


class PromptWorker:
    """A process of the cluster with the models of a run, which stay open from photo to photo."""

    def __init__(self, models: PromptModels, run: SearchRun):
        """`run` comes without models and journal (`without_models`)."""
        from ..models.session import open_session

        wait_asleep()
        self._session = open_session(models.preset, models.host, models.device)
        self._session.host.on_step = self._count_step  # type: ignore[attr-defined]  # workers draw themselves
        self._run, self._drawn = run, Drawn()

    def search(self, task: SearchTask) -> SearchedPhoto:
        """Searches a photo, and returns the pictures that were not known before."""
        return search_in_own_journal(task, self._run, self._session, self._count_picture)

    def drawn(self) -> Drawn:
        """How far it is; answers while it searches."""
        return self._drawn

    def _count_picture(self, picture: Path) -> None:
        self._drawn = self._drawn._replace(pictures=self._drawn.pictures + 1)

    def _count_step(self, done: int, total: int, pictures: int) -> None:
        self._drawn = self._drawn._replace(steps=self._drawn.steps + 1)


def search_in_own_journal(
    task: SearchTask, run: SearchRun, session: Session, on_picture: Callable[[Path], None] = lambda path: None
) -> SearchedPhoto:
    """One photo's search in a folder that lives as long as it; what it drew beyond what was known."""
    from ..runs.journal import Journal
    from ..runs.shards import FinishedPictures, gather

    settings, refusal = run.settings, ""
    with (
        tempfile.TemporaryDirectory(prefix="modiste-") as folder,
        Journal.open(folder, settings.model_dump(mode="json")) as journal,
    ):
        known = gather(task.known, journal)
        evaluator, drafts = evaluators_of(session, settings, journal, on_picture)
        own_run = replace(run, session=session, evaluator=evaluator, drafts=drafts)
        try:
            optimise_photo(task.photo, task.tags, own_run)
        except BrokenPicture:
            pass  # whoever gathers tries the picture once more, and skips the photo as ever
        except ModisteError as error:
            refusal = str(error)
        pictures = FinishedPictures(journal, scorer_keys(session)).of_photo(task.photo.sha256, known)
    return SearchedPhoto(task.photo.path, pictures, refusal)


def scorer_keys(session: Session) -> list[str]:
    """The keys of who scores pictures in a search: the scorer, and the judge where there is one."""
    vision = session.vision
    return [scorer.key for scorer in (vision.scorer, vision.judge) if scorer is not None]


def without_models(run: SearchRun) -> SearchRun:
    """The run as it travels: settings, seeds and lessons; models and journal are the worker's own."""
    return replace(run, session=None, evaluator=None, drafts=None)  # type: ignore[arg-type]
