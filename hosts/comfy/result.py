"""A file from the server → the picture, if it is the one that was asked for."""

from __future__ import annotations

import json
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ..errors import UnreadableAnswer, WrongResult

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..request import GenerationRequest
    from .slots import Graph
    from .workflow import Workflow


def executed_graph(entry: dict[str, Any], graph: Graph, workflow: Workflow, where: str) -> Graph:
    """The graph that the history says was executed; WrongResult where its slots are not the ones that were sent."""
    record = entry.get("prompt") or []
    executed = record[2] if len(record) > 2 and isinstance(record[2], dict) else {}
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
    text = image.info.get("prompt")
    if isinstance(text, str):
        _compare(workflow, graph, _read(text), ("prompt", "seed"), "the picture's own text tells of", where)
    return image.convert("RGB")


def _compare(
    workflow: Workflow, sent: Graph, executed: Graph, slots: tuple[str, ...], subject: str, where: str
) -> None:
    for slot in slots:
        expected, actual = workflow.value(sent, slot), workflow.value(executed, slot)
        if expected != actual:
            raise WrongResult(f"{subject} {slot} {actual!r} although {expected!r} was asked", where=where)


def _read(text: str) -> Graph:
    try:
        graph = json.loads(text)
    except ValueError:
        return {}
    return graph if isinstance(graph, dict) else {}
