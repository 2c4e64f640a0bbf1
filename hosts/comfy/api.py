"""ComfyUI's routes, each with the error that a bad answer is.

POST /prompt   GET /object_info/CLASS, /history/ID, /queue, /view, /system_stats   POST /interrupt, /queue
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from ..connection import Connection
from ..errors import ApiMissing, HostUnreachable, RequestRefused, UnreadableAnswer

if TYPE_CHECKING:
    from pathlib import Path

    from ..connection import Answer
    from ..limits import Limits
    from .slots import Graph

HOW_TO_START = "start ComfyUI, or correct --url"


class ComfyApi:
    """One ComfyUI server's HTTP."""

    def __init__(self, url: str, limits: Limits, ca_file: Path | None = None):
        self.url, self._connection = url, Connection(url, None, limits, ca_file)

    def stats(self) -> dict[str, Any]:
        """Versions and devices."""
        return self._json("/system_stats")

    def node(self, kind: str) -> dict[str, Any] | None:
        """What a node class takes; None where the server has no such class."""
        return self._json(f"/object_info/{quote(kind, safe='')}").get(kind)

    def submit(self, graph: Graph, prompt_id: str, client_id: str) -> str:
        """Queues a graph and returns its id there: ours, or the server's own where it is too old to take one.

        RequestRefused says which node is wrong, also where the server would draw the rest of the graph.
        """
        document = {"prompt": graph, "client_id": client_id, "prompt_id": prompt_id}
        answer = self._send(lambda: self._connection.post("/prompt", document))
        reply = self._parsed(answer, accept=(200, 400))
        node_errors = reply.get("node_errors") or {}
        if answer.status == 200 and node_errors:
            self.cancel(reply["prompt_id"])
        if answer.status != 200 or node_errors:
            raise RequestRefused(f"ComfyUI refuses the graph: {_reason(reply, node_errors)}", where=self.url)
        return str(reply["prompt_id"])

    def history_entry(self, prompt_id: str) -> dict[str, Any] | None:
        """The history's entry of a prompt; None while there is none."""
        return self._json(f"/history/{quote(prompt_id)}").get(prompt_id)

    def queue_state(self, prompt_id: str) -> str | None:
        """`running`, `pending`, or None where the queue does not have the prompt."""
        queue = self._json("/queue")
        for name in ("running", "pending"):
            if any(item[1] == prompt_id for item in queue.get(f"queue_{name}", ())):
                return name
        return None

    def cancel(self, prompt_id: str) -> None:
        """Takes a prompt off the queue, or interrupts it while it runs; others' prompts stay untouched.

        A server that is too old to know whom it interrupts is asked only while ours is the running one.
        """
        self._send(lambda: self._connection.post("/queue", {"delete": [prompt_id]}))
        if self.queue_state(prompt_id) == "running":
            self._send(lambda: self._connection.post("/interrupt", {"prompt_id": prompt_id}))

    def picture(self, place: dict[str, str]) -> bytes:
        """A file of the server's: `filename`, `subfolder`, `type`."""
        query = {name: place.get(name, "") for name in ("filename", "subfolder", "type")}
        answer = self._send(lambda: self._connection.get(f"/view?{urlencode(query)}"))
        if answer.status != 200:
            raise UnreadableAnswer(f"the picture is not there ({answer.status})", where=answer.url)
        return answer.body

    def _json(self, path: str) -> dict[str, Any]:
        return self._parsed(self._send(lambda: self._connection.get(path)))

    def _send(self, call: Callable[[], Answer]) -> Answer:
        try:
            return call()
        except HostUnreachable as error:
            raise HostUnreachable(error.what, where=self.url, to_try=HOW_TO_START) from error

    def _parsed(self, answer: Answer, accept: tuple[int, ...] = (200,)) -> dict[str, Any]:
        try:
            document = json.loads(answer.body)
        except ValueError:
            document = None
        if answer.status in (404, 405, 501) or (answer.status == 200 and answer.body.lstrip().startswith(b"<")):
            raise ApiMissing("this is no ComfyUI", where=answer.url, to_try=HOW_TO_START)
        if answer.status not in accept or not isinstance(document, dict):
            raise UnreadableAnswer(
                f"ComfyUI answers {answer.status} with no JSON object of its API",
                where=answer.url,
                to_try="look at ComfyUI's console, and at a proxy between if there is one",
            )
        return document


def _reason(reply: dict[str, Any], node_errors: dict[str, Any]) -> str:
    """The server's message about the first wrong nodes, or about the graph."""
    nodes = [
        f"node {node} ({errors.get('class_type')}): "
        + "; ".join(f"{error.get('message')}, {error.get('details')}" for error in errors.get("errors", ()))
        for node, errors in node_errors.items()
    ]
    error = reply.get("error") or {}
    general = (
        f"{error.get('message', '')} {error.get('details', '')}".strip() if isinstance(error, dict) else str(error)
    )
    return " · ".join(nodes[:3]) or general or "without a reason"
