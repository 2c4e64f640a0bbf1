"""Does it get better on photos that it never trained on? Each look has the same noise and timesteps.

A training loss says little: its noise is larger than a run's whole gain. Here every held-out photo is judged on one
fixed draw of noise in each stratum of the schedule, so that only the weights differ between two looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...search.confirmation import PairedGain, mean_gain


@dataclass(frozen=True)
class ValidationResult:
    """One validation: each photo's mean loss over the strata, in the photos' order."""

    step: int
    losses: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over photos."""
        return sum(self.losses) / len(self.losses)


@dataclass
class Validation:
    """All looks of a run, the base model's first."""

    looks: list[ValidationResult] = field(default_factory=list)

    @property
    def best_trained(self) -> ValidationResult | None:
        """The least mean loss of the looks after step 0; None before there is one."""
        return min((look for look in self.looks if look.step), key=lambda look: (look.mean, look.step), default=None)

    def gain(self, look: ValidationResult) -> PairedGain:
        """Base loss − the look's, over photos: above 0 is better than the base model, which is the first look."""
        if look is self.looks[0]:
            return PairedGain(0.0, 0.0, 0.0, len(look.losses), note="the base model itself")
        return mean_gain([before - now for before, now in zip(self.looks[0].losses, look.losses, strict=True)])

    def waited(self) -> int:
        """Looks since the best."""
        return len(self.looks) - 1 - self.looks.index(self.best_trained) if self.best_trained else 0

    def reason(self) -> str:
        """Why the best one is the best, for people and for the file's metadata."""
        best = self.best_trained
        if best is None:
            return "the last step: no photos were held out to choose by"
        gain, before = self.gain(best), self.looks[0].mean
        held = f"{len(best.losses)} held-out photos"
        if sum(look.step > 0 for look in self.looks) > 1:
            chosen = f"step {best.step} has the least loss on {held}: {best.mean:.5f}"
        else:
            chosen = f"step {best.step}, the only one looked at, has a loss of {best.mean:.5f} on {held}"
        interval = f"{gain.mean:+.5f} ({gain.low:+.5f} … {gain.high:+.5f})"
        said = f"{chosen}, a gain of {interval} over the base model's {before:.5f}"
        return said if gain.improved else f"{said}; that is no proven gain"

    def as_json(self) -> list[dict[str, Any]]:
        """For checkpoints and train.json."""
        return [{"step": look.step, "losses": list(look.losses)} for look in self.looks]

    @classmethod
    def from_json(cls, rows: Sequence[dict[str, Any]]) -> Validation:
        """The inverse."""
        return cls([ValidationResult(row["step"], tuple(row["losses"])) for row in rows])


def strata(steps: int, count: int) -> list[int]:
    """The middle timestep of each of `count` equal parts of a schedule of `steps`."""
    return [int((index + 0.5) * steps / count) for index in range(count)]
