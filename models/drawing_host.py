"""Opens the host that draws for a preset: this machine, a WebUI, a ComfyUI, or several servers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError
from .presets import PRESETS

if TYPE_CHECKING:
    from ..hosts.local import LocalHost
    from ..hosts.request import Host
    from .presets import Preset

USUAL_URL = {"webui": "http://127.0.0.1:7860", "comfy": "http://127.0.0.1:8188"}


@dataclass(frozen=True)
class HostChoice:
    """The kind of host (local | webui | comfy) and the addresses of servers."""

    kind: str = "local"
    urls: tuple[str, ...] = ()
    allow_remote: bool = False
    workflow: Path | None = None  # ComfyUI's, in place of the plain one
    lora_dir: Path | None = None  # the server's own LoRA folder, for files that are trained here
    ca_file: Path | None = None  # certificates to believe where the address is https
    dtype: str = "auto"  # of drawing in this process
    low_memory: bool = False


def open_host(preset: Preset, choice: HostChoice | str = "local", device: str = "auto") -> Host:
    """The host; several addresses become one host that shares the work out. Nothing is connected yet.

    A server draws with what it has loaded, unless the preset's checkpoint was replaced by a name that it knows.
    """
    choice = HostChoice(choice) if isinstance(choice, str) else choice
    if choice.kind == "local":
        if choice.urls or choice.workflow:
            raise InputError("--url and --workflow are a server's", to_try="--host webui or --host comfy")
        if choice.lora_dir:
            raise InputError("--lora-dir is a server's: the local host opens the file", to_try="leave it out")
        return local_host(preset, device, choice.dtype, choice.low_memory)
    if choice.kind not in USUAL_URL:
        raise InputError(f"there is no host {choice.kind!r}", to_try="--host local, webui or comfy")
    shipped = PRESETS[preset.name].checkpoint if preset.name in PRESETS else None
    checkpoint = preset.checkpoint if preset.checkpoint != shipped else None
    urls = choice.urls or (USUAL_URL[choice.kind],)
    hosts = [_open_server(choice, url, checkpoint) for url in urls]
    if len(hosts) == 1:
        return hosts[0]
    from ..hosts.fleet import Fleet

    return Fleet(hosts, [host.url for host in hosts])


def local_host(preset: Preset, device: str = "auto", dtype: str = "auto", low_memory: bool = False) -> LocalHost:
    """The host that draws with the preset's checkpoint in this process."""
    from ..hosts.local import LocalHost

    return LocalHost(
        preset.checkpoint,
        revision=preset.revisions.get(preset.checkpoint),
        device=device,
        prediction=preset.prediction,
        dtype=dtype,
        low_memory=low_memory,
    )


def _open_server(choice: HostChoice, url: str, checkpoint: str | None) -> Any:
    if choice.kind == "comfy":
        from ..hosts.comfy.host import ComfyHost

        return ComfyHost(
            url, checkpoint, allow_remote=choice.allow_remote, workflow=choice.workflow, ca_file=choice.ca_file
        )
    if choice.workflow:
        raise InputError("--workflow is a ComfyUI graph", to_try="--host comfy")
    from ..hosts.webui.host import WebuiHost

    return WebuiHost(url, checkpoint=checkpoint, allow_remote=choice.allow_remote, ca_file=choice.ca_file)
