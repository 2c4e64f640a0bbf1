"""A1111's API over the local host: txt2img, img2img, and the running job.

body → order (requests.py) → job (jobs.py) → pictures and info (pictures.py)

Whatever takes long (decoding, drawing, encoding) happens on other threads than the event loop's.
"""

from __future__ import annotations

import asyncio
import logging
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
from .hires import HiresPass
from .inpaint import Inpainting
from .jobs import DrawingJob, JobQueue
from .lists import add_lists, model_names
from .picture_routes import add_picture_routes
from .pictures import LONGEST, choose_start, decode, encode, fitted, info_of, text_of
from .requests import read_order

if TYPE_CHECKING:
    from fastapi import FastAPI

    from ..hosts.local import LocalHost
    from ..hosts.request import GenerationResult
    from .fields import _Processing
    from .lora_folder import LoraFolder
    from .picture_routes import Interrogator
    from .requests import DrawingOrder

log = logging.getLogger("modiste")


def make_app(
    host: LocalHost,
    loras: LoraFolder,
    users: dict[str, str] | None = None,
    names: tuple[str, ...] | None = None,
    *,
    strict: bool = False,
    docs: bool = False,
    interrogator: Interrogator | None = None,
) -> FastAPI:
    """The server; `users` and `names` are the guard's (guard.py).

    `strict` refuses what would otherwise be ignored with a warning, `docs` adds the page /docs, `interrogator` says
    what a picture shows. `app.state.stop` ends the drawing.
    """
    from fastapi import FastAPI

    app = FastAPI(
        title="Modiste",
        description="The part of A1111's API that its clients use.",
        docs_url="/docs" if docs else None,
        redoc_url=None,
        strict_content_type=False,  # clients post JSON without saying so
    )
    add_error_shapes(app)
    add_guard(app, users or {}, names)
    jobs = JobQueue(host)
    add_drawing(app, host, loras, jobs, strict)
    add_progress(app, jobs)
    add_lists(app, host, loras, jobs)
    add_picture_routes(app, interrogator)
    app.state.stop = jobs.stop
    return app


def add_drawing(app: FastAPI, host: LocalHost, loras: LoraFolder, jobs: JobQueue, strict: bool) -> None:
    """txt2img and img2img."""
    checkpoints = set(model_names(host).values())
    logged: set[str] = set()

    def understand_and_check(body: _Processing) -> DrawingOrder:
        order = understand(body, loras, checkpoints, strict)
        host.check(order.requests[0])
        log_once(order.warnings, logged)
        return order

    @app.post("/sdapi/v1/txt2img", response_model=TextToImageResponse)
    async def txt2img(body: StableDiffusionProcessingTxt2Img) -> dict[str, Any]:
        order = await asyncio.to_thread(understand_and_check, body)
        hires = HiresPass.of(body)
        if hires is None:
            job = await jobs.draw("txt2img", len(order.requests), lambda: host.generate(order.requests))
            return await asyncio.to_thread(answer, body, order, job, None)
        await asyncio.to_thread(host.check, as_validation(lambda: hires.request(order.requests[0])))
        job = await jobs.draw("txt2img", len(order.requests), lambda: hires.draw(host, order.requests))
        return await asyncio.to_thread(answer, body, order, job, hires.strength, hires.infotext)

    @app.post("/sdapi/v1/img2img", response_model=ImageToImageResponse)
    async def img2img(body: StableDiffusionProcessingImg2Img) -> dict[str, Any]:
        order = await asyncio.to_thread(understand_and_check, body)
        images = choose_start(body.init_images, len(order.requests))
        strength = 0.75 if body.denoising_strength is None else body.denoising_strength
        if not 0 <= strength <= 1:
            raise Refusal(422, f"denoising_strength is 0 … 1, not {strength:g}")
        first = order.requests[0]
        size = first.width, first.height
        inpainting = Inpainting.of(body)

        def drawing() -> Iterator[GenerationResult]:
            if inpainting is not None:
                yield from inpainting.draw(host, images, strength, order.requests)
                return
            starts = {image: fitted(decode(image, LONGEST), size, body.resize_mode) for image in dict.fromkeys(images)}
            for image, request in zip(images, order.requests, strict=True):
                yield from host.redraw(starts[image], strength, [request])

        job = await jobs.draw("img2img", len(order.requests), drawing)
        return await asyncio.to_thread(answer, body, order, job, strength, inpainting.infotext if inpainting else "")


def add_progress(app: FastAPI, jobs: JobQueue) -> None:
    """How far the running job is, and its end."""

    @app.get("/sdapi/v1/progress", response_model=ProgressResponse)
    async def progress(skip_current_image: bool = False) -> dict[str, Any]:
        job = jobs.running
        shown = job.results[-1].image if job.results and not skip_current_image else None
        return {
            "progress": job.share,
            "eta_relative": job.left_s,
            "state": job.as_state(),
            "current_image": await asyncio.to_thread(encode, shown) if shown else None,
        }

    @app.post("/sdapi/v1/interrupt")
    async def interrupt() -> dict[str, str]:
        jobs.interrupt()
        return {}

    @app.post("/sdapi/v1/skip")
    async def skip() -> dict[str, str]:
        jobs.interrupt()
        return {}


def understand(body: _Processing, loras: LoraFolder, checkpoints: set[str], strict: bool) -> DrawingOrder:
    """The order; a value that no picture can have becomes the framework's validation error, by its field."""
    return as_validation(lambda: read_order(body, loras, checkpoints, strict))


def as_validation(read: Any) -> Any:
    """What `read` gives; its ValidationError as the framework's own, which names the field in the body."""
    from fastapi.exceptions import RequestValidationError
    from pydantic import ValidationError

    try:
        return read()
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False, include_context=False)
        raise RequestValidationError([error | {"loc": ("body", *error["loc"])} for error in errors]) from invalid


def log_once(warnings: tuple[str, ...], logged: set[str]) -> None:
    """A log line for each field that is ignored, the first time."""
    for warning in warnings:
        field = warning.partition(":")[0]
        if field not in logged:
            logged.add(field)
            log.warning("a client sends what is ignored here: %s", warning)


def answer(
    body: _Processing, order: DrawingOrder, job: DrawingJob, strength: float | None, more: str = ""
) -> dict[str, Any]:
    """The pictures of a job, with what was asked and what was used; `more`: what hires fix or a mask adds."""
    texts = [text_of(result, order, strength, more) for result in job.results]
    images = [encode(result.image, text) for result, text in zip(job.results, texts, strict=True)]
    parameters = body.model_dump(mode="json")
    if not getattr(body, "include_init_images", True):
        parameters |= {"init_images": None, "mask": None}
    return {
        "images": images if body.send_images else [],
        "parameters": parameters,
        "info": info_of(job.results, order, body, texts, strength, job.job_timestamp),
    }
