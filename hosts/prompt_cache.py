"""Prompts that were tokenized and encoded before: a search draws each of its prompts on many seeds.

Texts are encoded in batches of one size, filled up where they lack some, so that a prompt's vectors are the same to the
bit whatever was encoded beside it, now or before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from .text_embeds import TextEmbeds, embed_prompts, needed_chunks

if TYPE_CHECKING:
    import torch

KEPT = 64  # prompts; SDXL's take 0.6 MB each in float32
KEPT_COUNTS = 4096


class PromptCache:
    """Vectors and numbers of chunks of the prompts that a pipeline drew last."""

    def __init__(self, open_pipeline: Callable[[], Any]):
        self.open_pipeline = open_pipeline
        self._chunks: dict[str, int] = {}
        self._rows: OrderedDict[Hashable, tuple[torch.Tensor, torch.Tensor | None]] = OrderedDict()

    def chunks(self, *prompts: str) -> int:
        """The most chunks that any of the prompts fills."""
        if len(self._chunks) > KEPT_COUNTS:
            self._chunks.clear()
        for prompt in prompts:
            if prompt not in self._chunks:
                self._chunks[prompt] = needed_chunks(self.open_pipeline(), prompt)
        return max(self._chunks[prompt] for prompt in prompts)

    def clear(self) -> None:
        """Forgets them: the next pipeline may be another one."""
        self._chunks.clear()
        self._rows.clear()

    def embed(self, prompts: Sequence[str], chunks: int, clip_skip: int, loras: Hashable) -> TextEmbeds:
        """`embed_prompts` of the prompts, [N, 77 · chunks, D]; `loras`: what the text encoders wear."""
        import torch

        keys = {prompt: (prompt, chunks, clip_skip, loras, len(prompts)) for prompt in prompts}
        new = [prompt for prompt, key in keys.items() if key not in self._rows]
        if new:
            filled = [*new, *[new[-1]] * (len(prompts) - len(new))]
            embeds = embed_prompts(self.open_pipeline(), filled, chunks, clip_skip)
            for index, prompt in enumerate(new):
                pooled = None if embeds.pooled is None else embeds.pooled[index]
                self._rows[keys[prompt]] = embeds.tokens[index], pooled
        rows = [self._rows[keys[prompt]] for prompt in prompts]
        for key in keys.values():
            self._rows.move_to_end(key)
        while len(self._rows) > max(KEPT, len(keys)):
            self._rows.popitem(last=False)
        pooled = [row[1] for row in rows if row[1] is not None]
        return TextEmbeds(torch.stack([row[0] for row in rows]), torch.stack(pooled) if pooled else None)
