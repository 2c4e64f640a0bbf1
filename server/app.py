"""A1111's API over the local host: txt2img, img2img, and the running job.

body → order (requests.py) → job (jobs.py) → pictures and info (pictures.py)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .errors import Refusal, add_error_shapes
from .fields import (
    ImageToImageResponse,
    ProgressResponse,
    StableDiffusionProcessingImg2Img,
    StableDiffusionProcessingTxt2Img,
    TextToImageResponse,
)
from .guard import add_guard
from .jobs import DrawingJob, JobQueue
from .lists import add_lists, model_names
from .pictures import choose_start, decode, encode, info_of, text_of
from .requests import read_order

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
    """The routes that draw, and those that watch or stop the running job."""
    jobs = JobQueue(host)
    checkpoints = set(model_names(host).values())

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
        starts = [decode(image, body.width, body.height, body.resize_mode) for image in chosen]
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
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False, include_context=False)
        raise RequestValidationError([error | {"loc": ("body", *error["loc"])} for error in errors]) from invalid


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
