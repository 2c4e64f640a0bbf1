"""Base against tuned on the same prompts and seeds: gains with intervals that hold for all strengths at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ...hosts.request import GenerationRequest
from ...search.confirmation import PairedGain, mean_gain, paired_gain
from ...search.seeds import seed_plan
from .batches import observe, one_or_each, similarities

if TYPE_CHECKING:
    from PIL import Image

    from ...hosts.request import Host
    from ...models.vision import VisionModels

MOST_STRENGTHS, STRONGEST = 8, 4.0
DOUBT = 0.05  # over all strengths together: looking at several and naming the best would find a gain by luck


@dataclass(frozen=True)
class Wanted:
    """One picture to draw twice: by the base, and by a tuned model, whose prompt may begin with the trigger."""

    reference: int
    base: GenerationRequest
    tuned: GenerationRequest


def strengths_in(text: str) -> list[float]:
    """`0.6, 0.8` → numbers; InputError where one is none."""
    try:
        found = [float(part) for part in text.replace("\n", ",").split(",") if part.strip()]
    except ValueError:
        found = []
    if (
        not found
        or len(found) > MOST_STRENGTHS
        or not all(math.isfinite(one) and abs(one) <= STRONGEST for one in found)
    ):
        raise InputError(
            f"strengths {text!r} are not 1 to {MOST_STRENGTHS} numbers of at most {STRONGEST:g}",
            to_try="0.6, 0.8, 1.0",
        )
    return list(dict.fromkeys(found))


def wanted_pictures(
    references: Sequence[Any],
    positive: Sequence[str],
    negative: Sequence[str],
    count: int,
    seed: int,
    drawing: dict[str, Any],
    trigger: str = "",
) -> list[Wanted]:
    """`count` pictures a reference, each on a seed of its own."""
    prompts = one_or_each(positive, len(references), "prompts")
    negatives = one_or_each(negative, len(references), "negative prompts")
    if not all(prompt.strip() for prompt in prompts):
        raise InputError("there is no prompt", to_try="say what the references show, or connect the Prompt Builder")
    seeds = seed_plan(seed, 0, count * len(references)).confirm
    wanted = []
    for index, (prompt, avoid) in enumerate(zip(prompts, negatives, strict=True)):
        for one in seeds[index * count : (index + 1) * count]:
            request = GenerationRequest(prompt=prompt, negative_prompt=avoid, seed=one, **drawing)
            tuned = request.model_copy(update={"prompt": f"{trigger}, {prompt}"}) if trigger else request
            wanted.append(Wanted(index, request, tuned))
    return wanted


@dataclass(frozen=True)
class StrengthRow:
    """One strength: its mean similarity, and its gain over the base."""

    strength: float
    similarity: float
    gain: PairedGain


@dataclass(frozen=True)
class StrengthSweep:
    """All strengths beside the base; `pictures`: the base's, then each strength's, in the order of what was wanted."""

    rows: list[StrengthRow]
    base: float
    wanted: list[Wanted]
    pictures: list[list[Image.Image]]

    @property
    def best(self) -> StrengthRow:
        """The strength with the largest gain."""
        return max(self.rows, key=lambda row: row.gain.mean)

    @property
    def improved(self) -> bool:
        """Whether the best one's gain is proven, the choice among strengths counted in."""
        return self.best.gain.improved

    @property
    def verdict(self) -> str:
        """One sentence for people."""
        best, gain = self.best, self.best.gain
        points = f"{100 * gain.mean:+.1f} points ({100 * gain.low:+.1f} … {100 * gain.high:+.1f})"
        of = f"{gain.n} {'references' if self._several else 'seeds'}"
        if gain.improved:
            return f"The tuned model at strength {best.strength:g} is closer to the photos by {points} on {of}."
        if gain.high < 0:
            return f"The tuned model is worse than its base: {points} at its best strength {best.strength:g}, on {of}."
        note = f" ({gain.note})" if gain.note else ""
        return f"No gain is proven: {points} at strength {best.strength:g}, on {of}{note}."

    @property
    def _several(self) -> bool:
        return len({one.reference for one in self.wanted}) > 1

    def as_json(self) -> dict[str, Any]:
        """What the page draws."""
        rows = [StrengthRow(0.0, self.base, PairedGain(0.0, 0.0, 0.0, self.best.gain.n)), *self.rows]
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
        """For people."""
        lines = [self.verdict, f"base: similarity {self.base:.3f}"]
        lines += [
            f"strength {row.strength:g}: similarity {row.similarity:.3f}, gain {row.gain.mean:+.3f} "
            f"({row.gain.low:+.3f} … {row.gain.high:+.3f})"
            for row in self.rows
        ]
        return "\n".join([*lines, f"intervals: {1 - DOUBT:.0%} over all {len(self.rows)} strengths together"])

    def rows_of_pictures(self, references: Sequence[Image.Image]) -> list[list[Image.Image]]:
        """A row a reference: the photo, the base's first picture, each strength's on the same seed."""
        first = {one.reference: index for index, one in reversed(list(enumerate(self.wanted)))}
        return [[references[at], *(drawn[index] for drawn in self.pictures)] for at, index in sorted(first.items())]


def compare(
    base: Host,
    tuned: Sequence[tuple[float, Host]],
    wanted: list[Wanted],
    references: Sequence[Image.Image],
    vision: VisionModels,
    shown: Callable[..., Any],
) -> StrengthSweep:
    """Draws all of it and scores each picture against its own reference."""
    work = [(base, [one.base for one in wanted]), *((host, [one.tuned for one in wanted]) for _, host in tuned)]
    total, done = len(wanted) * len(work), 0
    drawn: list[list[Image.Image]] = []
    for host, requests in work:
        drawn.append([])
        for result in host.generate(requests):
            drawn[-1].append(result.image)
            done += 1
            shown(done, total, result.image)

    def quiet(done: int, total: int) -> None: ...

    photos = observe(vision.tagger, references, quiet)
    scores = [
        [
            similarities(vision.scorer, [seen], [photos[one.reference]])[0].similarity_score
            for seen, one in zip(observe(vision.tagger, pictures, quiet), wanted, strict=True)
        ]
        for pictures in drawn
    ]
    rows = [
        StrengthRow(strength, sum(own) / len(own), _gain(own, scores[0], wanted, 1 - DOUBT / len(tuned)))
        for (strength, _), own in zip(tuned, scores[1:], strict=True)
    ]
    return StrengthSweep(rows, sum(scores[0]) / len(scores[0]), wanted, drawn)


def _gain(own: Sequence[float], base: Sequence[float], wanted: Sequence[Wanted], confidence: float) -> PairedGain:
    """Over references where there are several: pictures of one photo are no independent witnesses; else over seeds."""
    clusters = [one.reference for one in wanted]
    if len(set(clusters)) == 1:
        return paired_gain(own, base, confidence)
    return mean_gain([a - b for a, b in zip(own, base, strict=True)], clusters, confidence)
