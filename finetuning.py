"""The training route from a folder of photos: the tagger's captions, the trainer, the file.

photos → captions (what belongs to the brand is left to the trigger word) → trainer/train.py → file and train.json
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import InputError
from .progress import ProgressCallback, silent
from .trainer.config import TrainConfig, read_config

if TYPE_CHECKING:
    from .fashion.photos import Photo
    from .fashion.tagger import Tagger
    from .presets import Preset
    from .trainer.results import TrainResult

READ_SIDE = 2  # times the resolution: a portrait's short side is still as wide as its bucket
# What a run on a preset's model begins with, where nothing else is asked for.
DEFAULTS: dict[str, dict[str, Any]] = {
    "mini": {"steps": 500, "learning_rate": 1e-3, "data": {"resolution": 64, "held_out": 0.2}},
    "sd15": {"steps": 1500, "learning_rate": 1e-4, "data": {"resolution": 512, "held_out": 0.15}},
    "sdxl": {"steps": 1500, "learning_rate": 1e-4, "data": {"resolution": 1024, "held_out": 0.15}},
}
FULL_RATE = 0.1  # of a LoRA's learning rate, where all weights move


def config_for(preset: Preset, folders: Sequence[Path], *asked: dict[str, Any]) -> TrainConfig:
    """The preset's defaults, overridden field by field by each of `asked` (nested, as in TrainConfig), the last first;
    None means the default. InputError names each field that is wrong."""
    wanted: dict[str, Any] = {}
    for one in asked:
        wanted = _merged(wanted, one)
    defaults = {**DEFAULTS[preset.name], "base": preset.checkpoint}
    if wanted.get("method") == "full":
        defaults["learning_rate"] *= FULL_RATE
    return read_config(_merged(_merged(defaults, wanted), {"data": {"folders": [str(one) for one in folders]}}))


def finetune(
    config: TrainConfig,
    out: Path,
    preset: Preset | None = None,
    progress: ProgressCallback = silent,
    stop: Callable[[], bool] = lambda: False,
    bound: Sequence[str] | None = None,
    device: str = "auto",
) -> TrainResult:
    """Trains, or goes on; photos without a caption get one from the preset's tagger, which is opened only then.

    `bound`: groups of the vocabulary that captions leave to the trigger; None: those that it binds.
    """
    from .fashion.photos import read_photo
    from .trainer.train import train

    tag = partial(captions_of, opened=cache(partial(_tagger, preset, device)), trigger=config.data.trigger, bound=bound)
    read = partial(read_photo, side=READ_SIDE * config.data.resolution)
    return train(config, out, read, tag if preset else None, progress, stop)


def captions_of(
    photos: Sequence[Photo], opened: Callable[[], Tagger], trigger: str, bound: Sequence[str] | None
) -> list[str]:
    """What the tagger says of each photo, by the caption policy; `opened` gives it."""
    from .fashion.tagging import caption_of

    tagger = opened()
    return [caption_of(tags, tagger.taxonomy, trigger, bound) for tags in tagger.tag([one.image for one in photos])]


def _tagger(preset: Preset, device: str) -> Tagger:
    from .studio import open_tagger

    return open_tagger(preset, device)


def refuse_fresh(out: Path) -> None:
    """InputError where `--resume` was asked for and there is nothing to go on with."""
    from .trainer.checkpoint import whole_checkpoints
    from .trainer.train import CHECKPOINTS

    if not whole_checkpoints(out / CHECKPOINTS):
        raise InputError(
            "there is no checkpoint to go on with", where=str(out / CHECKPOINTS), to_try="leave out --resume"
        )


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merged(merged[key], value)
        elif value is not None:
            merged[key] = value
    return merged
