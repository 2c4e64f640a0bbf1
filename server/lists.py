"""What A1111's clients read before they draw: settings, models, samplers, schedules, LoRAs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..hosts.samplers import SAMPLERS, SCHEDULES
from .errors import UNKNOWN_NAME, Refusal
from .fields import SamplerItem, SchedulerItem, SDModelItem
from .requests import name_of
from .supported_fields import DRAWING_SETTINGS, ignored_setting

if TYPE_CHECKING:
    from fastapi import FastAPI

    from ..hosts.local import LocalHost
    from .jobs import JobQueue
    from .lora_folder import LoraFolder

# Lists that a real server fills and that are empty here.
EMPTY_LISTS = (
    "script-info",
    "sd-vae",
    "sd-modules",
    "hypernetworks",
    "face-restorers",
    "realesrgan-models",
    "prompt-styles",
    "extensions",
)
REFRESHED = ("loras", "checkpoints", "vae", "embeddings")  # read anew for each request, or the one there is


def add_lists(app: FastAPI, host: LocalHost, loras: LoraFolder, jobs: JobQueue) -> None:
    """The routes that list what there is to choose from."""
    add_options(app, host)
    add_models(app, host, loras)
    add_machine(app, host, loras, jobs)


def model_names(host: LocalHost) -> dict[str, str]:
    """Every name that a client may give the checkpoint: title, model_name, its folder and its digest."""
    description = host.describe()
    name = description.checkpoint
    return {
        "title": f"{name} [{description.checkpoint_hash}]",
        "model_name": name,
        "filename": str(host.folder),
        "hash": str(description.checkpoint_hash),
    }


def add_options(app: FastAPI, host: LocalHost) -> None:
    """The global settings, which a client may read but not change."""
    names = model_names(host)
    options = {
        "sd_model_checkpoint": names["title"],
        "sd_checkpoint_hash": names["hash"],
        "CLIP_stop_at_last_layers": 1,
        "samples_format": "png",
        "return_grid": False,
        "enable_pnginfo": True,
    }

    @app.get("/sdapi/v1/options")
    async def get_options() -> dict[str, Any]:
        return options

    @app.post("/sdapi/v1/options")
    async def set_options(changes: dict[str, Any]) -> None:
        """Accepts what changes no picture; settings of one request belong into its override_settings."""
        for setting, value in changes.items():
            accepted = list(names.values()) if setting == "sd_model_checkpoint" else [options.get(setting)]
            if value not in accepted and (setting in DRAWING_SETTINGS or not _is_harmless(setting, value)):
                raise Refusal(UNKNOWN_NAME, f"{setting} can't be {value!r} here; send it as override_settings")


def add_models(app: FastAPI, host: LocalHost, loras: LoraFolder) -> None:
    """Checkpoints, samplers, schedules, LoRAs, and the lists that are empty here."""
    names = model_names(host)

    @app.get("/sdapi/v1/sd-models", response_model=list[SDModelItem])
    async def models() -> list[dict[str, Any]]:
        return [{**names, "sha256": None, "config": None}]

    @app.get("/sdapi/v1/samplers", response_model=list[SamplerItem])
    async def samplers() -> list[dict[str, Any]]:
        return [
            {"name": name, "aliases": list(sampler.aliases), "options": {"scheduler": name_of(sampler.automatic)}}
            for name, sampler in SAMPLERS.items()
        ]

    @app.get("/sdapi/v1/schedulers", response_model=list[SchedulerItem])
    async def schedulers() -> list[dict[str, Any]]:
        return [{"name": name_of(label), "label": label} for label in SCHEDULES]

    @app.get("/sdapi/v1/loras")
    def list_loras() -> list[dict[str, Any]]:
        return loras.listed()

    @app.get("/sdapi/v1/scripts")
    async def scripts() -> dict[str, list[str]]:
        return {"txt2img": [], "img2img": []}

    @app.get("/sdapi/v1/embeddings")
    async def embeddings() -> dict[str, Any]:
        return {"loaded": {}, "skipped": {}}

    for path in EMPTY_LISTS:
        app.get(f"/sdapi/v1/{path}")(_empty_list)
    for path in REFRESHED:
        app.post(f"/sdapi/v1/refresh-{path}")(_nothing_to_do)


def add_machine(app: FastAPI, host: LocalHost, loras: LoraFolder, jobs: JobQueue) -> None:
    """How the server was started, its device's memory, and the model in it."""

    @app.get("/internal/ping")
    async def ping() -> dict[str, str]:
        return {}

    @app.post("/sdapi/v1/unload-checkpoint")
    async def unload_checkpoint() -> dict[str, str]:
        """Frees the model's memory; the next picture loads it again."""
        await jobs.run(host.unload)
        return {}

    @app.post("/sdapi/v1/reload-checkpoint")
    async def reload_checkpoint() -> dict[str, str]:
        await jobs.run(lambda: host.pipeline)
        return {}

    @app.get("/sdapi/v1/cmd-flags")
    async def flags() -> dict[str, Any]:
        return {"api": True, "nowebui": True, "lora_dir": str(loras.folder or "")}

    @app.get("/sdapi/v1/memory")
    async def memory() -> dict[str, Any]:
        from ..core.device import memory_bytes

        total = memory_bytes(host.device)
        return {"ram": {}, "cuda": {"error": "unavailable"} if total is None else {"system": {"total": total}}}


def _is_harmless(setting: str, value: Any) -> bool:
    try:
        ignored_setting(setting, value)
    except Refusal:
        return False
    return True


async def _nothing_to_do() -> None:
    """Folders are read anew for each request, and there is one checkpoint."""


async def _empty_list() -> list[Any]:
    """The answer for what A1111 has and this server has not."""
    return []
