"""`python -m modiste.bench.few_steps [--json] [--photos N] [--drafts 6,4] [--out FILE]`: search with fewer steps?

Every arm of a photo is drawn on common seeds with all steps and with few. What an arm is worth is its mean over further
seeds with all steps. Reported of each way to draw: what a picture costs, how well its means order the arms (Spearman,
over photos' arms), and how far the arm that it would choose lies behind the best (regret), with as many pictures as the
full steps have and with as many as the same time pays for.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ..fashion.prompts.arms import distinct_arms
from ..fashion.prompts.strategies import Context, TaggedPhoto, label_shares
from ..hosts.request import GenerationRequest, LoraRef
from ..routes.host_prompts import write_for
from ..routes.prompt.outcome import MINIMAL
from ..routes.prompt.settings import PromptSettings
from ..search.confirmation import mean_gain
from ..search.seeds import seed_plan
from .search import make_photos

if TYPE_CHECKING:
    from ..fashion.photos import Photo
    from ..fashion.prompts.renderers import Rendered
    from ..models.session import Session

PLACES, TRUE_SEEDS, SPLITS = 2, 8, 200  # full pictures an arm, pictures that an arm's worth is known by, choices
MOST = 8  # pictures an arm of the cheapest draft
TRUE = "true"  # the scores on further seeds
Scores = dict[str, list[float]]  # arm → a score per seed


@dataclass(frozen=True)
class Draft:
    """A way to draw what chooses: "STEPS[:CFG[:SCHEDULE[:SAMPLER[:LORA]]]]", the rest as the preset has it."""

    text: str
    drawing: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str, usual: Mapping[str, Any]) -> Draft:
        """The draft of a command's word."""
        steps, cfg_scale, scheduler, sampler, lora, *_ = [*text.split(":", 4), "", "", "", ""]
        drawing = dict(usual) | {"steps": int(steps)}
        drawing |= {name: text for name, text in (("scheduler", scheduler), ("sampler", sampler)) if text}
        drawing |= {"cfg_scale": float(cfg_scale)} if cfg_scale else {}
        drawing |= {"loras": (LoraRef(name=Path(lora).stem, path=Path(lora)),)} if lora else {}
        return cls(text, drawing)


@dataclass(frozen=True)
class DraftRow:
    """One way to draw. Costs in CPU seconds; correlations −1 … 1; regrets in points of similarity."""

    draft: str
    seconds: float  # of a picture, scoring included
    pictures: int  # an arm that the time of `PLACES` full ones pays for
    same_seed: float  # Spearman with the full steps' scores, picture by picture
    order: float  # Spearman of the arms' means with what they are worth, as many seeds as full ones have
    order_in_time: float  # as many as the time pays for
    regret: float
    regret_in_time: float
    behind: tuple[float, float, float]  # regret in time over that of full steps: mean, low, high over photos


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws, compares and prints."""
    parser = argparse.ArgumentParser(prog="python -m modiste.bench.few_steps", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--photos", type=int, default=16)
    parser.add_argument(
        "--drafts", default="6,6:2:Uniform,4:2:Uniform", help="STEPS[:CFG[:SCHEDULE[:SAMPLER[:LORA]]]], comma-separated"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None, help="keeps the scores of each photo; goes on where it ended")
    chosen = parser.parse_args(arguments)
    rows = compare(chosen.photos, chosen.drafts.split(","), chosen.seed, chosen.out)
    print(json.dumps([asdict(row) for row in rows], indent=1) if chosen.json else as_text(rows))


def compare(count: int, drafts: Sequence[str], seed: int, out: Path | None = None) -> list[DraftRow]:
    """Every draft beside the full steps, over `count` garments of the embedded world that its models never saw."""
    from ..models.presets import preset
    from ..models.session import open_session

    session = open_session(preset("mini"), device="cpu")
    usual = PromptSettings.for_session(session, budget=40, seed=seed).drawing
    ways = [Draft("full", usual), *(Draft.parse(text, usual) for text in drafts)]
    plan, photos = seed_plan(seed, MOST, TRUE_SEEDS), make_photos(count, seed)
    context = Context(label_shares(session.vision.tagger.tag([photo.image for photo in photos])))
    kept: dict[str, dict[str, Any]] = json.loads(out.read_text(encoding="utf-8")) if out and out.is_file() else {}
    for photo in photos:
        arms, known = _arms(photo, session, context), kept.setdefault(photo.path.name, {})
        for way in ways:
            if way.text not in known:
                begun = time.process_time()
                scores = _scores(photo, arms, plan.search, way, session)
                known[way.text] = {"scores": scores, "seconds": (time.process_time() - begun) / MOST / len(arms)}
        if TRUE not in known:
            known[TRUE] = {"scores": _scores(photo, arms, plan.confirm, ways[0], session)}
        if out:
            out.write_text(json.dumps(kept), encoding="utf-8")
        print(f"{photo.path.name}, of {count}", file=sys.stderr, flush=True)
    drawn = [kept[photo.path.name] for photo in photos]
    seconds = {way.text: fmean(known[way.text]["seconds"] for known in drawn) for way in ways}
    scores = [{text: known[text]["scores"] for text in (TRUE, *seconds)} for known in drawn]
    return [_row(text, scores, seconds, Random(seed)) for text in seconds]


def _arms(photo: Photo, session: Session, context: Context) -> dict[str, Rendered]:
    [tags] = session.vision.tagger.tag([photo.image])
    tagged = TaggedPhoto(tags, session.vision.taxonomy, context)
    forms = [name for name in PromptSettings.model_fields["strategies"].default if name != MINIMAL]
    return distinct_arms(forms, tagged, lambda prompt: write_for(session.host, prompt))


def _scores(photo: Photo, arms: Mapping[str, Rendered], seeds: Sequence[int], way: Draft, session: Session) -> Scores:
    requests = [
        GenerationRequest(prompt=prompt.positive, negative_prompt=prompt.negative, seed=seed, **way.drawing)
        for prompt in arms.values()
        for seed in seeds
    ]
    images = [result.image for result in session.host.generate(requests)]
    values = [score.unclipped for score in session.vision.scorer.score(images, photo.image)]
    return {arm: values[place * len(seeds) : (place + 1) * len(seeds)] for place, arm in enumerate(arms)}


def _row(text: str, drawn: Sequence[dict[str, Scores]], seconds: Mapping[str, float], rng: Random) -> DraftRow:
    pictures = min(MOST, int(PLACES * seconds["full"] / seconds[text]))
    photos = [_photo_figures(scores, text, pictures, rng) for scores in drawn]
    same, order, in_time, regret, regret_in_time, regret_full = (
        [photo[place] for photo in photos] for place in range(6)
    )
    behind = mean_gain([ours - full for ours, full in zip(regret_in_time, regret_full, strict=True)])
    return DraftRow(
        text,
        round(seconds[text], 4),
        pictures,
        *(round(fmean(values), 3) for values in (same, order, in_time)),
        *(round(100 * fmean(values), 2) for values in (regret, regret_in_time)),
        behind=tuple(round(100 * value, 2) for value in (behind.mean, behind.low, behind.high)),
    )


def _photo_figures(scores: Mapping[str, Scores], text: str, pictures: int, rng: Random) -> tuple[float, ...]:
    """Correlations and regrets of one photo: same seed, order, order in time, regret, in time, of the full steps."""
    true = {arm: fmean(values) for arm, values in scores[TRUE].items()}
    full, draft = scores["full"], scores[text]
    pairs = [(a, b) for arm in full for a, b in zip(full[arm], draft[arm], strict=True)]
    same = spearman([a for a, _ in pairs], [b for _, b in pairs])
    figures: list[list[float]] = [[], [], [], [], []]
    for _ in range(SPLITS):
        places = rng.sample(range(MOST), MOST)
        few, many = (_means(draft, places[:count]) for count in (PLACES, pictures))
        whole = _means(full, places[:PLACES])
        for found, value in zip(
            figures,
            (_order(few, true), _order(many, true), *(_regret(means, true) for means in (few, many, whole))),
            strict=True,
        ):
            found.append(value)
    return (same, *(fmean(values) for values in figures))


def _means(scores: Scores, places: Sequence[int]) -> dict[str, float]:
    return {arm: fmean(values[place] for place in places) for arm, values in scores.items()}


def _order(means: Mapping[str, float], true: Mapping[str, float]) -> float:
    return spearman([means[arm] for arm in true], list(true.values()))


def _regret(means: Mapping[str, float], true: Mapping[str, float]) -> float:
    return max(true.values()) - true[max(means, key=means.__getitem__)]


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation; 0 where either side is constant."""
    import numpy as np

    if len(set(first)) < 2 or len(set(second)) < 2:
        return 0.0
    ranks = [np.argsort(np.argsort(values)) for values in (first, second)]
    return float(np.corrcoef(*ranks)[0, 1])


def as_text(rows: Sequence[DraftRow]) -> str:
    """The table for people."""
    head = ("draft", "CPU s", "same seed", "order", "regret", "pictures", "order", "regret", "over full (95 %)")
    lines = ["{:>20}{:>8}{:>11}{:>8}{:>8} |{:>9}{:>8}{:>8}  {}".format(*head)]
    lines += [
        f"{row.draft[:20]:>20}{row.seconds:>8.3f}{row.same_seed:>11.2f}{row.order:>8.2f}{row.regret:>8.2f} |"
        f"{row.pictures:>9}{row.order_in_time:>8.2f}{row.regret_in_time:>8.2f}"
        f"  {row.behind[0]:+.2f} ({row.behind[1]:+.2f} … {row.behind[2]:+.2f})"
        for row in rows
    ]
    return "\n".join([*lines, f"left of |: {PLACES} pictures an arm; right: as many as the same time pays for"])


if __name__ == "__main__":
    main()
