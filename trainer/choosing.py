"""Which weights a run keeps: those that may still be chosen wait in memory, and one of them becomes the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.progress import ProgressCallback, silent
from .loop.choice import StepCandidate, compared, gain_as_json, picked, reason_of
from .loop.validation import FINALISTS

if TYPE_CHECKING:
    import torch

    from .loop.choice import PictureChoice
    from .run import TrainingRun


@dataclass(frozen=True)
class ChosenStep:
    """The step whose weights are the result, why, and what train.json says of the choice."""

    step: int
    reason: str
    record: dict[str, Any]


def keep_candidates(run: TrainingRun) -> None:
    """Keeps a copy of the weights of this step where they may be chosen at the end, and lets the others go.

    A whole model's are gigabytes: of one, a single step waits beside the last.
    """
    loop = run.loop
    if not loop.step:
        return
    steps = loop.validation.wanted_steps(FINALISTS if run.config.method == "lora" else 1) or [loop.step]
    if loop.step in steps:
        loop.kept[loop.step] = copies(run.optimization.result)
    loop.kept = {step: weights for step, weights in loop.kept.items() if step in steps}


def copies(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights as they are now, on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}


def choose(run: TrainingRun, progress: ProgressCallback = silent) -> ChosenStep:
    """Chooses, and leaves the chosen weights in the model; pictures of the candidates are drawn in full for it."""
    validation, loop = run.loop.validation, run.loop
    record: dict[str, Any] = {"by": validation.by, "why": validation.why or None}
    if run.choice is None or not validation.results:
        best = validation.best_trained if validation.by == "loss" else None
        step = best.step if best else loop.step
        put(run, loop.kept.get(step) or copies(run.optimization.result))
        return ChosenStep(step, validation.reason(), record)
    candidates = _candidates(run, run.choice, progress)
    kept, loss = picked(candidates), validation.best_trained
    loss_step = loss.step if loss else None
    record |= {
        "garments": len(set(run.choice.garments)),
        "pictures": len(run.choice.garments),
        "least_loss": loss_step,
        "candidates": [_row(candidate) for candidate in candidates],
    }
    return ChosenStep(kept.step, reason_of(candidates, run.choice.garments, loss_step), record)


def _candidates(run: TrainingRun, choice: PictureChoice, progress: ProgressCallback) -> list[StepCandidate]:
    """The steps that waited and the last one, drawn in full; the one that is picked is in the model afterwards."""
    weights = {**run.loop.kept, run.loop.step: copies(run.optimization.result)}
    scores = {}
    for step in sorted(weights):
        put(run, weights[step])
        scores[step] = choice.at_the_end(run.model, run.gradient.processes, progress)
    candidates = compared(scores, choice.garments)
    put(run, weights[picked(candidates).step])
    return candidates


def put(run: TrainingRun, weights: dict[str, torch.Tensor]) -> None:
    """Leaves these weights in the model."""
    import torch

    with torch.no_grad():
        for name, parameter in run.model.parameters.items():
            parameter.copy_(weights[name])


def _row(candidate: StepCandidate) -> dict[str, Any]:
    scores = candidate.scores
    return {
        "step": candidate.step,
        "similarity": scores.mean,
        "judge": scores.judge_mean,
        **scores.means,
        "over_last": gain_as_json(candidate.over_last),
        "judge_over_last": gain_as_json(candidate.judge_over_last),
    }
