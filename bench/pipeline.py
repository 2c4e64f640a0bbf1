"""`python -m modiste.bench.pipeline [--json] [--seeds N] [--same N] [--out DIR]`: does the verdict hold?

On the brand's collection, whose look words can't express: the whole run on `--seeds` seeds, each with another search,
training and luck; and on `--same` seeds the base model compared with itself, where no gain and no harm is right: once
as it is, and once as a LoRA that changes nothing and draws on other seeds, so that luck has to be told from a gain.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..fashion.photos import Gathered, gather_photos
from ..hosts.local import LocalHost
from ..models.presets import ROOT
from ..routes.compare.compare import compare
from ..routes.compare.settings import CompareSettings
from ..routes.compare.tuned import open_tuned
from ..routes.finetune.finetune import config_for, finetune
from ..routes.pipeline.pipeline import PipelineSettings, run_pipeline
from ..routes.pipeline.split import split_photos
from ..routes.prompt.settings import PromptSettings

if TYPE_CHECKING:
    from ..hosts.request import GenerationRequest, GenerationResult
    from ..models.session import Session
    from ..reports.comparison import ComparisonReport

COLLECTION = ROOT / "examples" / "collection"
TRIGGER = "vesper"
SMALL_SEARCH = {"budget": 8, "searched": 4}  # the search is not what is on trial here
CONFIRM_SEEDS = 2
# One step so small that no pixel changes; at 0 the trainer refuses to write the file.
ONE_SMALL_STEP = {"steps": 1, "learning_rate": 1e-6, "data": {"held_out": 0.0}, "validation": {"pictures": 0}}
OTHER_LUCK = 0x5EED
# What is true of each kind. The base model with other luck neither gains nor loses over itself; whether the words beat
# the training's own prompt, which leaves words to the trigger, is another question.
RIGHT = {
    "whole run": ("training",),
    "same model": ("changes nothing",),
    "other luck": ("no difference", "words", "worse than words"),
}


class OtherLuck(LocalHost):
    """Requests with a LoRA are drawn on another seed: with one that changes nothing, the same model with other luck."""

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[GenerationResult]:
        """The results of the requests as they were asked."""
        reseeded = [self._other_seed(request) if request.loras else request for request in requests]
        for request, result in zip(requests, super().generate(reseeded), strict=True):
            yield replace(result, request=request)

    @staticmethod
    def _other_seed(request: GenerationRequest) -> GenerationRequest:
        return request.model_copy(update={"seed": request.seed ^ OTHER_LUCK})


@dataclass(frozen=True)
class PipelineRow:
    """One run: what it decided, and the tuned model's gains over the best words in points, with their intervals."""

    kind: str  # whole run | same model | other luck
    seed: int
    decision: str
    score: tuple[float, float, float]  # mean, low, high
    judge: tuple[float, float, float]
    words: tuple[float, float, float]  # of the words over the name alone
    strength: float | None
    seconds: float

    @property
    def right(self) -> bool:
        """Whether it decided as the truth is."""
        return self.decision in RIGHT[self.kind]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs and prints."""
    parser = argparse.ArgumentParser(prog="python -m modiste.bench.pipeline", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--seeds", type=int, default=10, help="whole runs")
    parser.add_argument("--same", type=int, default=20, help="comparisons of the base model with itself")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--out", type=Path, default=None, help="keeps the runs; goes on where it was stopped")
    chosen = parser.parse_args(arguments)
    seeds = range(chosen.first, chosen.first + max(chosen.seeds, chosen.same))
    with tempfile.TemporaryDirectory() as scratch:
        rows = bench(chosen.out or Path(scratch), seeds[: chosen.seeds], seeds[: chosen.same])
    print(json.dumps([asdict(row) for row in rows], indent=1) if chosen.json else as_text(rows))


def bench(out: Path, seeds: Sequence[int], same: Sequence[int]) -> list[PipelineRow]:
    """Every run, told on stderr as it ends."""
    from ..models.presets import preset
    from ..models.session import open_session

    session, gathered, rows = open_session(preset("mini"), device="cpu"), gather_photos([COLLECTION]), []
    runs = (("same model", same, same_model), ("other luck", same, other_luck), ("whole run", seeds, whole_run))
    for kind, chosen, run in runs:
        for seed in chosen:
            began = time.monotonic()
            report = run(out / f"{kind.split()[0]}-{seed}", session, gathered, seed)
            rows.append(_row(kind, seed, report, time.monotonic() - began))
            print(as_text(rows[-1:]), file=sys.stderr, flush=True)
    return rows


def whole_run(out: Path, session: Session, gathered: Gathered, seed: int) -> ComparisonReport:
    """Search, training and comparison of one seed."""
    search = PromptSettings.for_session(session, budget=SMALL_SEARCH["budget"], seed=seed, learn=False, same_seeds=True)
    settings = PipelineSettings(
        prompt=search,
        trigger=TRIGGER,
        searched=SMALL_SEARCH["searched"],
        train={"seed": seed},
        compare={"confirm_seeds": CONFIRM_SEEDS},
    )
    return run_pipeline(gathered, session, settings, out)


def same_model(out: Path, session: Session, gathered: Gathered, seed: int) -> ComparisonReport:
    """The base model as its own tuned one."""
    return _compared(Path(session.preset.checkpoint), session, gathered, seed, out)


def other_luck(out: Path, session: Session, gathered: Gathered, seed: int) -> ComparisonReport:
    """The base model as a LoRA that changes nothing, on other seeds than the base model's pictures."""
    config = config_for(session.preset, [COLLECTION], ONE_SMALL_STEP, {}, {"data": {"trigger": TRIGGER}})
    lora = finetune(config, out / "training", session.preset, device="cpu").file
    lucky = replace(session, host=OtherLuck(session.preset.checkpoint, device="cpu"))
    return _compared(lora, lucky, gathered, seed, out)


def _compared(model: Path, session: Session, gathered: Gathered, seed: int, out: Path) -> ComparisonReport:
    split, tuned = split_photos(gathered.photos), open_tuned(model, TRIGGER)
    settings = CompareSettings.for_session(session, tuned, seed=seed, confirm_seeds=CONFIRM_SEEDS, same_seeds=True)
    return compare(split.of(split.proof, gathered.photos), [], session, tuned, settings, out)


def _row(kind: str, seed: int, report: ComparisonReport, seconds: float) -> PipelineRow:
    def points(arm: str, over: str, who: str) -> tuple[float, float, float]:
        gain = report.gain(arm, over, who)
        return tuple(round(100 * value, 1) for value in (gain.mean, gain.low, gain.high))

    return PipelineRow(
        kind=kind,
        seed=seed,
        decision=report.verdict.decision,
        score=points("tuned", "words", "scorer"),
        judge=points("tuned", "words", "judge"),
        words=points("words", "name", "scorer"),
        strength=report.arm("tuned").strength,
        seconds=round(seconds, 1),
    )


def as_text(rows: Sequence[PipelineRow]) -> str:
    """A line a run, and how many were right."""
    lines = []
    for row in rows:
        score, judge, words = (
            f"{mean:+.1f} ({low:+.1f} … {high:+.1f})" for mean, low, high in (row.score, row.judge, row.words)
        )
        strength = "" if row.strength is None else f", strength {row.strength:g}"
        lines.append(
            f"{row.kind}, seed {row.seed}: {row.decision}{strength}; over the words {score}, judge {judge}; words over "
            f"the name {words}; {row.seconds:.0f} s"
        )
    for kind in dict.fromkeys(row.kind for row in rows) if len(rows) > 1 else ():
        of_kind = [row for row in rows if row.kind == kind]
        by_judge = sum(row.judge[1] > 0 for row in of_kind)
        judged = f"; by the judge alone the gain is proven in {by_judge}" if kind == "whole run" else ""
        lines.append(f"{kind}: right in {sum(row.right for row in of_kind)} of {len(of_kind)}{judged}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
