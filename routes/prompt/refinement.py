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
class Refinement:
    """What each factor brings; `prompt` without those that cost, None where the strategy's own is the better one."""

    name: str
    prompt: Rendered | None
    found: Effects
    attributes: tuple[AttributeEffect, ...]
    pictures: tuple[Picture, ...]  # the screening's, then the duel's


def refine(
    strategy: str,
    wardrobe: TaggedPhoto,
    reference: Reference,
    tried: Sequence[Picture],
    evaluator: Evaluator,
    tagger: Tagger,
    seeds: Sequence[int],
    images: int,
    noise: Noise,
    prior: EffectPrior | None,
    write: Callable[[Prompt], Rendered],
) -> Refinement | None:
    """Screens the factors of `strategy`'s prompt; `images` pictures in all, the duel's included.

    None where there is too little to screen.
    """
    if images - DUEL < min(GENERATORS):
        return None
    composition = Composition(strategy, wardrobe, _avoid(wardrobe, tried, tagger))
    most = max(runs for runs in GENERATORS if runs <= images - DUEL) - 1
    factors = composition.factors(most)
    if len(factors) < LEAST_FACTORS:
        return None
    design = screening_design(factors, images - DUEL, seeds)
    shots = []
    for run in design.runs:
        prompt = composition.prompt(factors, run.on)
        if prompt is None:
            return None
        shots.append(_shot(write(prompt), run.seed))
    pictures = evaluator.evaluate(reference, shots)
    found = effects(design, [picture.score.unclipped for picture in pictures], noise)
    attributes = shrink(found, prior)

    # The candidate meets the winner.
    kept = composition.prompt(factors, choose_subset(attributes, EXTRAS))
    own = [picture for picture in tried if picture.shot.strategy == strategy][:DUEL]
    better = None
    if kept and own and (candidate := write(kept)) not in [picture.shot.prompt for picture in own]:
        challengers = evaluator.evaluate(
            reference, [Candidate(composition.name, candidate, picture.shot.seed) for picture in own]
        )
        pictures += challengers
        leads = sum(_similarity(a) - _similarity(b) for a, b in zip(challengers, own, strict=True)) > 0
        better = candidate if leads else None
    return Refinement(composition.name, better, found, attributes, tuple(pictures))


def _similarity(picture: Picture) -> float:
    return picture.score.unclipped


def _shot(prompt: Rendered, seed: int) -> Candidate:
    """Named by its text: two designs that ask for the same prompt share its picture."""
    digest = hashlib.sha256(f"{prompt.positive}\0{prompt.negative}".encode()).hexdigest()[:10]
    return Candidate(f"screening {digest}", prompt, seed)


def _avoid(wardrobe: TaggedPhoto, tried: Sequence[Picture], tagger: Tagger) -> tuple[str, ...]:
    """Words of labels that this photo's worse pictures show and its better ones do not."""
    from PIL import Image

    whole = [picture for picture in tried if picture.path is not None]
    seen = tagger.tag([Image.open(picture.path).convert("RGB") for picture in whole])
    shown = [
        (picture.score.unclipped, [(tag.group, tag.label) for tag in tags.tags])
        for picture, tags in zip(whole, seen, strict=True)
    ]
    wanted = [(tag.group, tag.label) for tag in wardrobe.tags.tags]
    chosen = contrastive_negatives(wanted, count_labels(shown), AVOIDED)
    return tuple(wardrobe.taxonomy.group(group).label(label).prompt_text for group, label in chosen)
