"""Which step's weights a run keeps, where pictures decide: by garments that it never trained on, always drawn alike.

    each validation   held-out captions, fixed seeds → few steps of the sampler → critic → mean similarity
    at the end        the best two of these and the last step, other seeds, all steps → paired gain over the last step

The most alike is kept, on pictures that did not make it a candidate, unless the judge proves it worse than the last
step. Whether its gain is proven is said beside it: the interval over garments, at a level that counts the candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ...core.progress import ProgressCallback
from ...search.confirmation import PairedGain, mean_gain
from ..data.captions import caption_of
from ..seeding import seed_for
from .sampling import SampleRequest, draw, reported
from .validation import PictureScores

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..config import TrainConfig
    from ..data.held_out import Garment
    from ..data.sample import Dataset, Sample
    from .processes import Processes
    from .samples import Critic
    from .trained_model import TrainedModel

LEAST_GARMENTS = 4  # below, an interval over garments says more of their number than of the weights
LEVEL = 0.05
FIGURES = ("similarity", "judge", "colour_delta_e", "nearest_training")  # of a picture, that a critic may give


def criterion_of(config: TrainConfig, data: Dataset, critic: Critic | None, garments: int) -> tuple[str, str]:
    """What chooses the step, `pictures`, `loss` or `last`, and why where it is not what the config says."""
    choose = config.validation.choose
    if choose == "last" or not data.held_out:
        return "last", "" if choose == "last" else "no photos were held out to choose by"
    if choose == "pictures" and critic is None:
        return "loss", "nobody scores pictures here"
    if choose == "pictures" and garments < LEAST_GARMENTS:
        held_out = f"{garments} garment{'s' * (garments != 1)} held out"
        return "loss", f"{held_out}; at least {LEAST_GARMENTS} are needed to choose by pictures"
    return choose, ""


@dataclass
class PictureChoice:
    """What is drawn to choose a step by, and who looks at it."""

    critic: Critic
    requests: tuple[SampleRequest, ...]  # at each validation
    last_requests: tuple[SampleRequest, ...]  # at the end, by each candidate
    garments: tuple[str, ...]  # that each picture shows, of both
    training: tuple[Path, ...]
    steps: int  # of the sampler, at a validation
    key: str = ""  # of the scorer whose scores were kept; "": none were yet

    @classmethod
    def of(cls, config: TrainConfig, data: Dataset, critic: Critic, garment: Garment) -> PictureChoice:
        """The held-out photos' captions in turn, so that every garment is drawn before one comes again."""
        photos = _garments_in_turn(data.held_out, garment)
        rows = [
            (photos[index % len(photos)], index // len(photos)) for index in range(config.validation.choice_pictures)
        ]

        def requests(purpose: str) -> tuple[SampleRequest, ...]:
            return tuple(
                SampleRequest(caption_of(photo, config.data), seed_for(config.seed, purpose, photo.id, turn), photo)
                for photo, turn in rows
            )

        return cls(
            critic,
            requests("choice"),
            requests("choice at the end"),
            tuple(garment(photo.path) for photo, _ in rows),
            tuple(sample.path for sample in data.samples if not sample.prior),
            min(config.validation.choice_steps, config.validation.picture_steps),
        )

    @property
    def prompts(self) -> list[str]:
        """All that is drawn, for encoding it before the text encoders go."""
        return list(dict.fromkeys(["", *(request.prompt for request in self.requests)]))

    def at_validation(self, model: TrainedModel, processes: Processes, progress: ProgressCallback) -> PictureScores:
        """The scores of the model as it is, by few steps of the sampler; the same on every process."""
        told = reported(progress, len(self.requests), "garments held out, to choose by")
        return self._scores(model, self.requests, processes, self.steps, told)

    def at_the_end(self, model: TrainedModel, processes: Processes, progress: ProgressCallback) -> PictureScores:
        """The scores of a candidate, on seeds that did not make it one; the same on every process."""
        told = reported(progress, len(self.last_requests), "a candidate, in full")
        return self._scores(model, self.last_requests, processes, model.config.validation.picture_steps, told)

    def _scores(
        self,
        model: TrainedModel,
        requests: Sequence[SampleRequest],
        processes: Processes,
        steps: int,
        drawn: Callable[[int], None],
    ) -> PictureScores:
        import torch

        table = torch.zeros((len(FIGURES), len(requests)), dtype=torch.float64)
        if processes.rank == 0:
            self._refuse_other_scale()
            pictures = draw(model, requests, steps, drawn)
            rows = self.critic.look(pictures, [request.photo.path for request in requests], self.training)
            table = torch.tensor([[_figure(row, name) for row in rows] for name in FIGURES], dtype=torch.float64)
        if processes.world > 1:
            table = processes.total(table.to(model.device)).cpu()
        similarity, judge, *means = table.tolist()
        known = {name: sum(row) / len(row) for name, row in zip(FIGURES[2:], means, strict=True) if _whole(row)}
        return PictureScores(tuple(similarity), tuple(judge) if _whole(judge) else (), known)

    def _refuse_other_scale(self) -> None:
        key = self.critic.key
        if self.key and self.key != key:
            raise InputError(
                f"the pictures of this run were scored by {self.key}, and now by {key}: they can't be compared",
                to_try="the encoder and the calibration of before, or another --out",
            )
        self.key = key


def _garments_in_turn(photos: Sequence[Sample], garment: Garment) -> list[Sample]:
    """One photo of each garment, then the second ones, and so on."""
    seen: dict[str, int] = {}
    turns: list[tuple[int, int, Sample]] = []
    for index, photo in enumerate(photos):
        name = garment(photo.path)
        turns.append((seen.get(name, 0), index, photo))
        seen[name] = seen.get(name, 0) + 1
    return [photo for _, _, photo in sorted(turns, key=lambda turn: turn[:2])]


def _figure(row: Mapping[str, float], name: str) -> float:
    """NaN where the critic has none; the similarity unclipped, where it says it: differences need the whole scale."""
    return row.get("unclipped", row["similarity"]) if name == "similarity" else row.get(name, float("nan"))


def _whole(row: Sequence[float]) -> bool:
    return all(value == value for value in row)


# ── the decision ──


@dataclass(frozen=True)
class StepCandidate:
    """A step that was drawn in full; its gains over the last step, None for that step itself."""

    step: int
    scores: PictureScores
    over_last: PairedGain | None = None
    judge_over_last: PairedGain | None = None

    @property
    def judged_worse(self) -> bool:
        """Whether the judge proves a loss against the last step."""
        return self.judge_over_last is not None and self.judge_over_last.high < 0


def compared(scores: Mapping[int, PictureScores], garments: Sequence[str]) -> list[StepCandidate]:
    """The candidates, each paired with the last step picture by picture, over garments; in the order of steps."""
    last = max(scores)
    confidence = 1 - LEVEL / max(1, len(scores) - 1)

    def over_last(ours: Sequence[float], theirs: Sequence[float]) -> PairedGain | None:
        gains = [a - b for a, b in zip(ours, theirs, strict=True)] if ours and theirs else []
        return mean_gain(gains, garments, confidence) if gains else None

    return [
        StepCandidate(
            step,
            scores[step],
            None if step == last else over_last(scores[step].similarity, scores[last].similarity),
            None if step == last else over_last(scores[step].judge, scores[last].judge),
        )
        for step in sorted(scores)
    ]


def picked(candidates: Sequence[StepCandidate]) -> StepCandidate:
    """The most alike of those that the judge does not prove worse than the last step; of equals the last."""
    standing = [candidate for candidate in candidates if not candidate.judged_worse]
    return max(standing, key=lambda candidate: (candidate.scores.mean, candidate.step))


def reason_of(candidates: Sequence[StepCandidate], garments: Sequence[str], loss_step: int | None) -> str:
    """Why the step is kept, for people and for the file's metadata."""
    kept, last = picked(candidates), candidates[-1]
    where = f"on {len(set(garments))} held-out garments ({len(garments)} pictures)"
    alike = f"{100 * kept.scores.mean:.0f} of 100 alike"
    if kept.scores.judge_mean is not None:
        alike += f", {100 * kept.scores.judge_mean:.0f} by the judge"
    others = [f"step {other.step} {_in_points(other.over_last)}" for other in candidates[:-1] if other.over_last]
    if kept is not last and kept.over_last:
        gain = f"{_in_points(kept.over_last)} over the last step, {last.step}"
        sentence = f"step {kept.step} draws {alike}, {where}: {gain}{'' if kept.over_last.improved else ', not proven'}"
    elif others:
        sentence = f"the last step, {last.step}, draws {alike}, {where}; the others against it: {', '.join(others)}"
    else:
        sentence = f"the last step, {last.step}, draws {alike}, {where}, and was the best of all validations"
    return sentence + (f"; the loss would keep step {loss_step}" if loss_step not in (None, kept.step) else "")


def _in_points(gain: PairedGain | None) -> str:
    if gain is None:
        return ""
    return f"{100 * gain.mean:+.1f} points ({100 * gain.low:+.1f} … {100 * gain.high:+.1f})"


def gain_as_json(gain: PairedGain | None) -> dict[str, Any] | None:
    """A gain for train.json."""
    if gain is None:
        return None
    return {"mean": gain.mean, "low": gain.low, "high": gain.high, "n": gain.n, "confidence": gain.confidence}
