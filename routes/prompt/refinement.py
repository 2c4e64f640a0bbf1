"""After the halving: which of the winner's words help on this photo, from few pictures that test all at once.

Eight pictures are few and words work together, so what the screening suggests is a candidate only: it meets the
winner on seeds where the winner was drawn already, and replaces it if it leads there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...fashion.prompts.factors import EXTRAS, Composition
from ...search.budget import DUEL
from ...search.negatives import contrastive_negatives, count_labels
from ...search.screening import GENERATORS, Effects, effects, screening_design
from ...search.shrinkage import AttributeEffect, EffectPrior, choose_subset, shrink
from ..evaluator import Candidate, Evaluator, Reference

if TYPE_CHECKING:
    from ...fashion.prompts.renderers import Rendered
    from ...fashion.prompts.strategies import TaggedPhoto
    from ...fashion.prompts.tree import Prompt
    from ...fashion.tagger import Tagger
    from ...search.trials import Noise
    from ..evaluator import Picture

AVOIDED = 2  # labels
LEAST_FACTORS = 3


@dataclass(frozen=True)
class Screening:
    """What a screening works with: `images` pictures on `seeds`, its duel included; the noise that the search has
    measured; the prior of what a word brings; and what a picture is worth."""

    seeds: Sequence[int]
    images: int
    noise: Noise
    prior: EffectPrior | None
    worth: Callable[[Sequence[Picture]], list[float]]


@dataclass(frozen=True)
class Refinement:
    """What each factor brings; `prompt` without those that cost, None where the strategy's own is the better one."""

    name: str
    prompt: Rendered | None
    effects: Effects
    attributes: tuple[AttributeEffect, ...]
    pictures: tuple[Picture, ...]  # the screening's, then the duel's


def refine(
    strategy: str,
    photo: TaggedPhoto,
    reference: Reference,
    tried: Sequence[Picture],
    evaluator: Evaluator,
    tagger: Tagger,
    screening: Screening,
    write: Callable[[Prompt], Rendered],
) -> Refinement | None:
    """Screens the factors of `strategy`'s prompt, `tried` being the search's pictures.

    None where there is too little to screen.
    """
    images = screening.images - DUEL
    if images < min(GENERATORS):
        return None
    composition = Composition(strategy, photo, _avoid(photo, tried, tagger))
    factors = composition.factors(max(rows for rows in GENERATORS if rows <= images) - 1)
    if len(factors) < LEAST_FACTORS:
        return None
    design = screening_design(factors, images, screening.seeds)
    candidates = []
    for row in design.runs:
        prompt = composition.prompt(factors, row.on)
        if prompt is None:
            return None
        candidates.append(_candidate(write(prompt), row.seed))
    pictures = evaluator.evaluate(reference, candidates)
    measured = effects(design, screening.worth(pictures), screening.noise)
    attributes = shrink(measured, screening.prior)

    # The candidate meets the winner.
    kept = composition.prompt(factors, choose_subset(attributes, EXTRAS))
    of_strategy = [picture for picture in tried if picture.candidate.strategy == strategy][:DUEL]
    better = None
    if kept and of_strategy and (text := write(kept)) not in [picture.candidate.prompt for picture in of_strategy]:
        challengers = evaluator.evaluate(
            reference, [Candidate(composition.name, text, picture.candidate.seed) for picture in of_strategy]
        )
        pictures += challengers
        better = text if sum(screening.worth(challengers)) > sum(screening.worth(of_strategy)) else None
    return Refinement(composition.name, better, measured, attributes, tuple(pictures))


def _candidate(prompt: Rendered, seed: int) -> Candidate:
    """Named by its text: two designs that ask for the same prompt share its picture."""
    digest = hashlib.sha256(f"{prompt.positive}\0{prompt.negative}".encode()).hexdigest()[:10]
    return Candidate(f"screening {digest}", prompt, seed)


def _avoid(photo: TaggedPhoto, tried: Sequence[Picture], tagger: Tagger) -> tuple[str, ...]:
    """Words of labels that this photo's worse pictures show and its better ones do not."""
    from PIL import Image

    files = [(picture.score.unclipped, picture.path) for picture in tried if picture.path is not None]
    picture_tags = tagger.tag([Image.open(path).convert("RGB") for _, path in files])
    shown = [
        (score, [(tag.group, tag.label) for tag in tags.tags])
        for (score, _), tags in zip(files, picture_tags, strict=True)
    ]
    photo_labels = [(tag.group, tag.label) for tag in photo.tags.tags]
    avoided = contrastive_negatives(photo_labels, count_labels(shown), AVOIDED)
    return tuple(photo.taxonomy.group(group).label(label).prompt_text for group, label in avoided)
