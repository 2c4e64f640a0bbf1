"""Pictures that show what a loss does not: the same prompts and seeds by the model at each validation, and at its end.

captions of held-out photos → model as it is → samples/*.png → critic: how like those photos? what is overfitted?
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ...checkpoints.single_file import open_pipeline
from ...core.errors import InputError
from ...core.files import make_folder, write_whole
from ...core.progress import Pace, Progress, ProgressCallback
from ..data.captions import caption_of, without_trigger
from ..model.adapters import adapters_disabled
from .sampling import SampleRequest, draw, reported

if TYPE_CHECKING:
    from PIL import Image

    from ..config import TrainConfig
    from ..data.sample import Dataset, Sample
    from .trained_model import TrainedModel

FOLDER = "samples"
AT_THE_END = 12  # pictures of each kind: their mean is known to a third of one picture's spread


@dataclass(frozen=True)
class Gallery:
    """What base and tuned model draw of the same prompts and seeds; row i of each belongs to photos[i]."""

    photos: tuple[Path, ...]  # whose captions were drawn
    training: tuple[Path, ...]
    base: tuple[Image.Image, ...]
    tuned: tuple[Image.Image, ...]
    base_plain: tuple[Image.Image, ...]  # by the same prompts without the trigger; empty where there is no trigger
    tuned_plain: tuple[Image.Image, ...]


class Critic(Protocol):
    """Looks at pictures for the trainer, which does not know how."""

    @property
    def key(self) -> str:
        """The names of encoder and calibration: figures with the same key are comparable."""

    def look(
        self, pictures: Sequence[Image.Image], photos: Sequence[Path], training: Sequence[Path]
    ) -> Sequence[Mapping[str, float]]:
        """Each picture's figures by name: `similarity`, 0 … 1, with its photo; others as `choice.FIGURES` names them.

        `unclipped`, where it is given, is the same similarity beyond 0 … 1.
        """

    def signs(self, gallery: Gallery) -> dict[str, Any]:
        """Signs of overfitting, as JSON; `warnings` are sentences for people."""


@dataclass
class Samples:
    """A run's pictures: what is drawn, who judges, and what was drawn so far (rows of train.json)."""

    critic: Critic
    folder: Path  # of the run
    requests: tuple[SampleRequest, ...]  # at each validation
    last_requests: tuple[SampleRequest, ...]  # at the end, by base and tuned model
    trigger: str
    training: tuple[Path, ...]
    taken: list[dict[str, Any]] = field(default_factory=list)
    written_requests: tuple[SampleRequest, ...] = ()  # of the file of prompts, drawn at each validation and not judged

    @classmethod
    def of(cls, config: TrainConfig, data: Dataset, critic: Critic | None, folder: Path) -> Samples | None:
        """Held-out photos' captions; without such photos those of training. None: no critic, or no pictures wanted."""
        if critic is None or not config.validation.pictures:
            return None
        trained_on = tuple(sample for sample in data.samples if not sample.prior)
        photos = data.held_out or trained_on
        at_each = _requests(config, photos, config.validation.pictures)
        last = _requests(config, photos, AT_THE_END)
        training = tuple(sample.path for sample in trained_on)
        written: tuple[SampleRequest, ...] = ()
        if config.validation.prompts_file is not None:
            rows = read_prompts(config.validation.prompts_file)
            written = tuple(
                SampleRequest(prompt, config.seed if seed is None else seed, photos[index % len(photos)])
                for index, (prompt, seed) in enumerate(rows)
            )
        return cls(critic, folder, at_each, last, config.data.trigger, training, written_requests=written)

    @property
    def prompts(self) -> list[str]:
        """All that is ever drawn, for encoding it before the text encoders go."""
        requests = (*self.requests, *self.last_requests, *self.plain_requests, *self.written_requests)
        return list(dict.fromkeys(["", *(request.prompt for request in requests)]))

    @property
    def plain_requests(self) -> tuple[SampleRequest, ...]:
        """Those of the end without the trigger; empty where there is no trigger."""
        if not self.trigger:
            return ()
        return tuple(
            SampleRequest(without_trigger(request.prompt, self.trigger), request.seed, request.photo)
            for request in self.last_requests
        )

    def take(self, model: TrainedModel, step: int, progress: ProgressCallback) -> None:
        """Draws, judges and keeps the pictures of a validation; the same again if it has to be repeated."""
        pictures = draw(model, self.requests, drawn=reported(progress, len(self.requests)))
        photos = [request.photo.path for request in self.requests]
        figures = self.critic.look(pictures, photos, self.training)
        for index, (request, picture, by_name) in enumerate(zip(self.requests, pictures, figures, strict=True)):
            file = self._write(f"step-{step:06d}-{index}.png", picture)
            rounded = {name: round(value, 4) for name, value in by_name.items()}
            values = {"step": step, "seed": request.seed, **rounded}
            self.taken.append({"file": f"{FOLDER}/{file.name}", "prompt": request.prompt, **values})
            message = f"similarity {100 * by_name['similarity']:.0f} of 100"
            progress(Progress("sample", index + 1, len(self.requests), message, picture=file, values=values))
        self._take_written(model, step, progress)

    def _take_written(self, model: TrainedModel, step: int, progress: ProgressCallback) -> None:
        """Draws the prompts of the file; their pictures have no photo that they could be compared with."""
        count = len(self.written_requests)
        pictures = draw(model, self.written_requests) if count else []
        for index, (request, picture) in enumerate(zip(self.written_requests, pictures, strict=True)):
            file = self._write(f"step-{step:06d}-prompt-{index}.png", picture)
            values = {"step": step, "seed": request.seed}
            self.taken.append({"file": f"{FOLDER}/{file.name}", "prompt": request.prompt, **values})
            progress(Progress("sample", index + 1, count, request.prompt, picture=file, values=values))

    def best_of(self, step: int) -> Path | None:
        """The picture of that validation most like its photo; None where nothing was drawn, or nothing is left."""
        judged = [row for row in self.taken if row["step"] == step and "similarity" in row]
        there = [row for row in judged if (self.folder / row["file"]).is_file()]
        best = max(there, key=lambda row: row["similarity"], default=None)
        return self.folder / best["file"] if best else None

    def signs(self, model: TrainedModel, progress: ProgressCallback) -> dict[str, Any]:
        """Signs of overfitting, by the weights as they are now."""
        plain = self.plain_requests
        pace = Pace("signs", 2 * (len(self.last_requests) + len(plain)), progress)

        def drawn(kind: str, requests: Sequence[SampleRequest]) -> tuple[Image.Image, ...]:
            before = pace.done
            pictures = draw(model, requests, drawn=lambda count: pace.advance(before + count - pace.done))
            for index, picture in enumerate(pictures):
                file = self._write(f"end-{index:02d}-{kind}.png", picture)
                progress(Progress("signs", pace.done, pace.total, picture=file))
            return tuple(pictures)

        tuned, tuned_plain = drawn("tuned", self.last_requests), drawn("tuned-plain", plain)
        with _base_weights(model):
            base, base_plain = drawn("base", self.last_requests), drawn("base-plain", plain)
        photos = tuple(request.photo.path for request in self.last_requests)
        return self.critic.signs(Gallery(photos, self.training, base, tuned, base_plain, tuned_plain))

    def _write(self, name: str, picture: Image.Image) -> Path:
        data, file = io.BytesIO(), self.folder / FOLDER / name
        picture.save(data, "PNG")
        make_folder(file.parent)
        write_whole(file, data.getvalue())
        return file


def read_prompts(file: Path) -> list[tuple[str, int | None]]:
    """Prompt and seed of each line of a file of sample prompts, as sd-scripts has them; None: no seed was said.

    Empty lines and those behind a # are none. Of what stands behind the prompt, as in `a dress --w 512 --d 7`, the
    seed (--d) is taken: size and sampler are the run's. InputError for a file that can't be read, or without a prompt.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"the sample prompts can't be read: {why}", where=str(file), to_try="a text file") from error
    rows: list[tuple[str, int | None]] = []
    for line in lines:
        prompt, *settings = (part.strip() for part in re.split(r"(?:^|\s)--(?=[a-z]+\s)", line))
        if prompt and not prompt.startswith("#"):
            seed = next((setting[2:].strip() for setting in settings if setting.startswith("d ")), "")
            rows.append((prompt, int(seed) if seed.isdecimal() else None))
    if not rows:
        raise InputError("there is no prompt in this file", where=str(file), to_try="a prompt a line")
    return rows


def _requests(config: TrainConfig, photos: Sequence[Sample], count: int) -> tuple[SampleRequest, ...]:
    """`count` pictures of the photos' captions in turn; a photo's second one has another seed."""
    rows = [(photos[index % len(photos)], index // len(photos)) for index in range(count)]
    return tuple(SampleRequest(caption_of(photo, config.data), config.seed + turn, photo) for photo, turn in rows)


@contextmanager
def _base_weights(model: TrainedModel) -> Iterator[None]:
    """Inside `with`, the model is the base model again; a full fine-tune reads its weights from their files."""
    if model.config.method == "lora":
        with adapters_disabled(model.base):
            yield
        return
    unet = model.base.unet
    tuned = {name: tensor.to("cpu", copy=True) for name, tensor in unet.state_dict().items()}
    unet.load_state_dict(open_pipeline(model.base.source, unet.dtype).unet.state_dict())
    try:
        yield
    finally:
        unet.load_state_dict(tuned)
