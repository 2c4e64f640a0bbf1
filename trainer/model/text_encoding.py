"""Captions → what the UNet is conditioned on, as each family's pipeline does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from .base_model import StableDiffusionParts


def token_ids(tokenizer: Any, captions: Sequence[str], chunks: int = 1) -> torch.Tensor:
    """Token ids [N · chunks, 77] of N captions; what a caption has beyond 75 tokens a chunk is cut off.

    Each chunk has a start and an end of its own and is filled up, an empty one too: as hosts read long prompts, and
    sd-scripts long captions.
    """
    import torch

    length = tokenizer.model_max_length
    if chunks == 1:
        padded = tokenizer(
            list(captions), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
        ids: torch.Tensor = padded.input_ids
        return ids
    inner, rows = length - 2, []
    for caption in captions:
        words = tokenizer(caption, add_special_tokens=False, truncation=False, verbose=False).input_ids
        for chunk in range(chunks):
            part = words[chunk * inner : (chunk + 1) * inner]
            row = [tokenizer.bos_token_id, *part, tokenizer.eos_token_id]
            rows.append([*row, *[tokenizer.pad_token_id] * (length - len(row))])
    return torch.tensor(rows)


def is_cut(tokenizer: Any, caption: str, chunks: int = 1) -> bool:
    """Whether a caption has more tokens than its chunks hold: 77 each, with start and end."""
    seen = (tokenizer.model_max_length - 2) * chunks
    return bool(len(tokenizer(caption, truncation=False, verbose=False).input_ids) - 2 > seen)


def encode(
    base: StableDiffusionParts, captions: Sequence[str], clip_skip: int = 1, chunks: int = 1
) -> dict[str, torch.Tensor]:
    """`tokens` [N, 77 · chunks, D], and for SDXL `pooled` [N, P]; gradients flow where a text encoder is trained.

    `pooled` is the first chunk's. `clip_skip` 1 is the last layer. A skipped layer goes through the final layer norm,
    as in A1111; SDXL's encoders give their last but one without it, whatever is skipped.
    """
    import torch

    tokens, pooled = [], None
    for tokenizer, encoder in zip(base.tokenizers, base.text_encoders, strict=True):
        ids = token_ids(tokenizer, captions, chunks).to(encoder.device)
        output = encoder(ids, output_hidden_states=base.family == "sdxl" or clip_skip > 1)
        if base.family == "sdxl":
            tokens.append(output.hidden_states[-(clip_skip + 1)])
            pooled = output[0]  # of the last encoder: `text_embeds`
        elif clip_skip == 1:
            tokens.append(output.last_hidden_state)
        else:
            tokens.append(_final_layer_norm(encoder)(output.hidden_states[-clip_skip]))
    embeds = {"tokens": torch.cat(tokens, -1).reshape(len(captions), -1, sum(part.shape[-1] for part in tokens))}
    if pooled is not None:
        embeds["pooled"] = pooled[::chunks]
    return embeds


def _final_layer_norm(encoder: Any) -> Any:
    """transformers 5 has it on the model, transformers 4 one level deeper."""
    return getattr(encoder, "text_model", encoder).final_layer_norm
