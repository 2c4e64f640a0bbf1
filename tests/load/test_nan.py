"""A thousand trainings into which numbers that are none are put: nothing of them is ever exported or goes on.

`MODISTE_NAN_RUNS` says how many, 1,000 without it; `-s` shows what came of them.
"""

from __future__ import annotations

import json
import math
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from train_samples import config, draw_photos, run_of, tiny_base

from modiste.core.errors import InputError, Stopped
from modiste.core.progress import Progress
from modiste.trainer.loop.checkpoint import newest_manifest, verify, whole_checkpoints
from modiste.trainer.results import LORA_FILE, MODEL_FOLDER, RECORD, finish
from modiste.trainer.run import CHECKPOINTS, TrainingRun
from modiste.trainer.train import take_steps

RUNS = int(os.environ.get("MODISTE_NAN_RUNS", 1000))
STEPS = 6
VALUES = (math.nan, math.inf, -math.inf, 1e38)  # the last is finite, and so is its float32 square not
KINDS: dict[str, dict[str, Any]] = {
    "LoRA": {},
    "LoRA, averaged, files on the way": {"ema": 0.9, "files_every": 2},
    "LoRA, text encoder, held-out photos": {
        "network": {"rank": 4, "text_rank": 2},
        "data": {"held_out": 0.25, "held_out_least": 1},
        "validation": {"every": 2, "timesteps": 2, "most": 1},
    },
    "LoRA, adafactor": {"optimizer": "adafactor"},
    "full": {"method": "full", "learning_rate": 1e-4},
    "full, averaged, bfloat16": {"method": "full", "learning_rate": 1e-4, "ema": 0.9, "precision": "bf16"},
}


@dataclass
class Injection:
    """One place of a run where a bad value is put behind step `at`, for `lasting` steps."""

    dice: random.Random
    run: TrainingRun
    at: int = 0
    lasting: int = 0
    value: float = 0.0
    hooks: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.at = self.dice.randrange(STEPS)
        self.lasting = self.dice.choice((1, 1, STEPS))
        self.value = self.dice.choice(VALUES)

    def due(self) -> bool:
        """Whether the loop is at a step of the injection's; `loop.step` counts those that are done."""
        return self.at <= self.run.loop.step < self.at + self.lasting

    def spoil(self, tensor: torch.Tensor) -> None:
        """Puts the value into one of the tensor's numbers."""
        with torch.no_grad():
            tensor.view(-1)[self.dice.randrange(tensor.numel())] = self.value

    def latents(self) -> None:
        """The posterior of one photo, or of all, as the loop reads it."""
        files, samples = self.run.model.latents.files, self.run.data.samples
        for sample in samples if self.lasting > 1 else [self.dice.choice(samples)]:
            tensors = {name: tensor.clone() for name, tensor in self.run.model.latents._tensors(sample, False).items()}
            self.spoil(tensors["mean"])
            files._held[files.path_of(self.run.model.latents._key(sample, False))] = tensors

    def loss(self) -> None:
        """What the UNet says, and so the loss."""

        def spoiled(module: Any, arguments: Any, output: Any) -> Any:
            return type(output)(sample=output.sample * self.value) if self.due() else output

        self.hooks.append(self.run.model.base.unet.register_forward_hook(spoiled))

    def gradients(self) -> None:
        """The gradient of one parameter, whose loss is finite."""

        def spoiled(gradient: torch.Tensor) -> torch.Tensor:
            if self.due():
                gradient = gradient.clone()
                self.spoil(gradient)
            return gradient

        self.hooks.append(self.dice.choice(list(self.run.model.parameters.values())).register_hook(spoiled))

    def weights(self) -> None:
        """A trained weight, between a step and its validation, file and checkpoint."""
        self.spoil(self.dice.choice(list(self.run.model.parameters.values())).data)

    def frozen_weights(self) -> None:
        """A weight of the base model, which no step repairs."""
        trained = {id(parameter) for parameter in self.run.model.parameters.values()}
        frozen = [p for p in self.run.model.base.unet.parameters() if id(p) not in trained]
        self.spoil(self.dice.choice(frozen or list(self.run.model.base.unet.parameters())).data)

    def optimizer_state(self) -> None:
        """A moment of the optimizer, at the same instant."""
        slots = self.run.optimization.optimizer.state.values()
        tensors = [t for slot in slots for t in slot.values() if torch.is_tensor(t) and t.numel() > 1]
        self.spoil(self.dice.choice(tensors))

    def average(self) -> None:
        """A weight's moving average; a trained weight where there is none."""
        averages = list(self.run.optimization.ema.values())
        self.spoil(self.dice.choice(averages)) if averages else self.weights()

    def behind_a_step(self, put: Callable[[], None]) -> Callable[[Progress], None]:
        """`put` as a listener to progress, which a loop reports to behind its step."""

        def listen(now: Progress) -> None:
            if now.stage == "train" and now.done == self.at + 1 and not self.hooks:
                self.hooks.append(None)
                put()

        return listen

    def __call__(self, place: str) -> Callable[[Progress], None]:
        """Begins the injection; returns what the loop's progress goes to."""
        if place in ("latents", "loss", "gradients"):
            getattr(self, place)()
            return lambda now: None
        return self.behind_a_step(getattr(self, place.replace(" ", "_")))

    def end(self) -> None:
        """Takes the hooks off."""
        for hook in filter(None, self.hooks):
            hook.remove()


PLACES = ("latents", "loss", "gradients", "weights", "frozen weights", "optimizer state", "average")


def floats(file: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a file that can hold what is no number."""
    yield from ((name, tensor) for name, tensor in load_file(file).items() if tensor.is_floating_point())


def not_finite(out: Path) -> list[str]:
    """Whatever is no number in any file under `out`, checkpoints and models on the way counted."""
    bad = [
        f"{file.relative_to(out)}: {name}"
        for file in out.rglob("*.safetensors")
        for name, tensor in floats(file)
        if not bool(tensor.isfinite().all())
    ]
    for file in out.rglob("*.json"):
        text = file.read_text(encoding="utf-8")
        bad += [f"{file.relative_to(out)}: {word}" for word in ("NaN", "Infinity") if word in text]
    return bad


def result_of(run: TrainingRun) -> Path:
    """What a run would export."""
    return run.folder / (LORA_FILE if run.config.method == "lora" else MODEL_FOLDER)


def end_of(run: TrainingRun, listen: Callable[[Progress], None]) -> str:
    """Trains to the end; how that ended, in a word."""
    try:
        take_steps(run, listen, lambda: False)
        finish(run)
    except Stopped as stopped:
        assert stopped.exit_code == 4
        assert not result_of(run).exists(), "what was stopped has left a result"
        return "stopped"
    except InputError as refused:
        assert "does not fit into float16" in str(refused) or run.config.method == "full"
        assert not result_of(run).exists(), "what was refused has left a result"
        return "refused"
    assert result_of(run).exists() and json.loads((run.folder / RECORD).read_text(encoding="utf-8"))
    return "exported"


@pytest.mark.load
def test_a_thousand_runs_with_numbers_that_are_none_export_only_finite_ones(tmp_path):
    base, photos = tiny_base(tmp_path / "base"), draw_photos(tmp_path / "photos", 5)
    counts: Counter[str] = Counter()
    for number in range(RUNS):
        dice, out = random.Random(number), tmp_path / "run"
        place, kind = PLACES[number % len(PLACES)], list(KINDS)[number // len(PLACES) % len(KINDS)]
        asked = {"steps": STEPS, "batch_size": 1, "save_every": 1, **KINDS[kind]}
        run = run_of(config(base, photos, **asked), out)
        injection = Injection(dice, run)
        told = f"run {number}: {injection.value} into {place} behind step {injection.at} of {kind}"
        end = end_of(run, injection(place))
        injection.end()
        assert not (bad := not_finite(out)), f"{told} ({end}) left {bad}"
        kept = whole_checkpoints(out / CHECKPOINTS)
        assert all(verify(checkpoint) for checkpoint in kept), told
        counts[f"{place}: {end}"] += 1
        if number % 20 == 19:
            print(f"{number + 1} runs, nothing that is not finite", flush=True)
        if end == "stopped" and number % 5 == 0:  # the same command goes on from what is good, or begins anew
            manifest = newest_manifest(out / CHECKPOINTS)
            again = run_of(config(base, photos, **asked), out)
            assert again.loop.step == (manifest["step"] if manifest else 0), told
            assert end_of(again, lambda now: None) == "exported", f"{told} does not go on"
            assert not not_finite(out), told
            counts["went on"] += 1
        for file in sorted(out.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
    print(json.dumps(counts, indent=1))
    assert sum(count for name, count in counts.items() if name != "went on") == RUNS
    assert all(counts[f"{place}: stopped"] for place in PLACES)
