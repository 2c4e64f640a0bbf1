"""A file from the server → the picture, if it is the one that was asked for."""

from __future__ import annotations

import json
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ..errors import UnreadableAnswer, WrongResult

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..request import GenerationRequest
    from .workflow import Graph, Workflow


def executed_graph(entry: dict[str, Any], graph: Graph, workflow: Workflow, where: str) -> Graph:
    """The graph that the history says was executed; WrongResult where its slots are not the ones that were sent."""
    told = entry.get("prompt") or []
    executed = told[2] if len(told) > 2 and isinstance(told[2], dict) else {}
    _compare(workflow, graph, executed, tuple(workflow.slots), "ComfyUI used", where)
    return executed


def open_picture(data: bytes, request: GenerationRequest, graph: Graph, workflow: Workflow, where: str) -> Image:
    """The decoded picture, RGB; WrongResult for another size, or where its own text tells of another drawing.

    A server may be started without such texts.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(BytesIO(data), formats=["PNG", "JPEG", "WEBP"])
        if image.size != (request.width, request.height):  # before it is decoded: it may be huge
            size = "×".join(map(str, image.size))
            raise WrongResult(f"the picture is {size}", where=where, to_try="mend the workflow's sizes")
        image.load()
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise UnreadableAnswer(f"what came back is no picture: {error}", where=where) from error
    said = image.info.get("prompt")
    if isinstance(said, str):
        _compare(workflow, graph, _read(said), ("prompt", "seed"), "the picture's own text tells of", where)
    return image.convert("RGB")


def _compare(workflow: Workflow, asked: Graph, got: Graph, slots: tuple[str, ...], who: str, where: str) -> None:
    for slot in slots:
        wanted, found = workflow.value(asked, slot), workflow.value(got, slot)
        if wanted != found:
            raise WrongResult(f"{who} {slot} {found!r} although {wanted!r} was asked", where=where)


def _read(said: str) -> Graph:
    try:
        graph = json.loads(said)
    except ValueError:
        return {}
    return graph if isinstance(graph, dict) else {}
