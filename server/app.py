"""A1111's API over the local host: routes, each one line of what it answers.

body → order (requests.py) → job (jobs.py) → pictures and info (pictures.py)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..hosts.samplers import SAMPLERS, SCHEDULES
from .errors import UNKNOWN_NAME, Refusal, add_error_shapes
from .fields import (
    ImageToImageResponse,
    ProgressResponse,
    SamplerItem,
    SchedulerItem,
    SDModelItem,
    StableDiffusionProcessingImg2Img,
    StableDiffusionProcessingTxt2Img,
    TextToImageResponse,
)
from .guard import add_guard
from .jobs import DrawingJob, JobQueue
from .pictures import choose_start, decode, encode, info_of, text_of
from .requests import name_of, read_order

if TYPE_CHECKING:
    from fastapi import FastAPI

    from ..hosts.local import LocalHost
    from ..hosts.request import GenerationResult
    from .fields import _Processing
    from .lora_folder import LoraFolder
    from .requests import DrawingOrder


def make_app(
    host: LocalHost, loras: LoraFolder, users: dict[str, str] | None = None, names: tuple[str, ...] | None = None
) -> FastAPI:
    """The server; `users` and `names` are the guard's (guard.py)."""
    from fastapi import FastAPI

    app = FastAPI(title="Modiste", description="The part of A1111's API that its clients use.", docs_url=None)
    add_error_shapes(app)
    add_guard(app, users or {}, names)
    add_drawing(app, host, loras)
    add_lists(app, host, loras)
    return app


def add_drawing(app: FastAPI, host: LocalHost, loras: LoraFolder) -> None:
    """txt2img, img2img, and what is said and done about the running job."""
    jobs = JobQueue(host)
    checkpoints = set(titles(host).values())

    @app.post("/sdapi/v1/txt2img", response_model=TextToImageResponse)
    async def txt2img(body: StableDiffusionProcessingTxt2Img) -> dict[str, Any]:
        order = understand(body, loras, checkpoints)
        host.check(order.requests[0])
        job = await jobs.draw("txt2img", len(order.requests), lambda: host.generate(order.requests))
        return answer(body, order, job, None)

    @app.post("/sdapi/v1/img2img", response_model=ImageToImageResponse)
    async def img2img(body: StableDiffusionProcessingImg2Img) -> dict[str, Any]:
        chosen = choose_start(body.init_images, body.n_iter * body.batch_size)
        order = understand(body, loras, checkpoints)
        host.check(order.requests[0])
        starts = [decode(one, body.width, body.height, body.resize_mode) for one in chosen]
        strength = 0.75 if body.denoising_strength is None else body.denoising_strength
        if not 0 <= strength <= 1:
            raise Refusal(422, f"denoising_strength is 0 … 1, not {strength:g}")

        def drawing() -> Iterator[GenerationResult]:
            for start, request in zip(starts, order.requests, strict=True):
                yield from host.redraw(start, strength, [request])

        job = await jobs.draw("img2img", len(order.requests), drawing)
        return answer(body, order, job, strength)

    @app.get("/sdapi/v1/progress", response_model=ProgressResponse)
    async def progress(skip_current_image: bool = False) -> dict[str, Any]:
        job = jobs.running
        shown = job.results[-1].image if job.results and not skip_current_image else None
        return {
            "progress": job.share,
            "eta_relative": job.left_s,
            "state": job.as_state(),
            "current_image": encode(shown) if shown else None,
        }

    @app.post("/sdapi/v1/interrupt")
    async def interrupt() -> dict[str, str]:
        jobs.interrupt()
        return {}

    @app.post("/sdapi/v1/skip")
    async def skip() -> dict[str, str]:
        jobs.interrupt()
        return {}


def understand(body: _Processing, loras: LoraFolder, checkpoints: set[str]) -> DrawingOrder:
    """The order; a value that no picture can have becomes the framework's validation error, by its field."""
    from fastapi.exceptions import RequestValidationError
    from pydantic import ValidationError

    try:
        return read_order(body, loras, checkpoints)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False)
        raise RequestValidationError([one | {"loc": ("body", *one["loc"])} for one in wrong]) from error


def answer(body: _Processing, order: DrawingOrder, job: DrawingJob, strength: float | None) -> dict[str, Any]:
    """The pictures of a job, with what was asked and what was used."""
    texts = [text_of(result, order, strength) for result in job.results]
    images = [encode(result.image, text) for result, text in zip(job.results, texts, strict=True)]
    parameters = body.model_dump(mode="json")
    if not getattr(body, "include_init_images", True):
        parameters |= {"init_images": None, "mask": None}
    return {
        "images": images if body.send_images else [],
        "parameters": parameters,
        "info": info_of(job.results, order, body, texts, strength, job.job_timestamp),
    }


def titles(host: LocalHost) -> dict[str, str]:
    """What the checkpoint may be called: title, model_name, its folder and its digest."""
    found = host.describe()
    name = found.checkpoint
    return {
        "title": f"{name} [{found.checkpoint_hash}]",
        "model_name": name,
        "filename": str(host.folder),
        "hash": str(found.checkpoint_hash),
    }


def add_lists(app: FastAPI, host: LocalHost, loras: LoraFolder) -> None:
    """What there is to choose from, and the settings."""
    named = titles(host)
    options = {
        "sd_model_checkpoint": named["title"],
        "sd_checkpoint_hash": named["hash"],
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
        """Says yes to what is so already; settings of one request belong into its override_settings."""
        for setting, value in changes.items():
            accepted = named.values() if setting == "sd_model_checkpoint" else [options.get(setting)]
            if setting not in options or value not in accepted:
                raise Refusal(UNKNOWN_NAME, f"{setting} can't be {value!r} here; send it as override_settings")

    @app.get("/sdapi/v1/sd-models", response_model=list[SDModelItem])
    async def models() -> list[dict[str, Any]]:
        return [{**named, "sha256": None, "config": None}]

    @app.get("/sdapi/v1/samplers", response_model=list[SamplerItem])
    async def samplers() -> list[dict[str, Any]]:
        return [
            {"name": name, "aliases": [], "options": {"scheduler": name_of(sampler.automatic)}}
            for name, sampler in SAMPLERS.items()
        ]

    @app.get("/sdapi/v1/schedulers", response_model=list[SchedulerItem])
    async def schedulers() -> list[dict[str, Any]]:
        return [{"name": name_of(label), "label": label} for label in SCHEDULES]

    @app.get("/sdapi/v1/loras")
    def list_loras() -> list[dict[str, Any]]:
        return loras.listed()

    @app.post("/sdapi/v1/refresh-loras")
    async def refresh_loras() -> None:
        """The folder is looked at each time: there is nothing to do."""

    @app.post("/sdapi/v1/refresh-checkpoints")
    async def refresh_checkpoints() -> None:
        """There is one checkpoint, the one that the server was started with."""

    @app.get("/sdapi/v1/scripts")
    async def scripts() -> dict[str, list[str]]:
        return {"txt2img": [], "img2img": []}

    for nothing in ("script-info", "sd-vae", "upscalers", "hypernetworks", "face-restorers", "prompt-styles"):
        app.get(f"/sdapi/v1/{nothing}")(_none_of_them)

    @app.get("/sdapi/v1/embeddings")
    async def embeddings() -> dict[str, Any]:
        return {"loaded": {}, "skipped": {}}

    @app.get("/sdapi/v1/cmd-flags")
    async def flags() -> dict[str, Any]:
        return {"api": True, "nowebui": True, "lora_dir": str(loras.folder or "")}

    @app.get("/sdapi/v1/memory")
    async def memory() -> dict[str, Any]:
        from ..core.device import memory_bytes

        total = memory_bytes(host.device)
        return {"ram": {}, "cuda": {"error": "unavailable"} if total is None else {"system": {"total": total}}}


async def _none_of_them() -> list[Any]:
    """What A1111 has and this server has not: an empty list."""
    return []
