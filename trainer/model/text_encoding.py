"""Captions → what the UNet is conditioned on, as each family's pipeline does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from .base_model import StableDiffusionParts


def token_ids(tokenizer: Any, captions: Sequence[str]) -> torch.Tensor:
    """Token ids [N, 77] of N captions; what a caption has beyond 75 tokens is cut off."""
    length = tokenizer.model_max_length
    tokens = tokenizer(list(captions), padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    ids: torch.Tensor = tokens.input_ids
    return ids


def is_cut(tokenizer: Any, caption: str) -> bool:
    """Whether a caption has more tokens than a text encoder sees: 77 with its start and end."""
    return bool(len(tokenizer(caption, truncation=False, verbose=False).input_ids) > tokenizer.model_max_length)


def encode(base: StableDiffusionParts, captions: Sequence[str], clip_skip: int = 1) -> dict[str, torch.Tensor]:
    """`tokens` [N, 77, D], and for SDXL `pooled` [N, P]; gradients flow where a text encoder is trained.

    `clip_skip` 1 is the last layer. A skipped layer goes through the final layer norm, as in A1111; SDXL's encoders
    give their last but one without it, whatever is skipped.
    """
    import torch

    tokens, pooled = [], None
    for tokenizer, encoder in zip(base.tokenizers, base.text_encoders, strict=True):
        ids = token_ids(tokenizer, captions).to(encoder.device)
        output = encoder(ids, output_hidden_states=base.family == "sdxl" or clip_skip > 1)
        if base.family == "sdxl":
            tokens.append(output.hidden_states[-(clip_skip + 1)])
            pooled = output[0]  # of the last encoder: `text_embeds`
        elif clip_skip == 1:
            tokens.append(output.last_hidden_state)
        else:
            tokens.append(_final_layer_norm(encoder)(output.hidden_states[-clip_skip]))
    embeds = {"tokens": torch.cat(tokens, -1)}
    if pooled is not None:
        embeds["pooled"] = pooled
    return embeds


def _final_layer_norm(encoder: Any) -> Any:
    """transformers 5 has it on the model, transformers 4 one level deeper."""
    return getattr(encoder, "text_model", encoder).final_layer_norm
