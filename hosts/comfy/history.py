"""A prompt's entry in /history → the files it gave, or the error that ended it."""

from __future__ import annotations

from typing import Any

from ..errors import HostError, Interrupted, NotANumber, OutOfMemory, WrongResult

OUT_OF_MEMORY = ("outofmemory", "out of memory", "allocation on device", "not enough memory")
LONGEST = 300  # characters of the server's own message in ours


def pictures_of(entry: dict[str, Any], node: str, where: str) -> list[dict[str, str]]:
    """The files of one node; OutOfMemory, Interrupted, HostError or WrongResult where there are none."""
    status = entry.get("status") or {}
    for name, data in reversed(status.get("messages") or []):
        if name == "execution_error":
            raise _error(data, where)
        if name == "execution_interrupted":
            raise Interrupted("somebody interrupted the drawing", where=where, to_try="run the same command again")
    files = ((entry.get("outputs") or {}).get(node) or {}).get("images") or []
    if not files:
        raise WrongResult(
            f"ComfyUI finished with {status.get('status_str', 'no word')} and without a picture from node {node}",
            where=where,
        )
    return files


def _error(failure: dict[str, Any], where: str) -> HostError:
    kind, message = str(failure.get("exception_type", "")), " ".join(str(failure.get("exception_message", "")).split())
    place = f"node {failure.get('node_id')} ({failure.get('node_type')})"
    text = f"{place} failed: {kind}: {message[:LONGEST]}"
    lowered = f"{kind} {message}".lower()
    if any(word in lowered for word in OUT_OF_MEMORY):
        return OutOfMemory(text, where=where, to_try="a smaller size, or start ComfyUI with --lowvram")
    if "nan" in kind.lower():
        return NotANumber(text, where=where, to_try="start ComfyUI with --fp32-vae or --force-fp32")
    return HostError(text, where=where, to_try="look at ComfyUI's console")
