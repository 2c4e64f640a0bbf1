"""Trainings of the embedded model that keep a file every few steps, and what each file is worth on unseen garments.

OUT/SEED/photos       the collection of a brand, another one for each seed
OUT/SEED/training     its training; steps/ has the files
OUT/SEED/truth.json   step → scores on garments that the training never saw, on seeds by which nothing was chosen
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from ..core.files import write_whole
from ..fashion.photos import Photo
from ..hosts.request import GenerationRequest, LoraRef
from ..routes.compare.compare import prompts_of
from ..routes.compare.settings import CompareSettings
from ..routes.compare.tuned import open_tuned
from ..routes.finetune.finetune import config_for, finetune

if TYPE_CHECKING:
    from ..models.session import Session
    from ..trainer.config import TrainConfig

TRIGGER = "vesper"
PHOTOS = 40  # of which a fifth is held out
STEPS, EVERY, GARMENTS = 900, 60, 48


@dataclass(frozen=True)
class SeedFolder:
    """The folder of one seed: its photos, its training, and what is known of its files."""

    path: Path
    seed: int

    @property
    def photos(self) -> Path:
        """The collection."""
        return self.path / "photos"

    @property
    def training(self) -> Path:
        """The run folder of the trainer."""
        return self.path / "training"

    @property
    def record(self) -> dict[str, Any]:
        """The training's train.json."""
        return json.loads((self.training / "train.json").read_text(encoding="utf-8"))

    @property
    def files(self) -> dict[int, Path]:
        """Step → its file, in the order of steps."""
        return {row["step"]: self.training / row["file"] for row in self.record["files"]}

    @property
    def least_loss(self) -> int:
        """The step of the least loss on the photos held out."""
        rows = [row for row in self.record["validation"] if row["step"]]
        return min(rows, key=lambda row: row["loss"])["step"]

    def config(self, session: Session, steps: int, every: int, **validation: Any) -> TrainConfig:
        """A training of this seed that keeps a file and validates every so many steps."""
        fields = {"steps": steps, "seed": self.seed, "device": "cpu", "files_every": every, "save_every": every * 5}
        looks = {"every": every, "patience": 0, "pictures": 0, **validation}
        return config_for(session.preset, [self.photos], fields, {"data": {"trigger": TRIGGER}, "validation": looks})


@dataclass(frozen=True)
class Worth:
    """What a step's pictures of unseen garments are worth: unclipped scores and the judge's, garment by garment."""

    score: tuple[float, ...]
    judge: tuple[float, ...]


def trained(out: Path, seed: int, session: Session, steps: int, every: int) -> SeedFolder:
    """The folder of a seed with its finished training, which is begun or gone on with where it is not."""
    from ..mini.examples import brand_collection, write_folder

    folder = SeedFolder(out / str(seed), seed)
    if not folder.photos.is_dir():
        write_folder(
            folder.photos, brand_collection(PHOTOS, seed=100 + seed), f"seed{seed}", "Drawn by this project.\n"
        )
    if not (folder.training / "train.json").is_file():
        say(f"seed {seed}: training")
        finetune(folder.config(session, steps, every, choose="loss"), folder.training, session.preset, device="cpu")
    return folder


def unseen_photos(seed: int, count: int) -> list[Photo]:
    """Photos of the brand's further garments."""
    from ..mini.examples import brand_collection
    from ..mini.photo import sample_photo
    from ..mini.renderer import render

    rng = Random(f"bench-unseen-{seed}")
    garments = brand_collection(count, seed=10_000 + seed)
    return [
        Photo(Path(f"unseen-{index:03d}"), render(garment, sample_photo(rng), 192), f"{seed:032x}{index:032x}")
        for index, garment in enumerate(garments)
    ]


def worth_of(folder: SeedFolder, steps: Sequence[int], session: Session, garments: int) -> dict[int, Worth]:
    """What each of these steps is worth on the same garments and seeds; what truth.json has is not drawn again."""
    file = folder.path / f"truth-{garments}.json"
    known: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    missing = [step for step in dict.fromkeys(steps) if str(step) not in known]
    if missing:
        photos = unseen_photos(folder.seed, garments)
        settings = CompareSettings.for_session(session, open_tuned(folder.files[missing[0]]), seed=folder.seed)
        pairs = prompts_of(photos, session, settings)
        rng = Random(f"bench-worth-{folder.seed}")
        seeds = [rng.getrandbits(32) for _ in photos]
        for step in missing:
            say(f"seed {folder.seed}: {garments} unseen garments by step {step}")
            lora = LoraRef(name=folder.files[step].stem, path=folder.files[step].resolve())
            requests = [
                GenerationRequest(
                    prompt=pair.prompts["tuned"].positive,
                    negative_prompt=pair.prompts["tuned"].negative,
                    seed=seed,
                    loras=(lora,),
                    **settings.drawing,
                )
                for pair, seed in zip(pairs, seeds, strict=True)
            ]
            known[str(step)] = _scored(session, photos, requests)
            write_whole(file, json.dumps(known).encode())
    return {step: Worth(tuple(known[str(step)]["score"]), tuple(known[str(step)]["judge"])) for step in steps}


def _scored(session: Session, photos: Sequence[Photo], requests: Sequence[GenerationRequest]) -> dict[str, list[float]]:
    vision = session.vision
    assert vision.judge is not None  # the embedded preset has one
    pictures = {result.request: result.image for result in session.host.generate(requests)}
    rows = [(photo.image, pictures[request]) for photo, request in zip(photos, requests, strict=True)]
    return {
        "score": [vision.scorer.score([picture], photo)[0].unclipped for photo, picture in rows],
        "judge": [vision.judge.score([picture], photo)[0].unclipped for photo, picture in rows],
    }


def say(line: str) -> None:
    """Progress, beside the result."""
    print(line, file=sys.stderr, flush=True)
