"""Hires fix: each picture drawn small, resized, and drawn over at its final size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..hosts.request import GenerationRequest
from .errors import NOT_HONOURED, Refusal
from .requests import GRID, sampler_and_scheduler
from .resize import refuse_unknown_upscaler, resized

if TYPE_CHECKING:
    from ..hosts.local import LocalHost
    from ..hosts.request import GenerationResult
    from .fields import StableDiffusionProcessingTxt2Img

UNCHANGED = (None, "", "Use same sampler", "Use same scheduler")


@dataclass(frozen=True)
class HiresPass:
    """The second pass; `strength` 0 … 1 is the share that is drawn anew."""

    width: int  # pixels
    height: int
    upscaler: str
    strength: float
    steps: int  # that are really drawn
    changes: dict[str, str]  # of the request: prompts, sampler

    @classmethod
    def of(cls, body: StableDiffusionProcessingTxt2Img) -> HiresPass | None:
        """What the body asks for; None without `enable_hr`."""
        if not body.enable_hr:
            return None
        if body.denoising_strength is None or not 0 < body.denoising_strength <= 1:
            raise Refusal(NOT_HONOURED, "enable_hr needs a denoising_strength greater than 0 and at most 1")
        refuse_unknown_upscaler(body.hr_upscaler or "Lanczos", "hr_upscaler")
        width, height = _size(body)
        changes = {"prompt": body.hr_prompt, "negative_prompt": body.hr_negative_prompt}
        if body.hr_sampler_name not in UNCHANGED or body.hr_scheduler not in UNCHANGED:
            sampler = body.hr_sampler_name if body.hr_sampler_name not in UNCHANGED else body.sampler_name
            scheduler = body.hr_scheduler if body.hr_scheduler not in UNCHANGED else body.scheduler
            sampler, scheduler = sampler_and_scheduler(sampler or body.sampler_index or "Euler", scheduler)
            changes |= {"sampler": sampler, "scheduler": scheduler}
        steps = body.hr_second_pass_steps or body.steps
        changes = {name: value for name, value in changes.items() if value}
        return cls(width, height, body.hr_upscaler or "Lanczos", body.denoising_strength, steps, changes)

    def request(self, first: GenerationRequest) -> GenerationRequest:
        """The second pass of a request: as many steps as leave `steps` to draw at this strength."""
        steps = math.ceil(self.steps / self.strength)
        size = {"width": self.width, "height": self.height, "steps": steps}
        return GenerationRequest.model_validate(first.model_dump() | size | self.changes)

    def draw(self, host: LocalHost, requests: tuple[GenerationRequest, ...]) -> Iterator[GenerationResult]:
        """Both passes of each request."""
        for first in host.generate(requests):
            image = resized(first.image, (self.width, self.height), self.upscaler, crop=True)
            yield from host.redraw(image, self.strength, [self.request(first.request)])

    @property
    def infotext(self) -> str:
        """As A1111 adds it to a picture's text."""
        return f", Hires resize: {self.width}x{self.height}, Hires steps: {self.steps}, Hires upscaler: {self.upscaler}"


def _size(body: StableDiffusionProcessingTxt2Img) -> tuple[int, int]:
    """A target size, or one side of it, or a factor."""
    width, height = body.hr_resize_x, body.hr_resize_y
    if not width and not height:
        width, height = int(body.width * body.hr_scale), int(body.height * body.hr_scale)
    width, height = width or height * body.width // body.height, height or width * body.height // body.width
    return width // GRID * GRID, height // GRID * GRID
