"""`python -m modiste.bench.choice [--json] [--seeds N] [--steps N] [--every N] [--out DIR]`: which step is kept?

Trainings on collections of a brand, each of another seed. Of every training the step that pictures choose, the one of
the least loss and the last one draw garments that it never saw, on seeds by which nothing was chosen; what is compared
is the score and the judge of these, paired garment by garment. The choice is made by the trainer's own code over the
files that the training has kept: it does not change the weights, so that one training serves every choice.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.files import write_whole
from ..core.progress import silent
from ..search.confirmation import mean_gain
from .checkpoints import EVERY, GARMENTS, STEPS, TRIGGER, SeedFolder, Worth, say, trained, worth_of

if TYPE_CHECKING:
    from ..models.session import Session
    from ..search.confirmation import PairedGain
    from ..trainer.run import TrainingRun

RULES = ("pictures", "first look", "least loss", "last")
PATIENCE = 4  # a run's default


@dataclass(frozen=True)
class ChoiceRow:
    """One training: the step of each rule, what patience would have made of it, and what its steps are worth."""

    seed: int
    steps: dict[str, int]  # rule → step; "first look" is the best of the validations' pictures alone
    stopped: int | None  # the step at which patience would have ended the run; None: not before its end
    reason: str
    worth: dict[int, tuple[float, float]]  # step → mean score and judge on unseen garments
    gains: dict[str, dict[str, tuple[float, float, float]]]  # over `last` and `least loss`, by who: mean, low, high
    seconds: float  # CPU, of the choice


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, chooses, draws, and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m modiste.bench.choice", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--seeds", type=int, default=10, help="trainings")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--every", type=int, default=EVERY, help="steps between files and validations")
    parser.add_argument("--garments", type=int, default=GARMENTS, help="unseen ones, a picture each")
    parser.add_argument("--choice-steps", type=int, default=None, help="of the sampler, at a validation")
    parser.add_argument("--choice-pictures", type=int, default=None, help="at a validation")
    parser.add_argument("--all", action="store_true", help="what every file is worth, not only those that are kept")
    parser.add_argument("--out", type=Path, default=None, help="keeps the trainings; goes on where it was stopped")
    chosen = parser.parse_args(arguments)
    fields = {"choice_steps": chosen.choice_steps, "choice_pictures": chosen.choice_pictures}
    with tempfile.TemporaryDirectory() as scratch:
        out, seeds = chosen.out or Path(scratch), range(chosen.first, chosen.first + chosen.seeds)
        rows = bench(out, seeds, chosen.steps, chosen.every, chosen.garments, chosen.all, **fields)
    print(json.dumps([asdict(row) for row in rows], indent=1) if chosen.json else as_text(rows))


def bench(
    out: Path, seeds: Sequence[int], steps: int, every: int, garments: int, whole: bool = False, **validation: Any
) -> list[ChoiceRow]:
    """Every training, told on stderr as it ends."""
    from ..models.presets import preset
    from ..models.session import open_session

    session, rows = open_session(preset("mini"), device="cpu"), []
    for seed in seeds:
        folder = trained(out, seed, session, steps, every)
        choice = replayed(folder, session, steps, every, **validation)
        kept = (choice.kept, choice.first_look, folder.least_loss, max(folder.files))
        rules = dict(zip(RULES, kept, strict=True))
        asked = list(folder.files) if whole else list(dict.fromkeys(rules.values()))
        rows.append(_row(seed, rules, choice, worth_of(folder, asked, session, garments)))
        say(as_text(rows[-1:]))
    return rows


@dataclass(frozen=True)
class ReplayedChoice:
    """What pictures made of a training: the kept step, the best one by the validations alone, where patience ends."""

    kept: int
    first_look: int
    stopped: int | None
    reason: str
    seconds: float  # CPU
    looks: list[dict[str, Any]]  # step → its pictures' scores, for whoever asks further


def replayed(folder: SeedFolder, session: Session, steps: int, every: int, **validation: Any) -> ReplayedChoice:
    """The choice of a training, made once for the same fields of its validation."""
    fields = {name: value for name, value in validation.items() if value is not None}
    file = folder.path / f"choice{''.join(f'-{name}-{value}' for name, value in sorted(fields.items()))}.json"
    if file.is_file():
        return ReplayedChoice(**json.loads(file.read_text(encoding="utf-8")))
    say(f"seed {folder.seed}: choosing by pictures")
    began = time.process_time()
    run, reason, kept = _validated_again(folder, session, steps, every, **fields)
    validation_of_run = run.loop.validation
    looks = [{"step": result.step, **result.pictures.as_json()} for result in validation_of_run.results]
    first, seconds = validation_of_run.wanted_steps(1)[0], round(time.process_time() - began, 1)
    choice = ReplayedChoice(kept, first, _stopped(run), reason, seconds, looks)
    write_whole(file, json.dumps(asdict(choice)).encode())
    return choice


def _validated_again(
    folder: SeedFolder, session: Session, steps: int, every: int, **validation: Any
) -> tuple[TrainingRun, str, int]:
    """A run of the same training whose validations see the files one after the other; the reason and the step."""
    from ..fashion.photos import garment_of, read_photo
    from ..routes.finetune.finetune import captions_of
    from ..routes.finetune.overfitting import MemorisationCritic
    from ..trainer.choosing import choose, keep_candidates
    from ..trainer.going_on import begin_with
    from ..trainer.loop.processes import Processes
    from ..trainer.loop.validation import ValidationResult
    from ..trainer.train import begin_run

    vision = session.vision
    critic = MemorisationCritic(lambda: vision.scorer, lambda: vision.tagger.finder, lambda: vision.judge)
    tag = partial(captions_of, opened=lambda: vision.tagger, trigger=TRIGGER, bound=None)
    config = folder.config(session, steps, every, choose="pictures", **validation)
    processes, losses = Processes(), {row["step"]: row["loss"] for row in folder.record["validation"]}
    with tempfile.TemporaryDirectory() as scratch:
        read = partial(read_photo, side=2 * config.data.resolution)
        run = begin_run(config, Path(scratch), read, tag, silent, processes, critic, garment_of)
        assert run.choice is not None, run.loop.validation.why
        assert {p.path.name for p in run.data.held_out} == {
            Path(name).name for name in folder.record["photos"]["held_out"]
        }
        for step in (0, *folder.files):
            if step:
                begin_with(run.model, config.model_copy(update={"from_lora": folder.files[step]}), silent)
            run.loop.step = step
            pictures = run.choice.at_validation(run.model, processes, silent)
            run.loop.validation.results.append(ValidationResult(step, (losses[step],), pictures))
            keep_candidates(run)
        chosen = choose(run)
    return run, chosen.reason, chosen.step


def _stopped(run: TrainingRun) -> int | None:
    results, best = run.loop.validation.results, 1
    for index in range(2, len(results)):
        if results[index].pictures.mean > results[best].pictures.mean:
            best = index
        if index - best >= PATIENCE and index < len(results) - 1:
            return results[index].step
    return None


def _row(seed: int, rules: dict[str, int], choice: ReplayedChoice, worth: dict[int, Worth]) -> ChoiceRow:
    gains: dict[str, dict[str, tuple[float, float, float]]] = {}
    for other in ("last", "least loss"):
        ours, theirs = worth[rules["pictures"]], worth[rules[other]]
        gains[other] = {who: _points(_gain(getattr(ours, who), getattr(theirs, who))) for who in ("score", "judge")}
    means = {step: (_mean(known.score), _mean(known.judge)) for step, known in worth.items()}
    return ChoiceRow(seed, rules, choice.stopped, choice.reason, means, gains, choice.seconds)


def _gain(ours: Sequence[float], theirs: Sequence[float]) -> PairedGain:
    return mean_gain([a - b for a, b in zip(ours, theirs, strict=True)])


def _points(gain: PairedGain) -> tuple[float, float, float]:
    return tuple(round(100 * value, 1) for value in (gain.mean, gain.low, gain.high))


def _mean(values: Sequence[float]) -> float:
    return round(100 * sum(values) / len(values), 1)


def as_text(rows: Sequence[ChoiceRow]) -> str:
    """A line a training, and over several the rules' means with the chosen step's gain over trainings."""
    lines = []
    for row in rows:
        steps = ", ".join(
            f"{rule} {step} ({row.worth[step][0]:.1f} / {row.worth[step][1]:.1f})" for rule, step in row.steps.items()
        )
        lines.append(f"seed {row.seed}: {steps}; patience {row.stopped or 'never'}; {row.seconds:.0f} s")
    if len(rows) < 2:
        return "\n".join(lines)
    for rule in RULES:
        score, judge = (sum(row.worth[row.steps[rule]][who] for row in rows) / len(rows) for who in (0, 1))
        lines.append(
            f"{rule}: score {score:.1f}, judge {judge:.1f}, step {sum(row.steps[rule] for row in rows) / len(rows):.0f}"
        )
    for other in ("last", "least loss"):
        for who in ("score", "judge"):
            gain = mean_gain([row.gains[other][who][0] / 100 for row in rows])
            mean, low, high = _points(gain)
            lines.append(f"pictures over {other}, {who}: {mean:+.1f} ({low:+.1f} … {high:+.1f}), {len(rows)} trainings")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
