"""Does it get better on photos that it never trained on? Each validation has the same noise and timesteps.

A training loss says little: its noise is larger than a run's whole gain. Here every held-out photo is judged on one
fixed draw of noise in each stratum of the schedule, so that only the weights differ between two validations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...search.confirmation import PairedGain, mean_gain

FINALISTS = 2  # steps whose weights wait for the end, where pictures choose


@dataclass(frozen=True)
class PictureScores:
    """What a critic says of pictures of held-out garments, in their order; unclipped, so that differences count."""

    similarity: tuple[float, ...]
    judge: tuple[float, ...] = ()  # empty without a judge
    means: dict[str, float] = field(default_factory=dict)  # of what else it sees, by name

    @property
    def mean(self) -> float:
        """The mean similarity."""
        return sum(self.similarity) / len(self.similarity)

    @property
    def judge_mean(self) -> float | None:
        """The mean of the judge; None where there is none."""
        return sum(self.judge) / len(self.judge) if self.judge else None

    def as_json(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"similarity": list(self.similarity), "judge": list(self.judge), "means": self.means}

    @classmethod
    def from_json(cls, row: dict[str, Any] | None) -> PictureScores | None:
        """What `as_json` wrote; None of nothing."""
        return cls(tuple(row["similarity"]), tuple(row["judge"]), dict(row["means"])) if row else None


@dataclass(frozen=True)
class ValidationResult:
    """One validation: each photo's mean loss over the strata, in the photos' order."""

    step: int
    losses: tuple[float, ...]
    pictures: PictureScores | None = None  # where pictures choose

    @property
    def mean(self) -> float:
        """Mean loss over the photos."""
        return sum(self.losses) / len(self.losses)


@dataclass
class Validation:
    """All validations of a run; the first is of what it began with."""

    results: list[ValidationResult] = field(default_factory=list)
    start: str = "the base model"  # what the run began with, for people
    by: str = "loss"  # what chooses the step: pictures | loss | last
    why: str = ""  # where that is not what the config says
    garments: tuple[str, ...] = ()  # of each picture, where pictures choose

    @property
    def best_trained(self) -> ValidationResult | None:
        """The result of the least mean loss after step 0; None before there is one."""
        trained = (result for result in self.results if result.step)
        return min(trained, key=lambda result: (result.mean, result.step), default=None)

    @property
    def leader(self) -> ValidationResult | None:
        """The best result after step 0 by what chooses: the most alike pictures, else the least loss."""
        return next(iter(self._by_pictures()), None) if self.by == "pictures" else self.best_trained

    def wanted_steps(self, finalists: int = FINALISTS) -> list[int]:
        """The steps whose weights may still be kept at the end, the best first."""
        if self.by == "pictures":
            return [result.step for result in self._by_pictures()[:finalists]]
        best = self.best_trained if self.by == "loss" else None
        return [best.step] if best else []

    def _by_pictures(self) -> list[ValidationResult]:
        trained = [result for result in self.results if result.step and result.pictures]
        return sorted(trained, key=lambda result: (-result.pictures.mean if result.pictures else 0.0, result.step))

    def picture_gain(self, result: ValidationResult, who: str = "similarity") -> PairedGain | None:
        """The result's scores − the first's, by `similarity` or `judge`, over garments; None without pictures."""
        base = self.results[0].pictures
        if base is None or result.pictures is None or not self.garments:
            return None
        ours, theirs = getattr(result.pictures, who), getattr(base, who)
        if not ours:
            return None
        return mean_gain([a - b for a, b in zip(ours, theirs, strict=True)], self.garments)

    def gain(self, result: ValidationResult) -> PairedGain:
        """First loss − the result's, paired by photo: above 0 is better than what the run began with."""
        base = self.results[0]
        if result is base:
            return PairedGain(0.0, 0.0, 0.0, len(result.losses), note=f"{self.start} itself")
        return mean_gain([before - now for before, now in zip(base.losses, result.losses, strict=True)])

    def since_best(self, step: int = 0) -> int:
        """Validations since the best one; none before `step` is counted."""
        if self.leader is None:
            return 0
        behind = self.results[self.results.index(self.leader) + 1 :]
        return sum(result.step > step for result in behind)

    def reason(self) -> str:
        """Why the best step is the best, for people and for the file's metadata."""
        best = self.best_trained
        if best is None:
            return "the last step: no photos were held out to choose by"
        if self.by == "last":
            return f"the last step, {self.results[-1].step}, as was asked for; step {best.step} has the least loss"
        gain, base = self.gain(best), self.results[0].mean
        count = len(best.losses)
        photos = f"{count} held-out photos" if count > 1 else "1 held-out photo"
        if sum(result.step > 0 for result in self.results) > 1:
            chosen = f"step {best.step} has the least loss on {photos}: {best.mean:.5f}"
        else:
            chosen = f"step {best.step}, the only one that was validated, has a loss of {best.mean:.5f} on {photos}"
        sentence = f"{chosen}, a gain of {gain_text(gain, count)} over {self.start}'s {base:.5f}{_judgement(gain)}"
        return sentence + (f" (by the loss: {self.why})" if self.why else "")

    def as_json(self) -> list[dict[str, Any]]:
        """For checkpoints and train.json."""
        return [
            {
                "step": result.step,
                "losses": list(result.losses),
                **({"pictures": result.pictures.as_json()} if result.pictures else {}),
            }
            for result in self.results
        ]

    @classmethod
    def from_json(cls, rows: Sequence[dict[str, Any]], start: str = "the base model") -> Validation:
        """The validations that `as_json` wrote."""
        results = [
            ValidationResult(row["step"], tuple(row["losses"]), PictureScores.from_json(row.get("pictures")))
            for row in rows
        ]
        return cls(results, start)


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
