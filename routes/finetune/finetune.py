"""The training route from a folder of photos: the tagger's captions, the trainer, the file.

photos → captions (what belongs to the brand is left to the trigger word) → trainer/train.py → file and train.json
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ...core.progress import Progress, ProgressCallback, silent
from ...trainer.config import TrainConfig, read_config
from .stopping import heard_between_steps
from .watching import watched

if TYPE_CHECKING:
    from ...fashion.photos import Photo
    from ...fashion.tagger import Tagger
    from ...models.presets import Preset
    from ...models.vision import VisionModels
    from ...trainer.data.sd_scripts_toml import DatasetFile
    from ...trainer.results import TrainResult
    from .overfitting import MemorisationCritic

ENGINES = ("diffusers", "kohya")  # our own loop; sd-scripts, which `install.py kohya` brings
READ_SIDE = 2  # times the resolution: a portrait's short side is still as wide as its bucket
# What a run on a preset's model begins with, where nothing else is asked for.
DEFAULTS: dict[str, dict[str, Any]] = {
    "mini": {"steps": 500, "learning_rate": 1e-3, "data": {"resolution": 64, "held_out": 0.2}},
    "sd15": {"steps": 1500, "learning_rate": 1e-4, "data": {"resolution": 512, "held_out": 0.15}},
    "sdxl": {"steps": 1500, "learning_rate": 1e-4, "data": {"resolution": 1024, "held_out": 0.15}},
}
FULL_RATE = 0.1  # of a LoRA's learning rate, where all weights move


def config_for(preset: Preset, folders: Sequence[Path], *overrides: dict[str, Any]) -> TrainConfig:
    """The preset's defaults, overridden field by field by each of `overrides` (nested, as in TrainConfig), the last
    first; None means the default. A dataset config of sd-scripts in the folders' place comes before the defaults.
    InputError names each field that is wrong."""
    folders, fields = dataset_fields(folders)
    for override in overrides:
        fields = merged(fields, override)
    drawing = {"picture_steps": preset.steps, "cfg_scale": preset.cfg_scale}
    base = {"base": preset.checkpoint, "prediction": preset.prediction}
    defaults = {**DEFAULTS[preset.name], **base, "validation": drawing}
    if fields.get("method") == "full":
        defaults["learning_rate"] *= FULL_RATE
    return read_config(merged(merged(defaults, fields), {"data": {"folders": [str(folder) for folder in folders]}}))


def dataset_fields(folders: Sequence[Path]) -> tuple[list[Path], dict[str, Any]]:
    """The folders, and no fields; or those of the one dataset config (TOML) that stands in their place."""
    file = dataset_file(folders)
    if file is None:
        return list(folders), {}
    data = {name: value for name, value in file.fields.items() if name != "folders"}
    return [Path(folder) for folder in file.fields["folders"]], {"batch_size": file.batch_size, "data": data}


def dataset_file(folders: Sequence[Path]) -> DatasetFile | None:
    """The dataset config of sd-scripts that stands in the folders' place, read; None where there are folders."""
    from ...trainer.data.sd_scripts_toml import read_dataset_file

    if not any(folder.suffix.lower() == ".toml" and folder.is_file() for folder in folders):
        return None
    if len(folders) > 1:
        raise InputError(
            "a dataset config says all of the data", where=str(folders[0]), to_try="that file alone, or folders"
        )
    return read_dataset_file(folders[0])


def finetune(
    config: TrainConfig,
    out: Path,
    preset: Preset | None = None,
    progress: ProgressCallback = silent,
    stop: Callable[[], bool] = lambda: False,
    bound: Sequence[str] | None = None,
    device: str = "auto",
    engine: str = "diffusers",
) -> TrainResult:
    """Trains, or goes on; photos without a caption get one from the preset's tagger, which is opened only then.

    With a preset whose encoder is on this machine, pictures are drawn on the way, scored, and looked at for signs of
    overfitting. `bound`: groups of the vocabulary that captions leave to the trigger; None: those that it binds.
    """
    from ...fashion.photos import garment_of, read_photo
    from ...trainer.kohya.train import refuse_mixed, train_with_kohya
    from ...trainer.train import train

    refuse_engine(engine)
    refuse_mixed(out, engine)
    opened = cache(partial(_tagger, preset, device))
    tag = partial(captions_of, opened=opened, trigger=config.data.trigger, bound=bound)
    read = partial(read_photo, side=READ_SIDE * config.data.resolution)
    critic = _critic(preset, config, opened, progress, device) if preset and engine == "diffusers" else None
    run = partial(train, critic=critic) if engine == "diffusers" else train_with_kohya
    run = partial(run, garment=garment_of)
    with watched(config, out, progress) as told:
        told = heard_between_steps(told, stop, out) if engine == "diffusers" else told  # sd-scripts is told by signal
        return run(config, out, read, tag if preset else None, told, stop)


def finetune_captioned(
    config: TrainConfig,
    out: Path,
    vision: VisionModels,
    progress: ProgressCallback = silent,
    stop: Callable[[], bool] = lambda: False,
) -> TrainResult:
    """The same on photos that all have captions, by models that are open already: they score the pictures."""
    from ...fashion.photos import garment_of, read_photo
    from ...trainer.train import train
    from .overfitting import MemorisationCritic

    read = partial(read_photo, side=READ_SIDE * config.data.resolution)
    critic = MemorisationCritic(lambda: vision.scorer, lambda: vision.tagger.finder, lambda: vision.judge)
    with watched(config, out, progress) as told:
        return train(config, out, read, None, heard_between_steps(told, stop, out), stop, critic, garment_of)


def captions_of(
    photos: Sequence[Photo], opened: Callable[[], Tagger], trigger: str, bound: Sequence[str] | None
) -> list[str]:
    """Each photo's caption from the tagger's tags, by the caption policy; `opened` gives the tagger."""
    from ...fashion.prompts.captions import caption_of

    tagger = opened()
    return [caption_of(tags, tagger.taxonomy, trigger, bound) for tags in tagger.tag([photo.image for photo in photos])]


def _tagger(preset: Preset, device: str) -> Tagger:
    from ...models.vision import open_tagger

    return open_tagger(preset, device)


def _critic(
    preset: Preset, config: TrainConfig, opened: Callable[[], Tagger], progress: ProgressCallback, device: str
) -> MemorisationCritic | None:
    """Who judges the pictures of a run, by the tagger's encoder; None where none are drawn or it is not here."""
    from ...models.presets import missing_weights
    from ...models.vision import open_judge, scorer_of
    from .overfitting import MemorisationCritic

    if not config.validation.pictures and config.validation.choose != "pictures":
        return None
    if "encoder" in missing_weights(preset):
        progress(Progress("model", 0, 1, f"no sample pictures: {preset.encoder} is not on this machine to score them"))
        return None
    return MemorisationCritic(
        lambda: scorer_of(preset, opened()), lambda: opened().finder, lambda: open_judge(preset, device)
    )


def refuse_engine(engine: str) -> None:
    """InputError for an engine of another name; MissingEngine for one that is not installed."""
    if engine not in ENGINES:
        raise InputError(f"there is no engine {engine!r}", to_try=f"one of {', '.join(ENGINES)}")
    if engine == "kohya":
        from ...trainer.kohya.engine import require_engine

        require_engine()


def refuse_fresh(out: Path) -> None:
    """InputError where `--resume` was asked for and there is nothing to go on with."""
    from ...trainer.kohya.train import has_state
    from ...trainer.loop.checkpoint import whole_checkpoints
    from ...trainer.run import CHECKPOINTS

    if not whole_checkpoints(out / CHECKPOINTS) and not has_state(out):
        raise InputError(
            "there is no checkpoint to go on with", where=str(out / CHECKPOINTS), to_try="leave out --resume"
        )


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`base` with the fields of `over` in their place, nested ones field by field; None changes nothing."""
    result = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        elif value is not None:
            result[key] = value
    return result
