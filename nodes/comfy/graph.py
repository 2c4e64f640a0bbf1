"""Reading ComfyUI's prompt, the graph as JSON: which checkpoint a MODEL comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...core.errors import InputError

MODEL_INPUTS = ("model", "model1", "unet")  # names of inputs through which nodes pass a model on
DIGITS = 16


@dataclass(frozen=True)
class CheckpointOrigin:
    """The checkpoint that a model was loaded from, and the nodes that changed the model on the way."""

    ckpt_name: str
    between: tuple[str, ...] = ()

    @property
    def warning(self) -> str:
        """A sentence about the nodes between; "" where there are none."""
        if not self.between:
            return ""
        nodes = ", ".join(self.between)
        return f"between the checkpoint and this node: {nodes}; the LoRA is trained on the bare checkpoint"


def checkpoint_of(prompt: Mapping[str, Any], node: str, name: str = "model") -> CheckpointOrigin:
    """Follows the link of input `name` of `node` to the loader with a `ckpt_name`; InputError where there is none."""
    link, between, visited = _inputs(prompt, node).get(name), [], set()
    while _is_link(link) and link[0] not in visited:
        visited.add(link[0])
        inputs = _inputs(prompt, link[0])
        ckpt_name = _value(prompt, inputs.get("ckpt_name"))
        if isinstance(ckpt_name, str):
            return CheckpointOrigin(ckpt_name, tuple(reversed(between)))
        between.append(str(prompt.get(link[0], {}).get("class_type", "?")))
        link = next((inputs[key] for key in MODEL_INPUTS if _is_link(inputs.get(key))), None)
    path = f" (it comes from {between[-1]})" if between else ""
    raise InputError(
        f"no checkpoint can be found behind the model{path}",
        to_try="choose the checkpoint by its name on this node",
    )


def digest_of(prompt: Mapping[str, Any], node: str, names: Sequence[str]) -> str:
    """16 hex digits that change with anything before the inputs `names` of `node`: nodes, widgets, links."""
    queue = [link[0] for name in names if _is_link(link := _inputs(prompt, node).get(name))]
    ancestors: dict[str, Any] = {}
    while queue:
        current = queue.pop()
        if current not in ancestors:
            ancestors[current] = [prompt.get(current, {}).get("class_type"), dict(_inputs(prompt, current))]
            queue += [value[0] for value in _inputs(prompt, current).values() if _is_link(value)]
    links = {name: _inputs(prompt, node).get(name) for name in names}
    description = json.dumps([links, ancestors], sort_keys=True, default=str)
    return hashlib.sha256(description.encode()).hexdigest()[:DIGITS]


def _inputs(prompt: Mapping[str, Any], node: str) -> Mapping[str, Any]:
    return prompt.get(node, {}).get("inputs", {})


def _is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def _value(prompt: Mapping[str, Any], value: Any) -> Any:
    """A widget's value, also where it was made a link to a primitive."""
    if _is_link(value):
        return next((text for text in _inputs(prompt, value[0]).values() if isinstance(text, str)), None)
    return value
