"""`python -m modiste.bench.search [--json] [--photos N] [--budgets 8,16,24,40]`: who finds the better prompt?

On garments of the embedded world that its models never saw. Every method gets the same tags, model, scorer and number
of pictures, and all share one set of view words and no negative prompt; the prompt it hands in is then drawn on seeds
that none of them saw, beside the plain list of tags. What is compared is that gain, by the score and by a judge that
nobody asked: not what a method believes of its prompt, but what the prompt is worth.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING

from ..fashion.photos import Photo
from ..fashion.prompts.arms import distinct_arms
from ..fashion.prompts.renderers import Rendered, render
from ..fashion.prompts.strategies import Context, TaggedPhoto, label_shares
from ..hosts.request import GenerationRequest
from ..routes.evaluator import Evaluator
from ..routes.prompt.contest import SearchRun
from ..routes.prompt.experience import Experience
from ..routes.prompt.optimise import optimise_photo
from ..routes.prompt.outcome import BASELINE
from ..routes.prompt.settings import PromptSettings
from ..search.confirmation import mean_gain
from ..search.seeds import seed_plan
from . import baselines as rivals

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from ..fashion.tags import PhotoTags
    from ..hosts.request import GenerationResult, Host
    from ..models.session import Session
    from ..search.confirmation import PairedGain

BUDGETS = (8, 16, 24, 40)
EVALUATION_SEEDS = 12
MODISTE, SINGLE, RANDOM, GREEDY, INTERROGATOR = (
    "modiste",
    "best single image",
    "random search",
    "greedy chain",
    "interrogator (draws nothing)",
)


@dataclass(frozen=True)
class SearchRow:
    """One method at one budget: mean true gain over the plain list in points of similarity, with its interval; by the
    score that the methods search with, and by the judge, which none of them has asked."""

    method: str
    budget: int
    gain: float
    low: float
    high: float
    judge_gain: float
    judge_low: float
    judge_high: float
    photos: int
    by_photo: list[tuple[float, float]]  # the gain of each photo, by score and judge


class KeepingHost:
    """A host that draws the same request once."""

    def __init__(self, host: Host):
        self.host, self.dialect, self.kept = host, host.dialect, {}

    def describe(self):
        """The inner host."""
        return self.host.describe()

    def check(self, request: GenerationRequest) -> None:
        """The inner host's."""
        self.host.check(request)

    def count_tokens(self, text: str) -> int | None:
        """The inner host's."""
        return self.host.count_tokens(text)

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[GenerationResult]:
        """Pictures in the order of the requests."""
        new = [request for request in dict.fromkeys(requests) if request not in self.kept]
        for result in self.host.generate(new):
            self.kept[result.request] = result
        yield from (self.kept[request] for request in requests)


@dataclass
class Bench:
    """The embedded models, and scores of prompts against one photo."""

    session: Session
    settings: PromptSettings

    def request(self, prompt: Rendered, seed: int) -> GenerationRequest:
        """As the run's settings have it."""
        return GenerationRequest(
            prompt=prompt.positive, negative_prompt=prompt.negative, seed=seed, **self.settings.drawing
        )

    def scores(self, photo: Image.Image, pictures: Sequence[tuple[Rendered, int]]) -> list[float]:
        """Calibrated similarity, unclipped, of each (prompt, seed)."""
        results = self.session.host.generate([self.request(prompt, seed) for prompt, seed in pictures])
        images = [result.image for result in results]
        return [similarity.unclipped for similarity in self.session.vision.scorer.score(images, photo)]

    def worth(self, photo: Image.Image, prompt: Rendered, seeds: Sequence[int]) -> tuple[float, float]:
        """Mean similarity of a prompt over seeds, unclipped, by the scorer and by the judge."""
        vision = self.session.vision
        assert vision.judge is not None  # the embedded preset has one
        results = self.session.host.generate([self.request(prompt, seed) for seed in seeds])
        pictures = [result.image for result in results]
        scorer, judge = (
            fmean(similarity.unclipped for similarity in who.score(pictures, photo))
            for who in (vision.scorer, vision.judge)
        )
        return scorer, judge


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws, scores and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m modiste.bench.search", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)))
    parser.add_argument("--evaluation-seeds", type=int, default=EVALUATION_SEEDS)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    budgets = [int(budget) for budget in chosen.budgets.split(",")]
    rows = compare(chosen.photos, budgets, chosen.evaluation_seeds, chosen.seed)
    if chosen.json:
        print(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False))
    else:
        print(as_text(rows))


def compare(count: int, budgets: Sequence[int], evaluation_seeds: int, seed: int) -> list[SearchRow]:
    """Every method at every budget on `count` photos."""
    from dataclasses import replace

    from ..models.presets import preset
    from ..models.session import open_session

    session = open_session(preset("mini"), device="cpu")
    session = replace(session, host=KeepingHost(session.host))
    photos = make_photos(count, seed)
    photo_tags = session.vision.tagger.tag([photo.image for photo in photos])
    context = Context(label_shares(photo_tags))
    plan = seed_plan(seed, max(budgets), max(budgets) + evaluation_seeds)
    evaluation = plan.confirm[max(budgets) :]
    gains: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for budget in budgets:
        settings = PromptSettings.for_session(session, budget=budget, seed=seed, same_seeds=True)
        bench = Bench(session, settings)
        searched = modiste_prompts(bench, photos, photo_tags, context)
        for photo, tags, ours in zip(photos, photo_tags, searched, strict=True):
            print(f"budget {budget}: {photo.path.name}", file=sys.stderr, flush=True)
            tagged = TaggedPhoto(tags, session.vision.taxonomy, context)
            prompts = {MODISTE: ours, **rival_prompts(bench, photo, tagged, plan.search, seed)}
            baseline = bench.worth(photo.image, plain_list(bench, tagged), evaluation)
            for method, prompt in prompts.items():
                scorer, judge = bench.worth(photo.image, prompt, evaluation)
                gains.setdefault((method, budget), []).append((scorer - baseline[0], judge - baseline[1]))
    return [_row(method, budget, pairs) for (method, budget), pairs in gains.items()]


def _row(method: str, budget: int, pairs: Sequence[tuple[float, float]]) -> SearchRow:
    scorer, judge = (mean_gain(values) for values in zip(*pairs, strict=True))
    figures = [round(100 * value, 2) for gain in (scorer, judge) for value in (gain.mean, gain.low, gain.high)]
    by_photo = [(round(100 * scorer, 2), round(100 * judge, 2)) for scorer, judge in pairs]
    return SearchRow(method, budget, *figures, photos=len(pairs), by_photo=by_photo)


def make_photos(count: int, seed: int) -> list[Photo]:
    """Held-out garments of the embedded world, some with a trait that no word names."""
    from ..mini.garment import sample_garment
    from ..mini.photo import sample_photo
    from ..mini.renderer import render as draw

    rng = Random(f"bench-search-{seed}")
    garments = [sample_garment(rng, held_out=True, trait_share=0.3) for _ in range(count)]
    return [
        Photo(Path(f"garment-{index:02d}"), draw(garment, sample_photo(rng), 192), f"{seed:032x}{index:032x}")
        for index, garment in enumerate(garments)
    ]


def modiste_prompts(
    bench: Bench, photos: Sequence[Photo], photo_tags: Sequence[PhotoTags], context: Context
) -> list[Rendered]:
    """The candidate that the product's own search hands to confirmation, photo after photo."""
    from ..runs.journal import Journal

    experience, prompts = Experience(bench.settings.checkpoint), []
    with tempfile.TemporaryDirectory() as folder:
        with Journal.open(folder, bench.settings.model_dump(mode="json")) as journal:
            evaluator, drafts = (
                Evaluator(bench.session.host, journal, bench.session.vision.scorer, drawing)
                for drawing in (bench.settings.drawing, bench.settings.search_drawing)
            )
            run = SearchRun(bench.session, evaluator, drafts, bench.settings, {}, context, experience)
            for photo, tags in zip(photos, photo_tags, strict=True):
                outcome = optimise_photo(photo, tags, run)
                outcome.teach(experience)
                prompts.append(outcome.winner[0].candidate.prompt)
    return prompts


def rival_prompts(
    bench: Bench, photo: Photo, tagged: TaggedPhoto, seeds: Sequence[int], seed: int
) -> dict[str, Rendered]:
    """What the others hand in, with the view words that all share, and no negative prompt as the plain list has none.

    They have generators of their own, so that a larger budget goes on where a smaller ended.
    """
    noun, taxonomy, budget = tagged.noun, tagged.taxonomy, bench.settings.budget
    name = noun.text if noun else "garment"
    words = [tag.text for tag in tagged.tags.tags if tag != noun]
    arms = distinct_arms(bench.settings.strategies, tagged, bench_render(bench))

    def fair(words: str) -> Rendered:
        return Rendered(", ".join([words, *taxonomy.view]))

    def score(pictures: Sequence[tuple[str, int]]) -> list[float]:
        return bench.scores(photo.image, [(fair(words), picture_seed) for words, picture_seed in pictures])

    def score_arm(pictures: Sequence[tuple[str, int]]) -> list[float]:
        return bench.scores(photo.image, [(arms[arm], picture_seed) for arm, picture_seed in pictures])

    def rng() -> Random:
        return Random(f"{seed} {photo.path.name}")

    embed: torch.Tensor = bench.session.vision.encoder.embed_images([photo.image])[0]
    return {
        SINGLE: arms[rivals.best_single_image(list(arms), score_arm, budget, seeds, rng())],
        RANDOM: fair(rivals.random_search(words, name, score, budget, seeds, rng())),
        GREEDY: fair(rivals.greedy_chain(words, name, score, budget, seeds, rng())),
        INTERROGATOR: fair(rivals.interrogator(words, name, embed, bench.session.vision.encoder)),
    }


def plain_list(bench: Bench, tagged: TaggedPhoto) -> Rendered:
    """What a tagger alone gives, with the view words that all share."""
    return distinct_arms([BASELINE], tagged, bench_render(bench))[BASELINE]


def bench_render(bench: Bench):
    """Writes prompts for the bench's host."""
    host = bench.session.host
    return lambda prompt: render(prompt, host.dialect, host.count_tokens)


def ahead(rows: Sequence[SearchRow]) -> dict[tuple[str, int], tuple[PairedGain, PairedGain]]:
    """(rival, budget) → how far our prompt is ahead of the rival's, photo by photo, by score and judge."""
    ours = {row.budget: row.by_photo for row in rows if row.method == MODISTE}
    return {
        (row.method, row.budget): tuple(
            mean_gain(
                [(mine[who] - theirs[who]) / 100 for mine, theirs in zip(ours[row.budget], row.by_photo, strict=True)]
            )
            for who in (0, 1)
        )
        for row in rows
        if row.method != MODISTE and row.budget in ours
    }


def as_text(rows: Sequence[SearchRow]) -> str:
    """The tables for people: gain in points of similarity over the plain list, with its 95 % interval over photos, and
    how far ahead of each rival that is, photo by photo."""
    budgets = list(dict.fromkeys(row.budget for row in rows))
    lines = []
    for who, figures in (
        ("score", lambda row: (row.gain, row.low, row.high)),
        ("judge", lambda row: (row.judge_gain, row.judge_low, row.judge_high)),
    ):
        lines += [f"true gain over the plain list by the {who}, points of similarity, {rows[0].photos} photos", ""]
        lines.append(f"{'pictures':32}" + "".join(f"{budget:>26}" for budget in budgets))
        for method in dict.fromkeys(row.method for row in rows):
            gains = [figures(row) for row in rows if row.method == method]
            cells = [f"{mean:+.1f} ({low:+.1f} … {high:+.1f})" for mean, low, high in gains]
            lines.append(f"{method:32}" + "".join(f"{cell:>26}" for cell in cells))
        lines.append("")
    lines.append("ahead of the rival, paired over photos: score / judge")
    for (method, budget), gains in ahead(rows).items():
        cells = [f"{100 * gain.mean:+.1f} ({100 * gain.low:+.1f} … {100 * gain.high:+.1f})" for gain in gains]
        lines.append(f"{method:32}{budget:>4}  {' / '.join(cells)}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
