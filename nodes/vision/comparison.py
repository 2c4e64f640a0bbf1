"""Base against tuned for ComfyUI's node: draws both on the same seeds and decides by the command's own rule.

Where several strengths compete, one set of pictures chooses among them and another decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ...hosts.request import GenerationRequest
from ...routes.compare.rule import choose_strength, gain_over_garments
from ...routes.drawing_size import size_for
from ...search.confirmation import PairedGain
from ...search.route_decision import Evidence, RouteDecision, RouteOutcome, decide_route
from ...search.seeds import seed_plan
from .batches import observe, one_or_each, similarities

if TYPE_CHECKING:
    from PIL import Image

    from ...hosts.request import Host
    from ...models.vision import VisionModels

MOST_STRENGTHS, STRONGEST = 8, 4.0


@dataclass(frozen=True)
class PairedRequest:
    """One picture to draw twice: by the base, and by a tuned model, whose prompt may begin with the trigger."""

    reference: int
    base: GenerationRequest
    tuned: GenerationRequest


@dataclass(frozen=True)
class PicturePlan:
    """The pictures that choose a strength, and those on other seeds that decide."""

    choosing: list[PairedRequest]
    confirm: list[PairedRequest]


def strengths_in(text: str) -> list[float]:
    """`0.6, 0.8` → numbers; InputError where a part is no number or out of range."""
    try:
        strengths = [float(part) for part in text.replace("\n", ",").split(",") if part.strip()]
    except ValueError:
        strengths = []
    in_range = all(math.isfinite(strength) and abs(strength) <= STRONGEST for strength in strengths)
    if not 1 <= len(strengths) <= MOST_STRENGTHS or not in_range:
        raise InputError(
            f"strengths {text!r} are not 1 to {MOST_STRENGTHS} numbers of at most {STRONGEST:g}",
            to_try="0.6, 0.8, 1.0",
        )
    return list(dict.fromkeys(strengths))


def plan_pictures(
    references: Sequence[Image.Image],
    positive: Sequence[str],
    negative: Sequence[str],
    count: int,
    seed: int,
    drawing: dict[str, Any],
    trigger: str = "",
    aspect: str | None = None,
) -> PicturePlan:
    """`count` pictures a reference for choosing and `count` for deciding, each on a seed of its own.

    With an `aspect` (W:H, or `photo` for each reference's own) they have that shape at the area of `drawing`.
    """
    prompts = one_or_each(positive, len(references), "prompts")
    negatives = one_or_each(negative, len(references), "negative prompts")
    if not all(prompt.strip() for prompt in prompts):
        raise InputError("there is no prompt", to_try="say what the references show, or connect the Prompt Builder")

    def requests(seeds: Sequence[int]) -> list[PairedRequest]:
        pairs = []
        for place, picture_seed in enumerate(seeds):
            index = place // count
            width, height = size_for(drawing["width"], drawing["height"], aspect, references[index].size)
            words = {"prompt": prompts[index], "negative_prompt": negatives[index], "seed": picture_seed}
            request = GenerationRequest(**{**drawing, **words, "width": width, "height": height})
            tuned = request.model_copy(update={"prompt": f"{trigger}, {prompts[index]}"}) if trigger else request
            pairs.append(PairedRequest(index, request, tuned))
        return pairs

    seeds = seed_plan(seed, count * len(references), count * len(references))
    return PicturePlan(requests(seeds.search), requests(seeds.confirm))


@dataclass(frozen=True)
class PairScores:
    """Each picture's similarity to its own reference, not clipped to 0 … 1; `judge` is None where there is no judge."""

    scorer: list[float]
    judge: list[float] | None

    @property
    def shown(self) -> float:
        """The scorer's mean of the similarities as people see them, 0 … 1."""
        return fmean(min(1.0, max(0.0, score)) for score in self.scorer)

    def over(self, base: PairScores, references: Sequence[int]) -> Evidence:
        """The gain over the base's pictures on the same seeds, by scorer and judge, each reference a witness."""
        judge = None
        if self.judge is not None and base.judge is not None:
            judge = gain_over_garments(self.judge, base.judge, references)
        return Evidence(gain_over_garments(self.scorer, base.scorer, references), judge)

    def by_reference(self, references: Sequence[int]) -> list[float]:
        """The scorer's mean of each reference, in their order."""
        groups: dict[int, list[float]] = {}
        for reference, score in zip(references, self.scorer, strict=True):
            groups.setdefault(reference, []).append(score)
        return [fmean(group) for group in groups.values()]


@dataclass(frozen=True)
class StrengthRow:
    """One strength: its mean similarity, and its gain over the base, on the pictures that chose."""

    strength: float
    similarity: float
    gain: PairedGain


@dataclass(frozen=True)
class StrengthSweep:
    """All strengths beside the base, the one that was chosen, and what is proven of it.

    `pictures`: those that chose, the base's, then each strength's, in the order of `requests`.
    """

    rows: list[StrengthRow]
    base: float
    strength: float
    evidence: Evidence
    identical: bool  # base and tuned drew the same pictures
    requests: list[PairedRequest]
    pictures: list[list[Image.Image]]

    @property
    def gain(self) -> PairedGain:
        """Of the chosen strength over the base, on the pictures that decide."""
        return self.evidence.score

    @property
    def decision(self) -> RouteDecision:
        """By the command's rule; the node draws no other words than the base model's prompt."""
        return decide_route(self.evidence, identical=self.identical)

    @property
    def improved(self) -> bool:
        """Whether training paid."""
        return self.decision.outcome == RouteOutcome.TRAINING

    @property
    def verdict(self) -> str:
        """One sentence for people."""
        gain = self.gain
        points = f"{100 * gain.mean:+.1f} points ({100 * gain.low:+.1f} … {100 * gain.high:+.1f})"
        references = f"{gain.n} reference{'s' * (gain.n != 1)}"
        if self.identical:
            return "This file changes nothing: base and tuned model draw the same pictures, pixel by pixel."
        if self.improved:
            return (
                f"The tuned model at strength {self.strength:g} is closer to the photos by {points} on "
                f"{references}.{self._second_opinion()}"
            )
        if self.decision.outcome == RouteOutcome.WORSE_THAN_BASE:
            return (
                f"The tuned model is worse than its base: {points} at its best strength {self.strength:g}, on "
                f"{references}.{self._second_opinion()}"
            )
        note = f" ({gain.note})" if gain.note else ""
        return (
            f"No gain is proven: {points} at strength {self.strength:g}, on {references}{note}.{self._second_opinion()}"
        )

    def _second_opinion(self) -> str:
        """What the judge says, how sure the decision is, and a loss that the judge alone proves."""
        judge, decision = self.evidence.judge, self.decision
        if judge is None:
            return " There was no second opinion on this machine."
        level = f", {decision.level.value}" if decision.level else ""
        proven = ": a proven loss" if judge.high < 0 else ""
        interval = f"{100 * judge.mean:+.1f} ({100 * judge.low:+.1f} … {100 * judge.high:+.1f})"
        return f" The second opinion: {interval}{proven or level}."

    def as_json(self) -> dict[str, Any]:
        """What the page draws."""
        rows = [StrengthRow(0.0, self.base, PairedGain(0.0, 0.0, 0.0, self.gain.n)), *self.rows]
        return {
            "rows": [
                {
                    "strength": row.strength,
                    "similarity": round(row.similarity, 4),
                    "gain": round(row.gain.mean, 4),
                    "interval": [round(row.gain.low, 4), round(row.gain.high, 4)],
                }
                for row in rows
            ],
            "verdict": self.verdict,
        }

    def report(self) -> str:
        """The verdict and every strength, for people."""
        lines = [self.verdict, f"base: similarity {self.base:.3f}"]
        lines += [
            f"strength {row.strength:g}: similarity {row.similarity:.3f}, gain {row.gain.mean:+.3f} "
            f"({row.gain.low:+.3f} … {row.gain.high:+.3f})"
            for row in self.rows
        ]
        if len(self.rows) > 1:
            lines.append("the strength was chosen on these pictures; the verdict is of others, on seeds of their own")
        return "\n".join(lines)

    def rows_of_pictures(self, references: Sequence[Image.Image]) -> list[list[Image.Image]]:
        """A row a reference: the photo, the base's first picture, each strength's on the same seed."""
        first = {pair.reference: index for index, pair in reversed(list(enumerate(self.requests)))}
        return [[references[at], *(drawn[index] for drawn in self.pictures)] for at, index in sorted(first.items())]


def compare(
    base: Host,
    tuned: Sequence[tuple[float, Host]],
    plan: PicturePlan,
    references: Sequence[Image.Image],
    vision: VisionModels,
    shown: Callable[..., Any],
) -> StrengthSweep:
    """Draws all of it, scores each picture against its own reference, chooses the strength and decides.

    A single tuned model has nothing to choose: the pictures that decide are then its only ones.
    """
    competing = len(tuned) > 1
    requests = plan.choosing if competing else plan.confirm
    total = len(requests) * (1 + len(tuned)) + 2 * len(plan.confirm) * competing
    photos = observe(vision.tagger, references, _quiet)
    done = 0

    def draw(host: Host, pairs: Sequence[PairedRequest], arm: str) -> list[Image.Image]:
        nonlocal done
        drawn = []
        for result in host.generate([getattr(pair, arm) for pair in pairs]):
            drawn.append(result.image)
            done += 1
            shown(done, total, result.image)
        return drawn

    def scored(pictures: Sequence[Image.Image], pairs: Sequence[PairedRequest]) -> PairScores:
        looked_at = zip(observe(vision.tagger, pictures, _quiet), pairs, strict=True)
        scorer = [
            similarities(vision.scorer, [picture], [photos[pair.reference]])[0].unclipped for picture, pair in looked_at
        ]
        return PairScores(scorer, _judged(vision, pictures, references, pairs))

    # which strength
    pictures = [draw(base, requests, "base"), *(draw(host, requests, "tuned") for _, host in tuned)]
    base_scores, *tuned_scores = (scored(drawn, requests) for drawn in pictures)
    witnesses = [pair.reference for pair in requests]
    by_strength = {strength: scores for (strength, _), scores in zip(tuned, tuned_scores, strict=True)}
    strength = choose_strength({at: scores.by_reference(witnesses) for at, scores in by_strength.items()})
    rows = [
        StrengthRow(at, scores.shown, gain_over_garments(scores.scorer, base_scores.scorer, witnesses))
        for at, scores in by_strength.items()
    ]

    # the same seeds, which have chosen nothing
    deciding = pictures[0], pictures[1]
    if competing:
        deciding = draw(base, plan.confirm, "base"), draw(dict(tuned)[strength], plan.confirm, "tuned")
    base_confirm, tuned_confirm = (scored(drawn, plan.confirm) for drawn in deciding)
    evidence = tuned_confirm.over(base_confirm, [pair.reference for pair in plan.confirm])
    identical = all(ours.tobytes() == theirs.tobytes() for ours, theirs in zip(*deciding, strict=True))
    return StrengthSweep(rows, base_scores.shown, strength, evidence, identical, requests, pictures)


def _judged(
    vision: VisionModels,
    pictures: Sequence[Image.Image],
    references: Sequence[Image.Image],
    pairs: Sequence[PairedRequest],
) -> list[float] | None:
    """The judge's similarity of each picture to its own reference; None where this machine has no judge."""
    if vision.judge is None:
        return None
    scores = [0.0] * len(pictures)
    for reference in dict.fromkeys(pair.reference for pair in pairs):
        places = [place for place, pair in enumerate(pairs) if pair.reference == reference]
        judged = vision.judge.score([pictures[place] for place in places], references[reference])
        for place, similarity in zip(places, judged, strict=True):
            scores[place] = similarity.unclipped
    return scores


def _quiet(done: int, total: int) -> None: ...
