"""`<lora:name:strength>` in a prompt → files of a folder, as A1111 reads them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..hosts.request import LoraRef
from ..hosts.samplers import refuse_unknown
from .errors import NOT_HONOURED, Refusal

TAG = re.compile(r"<(\w+):([^>]+)>")
MAX_STRENGTH = 4.0  # of a LoRA, positive or negative


class LoraFolder:
    """The `.safetensors` files under a folder, by their stems; looked at anew each time, so a new file is there."""

    def __init__(self, folder: Path | None):
        self.folder = folder

    def files(self) -> dict[str, Path]:
        """Name → file, in the order of the names; of two files with one name, the first path."""
        if self.folder is None:
            return {}
        files: dict[str, Path] = {}
        for path in sorted(self.folder.rglob("*.safetensors")):
            files.setdefault(path.stem, path)
        return dict(sorted(files.items()))

    def listed(self) -> list[dict[str, Any]]:
        """What `/sdapi/v1/loras` says: name, alias, path and the file's own metadata."""
        return [self._item(name, path) for name, path in self.files().items()]

    def _item(self, name: str, path: Path) -> dict[str, Any]:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
        except SafetensorError:
            metadata = {}
        return {
            "name": name,
            "alias": metadata.get("ss_output_name", name),
            "path": str(path),
            "metadata": dict(metadata),
        }

    def take_from(self, prompt: str) -> tuple[str, tuple[LoraRef, ...]]:
        """The prompt without its tags, and the LoRAs they name; RequestRefused for a name that no file has."""
        loras = [self._read(kind, text) for kind, text in TAG.findall(prompt)]
        return TAG.sub("", prompt), tuple(loras)

    def _read(self, kind: str, text: str) -> LoraRef:
        name, *rest = text.split(":")
        if kind != "lora" or len(rest) > 1 or "=" in text:
            raise Refusal(NOT_HONOURED, f"<{kind}:{text}> is not known here; write <lora:name:strength>")
        try:
            strength = float(rest[0]) if rest else 1.0
        except ValueError:
            strength = float("nan")
        if not -MAX_STRENGTH <= strength <= MAX_STRENGTH:
            raise Refusal(
                NOT_HONOURED, f"<{kind}:{text}>: the strength is a number from {-MAX_STRENGTH:g} to {MAX_STRENGTH:g}"
            )
        files = self.files()
        refuse_unknown("LoRA", name, files)
        return LoraRef(name=name, strength=strength, path=files[name])
