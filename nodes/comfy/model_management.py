"""ComfyUI's model management for the nodes: device, memory, Cancel, progress."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..choices import MINI
from ..vision.encoders import (
    EncoderChoice,
    chosen_encoder,
    fallback_notice,
    find_encoder,
    forget_vision_models,
    vision_models,
    vocabulary_of,
)

if TYPE_CHECKING:
    from PIL import Image

    from ...core.progress import Progress
    from ...models.vision import VisionModels

log = logging.getLogger("modiste")

DEVICES = ("cuda", "mps")  # encoders are tried on no other of ComfyUI's devices
PREVIEW_SIDE = 512  # pixels


def device() -> str:
    """ComfyUI's device where encoders support it, else `cpu`."""
    import comfy.model_management

    torch_device = comfy.model_management.get_torch_device()
    return str(torch_device) if torch_device.type in DEVICES else "cpu"


def encoder_for(encoder: str) -> str:
    """The encoder that a node's choice means: AUTO is FashionCLIP, or MINI where its weights are not here."""
    from .folders import encoder_folders

    return chosen_encoder(encoder, tuple(encoder_folders()))


def vision_models_for(encoder: str, vocabulary: str) -> VisionModels:
    """Tagger, scorer and judge of a node's `encoder` and `vocabulary`, on ComfyUI's device.

    Where AUTO fell back to the embedded encoder, the running node shows the notice.
    """
    from .folders import encoder_folders

    show_notice(encoder_notice(encoder))
    name = encoder_for(encoder)
    return vision_models(EncoderChoice(name, vocabulary_of(name, vocabulary), device(), tuple(encoder_folders())))


def encoder_notice(encoder: str) -> str:
    """A sentence for the user where AUTO fell back to the embedded encoder, with what to do; else ""."""
    from .folders import encoder_folders

    return fallback_notice(encoder, tuple(encoder_folders()))


def show_notice(text: str) -> None:
    """Shows a text on the running node and in the log; nothing for ""."""
    from comfy_execution.utils import get_executing_context

    from server import PromptServer

    running = get_executing_context()
    if text and running is not None:
        log.warning("%s", text)
        PromptServer.instance.send_progress_text(text, running.node_id)


def notice_for_page(encoder: str, more: str = "") -> dict[str, list[str]]:
    """The notice and `more` as a part of a node's `ui`, which ComfyUI keeps with a cached result; {} without any."""
    notice = "\n".join(filter(None, [encoder_notice(encoder), more]))
    return {"modiste_notice": [notice]} if notice else {}


def with_notice(report: str, encoder: str) -> str:
    """A report that begins with the notice, where there is one."""
    return "\n".join(filter(None, [encoder_notice(encoder), report]))


def require_encoder(encoder: str) -> None:
    """MissingWeights, with the folder and the files, unless the encoder's weights are on this machine."""
    from .folders import encoder_folders

    name = encoder_for(encoder)
    if name != MINI:
        find_encoder(name, tuple(encoder_folders()))


def refuse_if_cancelled() -> None:
    """Raises ComfyUI's InterruptProcessingException after Cancel."""
    import comfy.model_management

    comfy.model_management.throw_exception_if_processing_interrupted()


def free_memory() -> None:
    """Removes all models from the device: ComfyUI's own, tagger, scorer and judge."""
    import gc

    import comfy.model_management

    forget_vision_models()
    comfy.model_management.unload_all_models()
    gc.collect()
    comfy.model_management.soft_empty_cache()


class NodeProgress:
    """A node's progress bar with its preview; every update checks for Cancel."""

    def __init__(self, total: int = 1):
        import comfy.utils

        self._bar = comfy.utils.ProgressBar(total)

    def show(self, done: int, total: int, picture: Image.Image | None = None) -> None:
        """`done` of `total`; raises InterruptProcessingException on Cancel."""
        preview = None if picture is None else ("JPEG", picture.convert("RGB"), PREVIEW_SIDE)
        self._bar.update_absolute(done, max(1, total), preview)

    def follow(self, now: Progress) -> None:
        """Shows a Progress report, with the picture in its file where it names one."""
        from PIL import Image

        self.show(now.done, now.total, Image.open(now.picture) if now.picture else None)
