"""A run in TensorBoard, Weights & Biases and the like: accelerate's trackers, fed with the trainer's reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError
from ..core.suggestions import did_you_mean

if TYPE_CHECKING:
    from ..core.progress import Progress
    from .config import TrainConfig

FOLDER = "logs"  # of trackers that write files
WITH_PICTURES = ("tensorboard", "wandb")  # whose way to take pictures is known here
PACKAGES = {"comet_ml": "comet_ml", "tensorboard": "tensorboard", "wandb": "wandb"}


@dataclass
class Trackers:
    """The trackers of a run, opened; without any it does nothing."""

    opened: Sequence[Any] = ()
    _pictures: dict[int, int] = field(default_factory=dict)  # step → pictures that were logged of it

    @classmethod
    def of(cls, config: TrainConfig, out: Path) -> Trackers:
        """Those that `config.log` names; InputError for one that accelerate does not know, or that is not installed."""
        if not config.log:
            return cls()
        from accelerate import PartialState
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

        PartialState(cpu=config.device == "cpu")
        available = {str(getattr(tracker, "value", tracker)) for tracker in get_available_trackers()}
        opened = []
        for name in dict.fromkeys(config.log):
            if name not in LOGGER_TYPE_TO_CLASS:
                raise InputError(f"there is no tracker {name!r}", to_try=did_you_mean(name, list(LOGGER_TYPE_TO_CLASS)))
            if name not in available:
                package = PACKAGES.get(name, name)
                raise InputError(f"the tracker {name} is not installed", to_try=f"pip install {package}, or no --log")
            kind: Any = LOGGER_TYPE_TO_CLASS[name]
            tracker = kind(config.title, str(out / FOLDER)) if kind.requires_logging_directory else kind(config.title)
            if hasattr(tracker, "start"):
                tracker.start()
            tracker.store_init_configuration(_flat(config.model_dump(mode="json")))
            opened.append(tracker)
        return cls(tuple(opened))

    def take(self, now: Progress) -> None:
        """Logs what a report has measured, under its stage's name and at its step."""
        if not self.opened or not now.values:
            return
        step = int(now.values.get("step", now.done))
        figures = {f"{now.stage}/{name}": value for name, value in now.values.items() if name not in ("step", "seed")}
        for tracker in self.opened:
            if figures:
                tracker.log(figures, step=step)
            if now.picture is not None and tracker.name in WITH_PICTURES:
                self._log_picture(tracker, now.picture, step)

    def finish(self) -> None:
        """Closes them: what they still hold is written."""
        for tracker in self.opened:
            tracker.finish()

    def _log_picture(self, tracker: Any, picture: Path, step: int) -> None:
        import numpy as np
        from PIL import Image

        index = self._pictures[step] = self._pictures.get(step, -1) + 1
        with Image.open(picture) as image:
            pixels = np.asarray(image.convert("RGB"))[None]
        more = {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
        tracker.log_images({f"sample/{index}": pixels}, step=step, **more)


def _flat(values: Any, prefix: str = "") -> dict[str, bool | int | float | str]:
    """Nested settings as `data.resolution`: plain values, others as text; what is not set is left out."""
    if isinstance(values, dict):
        return {name: value for key, inner in values.items() for name, value in _flat(inner, f"{prefix}.{key}").items()}
    if values is None:
        return {}
    plain = values if isinstance(values, bool | int | float | str) else str(values)
    return {prefix.lstrip("."): plain}
