"""The contract between Modiste and whatever draws: one request, one result, one protocol."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from PIL import Image

Dialect = Literal["a1111", "comfy", "diffusers", "plain"]


class LoraRef(BaseModel):
    """A LoRA by the name the host knows it by, or by file for the local host; `strength` 0 … 2, usually 0.4 … 1.2."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    strength: float = Field(default=1.0, ge=-4, le=4)
    path: Path | None = None


class GenerationRequest(BaseModel):
    """One picture to draw. The prompt is already in the host's own dialect."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str
    negative_prompt: str = ""
    seed: int = Field(ge=0, lt=2**32)
    steps: int = Field(default=20, ge=1, le=1000)  # A1111's page ends at 150, its API knows no end
    cfg_scale: float = Field(default=7.0, ge=1.0, le=30.0)
    width: int = Field(default=512, ge=64, le=2048, multiple_of=8)  # pixels
    height: int = Field(default=512, ge=64, le=2048, multiple_of=8)  # pixels
    sampler: str = "DPM++ 2M"  # A1111's name
    scheduler: str = "Automatic"  # noise schedule, A1111's name
    clip_skip: int = Field(default=1, ge=1, le=12)
    checkpoint: str | None = None  # None: whatever the host has loaded
    loras: tuple[LoraRef, ...] = ()

    def request_hash(self) -> str:
        """16 hex digits that change when anything that changes the picture changes."""
        document = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(document.encode()).hexdigest()[:16]


class UsedSettings(BaseModel):
    """What the host *really* used, as it says itself or as can be measured on the picture."""

    model_config = ConfigDict(extra="forbid")

    seed: int
    steps: int
    cfg_scale: float
    width: int
    height: int
    sampler: str
    checkpoint: str | None = None
    checkpoint_hash: str | None = None
    loras: tuple[LoraRef, ...] = ()
    backend: str = ""  # e.g. "diffusers 0.42.1, torch 2.13.0, cpu, float32"

    @classmethod
    def as_asked(cls, request: GenerationRequest, image: Image.Image, **model: Any) -> UsedSettings:
        """Of a picture drawn in this process, where nothing is replaced: only its size is measured."""
        settings = {name: getattr(request, name) for name in ("seed", "steps", "cfg_scale", "sampler", "loras")}
        return cls(**settings, width=image.width, height=image.height, **model)


@dataclass(frozen=True)
class GenerationResult:
    """One picture (PIL, RGB) with its request and what was really used."""

    image: Image.Image
    request: GenerationRequest
    used: UsedSettings
    elapsed_s: float


class HostDescription(BaseModel):
    """What a host is, for reports and for the journal's keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str  # local | webui | comfy
    url: str | None = None
    checkpoint: str
    checkpoint_hash: str | None = None
    samplers: tuple[str, ...] = ()
    workflow: str | None = None  # digest of a ComfyUI workflow of the user's
    drawing: dict[str, Any] = Field(default={}, exclude=True)  # sampling that it brings along, in a request's fields


class Host(Protocol):
    """Draws requests. Every host passes tests/host_suite.py."""

    dialect: Dialect

    def describe(self) -> HostDescription:
        """What draws; raises HostError when it can't be reached."""

    def check(self, request: GenerationRequest) -> None:
        """Refuses before anything is drawn what the host would silently replace (unknown sampler, LoRA, checkpoint)."""

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[GenerationResult]:
        """Pictures in the order of the requests, each as soon as it is there; batches where it can.

        The same request gives the same picture whatever stands beside it in the batch.
        """

    def count_tokens(self, text: str) -> int | None:
        """Tokens of `text` by the model's own tokenizer, without start and end; None where the host can't tell."""
