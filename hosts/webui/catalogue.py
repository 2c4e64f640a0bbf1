"""What the server has to draw with, by name: samplers, noise schedules, checkpoints, LoRAs.

An unknown sampler, schedule, checkpoint or LoRA is replaced or left out by the server with status 200. So every name
is compared with these lists before anything is sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from ..errors import RequestRefused, UnreadableAnswer
from ..samplers import refuse_unknown
from .responses import read_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..connection import Connection
    from ..request import GenerationRequest
    from .capability import Capability

LORA_TAG = re.compile(r"<lora:([^:>]+)")  # of extra_networks.py


@dataclass(frozen=True)
class Checkpoint:
    """A model on the server. `name` is what `info.sd_model_name` will say."""

    title: str  # what the override takes
    name: str
    names: frozenset[str]  # every spelling that means it
    hash: str | None  # 10 digits of the sha256; None where the server has not computed it yet

    @classmethod
    def read(cls, item: dict[str, Any]) -> Checkpoint:
        """One item of /sd-models."""
        title, file = str(item["title"]), str(item.get("filename") or "")
        base = PureWindowsPath(file) if "\\" in file else PurePath(file)
        name = base.stem if base.suffix in (".safetensors", ".ckpt", ".pt", ".gguf") else str(item["model_name"])
        spellings = {title, title.rpartition(" [")[0] or title, str(item["model_name"]), name, base.name}
        spellings |= {str(item[key]) for key in ("hash", "sha256") if item.get(key)}
        return cls(title, name, frozenset(spellings - {""}), item.get("hash") or None)


class WebuiCatalogue:
    """The server's lists, asked for once, and again when a name is missing from them."""

    def __init__(self, connection: Connection, capability: Capability):
        self.connection, self.capability = connection, capability
        self.samplers = [str(item["name"]) for item in self._list("/sdapi/v1/samplers")]
        self.schedulers: list[str] = []
        if capability.has("/sdapi/v1/schedulers"):
            self.schedulers = [str(item["label"]) for item in self._list("/sdapi/v1/schedulers")]
        self.checkpoints = self.read_checkpoints()
        self.loras: frozenset[str] = frozenset()

    def checkpoint(self, name: str) -> Checkpoint | None:
        """The model that `name` (title, file, hash, …) means."""
        return next((checkpoint for checkpoint in self.checkpoints if name in checkpoint.names), None)

    def refuse_missing(self, request: GenerationRequest) -> None:
        """RequestRefused, with the nearest name, for whatever the server would replace or leave out."""
        self._refuse_missing_sampler(request.sampler)
        if self.schedulers:
            refuse_unknown("scheduler", request.scheduler, self.schedulers)
        elif request.scheduler != "Automatic":
            raise RequestRefused(
                f"this WebUI is too old for the schedule {request.scheduler!r}",
                where=self.connection.url,
                to_try=f"its samplers carry the schedule in their names: {', '.join(self.samplers)}",
            )
        self.refuse_missing_checkpoint(request.checkpoint)
        self._refuse_missing_loras(loras_of(request))

    def _refuse_missing_sampler(self, name: str) -> None:
        for schedule in self.schedulers:
            sampler = name.removesuffix(f" {schedule}")
            if name not in self.samplers and sampler != name and sampler in self.samplers:
                raise RequestRefused(
                    f"there is no sampler {name!r} here",
                    where=self.connection.url,
                    to_try=f"did you mean the sampler {sampler!r} with the schedule {schedule!r}?",
                )
        refuse_unknown("sampler", name, self.samplers)

    def refuse_missing_checkpoint(self, name: str | None) -> None:
        """RequestRefused for a model that the server has not even after another look; None is fine."""
        if name is None or self.checkpoint(name):
            return
        if self.capability.has("/sdapi/v1/refresh-checkpoints"):
            read_json(self.connection.post("/sdapi/v1/refresh-checkpoints", {}))
            self.checkpoints = self.read_checkpoints()
        if self.checkpoint(name) is None:
            refuse_unknown("checkpoint", name, [checkpoint.name for checkpoint in self.checkpoints])

    def _refuse_missing_loras(self, names: Iterable[str]) -> None:
        missing = [name for name in names if name not in self.loras]
        if missing:
            self.refresh_loras()
        for name in missing:
            refuse_unknown("LoRA", name, sorted(self.loras))

    def refresh_loras(self) -> frozenset[str]:
        """Lets the server look into its LoRA folder; the names that a prompt may use, which are case-sensitive."""
        if not self.capability.has("/sdapi/v1/loras"):
            raise RequestRefused("this WebUI has no LoRAs", where=self.connection.url, to_try="its extension Lora")
        if self.capability.has("/sdapi/v1/refresh-loras"):
            read_json(self.connection.post("/sdapi/v1/refresh-loras", {}))
        items = self._list("/sdapi/v1/loras")
        self.loras = frozenset(str(item[key]) for item in items for key in ("name", "alias") if item.get(key))
        return self.loras

    def read_checkpoints(self) -> list[Checkpoint]:
        """The server's models, as it names them now."""
        return [Checkpoint.read(item) for item in self._list("/sdapi/v1/sd-models")]

    def _list(self, path: str) -> list[dict[str, Any]]:
        items = read_json(self.connection.get(path))
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise UnreadableAnswer("not a list of items", where=f"GET {self.connection.url}{path}")
        return items


def loras_of(request: GenerationRequest) -> list[str]:
    """Every LoRA that the picture is to be drawn with, in its fields or in its prompt, each once."""
    named = [lora.name for lora in request.loras]
    return list(dict.fromkeys([*named, *LORA_TAG.findall(request.prompt)]))
