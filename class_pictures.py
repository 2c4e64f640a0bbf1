"""The base model's own pictures of what the photos' words say, which must stay as they are while the look is learned.

The prior preservation of Ruiz et al., "DreamBooth: Fine Tuning Text-to-Image Diffusion Models for Subject-Driven
Generation" (CVPR 2023), §3.2: without them the look comes with every garment, trigger or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .bridge import plain
from .easel import Easel, Reference, Shot
from .fashion.renderers import render
from .progress import Pace, ProgressCallback
from .prompt_route import label_shares
from .search.seeds import seed_plan
from .search.strategies import Context

if TYPE_CHECKING:
    from .fashion.photos import Photo
    from .fashion.tags import PhotoTags
    from .prompt_route import PromptSettings
    from .studio import Studio


def draw_class(
    photos: Sequence[Photo],
    tags: Sequence[PhotoTags],
    strategy: str,
    studio: Studio,
    settings: PromptSettings,
    folder: Path,
    progress: ProgressCallback,
) -> dict[Path, str]:
    """One picture for each photo, of its words without the trigger: file → prompt.

    Begun again it draws what is missing. A picture that the host spoiled is left out.
    """
    from .runs.journal import Journal

    taxonomy, context = studio.eyes.taxonomy, Context(share=label_shares(tags))
    seeds = seed_plan(settings.seed, len(photos), 0).search
    write = partial(render, dialect=studio.host.dialect, count=studio.host.count_tokens)
    wanted = [
        (Reference(photo.image, photo.sha256), [Shot("class", write(plain(strategy, seen, taxonomy, context)), seed)])
        for photo, seen, seed in zip(photos, tags, seeds, strict=True)
    ]
    pace = Pace("class", len(wanted), progress)
    with Journal.open(folder, {"strategy": strategy, "seed": settings.seed, **settings.drawing}) as journal:
        easel = Easel(studio.host, journal, studio.eyes.scorer, settings.drawing, pace.step)
        easel.prepare(wanted)
        pictures = [picture for reference, shots in wanted for picture in easel.paint(reference, shots)]
    pace.reach(len(wanted))
    return {picture.path: picture.shot.prompt.positive for picture in pictures if picture.path is not None}
