"""Which of many LoRA files, at which strength: drawn on common seeds, halved, and the best one proven on fresh ones.

photos → tags → the prompts with trigger → files that change nothing are set aside
→ every candidate on the first blocks → the weaker half stops, the last file does not → … → the best
→ the same prompts on fresh seeds by base, best, next and last → scorer, judge, tags → which to keep

A block is a photo and a seed of its own; every candidate is drawn on the same blocks. What chooses and what proves are
different seeds, as everywhere. The last file is what one would keep without judging: four pictures of bad luck in the
first round are not to lose it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from ...core.progress import Pace, ProgressCallback, silent
from ...fashion.prompts.arms import refuse_unknown_arm
from ...hosts.request import GenerationRequest
from ...search.elimination import elimination_rounds, going_on, judge_round
from ...search.seeds import seed_plan
from ..compare.compare import prompts_of
from ..compare.pairs import JudgedPicture
from ..compare.server_lora import deliver
from ..evaluator import Candidate, Evaluator
from .candidates import fresh_photos
from .copies import LoraCopies, file_to_keep
from .effect import set_aside
from .run import JudgedArm, JudgeRun

if TYPE_CHECKING:
    from ...fashion.photos import Photo, Skip
    from ...models.session import Session
    from ...reports.judging import JudgeReport
    from ...search.elimination import EliminationRound
    from .candidates import JudgedModel
    from .settings import JudgeSettings

PROOF_ARMS = ("base", "best", "words", "best_words")  # and `next`, `last`, where these are other candidates


def judge_files(
    photos: Sequence[Photo],
    models: Sequence[JudgedModel],
    session: Session,
    settings: JudgeSettings,
    out: Path,
    progress: ProgressCallback = silent,
    skipped: Sequence[Skip] = (),
    catalogue: Sequence[Photo] = (),
) -> JudgeReport:
    """Draws, judges, proves; leaves journal and pictures in `out`, and returns the report.

    Photos that a candidate was trained on are drawn for nothing: copies are looked for among them. `catalogue`: further
    photos of the shop, among which a picture is to be nearest to its own garment.

    Killed at any instant and started again with the same settings, it draws nothing twice and reports the same.
    """
    from ...runs.journal import Journal
    from .files_report import report_of

    refuse_unknown_arm(settings.strategy)
    fresh, trained_on = fresh_photos(photos, models)
    pairs = prompts_of(fresh, session, settings)
    seeds = seed_plan(settings.seed, settings.choosing_seeds * len(pairs), settings.confirm_seeds * len(pairs))
    arms = arms_of(models, settings.strengths)
    most = pictures_of(elimination_rounds(len(arms), len(seeds.search)))
    proof = (len(PROOF_ARMS) + 2) * len(seeds.confirm)
    with Journal.open(out, settings.model_dump(mode="json")) as journal:
        pace = Pace("judge", most + proof, progress)
        run = JudgeRun(session, settings, pairs, seeds, journal, pace, arms)
        session.host.check(GenerationRequest(prompt="", seed=0, **settings.drawing))
        evaluators = _Evaluators(run, out)
        set_aside(run, evaluators)
        if run.racing:
            _choose(run, elimination_rounds(len(run.racing), len(seeds.search)), evaluators)
            _prove(run, evaluators)
        pace.reach(most + proof)
        report = report_of(run, skipped, catalogue, trained_on)
        evaluators.copies.take_back(file_to_keep(report.verdict))
        return report


def arms_of(models: Sequence[JudgedModel], strengths: Sequence[float]) -> list[JudgedArm]:
    """Every file at every strength, in the order of the training; a whole model has no strength."""
    arms = []
    for model in models:
        for strength in strengths if model.tuned.kind == "lora" else (1.0,):
            at = f" at {strength:g}" if len(strengths) > 1 and model.tuned.kind == "lora" else ""
            arms.append(JudgedArm(f"{model.label}{at}", model, strength))
    return arms


def pictures_of(rounds: Sequence[EliminationRound]) -> int:
    """The most pictures that the rounds can take, the last file's among them."""
    before, pictures, first = 0, 0, rounds[0].arms
    for stage in rounds:
        pictures += min(stage.arms + 1, first) * (stage.blocks - before)
        before = stage.blocks
    return pictures


def _choose(run: JudgeRun, rounds: Sequence[EliminationRound], evaluators: _Evaluators) -> None:
    """Draws the rounds; leaves each arm's pictures, how far it came, and the best and the next."""
    running, last = [arm.name for arm in run.racing], run.racing[-1].model
    at_last = [arm.name for arm in run.racing if arm.model is last]
    widths = [min(stage.arms + 1, len(running)) for stage in rounds]  # with the last file
    comparisons = sum(width * (width - 1) // 2 for width in widths)
    order = list(running)
    for place, stage in enumerate(rounds):
        blocks = run.blocks[: stage.blocks]
        for name in running:
            run.drawn[name] = evaluators.draw(run.arm(name), name, "tuned", blocks)
        scores = {name: [shot.picture.score.unclipped for shot in run.drawn[name]] for name in running}
        result = judge_round(scores, run.garments(blocks), comparisons)
        order = [*result.order, *(name for name in order if name not in result.order)]
        kept = going_on(result, rounds[place + 1].arms if place + 1 < len(rounds) else len(running), at_last)
        for name in result.order:
            run.standings[name] = (
                "eliminated" if name in result.eliminated else "finalist" if name in kept else "stopped"
            )
        running = kept
    order = [order[0], *sorted(order[1:], key=lambda name: _rank(run, name, order))]
    run.standings[order[0]] = "best"
    run.roles = {"best": order[0]}
    if len(order) > 1:
        run.roles["next"] = order[1]
    last_name = next((name for name in order if name in at_last), order[0])
    if last_name not in run.roles.values():
        run.roles["last"] = last_name


def _rank(run: JudgeRun, name: str, order: Sequence[str]) -> tuple[bool, float]:
    """The order behind the best: as the rounds left it, and then, by their distance, those that are proven worse."""
    if run.standings[name] != "eliminated":
        return False, order.index(name)
    pairs = zip(run.drawn[name], run.drawn[order[0]], strict=False)
    return True, fmean(best.picture.score.unclipped - shot.picture.score.unclipped for shot, best in pairs)


def _prove(run: JudgeRun, evaluators: _Evaluators) -> None:
    """Base, best, next and last by the same prompts on the confirm seeds; best and base without the trigger too."""
    blocks = run.proof_blocks
    run.proof["base"] = evaluators.draw(None, "proof base", "base", blocks)
    run.proof["words"] = evaluators.draw(None, "proof words", "words", blocks)
    for role, name in run.roles.items():
        run.proof[role] = evaluators.draw(run.arm(name), f"proof {name}", "tuned", blocks)
    run.proof["best_words"] = evaluators.draw(run.arm(run.roles["best"]), "proof best words", "tuned_words", blocks)


class _Evaluators:
    """Draws arms: each file is delivered to the host once, and a whole model is opened once."""

    def __init__(self, run: JudgeRun, out: Path):
        self.run, self.out, self.copies = run, out, LoraCopies(out, run.session.lora_dir)
        self._of: dict[str, Evaluator] = {}

    def draw(
        self, arm: JudgedArm | None, name: str, prompt: str, blocks: Sequence[tuple[int, int]]
    ) -> list[JudgedPicture]:
        """The pictures of an arm (None: the base model), block by block, by the prompt that pairs have so named."""
        run, evaluator = self.run, self._evaluator(arm)
        judge = run.session.vision.judge
        work = [
            (pair.reference, [Candidate(name, pair.prompts[prompt], seed) for photo, seed in blocks if photo == index])
            for index, pair in enumerate(run.pairs)
        ]
        evaluator.prefetch(work)
        shots: dict[tuple[int, int], JudgedPicture] = {}
        for index, (reference, candidates) in enumerate(work):
            pictures = evaluator.evaluate(reference, candidates)
            opinions = evaluator.judge(reference, pictures, judge) if judge else [None] * len(pictures)
            for picture, opinion in zip(pictures, opinions, strict=True):
                shots[index, picture.candidate.seed] = JudgedPicture(picture, opinion)
        return [shots[block] for block in blocks]

    def deliver(self, arm: JudgedArm) -> None:
        """Brings the arm's file to the host; LoraWithoutEffect where a server draws the same picture as without it."""
        self._evaluator(arm)

    def _evaluator(self, arm: JudgedArm | None) -> Evaluator:
        name = arm.name if arm else ""
        if name not in self._of:
            self._of[name] = self._open(arm)
        return self._of[name]

    def _open(self, arm: JudgedArm | None) -> Evaluator:
        run = self.run
        host, drawing = run.session.host, dict(run.settings.drawing)
        if arm is not None and arm.model.tuned.kind == "lora":
            # The file's own name: the trigger is the same for all of them.
            tuned = replace(arm.model.tuned, trigger="")
            first = run.pairs[0].prompts["tuned"].positive
            request = GenerationRequest(prompt=first, seed=run.seeds.confirm[0], **run.settings.drawing)
            self.copies.expect(tuned.file)
            lora = deliver(tuned, run.session, request, self.out / "files" / arm.model.tuned.identity)
            drawing["loras"] = (lora.model_copy(update={"strength": arm.strength}),)
        elif arm is not None:
            from ...hosts.local import LocalHost

            host = LocalHost(str(arm.model.tuned.file))
        scorer, aspect = run.session.vision.scorer, run.settings.aspect
        return Evaluator(host, run.journal, scorer, drawing, run.pace.step, aspect, run.pace.known)
