"""What nodes ask of ComfyUI's model management: the device, room for a training, Cancel, progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..vision.encoders import Chosen, forget_vision_models, open_eyes, vocabulary_of

if TYPE_CHECKING:
    from PIL import Image

    from ...core.progress import Progress
    from ...models.vision import VisionModels

DEVICES = ("cuda", "mps")  # others of ComfyUI's are not known to what looks at pictures
PREVIEW_SIDE = 512  # pixels


def device() -> str:
    """Where ComfyUI computes, if that is somewhere for encoders too."""
    import comfy.model_management

    found = comfy.model_management.get_torch_device()
    return str(found) if found.type in DEVICES else "cpu"


def eyes_for(encoder: str, vocabulary: str) -> VisionModels:
    """The eyes of a node's `encoder` and `vocabulary`, on ComfyUI's device."""
    from .folders import encoder_folders

    return open_eyes(Chosen(encoder, vocabulary_of(encoder, vocabulary), device(), tuple(encoder_folders())))


def refuse_if_cancelled() -> None:
    """Raises ComfyUI's InterruptProcessingException where somebody pressed Cancel."""
    import comfy.model_management

    comfy.model_management.throw_exception_if_processing_interrupted()


def free_memory() -> None:
    """Models leave the device: ComfyUI's own, and the eyes."""
    import gc

    import comfy.model_management

    forget_vision_models()
    comfy.model_management.unload_all_models()
    gc.collect()
    comfy.model_management.soft_empty_cache()


class NodeProgress:
    """A node's progress bar with its preview; every update looks whether somebody pressed Cancel."""

    def __init__(self, total: int = 1):
        import comfy.utils

        self._bar = comfy.utils.ProgressBar(total)

    def show(self, done: int, total: int, picture: Image.Image | None = None) -> None:
        """`done` of `total`; raises InterruptProcessingException on Cancel."""
        preview = None if picture is None else ("JPEG", picture.convert("RGB"), PREVIEW_SIDE)
        self._bar.update_absolute(done, max(1, total), preview)

    def follow(self, now: Progress) -> None:
        """As a callback of what has pictures in files."""
        from PIL import Image

        self.show(now.done, now.total, Image.open(now.picture) if now.picture else None)
