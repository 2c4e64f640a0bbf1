"""Which files change what is drawn at all: the others are named and set aside before the first round.

A server proves it when a file is delivered to it; this process draws the first block without any LoRA as well, and a
file whose picture of that block is the same, pixel by pixel, changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ...hosts.errors import LoraWithoutEffect

if TYPE_CHECKING:
    from ..compare.pairs import JudgedPicture
    from .run import JudgedArm, JudgeRun

CHECK = "without any LoRA"  # what the journal calls the base model's picture of the first block
SAME = "its picture is the base model's, pixel by pixel"


class DrawsArms(Protocol):
    """Who draws a judgement's arms."""

    def deliver(self, arm: JudgedArm) -> None:
        """Brings the arm's file to the host."""

    def draw(
        self, arm: JudgedArm | None, name: str, prompt: str, blocks: Sequence[tuple[int, int]]
    ) -> list[JudgedPicture]:
        """The pictures of an arm (None: the base model) by the prompt that pairs have so named."""


def set_aside(run: JudgeRun, evaluators: DrawsArms) -> None:
    """Fills `run.without_effect`, with the pictures that were drawn to see it."""
    first = run.blocks[:1]
    is_local = run.session.host.describe().kind == "local"
    for arm in {arm.model.tuned.identity: arm for arm in run.arms}.values():  # each file at its last strength
        if arm.model.tuned.kind != "lora":
            continue
        try:
            evaluators.deliver(arm)
            if is_local and same_pictures(
                evaluators.draw(None, CHECK, "base", first), evaluators.draw(arm, arm.name, "tuned", first)
            ):
                run.without_effect[arm.model.tuned.identity] = SAME
        except LoraWithoutEffect as error:
            run.without_effect[arm.model.tuned.identity] = error.what
    for arm in run.arms:
        if arm.model.tuned.identity in run.without_effect:
            run.standings[arm.name] = "changes nothing"
            run.drawn[arm.name] = []


def same_pictures(first: Sequence[JudgedPicture], second: Sequence[JudgedPicture]) -> bool:
    """Whether two arms drew the same pictures, pixel by pixel."""
    from PIL import Image

    def pixels(shot: JudgedPicture) -> bytes | None:
        path = shot.picture.path
        return None if path is None else Image.open(path).convert("RGB").tobytes()

    return all(pixels(one) == pixels(other) for one, other in zip(first, second, strict=True))
