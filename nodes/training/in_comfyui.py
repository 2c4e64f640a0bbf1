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
from ..choices import AUTO, MINI, OF_THE_GRAPH, TRY_OUT
from ..comfy.folders import LORAS, checkpoint_file, encoder_folders, input_root, lora_folder
from ..comfy.graph import checkpoint_of
from ..comfy.model_management import NodeProgress, eyes_for, free_memory, refuse_if_cancelled
from ..vision.batches import tag
from ..vision.encoders import encoder_folder
from .dataset import content_of, write_pictures
from .publish import listed_name, loss_map, publish, refuse_lost_keys, tensors_of
from .run import LoraRun, finish, prepare, report, train

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from .history import History

DATASETS = "modiste_datasets"  # under ComfyUI's input
TRAINING, READY = "modiste.training", "modiste.lora_ready"


@dataclass(frozen=True)
class Base:
    """What is trained on: a checkpoint's file, None for the embedded model; and what somebody should know of it."""

    file: Path | None
    warnings: tuple[str, ...] = ()


def chosen_base(checkpoint: str, model: Any, prompt: dict[str, Any], node: str) -> Base:
    """The base that the `checkpoint` widget means; InputError where the graph does not show one."""
    if checkpoint == TRY_OUT:
        return Base(None, ("the embedded model is for trying things out: no checkpoint of yours can wear its LoRA",))
    if checkpoint != OF_THE_GRAPH:
        return Base(checkpoint_file(checkpoint))
    if not model:
        raise InputError(
            "there is no model whose checkpoint could be trained on",
            to_try="connect a model, or choose a checkpoint by its name",
        )
    origin = checkpoint_of(prompt, node)
    return Base(checkpoint_file(origin.ckpt_name), tuple(filter(None, [origin.warning])))


def write_dataset(pictures: list[Image.Image], captions: list[str] | None) -> Path:
    """Pictures of the graph as a folder named by what is in them, captions beside them where there are any."""
    folder = input_root() / DATASETS / content_of(pictures, captions)
    write_pictures(pictures, folder, captions)
    return folder


@dataclass(frozen=True)
class Trained:
    """A LoRA that loaders list."""

    run: str
    file: Path
    name: str
    losses: dict[str, list[float]]
    report: str
    best_step: int
    reason: str

    @cached_property
    def tensors(self) -> dict[str, torch.Tensor]:
        """What a LORA_MODEL link carries."""
        return tensors_of(self.file)

    def worn_by(self, model: Any, strength: float) -> Any:
        """The model with the LoRA on it, as ComfyUI's own loader puts it on."""
        import comfy.sd

        return comfy.sd.load_lora_for_models(model, None, self.tensors, strength, 0)[0]

    def row(self) -> dict[str, Any]:
        """What the page shows."""
        return {"run": self.run, "file": self.name, "best_step": self.best_step, "reason": self.reason}


def carry_out(run: LoraRun, node: str, encoder: str, model: Any, warnings: Sequence[str]) -> Trained:
    """Trains where that is still to be done, publishes the file, and makes sure that all of it loads."""
    import folder_paths
    from PIL import Image

    from server import PromptServer

    send = PromptServer.instance.send_sync
    if not run.finished:
        config = prepare(run, partial(_captions, encoder=encoder, trigger=run.wish.trigger.strip()))
        free_memory()
        bar = NodeProgress(config.steps)

        def tell(heard: dict[str, Any], history: History) -> None:
            send(TRAINING, heard)
            picture = history.newest_picture if heard["sample"] else None
            bar.show(heard["done"], heard["total"], picture and Image.open(picture))

        train(run, config, node, _eyes(run, encoder), refuse_if_cancelled, tell)
    base = None if run.checkpoint else Path(run.preset.checkpoint)
    loads = refuse_lost_keys(run.trained, base, _names_in(model) if model and run.checkpoint else None)
    file = publish(run.trained, lora_folder(), run.wish.name)
    name = listed_name(file, [Path(one) for one in folder_paths.get_folder_paths(LORAS)])
    result = run.result
    finish(run, node, name, result["config"]["steps"])
    send(READY, {"node": node, "run": run.id, "file": name, "reason": result["reason"]})
    return Trained(
        run.id,
        file,
        name,
        loss_map(result["losses"]),
        report(run, loads, warnings),
        result["best_step"],
        result["reason"],
    )


def _eyes(run: LoraRun, encoder: str) -> list[str]:
    """Who looks at the pictures that are drawn on the way; nobody where the encoder is not on this machine."""
    if encoder == MINI:
        return ["--preset", PRESETS[MINI].name]
    folder = encoder_folder(encoder, tuple(encoder_folders()))
    return ["--preset", run.preset.name, "--encoder", str(folder)] if folder else []


def _captions(pictures: list[Image.Image], encoder: str, trigger: str) -> list[str]:
    vision = eyes_for(encoder, AUTO)
    return [caption_of(one, vision.taxonomy, trigger) for one in tag(vision, pictures, NodeProgress().show)]


def _names_in(model: Any) -> set[str]:
    """What this host looks for in a LoRA for this model's UNet."""
    import comfy.lora

    return set(comfy.lora.model_lora_keys_unet(model.model, {}))
