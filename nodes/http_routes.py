"""Modiste's routes on ComfyUI's server: runs, the vocabulary, the tags of one picture; and what *free memory* does."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from .comfy.folders import runs_root

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

FREE = ("/free", "/api/free")  # ComfyUI's own: {"unload_models": bool, "free_memory": bool}


def add_routes() -> None:
    """Adds the routes; called before ComfyUI's server starts."""
    from server import PromptServer

    routes = PromptServer.instance.routes
    PromptServer.instance.app.middlewares.append(_releases_with_the_host())

    @routes.get("/modiste/runs")
    async def runs(request: web.Request) -> web.Response:
        from .training.history import list_runs

        return _answer({"runs": await asyncio.to_thread(list_runs, runs_root())})

    @routes.get("/modiste/runs/{run}")
    async def run(request: web.Request) -> web.Response:
        from .training.history import show_run

        history = await asyncio.to_thread(show_run, runs_root(), request.match_info["run"])
        return _answer(history) if history else _answer({"error": "there is no such run"}, 404)

    @routes.get("/modiste/vocabulary")
    async def vocabulary(request: web.Request) -> web.Response:
        from .http_answers import groups

        return _answer({"groups": await asyncio.to_thread(groups)})

    @routes.post("/modiste/tag")
    async def tags(request: web.Request) -> web.Response:
        from ..core.errors import ModisteError
        from .http_answers import NoPicture, tags_of, text_in

        try:
            body = await request.json()
            return _answer(await asyncio.to_thread(tags_of, body["image"], text_in(body, "encoder")))
        except (ValueError, KeyError, TypeError, AttributeError):
            return _answer({"error": 'a request is {"image": {"filename", "subfolder", "type"}}'}, 400)
        except ModisteError as error:
            return _answer({"error": str(error)}, 404 if isinstance(error, NoPicture) else 400)


def _releases_with_the_host() -> Callable[..., Awaitable[web.StreamResponse]]:
    """A middleware: where ComfyUI is asked to unload its models, tagger, scorer and judge are released with them.

    ComfyUI tells no pack of it. A node that is running keeps its models until it ends.
    """
    from aiohttp import web

    @web.middleware
    async def release(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.method == "POST" and request.path in FREE and _unloads(await request.text()):
            from .vision.encoders import forget_vision_models

            forget_vision_models()  # first: what the host does then gives the memory back to the device
        return await handler(request)

    return release


def _unloads(body: str) -> bool:
    """Whether a request to FREE asks for models to be unloaded; False for anything that is no such request."""
    try:
        wish = json.loads(body)
    except ValueError:
        return False
    return isinstance(wish, dict) and bool(wish.get("unload_models") or wish.get("free_memory"))


def _answer(body: dict[str, Any], status: int = 200) -> web.Response:
    from aiohttp import web

    return web.json_response(body, status=status)
