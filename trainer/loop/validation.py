"""Does it get better on photos that it never trained on? Each validation has the same noise and timesteps.

A training loss says little: its noise is larger than a run's whole gain. Here every held-out photo is judged on one
fixed draw of noise in each stratum of the schedule, so that only the weights differ between two validations.
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
        """Mean loss over the photos."""
        return sum(self.losses) / len(self.losses)


@dataclass
class Validation:
    """All validations of a run; the first is of what it began with."""

    results: list[ValidationResult] = field(default_factory=list)
    start: str = "the base model"  # what the run began with, for people

    @property
    def best_trained(self) -> ValidationResult | None:
        """The result of the least mean loss after step 0; None before there is one."""
        trained = (result for result in self.results if result.step)
        return min(trained, key=lambda result: (result.mean, result.step), default=None)

    def gain(self, result: ValidationResult) -> PairedGain:
        """First loss − the result's, paired by photo: above 0 is better than what the run began with."""
        base = self.results[0]
        if result is base:
            return PairedGain(0.0, 0.0, 0.0, len(result.losses), note=f"{self.start} itself")
        return mean_gain([before - now for before, now in zip(base.losses, result.losses, strict=True)])

    def since_best(self, step: int = 0) -> int:
        """Validations since the best one; none before `step` is counted."""
        if self.best_trained is None:
            return 0
        behind = self.results[self.results.index(self.best_trained) + 1 :]
        return sum(result.step > step for result in behind)

    def reason(self) -> str:
        """Why the best step is the best, for people and for the file's metadata."""
        best = self.best_trained
        if best is None:
            return "the last step: no photos were held out to choose by"
        gain, base = self.gain(best), self.results[0].mean
        count = len(best.losses)
        photos = f"{count} held-out photos" if count > 1 else "1 held-out photo"
        if sum(result.step > 0 for result in self.results) > 1:
            chosen = f"step {best.step} has the least loss on {photos}: {best.mean:.5f}"
        else:
            chosen = f"step {best.step}, the only one that was validated, has a loss of {best.mean:.5f} on {photos}"
        return f"{chosen}, a gain of {gain_text(gain, count)} over {self.start}'s {base:.5f}{_judgement(gain)}"

    def as_json(self) -> list[dict[str, Any]]:
        """For checkpoints and train.json."""
        return [{"step": result.step, "losses": list(result.losses)} for result in self.results]

    @classmethod
    def from_json(cls, rows: Sequence[dict[str, Any]], start: str = "the base model") -> Validation:
        """The validations that `as_json` wrote."""
        return cls([ValidationResult(row["step"], tuple(row["losses"])) for row in rows], start)


def gain_text(gain: PairedGain, photos: int) -> str:
    """`+0.00211 (+0.00105 … +0.00317)`: a gain of that many photos with its interval, which a single one has not."""
    interval = f"{gain.low:+.5f} … {gain.high:+.5f}" if photos > 1 else "one photo: no interval"
    return f"{gain.mean:+.5f} ({interval})"


def _judgement(gain: PairedGain) -> str:
    if gain.improved:
        return ""
    return "; that is worse" if gain.high < 0 else "; the gain is not significant (the interval contains 0)"


def strata(first: int, last: int, count: int) -> list[int]:
    """The middle timestep of each of `count` equal parts of a schedule, of which `first` to `last` are trained."""
    return [first + int((index + 0.5) * (last + 1 - first) / count) for index in range(count)]
