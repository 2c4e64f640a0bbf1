"""What a picture shows, by a preset's tagger: the caption and tags behind /sdapi/v1/interrogate."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    from ..fashion.tagger import PhotoTags, Tagger
    from ..models.presets import Preset


class TaggerInterrogator:
    """Opens the preset's tagger with the first picture; MissingWeights where its encoder is not on this machine."""

    def __init__(self, preset: Preset, device: str = "auto"):
        self.preset, self.device = preset, device
        self._lock = threading.Lock()

    def caption(self, image: Image.Image) -> str:
        """The garment in one line, as a training caption."""
        from ..fashion.prompts.captions import caption_of

        return caption_of(self._read(image), self._tagger.taxonomy)

    def tags(self, image: Image.Image) -> str:
        """The labels that were seen, comma-separated."""
        return ", ".join(tag.label for tag in self._read(image).tags)

    def _read(self, image: Image.Image) -> PhotoTags:
        with self._lock:
            (tags,) = self._tagger.tag([image])
        return tags

    @cached_property
    def _tagger(self) -> Tagger:
        from ..models.vision import open_tagger

        return open_tagger(self.preset, self.device)
