"""What one visit of a photo says: trigger, kept and shuffled parts, dropout."""

from __future__ import annotations

import re
from collections.abc import Iterable
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .config import DataConfig
    from .sample import Sample


def caption_of(sample: Sample, config: DataConfig, rng: Random | None = None) -> str:
    """What a visit of `sample` says; without `rng` the whole caption, as validation uses it.

    The trigger comes first and stays there, before `keep_tokens` parts that stay too; a caption that has it among its
    words is left as it is. Dropout leaves out everything, trigger included: guidance needs pictures without words.
    Prior pictures have no trigger.
    """
    if rng is not None and rng.random() < config.caption_dropout:
        return ""
    parts = _parts(sample.caption, config)
    trigger = [] if sample.prior or not config.trigger else [config.trigger]
    if trigger and config.trigger in parts:
        parts.remove(config.trigger)
    elif trigger and _says(sample.caption, config.trigger):
        trigger = []
    if rng is not None and config.shuffle_captions:
        kept, rest = parts[: config.keep_tokens], parts[config.keep_tokens :]
        # Random.shuffle may change with Python's version, the numbers of random() may not.
        parts = [*kept, *sorted(rest, key=lambda _: rng.random())]
    return f"{config.caption_separator.rstrip()} ".join([*trigger, *parts])


def without_trigger(caption: str, trigger: str) -> str:
    """The same words without the trigger, whether it is a part of its own or among others."""
    alone = re.sub(rf"(?<!\w){re.escape(trigger)}(?!\w)[,\s]*", "", caption)
    return re.sub(r"\s+", " ", alone).strip(", ")


def possible_captions(samples: Iterable[Sample], config: DataConfig) -> list[str] | None:
    """Every text that visits can say, for encoding them all beforehand; None where shuffling makes too many."""
    if config.shuffle_captions:
        return None
    captions = dict.fromkeys(caption_of(sample, config) for sample in samples)
    return list(captions | ({"": None} if config.caption_dropout else {}))


def _parts(caption: str, config: DataConfig) -> list[str]:
    return [part for piece in caption.split(config.caption_separator) if (part := piece.strip())]


def _says(caption: str, trigger: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(trigger)}(?!\w)", caption) is not None
