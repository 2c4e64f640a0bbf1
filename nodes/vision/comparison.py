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

MAX_STRENGTHS, MAX_STRENGTH = 8, 4.0
ALPHA = 0.05  # over all strengths together (Bonferroni): the best of several would show a gain by luck


@dataclass(frozen=True)
class PicturePair:
    """One picture, drawn by the base and by a tuned model, whose prompt may begin with the trigger."""

    reference: int
    base: GenerationRequest
    tuned: GenerationRequest


def strengths_in(text: str) -> list[float]:
    """`0.6, 0.8` → [0.6, 0.8]; InputError unless each is a finite number of at most MAX_STRENGTH."""
    try:
        strengths = [float(part) for part in text.replace("\n", ",").split(",") if part.strip()]
    except ValueError:
        strengths = []
    if (
        not strengths
        or len(strengths) > MAX_STRENGTHS
        or not all(math.isfinite(strength) and abs(strength) <= MAX_STRENGTH for strength in strengths)
    ):
        raise InputError(
            f"strengths {text!r} are not 1 to {MAX_STRENGTHS} numbers of at most {MAX_STRENGTH:g}",
            to_try="0.6, 0.8, 1.0",
        )
    return list(dict.fromkeys(strengths))


def picture_pairs(
    references: Sequence[Any],
    positive: Sequence[str],
    negative: Sequence[str],
    count: int,
    seed: int,
    drawing: dict[str, Any],
    trigger: str = "",
) -> list[PicturePair]:
    """`count` pictures a reference, each on a seed of its own."""
    prompts = one_or_each(positive, len(references), "prompts")
    negatives = one_or_each(negative, len(references), "negative prompts")
    if not all(prompt.strip() for prompt in prompts):
        raise InputError("there is no prompt", to_try="say what the references show, or connect the Prompt Builder")
    seeds = seed_plan(seed, 0, count * len(references)).confirm
    pairs = []
    for index, (prompt, avoid) in enumerate(zip(prompts, negatives, strict=True)):
        for picture_seed in seeds[index * count : (index + 1) * count]:
            request = GenerationRequest(prompt=prompt, negative_prompt=avoid, seed=picture_seed, **drawing)
            tuned = request.model_copy(update={"prompt": f"{trigger}, {prompt}"}) if trigger else request
            pairs.append(PicturePair(index, request, tuned))
    return pairs


@dataclass(frozen=True)
class StrengthRow:
    """One strength: its mean similarity, and its gain over the base."""

    strength: float
    similarity: float
    gain: PairedGain


@dataclass(frozen=True)
class StrengthSweep:
    """All strengths beside the base; `pictures`: the base's, then each strength's, in the order of `pairs`."""

    rows: list[StrengthRow]
    base: float
    pairs: list[PicturePair]
    pictures: list[list[Image.Image]]

    @property
    def best(self) -> StrengthRow:
        """The strength with the largest gain."""
        return max(self.rows, key=lambda row: row.gain.mean)

    @property
    def improved(self) -> bool:
        """Whether the best strength's gain is significant, corrected for the number of strengths."""
        return self.best.gain.improved

    @property
    def verdict(self) -> str:
        """The verdict as one sentence."""
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
        return len({one.reference for one in self.pairs}) > 1

    def as_json(self) -> dict[str, Any]:
        """The sweep as the page's widget reads it."""
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
        """The sweep as lines of text."""
        lines = [self.verdict, f"base: similarity {self.base:.3f}"]
        lines += [
            f"strength {row.strength:g}: similarity {row.similarity:.3f}, gain {row.gain.mean:+.3f} "
            f"({row.gain.low:+.3f} … {row.gain.high:+.3f})"
            for row in self.rows
        ]
        return "\n".join([*lines, f"intervals: {1 - ALPHA:.0%} over all {len(self.rows)} strengths together"])

    def rows_of_pictures(self, references: Sequence[Image.Image]) -> list[list[Image.Image]]:
        """A row a reference: the photo, the base's first picture, each strength's on the same seed."""
        first = {one.reference: index for index, one in reversed(list(enumerate(self.pairs)))}
        return [[references[at], *(drawn[index] for drawn in self.pictures)] for at, index in sorted(first.items())]


def compare(
    base: Host,
    tuned: Sequence[tuple[float, Host]],
    pairs: list[PicturePair],
    references: Sequence[Image.Image],
    vision: VisionModels,
    show_progress: Callable[..., Any],
) -> StrengthSweep:
    """Draws every pair with the base and each tuned host, and scores each picture against its own reference."""
    work = [(base, [one.base for one in pairs]), *((host, [one.tuned for one in pairs]) for _, host in tuned)]
    total, done = len(pairs) * len(work), 0
    drawn: list[list[Image.Image]] = []
    for host, requests in work:
        drawn.append([])
        for result in host.generate(requests):
            drawn[-1].append(result.image)
            done += 1
            show_progress(done, total, result.image)

    def quiet(done: int, total: int) -> None: ...

    photos = observe(vision.tagger, references, quiet)
    scores = [
        [
            similarities(vision.scorer, [observation], [photos[pair.reference]])[0].similarity_score
            for observation, pair in zip(observe(vision.tagger, pictures, quiet), pairs, strict=True)
        ]
        for pictures in drawn
    ]
    confidence = 1 - ALPHA / len(tuned)
    rows = [
        StrengthRow(strength, sum(scores_at) / len(scores_at), _gain(scores_at, scores[0], pairs, confidence))
        for (strength, _), scores_at in zip(tuned, scores[1:], strict=True)
    ]
    return StrengthSweep(rows, sum(scores[0]) / len(scores[0]), pairs, drawn)


def _gain(tuned: Sequence[float], base: Sequence[float], pairs: Sequence[PicturePair], confidence: float) -> PairedGain:
    """The gain over references, as pictures of one reference are not independent; over seeds for one reference."""
    clusters = [one.reference for one in pairs]
    if len(set(clusters)) == 1:
        return paired_gain(tuned, base, confidence)
    return mean_gain([a - b for a, b in zip(tuned, base, strict=True)], clusters, confidence)
