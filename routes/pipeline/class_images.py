"""The base model's own pictures of what the photos' words say, which must stay as they are while the look is learned.

The prior preservation of Ruiz et al., "DreamBooth: Fine Tuning Text-to-Image Diffusion Models for Subject-Driven
Generation" (CVPR 2023), §3.2: without them the look comes with every garment, trigger or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.progress import Pace, ProgressCallback
from ...fashion.prompts.captions import strategy_prompt
from ...fashion.prompts.renderers import render
from ...fashion.prompts.strategies import Context, TaggedPhoto, label_shares
from ...search.seeds import seed_plan
from ..evaluator import Candidate, Evaluator, Reference

if TYPE_CHECKING:
    from ...fashion.photos import Photo
    from ...fashion.tags import PhotoTags
    from ...models.session import Session
    from ..prompt.settings import PromptSettings


def draw_class(
    photos: Sequence[Photo],
    tags: Sequence[PhotoTags],
    strategy: str,
    session: Session,
    settings: PromptSettings,
    folder: Path,
    progress: ProgressCallback,
) -> dict[Path, str]:
    """One picture for each photo, of its words without the trigger: file → prompt.

    Begun again it draws what is missing. A picture that the host spoiled is left out.
    """
    from ...runs.journal import Journal

    taxonomy, context = session.vision.taxonomy, Context(share=label_shares(tags))
    seeds = seed_plan(settings.seed, len(photos), 0).search
    write = partial(render, dialect=session.host.dialect, count=session.host.count_tokens)
    tagged_photos = [
        TaggedPhoto(photo_tags, taxonomy, context, settings.given_with(photo.sha256))
        for photo, photo_tags in zip(photos, tags, strict=True)
    ]
    work = [
        (
            Reference(photo.image, photo.sha256),
            [Candidate("class", write(strategy_prompt(strategy, tagged)), seed)],
        )
        for photo, tagged, seed in zip(photos, tagged_photos, seeds, strict=True)
    ]
    pace = Pace("class", len(work), progress)
    with Journal.open(folder, {"strategy": strategy, "seed": settings.seed, **settings.size_and_sampling}) as journal:
        evaluator = Evaluator(
            session.host, journal, session.vision.scorer, settings.drawing, pace.step, settings.aspect
        )
        evaluator.prefetch(work)
        pictures = [picture for reference, candidates in work for picture in evaluator.evaluate(reference, candidates)]
    pace.reach(len(work))
    return {picture.path: picture.candidate.prompt.positive for picture in pictures if picture.path is not None}
