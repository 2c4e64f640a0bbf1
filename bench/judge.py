"""`python -m modiste.bench.judge [--json] [--seeds N] [--same N] [--out DIR]`: does `judge` find the file to keep?

Trainings that keep a file every few steps (those of `modiste.bench.choice`: the same --out serves both). `judge` picks
one by the photos that the training held out; what each file is worth is measured on garments that neither has seen. Its
rivals are the last file, the one of the least loss, and the one whose picture of one photo is the best of a grid.
A/A: ten copies of one file, each drawn on seeds of its own, so that luck has to be told from a gain: no copy is better.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.progress import silent
from ..fashion.photos import gather_photos
from ..hosts.local import LocalHost
from ..hosts.request import GenerationRequest, LoraRef
from ..routes.compare.compare import prompts_of
from ..routes.judge.candidates import open_candidates
from ..routes.judge.files import judge_files
from ..routes.judge.settings import JudgeSettings
from ..search.confirmation import mean_gain
from .checkpoints import EVERY, GARMENTS, STEPS, SeedFolder, say, trained, worth_of

if TYPE_CHECKING:
    from ..fashion.photos import Photo
    from ..hosts.request import GenerationResult
    from ..models.session import Session
    from ..reports.judging import JudgeReport
    from ..routes.judge.candidates import JudgedModel

RULES = ("judge", "last", "least loss", "best single picture")
COPIES = 10
NEAR = 2.0  # points below the best that are as good as the best
GRID_SEED = 0x6121D


class OwnLuck(LocalHost):
    """Each LoRA draws on seeds of its own: copies of one file differ by luck alone."""

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[GenerationResult]:
        """The results of the requests as they were asked."""
        reseeded = [self._own_seed(request) if request.loras else request for request in requests]
        for request, result in zip(requests, super().generate(reseeded), strict=True):
            yield replace(result, request=request)

    @staticmethod
    def _own_seed(request: GenerationRequest) -> GenerationRequest:
        name = hashlib.sha256(request.loras[0].name.encode()).digest()
        return request.model_copy(update={"seed": request.seed ^ int.from_bytes(name[:4], "big")})


@dataclass(frozen=True)
class JudgeRow:
    """One training: the step that each rule keeps and what every step is worth, in points by score and judge."""

    seed: int
    steps: dict[str, int]
    worth: dict[int, tuple[float, float]]
    pictures: int  # that judge chose by; its proof draws more
    full_grid: int

    def behind(self, rule: str) -> float:
        """Points of the score that a rule's step lies behind the best one."""
        return max(score for score, _ in self.worth.values()) - self.worth[self.steps[rule]][0]


@dataclass(frozen=True)
class SameRow:
    """One A/A: whether any copy was called better than another."""

    seed: int
    differs: bool


def main(arguments: Sequence[str] | None = None) -> None:
    """Judges and prints."""
    parser = argparse.ArgumentParser(prog="python -m modiste.bench.judge", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--seeds", type=int, default=10, help="trainings")
    parser.add_argument("--same", type=int, default=20, help="judgements of ten copies of one file")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--steps", type=int, default=STEPS, help="of a training")
    parser.add_argument("--every", type=int, default=EVERY, help="steps between files")
    parser.add_argument("--garments", type=int, default=GARMENTS, help="unseen ones, a picture each")
    parser.add_argument("--out", type=Path, default=None, help="keeps everything; goes on where it was stopped")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        out, seeds = chosen.out or Path(scratch), range(chosen.first, chosen.first + chosen.seeds)
        rows, same = bench(out, seeds, chosen.same, chosen.steps, chosen.every, chosen.garments)
    document = {"rows": [asdict(row) for row in rows], "same": [asdict(row) for row in same]}
    print(json.dumps(document, indent=1) if chosen.json else as_text(rows, same))


def bench(
    out: Path, seeds: Sequence[int], same: int, steps: int, every: int, garments: int
) -> tuple[list[JudgeRow], list[SameRow]]:
    """Every training, then every A/A on the files of these trainings in turn; each is told on stderr as it ends."""
    from ..models.presets import preset
    from ..models.session import open_session

    session, rows, folders = open_session(preset("mini"), device="cpu"), [], []
    for seed in seeds:
        folders.append(trained(out, seed, session, steps, every))
        rows.append(_judged_row(folders[-1], session, garments))
        say(as_text(rows[-1:], []))
    lucky, copies = replace(session, host=OwnLuck(session.preset.checkpoint, device="cpu")), []
    for trial in range(same if folders else 0):
        copies.append(_same_row(folders[trial % len(folders)], trial, lucky))
        say(as_text([], copies[-1:]))
    return rows, copies


def _judged_row(folder: SeedFolder, session: Session, garments: int) -> JudgeRow:
    photos = held_out_photos(folder)
    models = open_candidates([folder.training / "steps"])
    settings = JudgeSettings.for_session(session, models, seed=folder.seed)
    report = judge_files(photos, models, session, settings, folder.path / "judged", silent)
    step_of = {row.label: row.step for row in report.rows}
    picked = step_of[report.verdict.label]
    single = best_single_picture(folder, photos[0], models, session, settings)
    steps = dict(zip(RULES, (picked, max(folder.files), folder.least_loss, single), strict=True))
    known = worth_of(folder, list(folder.files), session, garments)
    worth = {step: (_points(value.score), _points(value.judge)) for step, value in known.items()}
    return JudgeRow(folder.seed, steps, worth, sum(row.pictures for row in report.rows), report.full_grid)


def held_out_photos(folder: SeedFolder) -> list[Photo]:
    """The photos that the training held out, opened."""
    return gather_photos([folder.photos / Path(name).name for name in folder.record["photos"]["held_out"]]).photos


def best_single_picture(
    folder: SeedFolder, photo: Photo, models: Sequence[JudgedModel], session: Session, settings: JudgeSettings
) -> int:
    """The step whose picture of one photo, on one seed that all share, is most like it."""
    [pair] = prompts_of([photo], session, settings)
    requests = [
        GenerationRequest(
            prompt=pair.prompts["tuned"].positive,
            negative_prompt=pair.prompts["tuned"].negative,
            seed=GRID_SEED ^ folder.seed,
            loras=(LoraRef(name=model.tuned.file.stem, path=model.tuned.file.resolve()),),
            **settings.drawing,
        )
        for model in models
    ]
    pictures = {result.request: result.image for result in session.host.generate(requests)}
    scores = session.vision.scorer.score([pictures[request] for request in requests], photo.image)
    best = max(zip(models, scores, strict=True), key=lambda pair: pair[1].unclipped)
    return best[0].step or 0


def _same_row(folder: SeedFolder, trial: int, session: Session) -> SameRow:
    steps = list(folder.files)
    source, target = folder.files[steps[-1 - trial % len(steps)]], folder.path / f"same-{trial}"
    models = open_candidates([copies_of(source, target)])
    settings = JudgeSettings.for_session(session, models, seed=1000 + trial, confirm_seeds=2)
    report = judge_files(held_out_photos(folder), models, session, settings, target / "judged", silent)
    return SameRow(trial, says_a_difference(report))


def says_a_difference(report: JudgeReport) -> bool:
    """Whether one file is called better than another of those that were judged."""
    return any(gain.proven for gain in report.gains if gain.over != "base")


def copies_of(file: Path, folder: Path) -> Path:
    """Ten files that draw the same: one weight of each is moved by what no picture shows, or they would be one file."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    target = folder / "copies"
    target.mkdir(parents=True, exist_ok=True)
    with safe_open(file, "pt") as opened:
        metadata, tensors = opened.metadata(), {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    name = next(name for name in sorted(tensors) if name.endswith("lora_down.weight"))
    weight = tensors[name].flatten()
    for index in range(COPIES):
        moved = weight.clone()
        bits = moved[index : index + 1].view(torch.int16)
        bits ^= 1  # the last bit of float16
        changed = {**tensors, name: moved.view_as(tensors[name])}
        save_file(changed, target / f"copy-step{index + 1:08d}.safetensors", metadata)
    return target


def _points(values: Sequence[float]) -> float:
    return round(100 * sum(values) / len(values), 1)


def as_text(rows: Sequence[JudgeRow], same: Sequence[SameRow]) -> str:
    """A line a training, the rules' means over several, and how many A/As found nothing."""
    lines = []
    for row in rows:
        kept = [
            f"{rule} {step}: {row.worth[step][0]:.1f} (−{row.behind(rule):.1f})" for rule, step in row.steps.items()
        ]
        lines.append(f"seed {row.seed}: {', '.join(kept)}; {row.pictures} of {row.full_grid} pictures")
    for rule in RULES if len(rows) > 1 else ():
        near = sum(row.behind(rule) <= NEAR for row in rows)
        behind = mean_gain([row.behind(rule) / 100 for row in rows])
        interval = f"{100 * behind.mean:.1f} ({100 * behind.low:.1f} … {100 * behind.high:.1f})"
        judge = sum(row.worth[row.steps[rule]][1] for row in rows) / len(rows)
        lines.append(
            f"{rule}: {interval} points behind the best, within {NEAR:g} in {near} of {len(rows)}; judge {judge:.1f}"
        )
    if rows:
        share = sum(row.pictures for row in rows) / sum(row.full_grid for row in rows)
        lines += [f"pictures to choose by: {share:.0%} of a full grid"] * (len(rows) > 1)
    if same:
        lines.append(f"ten copies of one file: no difference in {sum(not row.differs for row in same)} of {len(same)}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
