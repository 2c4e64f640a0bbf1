"""`modiste get`: the files of hub models that Modiste uses, at the pinned commit, into the hub's cache or a folder."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ..core.errors import InputError
from ..core.files import write_whole
from ..core.folder_lock import lock_folder
from ..core.progress import Progress, ProgressCallback, time_left_s
from ..core.weights import FAST_LORAS, PINNED, SHORT_NAMES, hub_cache, locate, locate_file, short_name
from .hub_files import SINGLE_FILES, WEIGHTS, HubFile, is_diffusers, used_files
from .hub_stream import PART, DownloadError, fetch_file

Layout = Literal["auto", "plain", "comfyui", "a1111"]
SPARE_BYTES = 256 * 2**20  # of the disk, left free
REPORT_S = 0.2
MIB = 2**20
LOCK = ".modiste-get.lock"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(/[\w./-]+\.safetensors)?")


@dataclass(frozen=True)
class ModelDownload:
    """What is fetched of one model. `folder` is where its files go; None: the hub's cache."""

    name: str
    hub_id: str
    commit: str
    files: tuple[HubFile, ...]
    folder: Path | None = None

    @property
    def place(self) -> Path:
        """The folder in which the files lie when all are here."""
        return self.folder or self._repository / "snapshots" / self.commit

    @property
    def _repository(self) -> Path:
        return hub_cache() / f"models--{self.hub_id.replace('/', '--')}"

    def path_of(self, file: HubFile) -> Path:
        """Where a file is found: a LoRA in a folder of the user's has the name that `get` knows it by."""
        renamed = self.folder is not None and self.name in FAST_LORAS
        return self.place / (f"{self.name}{WEIGHTS}" if renamed else file.name)

    def target(self, file: HubFile) -> Path:
        """Where a large file's bytes go: the cache keeps them by digest, and links the names to them."""
        if self.folder is not None:
            return self.path_of(file)
        return self._repository / "blobs" / (file.sha256 or file.name)

    def is_here(self, file: HubFile) -> bool:
        """Whether a file is on this machine, whole."""
        path = self.path_of(file)
        return path.is_file() and path.stat().st_size == file.size

    def bytes_here(self, file: HubFile) -> int:
        """How much of a file is here already."""
        if self.is_here(file):
            return file.size
        target = self.target(file)
        part = target.with_name(target.name + PART)
        return next((path.stat().st_size for path in (target, part) if path.is_file()), 0)

    @property
    def total_bytes(self) -> int:
        """Of all its files."""
        return sum(file.size for file in self.files)

    @property
    def missing_bytes(self) -> int:
        """Of what is still to come."""
        return sum(max(0, file.size - self.bytes_here(file)) for file in self.files)


@dataclass(frozen=True)
class Destination:
    """Where models go: the hub's cache, a folder, or the model folders of ComfyUI or A1111."""

    folder: Path | None = None
    layout: Layout = "auto"

    @property
    def known_layout(self) -> str:
        """The layout that was named, or that the folder has: plain | comfyui | a1111."""
        if self.layout not in get_args(Layout):
            raise InputError(
                f"there is no layout {self.layout!r}", to_try=f"choose one of {', '.join(get_args(Layout))}"
            )
        if self.layout != "auto" or self.folder is None:
            return "plain" if self.layout == "auto" else self.layout
        kinds = {"comfyui": "checkpoints", "a1111": "Stable-diffusion"}
        return next((kind for kind, name in kinds.items() if (self.folder / "models" / name).is_dir()), "plain")


def plan_downloads(names: Sequence[str], destination: Destination, revision: str | None = None) -> list[ModelDownload]:
    """What each of `names` (sd15, sdxl, …, or hub ids) needs; the hub is asked for names and sizes alone.

    InputError for names, revisions and tokens that the hub refuses; DownloadError where it does not answer.
    """
    if destination.layout != "auto" and destination.folder is None:
        raise InputError("--layout says how --to is laid out", to_try="--to FOLDER")
    return [_plan(name, destination, revision) for name in dict.fromkeys(names)]


def _plan(name: str, destination: Destination, revision: str | None) -> ModelDownload:
    model = SHORT_NAMES.get(name, name.removeprefix("hf-hub:"))
    if not HUB_ID.fullmatch(model):
        raise InputError(
            f"there is no model {name!r}", to_try=f"choose one of {', '.join(SHORT_NAMES)}, or a hub id OWNER/NAME"
        )
    owner, repository, *path = model.split("/")
    hub_id, single = f"{owner}/{repository}", "/".join(path) or None
    with _hub_answers(hub_id):
        from huggingface_hub import HfApi

        info = HfApi().model_info(hub_id, revision=revision or PINNED.get(hub_id), files_metadata=True)
    files = [HubFile(one.rfilename, one.size or 0, one.lfs.sha256 if one.lfs else None) for one in info.siblings or []]
    layout, folder = destination.known_layout, destination.folder
    if layout in ("comfyui", "a1111") and is_diffusers(files):
        single = single or SINGLE_FILES.get(hub_id)
    chosen = used_files(hub_id, files, single)
    if folder is not None:
        shown = name if name in FAST_LORAS else short_name(hub_id).rpartition("/")[2]
        folder = _folder_in(layout, folder, shown, chosen)
    return ModelDownload(name, hub_id, str(info.sha), tuple(chosen), folder)


def _folder_in(layout: str, folder: Path, name: str, files: Sequence[HubFile]) -> Path | None:
    """Where a host looks for a model of this form; None for the hub's cache, where it has no folder for one."""
    single, names = len(files) == 1, {file.name for file in files}
    if name in FAST_LORAS:
        return {"a1111": folder / "models" / "Lora", "comfyui": folder / "models" / "loras"}.get(layout, folder)
    if layout == "a1111":
        return folder / "models" / "Stable-diffusion" if single else None
    if layout == "comfyui":
        if single:
            return folder / "models" / "checkpoints"
        reads_texts = names & {"open_clip_config.json", "merges.txt", "vocab.json", "tokenizer.json"}
        kind = "diffusers" if is_diffusers(files) else "fashion_clip" if reads_texts else None
        return None if kind is None else folder / "models" / kind / name
    return folder if single else folder / name


def refuse_full_disk(downloads: Sequence[ModelDownload]) -> None:
    """InputError where a disk has too little room for what goes there, before anything is fetched."""
    needed: dict[Path, int] = {}
    for download in downloads:
        disk = _existing(download.place)
        needed[disk] = needed.get(disk, 0) + download.missing_bytes
    for disk, size in needed.items():
        free = shutil.disk_usage(disk).free
        if size and size + SPARE_BYTES > free:
            raise InputError(
                f"{size / 1e9:.2f} GB are to be fetched and {free / 1e9:.2f} GB are free",
                where=str(disk),
                to_try="free some space, or --to a folder on another disk (HF_HUB_CACHE moves the hub's cache)",
            )


def free_bytes(download: ModelDownload) -> int:
    """What is free on the disk that a model goes to."""
    return shutil.disk_usage(_existing(download.place)).free


def fetch(download: ModelDownload, progress: ProgressCallback) -> None:
    """Fetches what is missing of a model; a marker comes last, so that half a model is never taken for one."""
    # The lock lies in the cache: the lock of a folder of the user's would stay there.
    lock = lock_folder(hub_cache(), LOCK, "fetching models", DownloadError)
    try:
        arrival = Arrival(download, progress)
        for file in download.files:
            if not download.is_here(file):
                _fetch_one(download, file, arrival)
                arrival.has(file, file.size)
        arrival.report(file, force=True)
        _point_main(download)
    finally:
        lock.release()


def _fetch_one(download: ModelDownload, file: HubFile, arrival: Arrival) -> None:
    with _hub_answers(download.hub_id):
        from huggingface_hub import hf_hub_download, hf_hub_url
        from huggingface_hub.utils import build_hf_headers

        target = download.target(file)
        if (download.folder is not None or file.sha256) and not (target.is_file() and _has_size(target, file)):
            url = hf_hub_url(download.hub_id, file.name, revision=download.commit)
            fetch_file(url, build_hf_headers(), file, target, lambda size: arrival.has(file, size))
        if download.folder is None:  # small files, and the names of those that have just come
            hf_hub_download(download.hub_id, file.name, revision=download.commit, cache_dir=hub_cache())


def _has_size(path: Path, file: HubFile) -> bool:
    return path.stat().st_size == file.size


def _point_main(download: ModelDownload) -> None:
    """Notes the commit as the hub's `main` where none is known: a model without a pin is found by that."""
    main = hub_cache() / f"models--{download.hub_id.replace('/', '--')}" / "refs" / "main"
    if download.folder is None and not main.exists():
        main.parent.mkdir(parents=True, exist_ok=True)
        write_whole(main, download.commit.encode())


class Arrival:
    """Counts the bytes of a model that are here, and reports them a few times a second."""

    def __init__(self, download: ModelDownload, progress: ProgressCallback):
        self.download, self.progress = download, progress
        self.sizes = {file.name: download.bytes_here(file) for file in download.files}
        self.at_first, self.reported = sum(self.sizes.values()), 0.0
        self.began: float | None = None  # when the first bytes arrived: what connecting takes is no download

    def has(self, file: HubFile, size: int) -> None:
        """`size` bytes of a file are here."""
        self.sizes[file.name] = size
        if self.began is None:
            self.began, self.at_first = time.monotonic(), sum(self.sizes.values())
        self.report(file)

    def report(self, file: HubFile, force: bool = False) -> None:
        """Reports in MiB, with the rate and the time that is left."""
        now = time.monotonic()
        if not force and now - self.reported < REPORT_S:
            return
        self.reported = now
        here, total = sum(self.sizes.values()), self.download.total_bytes
        measured_s, arrived = 0.0 if self.began is None else now - self.began, here - self.at_first
        eta = time_left_s(measured_s, arrived, total - here)
        done = total // MIB if here == total else min(here, total - MIB) // MIB
        message = file.name if eta is None else f"{file.name}, {arrived / max(1e-3, measured_s) / 1e6:.1f} MB/s"
        self.progress(Progress(f"{self.download.name} (MiB)", max(0, done), total // MIB, message, eta))


@contextmanager
def _hub_answers(model: str) -> Iterator[None]:
    """Inside `with`, what huggingface_hub raises is an InputError or a DownloadError that names the model."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    network: tuple[Any, ...] = (OSError, *HfHubHTTPError.__bases__)  # of httpx or requests, by the hub's version
    try:
        yield
    except OfflineModeIsEnabled:
        raise DownloadError(
            f"HF_HUB_OFFLINE is set: nothing of {model} is fetched", to_try="unset it, or copy the files"
        ) from None
    except GatedRepoError:
        raise InputError(
            f"{model} is behind a licence", to_try="accept it on the model's page, then set HF_TOKEN to your token"
        ) from None
    except RepositoryNotFoundError:
        raise InputError(
            f"the hub has no model {model}, or it is private", where=_endpoint(), to_try="check the id; or HF_TOKEN"
        ) from None
    except RevisionNotFoundError:
        raise InputError(f"{model} has no such revision", where=_endpoint(), to_try="another --revision") from None
    except network as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DownloadError(
            f"the hub can't be reached, or what answers is none: {reason}",
            where=_endpoint(),
            to_try="check the network or HF_ENDPOINT",
        ) from error


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "the hub")


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)


def already_here(name: str) -> Path | None:
    """Where a model of that name lies whole, without asking a hub."""
    if name in FAST_LORAS:
        return locate_file(*FAST_LORAS[name])
    return locate(SHORT_NAMES.get(name, name))
