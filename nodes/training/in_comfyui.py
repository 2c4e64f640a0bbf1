"""A training among ComfyUI's things: its checkpoints, its memory, its bar and events, its list of LoRAs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ...fashion.prompts.captions import caption_of
from ...models.presets import PRESETS
from ..choices import AUTO, EMBEDDED_MODEL, FASHION_CLIP, GRAPH_CHECKPOINT, MINI
from ..comfy.folders import LORAS, checkpoint_file, encoder_folders, input_root, lora_folder, photo_folder
from ..comfy.graph import checkpoint_of
from ..comfy.model_management import (
    NodeProgress,
    encoder_for,
    encoder_notice,
    free_memory,
    refuse_if_cancelled,
    require_encoder,
    vision_models_for,
)
from ..vision.batches import tag
from ..vision.encoders import encoder_folder
from .config import TrainingWidgets, config_of, preset_for
from .dataset import check_training_photos, content_of, require_one_source, write_pictures
from .publish import listed_name, loss_map, publish, refuse_lost_keys, tensors_of
from .run import LoraRun, finish, prepare, report, train

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from .history import History

DATASETS = "modiste_datasets"  # under ComfyUI's input
TRAINING, LORA_READY = "modiste.training", "modiste.lora_ready"


@dataclass(frozen=True)
class TrainingBase:
    """A checkpoint's file, None for the embedded model, with warnings for the report."""

    file: Path | None
    warnings: tuple[str, ...] = ()


def training_base(checkpoint: str, model: Any, prompt: dict[str, Any], node: str) -> TrainingBase:
    """The base that the `checkpoint` widget means; InputError where the graph does not show one."""
    if checkpoint == EMBEDDED_MODEL:
        return TrainingBase(None, ("the embedded model is for trying things out: its LoRA fits no other checkpoint",))
    if checkpoint != GRAPH_CHECKPOINT:
        return TrainingBase(checkpoint_file(checkpoint))
    require_base(checkpoint, bool(model))
    origin = checkpoint_of(prompt, node)
    return TrainingBase(checkpoint_file(origin.ckpt_name), tuple(filter(None, [origin.warning])))


def require_base(checkpoint: str | None, model: bool) -> None:
    """InputError where the graph's checkpoint is to be trained on and no model is connected."""
    if checkpoint == GRAPH_CHECKPOINT and not model:
        raise InputError(
            "there is no model whose checkpoint could be trained on",
            to_try="connect a model, or choose a checkpoint by its name",
        )


def check_photos(folder: str, encoder: str | None, images: bool) -> None:
    """InputError where photos come from two places or none, can't be used, or lack captions that `encoder` can't write.

    Checks of a graph's images wait for them; `encoder` None is a link.
    """
    require_one_source(folder, images)
    if not images:
        check_training_photos(photo_folder(folder), lambda: encoder is None or require_encoder(encoder))


def check_widgets(checkpoint: str | None, widgets: dict[str, Any]) -> None:
    """InputError where a checkpoint chosen by name can't be trained on, or a widget or a field of its JSON is wrong."""
    if checkpoint in (None, GRAPH_CHECKPOINT, EMBEDDED_MODEL):
        preset = PRESETS["mini" if checkpoint == EMBEDDED_MODEL else "sd15"]
    else:
        preset = preset_for(checkpoint_file(checkpoint))
    config_of(TrainingWidgets(**widgets), preset, [input_root()])


def write_dataset(pictures: list[Image.Image], captions: list[str] | None) -> Path:
    """Writes pictures of the graph, with their captions, into a folder named by their content."""
    folder = input_root() / DATASETS / content_of(pictures, captions)
    write_pictures(pictures, folder, captions)
    return folder


@dataclass(frozen=True)
class TrainedLora:
    """A published LoRA: its run, its file, the name in loaders' lists, and the figures."""

    run: str
    file: Path
    name: str
    losses: dict[str, list[float]]
    report: str
    best_step: int
    reason: str

    @cached_property
    def tensors(self) -> dict[str, torch.Tensor]:
        """The LoRA's tensors by key, as a LORA_MODEL link carries them."""
        return tensors_of(self.file)

    def apply_to(self, model: Any, strength: float) -> Any:
        """The model with the LoRA, applied by ComfyUI's own loader."""
        import comfy.sd

        return comfy.sd.load_lora_for_models(model, None, self.tensors, strength, 0)[0]

    def row(self) -> dict[str, Any]:
        """The result as the page's widget reads it."""
        return {"run": self.run, "file": self.name, "best_step": self.best_step, "reason": self.reason}


def train_and_publish(run: LoraRun, node: str, encoder: str, model: Any, warnings: Sequence[str]) -> TrainedLora:
    """Trains unless the run is finished, publishes the file, and verifies that every tensor of it loads."""
    import folder_paths
    from PIL import Image

    from server import PromptServer

    send = PromptServer.instance.send_sync
    if not run.finished:
        config = prepare(run, partial(_captions, encoder=encoder, trigger=run.options.trigger.strip()))
        free_memory()
        progress = NodeProgress(config.steps)

        def on_event(update: dict[str, Any], history: History) -> None:
            send(TRAINING, update)
            picture = history.newest_picture if update["sample"] else None
            progress.show(update["done"], update["total"], picture and Image.open(picture))

        train(run, config, node, _vision_arguments(run, encoder), refuse_if_cancelled, on_event)
    if run.checkpoint and (notice := encoder_notice(encoder)):
        warnings = [*warnings, f"{notice}; until then training draws no samples"]
    base = None if run.checkpoint else Path(run.preset.checkpoint)
    loading = refuse_lost_keys(run.trained, base, _lora_keys(model) if model and run.checkpoint else None)
    file = publish(run.trained, lora_folder(), run.options.name)
    name = listed_name(file, [Path(folder) for folder in folder_paths.get_folder_paths(LORAS)])
    result = run.result
    finish(run, node, name, result["config"]["steps"])
    send(LORA_READY, {"node": node, "run": run.id, "file": name, "reason": result["reason"]})
    return TrainedLora(
        run.id,
        file,
        name,
        loss_map(result["losses"]),
        report(run, loading, warnings),
        result["best_step"],
        result["reason"],
    )


def _vision_arguments(run: LoraRun, encoder: str) -> list[str]:
    """Arguments that name the encoder that scores samples; none where its weights are not on this machine.

    The embedded one scores a real model's samples only where it was chosen by name: it knows drawn garments only.
    """
    name = FASHION_CLIP if encoder == AUTO and run.checkpoint else encoder_for(encoder)
    if name == MINI:
        return ["--preset", PRESETS[MINI].name]
    folder = encoder_folder(name, tuple(encoder_folders()))
    return ["--preset", run.preset.name, "--encoder", str(folder)] if folder else []


def _captions(pictures: list[Image.Image], encoder: str, trigger: str) -> list[str]:
    vision = vision_models_for(encoder, AUTO)
    return [caption_of(tags, vision.taxonomy, trigger) for tags in tag(vision, pictures, NodeProgress().show)]


def _lora_keys(model: Any) -> set[str]:
    """The LoRA keys that this host knows for the model's UNet."""
    import comfy.lora

    return set(comfy.lora.model_lora_keys_unet(model.model, {}))
