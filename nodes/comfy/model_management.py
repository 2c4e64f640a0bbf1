"""ComfyUI's model management for the nodes: device, memory, Cancel, progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..choices import MINI
from ..vision.encoders import EncoderChoice, find_encoder, forget_vision_models, vision_models, vocabulary_of

if TYPE_CHECKING:
    from PIL import Image

    from ...core.progress import Progress
    from ...models.vision import VisionModels

DEVICES = ("cuda", "mps")  # encoders are tried on no other of ComfyUI's devices
PREVIEW_SIDE = 512  # pixels


def device() -> str:
    """ComfyUI's device where encoders support it, else `cpu`."""
    import comfy.model_management

    torch_device = comfy.model_management.get_torch_device()
    return str(torch_device) if torch_device.type in DEVICES else "cpu"


def vision_models_for(encoder: str, vocabulary: str) -> VisionModels:
    """Tagger, scorer and judge of a node's `encoder` and `vocabulary`, on ComfyUI's device."""
    from .folders import encoder_folders

    return vision_models(EncoderChoice(encoder, vocabulary_of(encoder, vocabulary), device(), tuple(encoder_folders())))


def require_encoder(encoder: str) -> None:
    """MissingWeights, with the folder and the files, unless the encoder's weights are on this machine."""
    from .folders import encoder_folders

    if encoder != MINI:
        find_encoder(encoder, tuple(encoder_folders()))


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
