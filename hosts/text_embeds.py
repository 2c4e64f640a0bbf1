"""Prompts of any length, with weights → what the UNet attends to, for SD 1.x, 2.x and SDXL pipelines of diffusers.

    words with weights → tokens → chunks of 75 → start + chunk + end + padding → text encoder → × weights → side by side

As A1111 does it: a chunk that is full goes back to its last comma, if that is among the last 20 tokens; weights
multiply the encoder's output, whose mean is then restored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .attention import read_weights

if TYPE_CHECKING:
    import torch

CHUNK = 75
COMMA_REACH = 20
MIN_MEAN = 1e-4  # of the standard deviation


@dataclass
class Chunk:
    """At most 75 token ids, each with its weight."""

    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def add(self, token: int, weight: float) -> None:
        """One token more."""
        self.ids.append(token)
        self.weights.append(weight)


def count_tokens(tokenizer: Any, text: str) -> int:
    """Tokens of `text` without start and end."""
    return len(_ids(tokenizer, text))


def _ids(tokenizer: Any, text: str) -> list[int]:
    # Longer than the model takes is no mistake here: chunks come later, so the tokenizer's warning is not asked for.
    ids: list[int] = tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids
    return ids


def split_into_chunks(tokenizer: Any, prompt: str) -> list[Chunk]:
    """The prompt's tokens in chunks; an empty prompt is one empty chunk."""
    comma = _ids(tokenizer, ",")
    chunks, last_comma = [Chunk()], -1
    for run in read_weights(prompt):
        if run.text is None:
            chunks.append(Chunk())
            last_comma = -1
            continue
        for token in _ids(tokenizer, run.text):
            chunk = chunks[-1]
            if len(chunk.ids) == CHUNK:
                chunks.append(Chunk())
                if last_comma >= 0 and CHUNK - last_comma <= COMMA_REACH and [token] != comma:
                    chunks[-1] = Chunk(chunk.ids[last_comma:], chunk.weights[last_comma:])
                    del chunk.ids[last_comma:], chunk.weights[last_comma:]
                chunk, last_comma = chunks[-1], -1
            chunk.add(token, run.weight)
            if [token] == comma:
                last_comma = len(chunk.ids)
    return chunks


def needed_chunks(pipeline: Any, *prompts: str) -> int:
    """The most chunks that any of the prompts fills, by any of the pipeline's tokenizers."""
    return max(
        len(split_into_chunks(tokenizer, prompt)) for tokenizer, _ in _text_encoders(pipeline) for prompt in prompts
    )


@dataclass(frozen=True)
class TextEmbeds:
    """`tokens` [N, 77 · chunks, D]; `pooled` [N, P] for SDXL, else None."""

    tokens: torch.Tensor
    pooled: torch.Tensor | None


def embed_prompts(pipeline: Any, prompts: Sequence[str], chunks: int, clip_skip: int = 1) -> TextEmbeds:
    """Every prompt padded to the same number of chunks, encoded [N, 77 · chunks, D], and weighted.

    `clip_skip` counts from the last layer, 1 being the last; SDXL always reads its last but one.
    """
    import torch

    encoders = _text_encoders(pipeline)
    states, pooled = [], None
    with torch.inference_mode():
        for tokenizer, encoder in encoders:
            rows = [_padded(split_into_chunks(tokenizer, prompt), chunks) for prompt in prompts]
            # Where its weights wait on the CPU, an encoder computes elsewhere than it lies.
            device = getattr(pipeline, "_execution_device", encoder.device)
            tokens, first = _encode(tokenizer, encoder, rows, clip_skip, len(encoders) == 2, device)
            states.append(tokens)
            pooled = first if len(encoders) == 2 else None
    return TextEmbeds(torch.cat(states, -1), pooled)


def _text_encoders(pipeline: Any) -> list[tuple[Any, Any]]:
    pairs = (("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2"))
    parts = [(getattr(pipeline, tokenizer, None), getattr(pipeline, encoder, None)) for tokenizer, encoder in pairs]
    return [(tokenizer, encoder) for tokenizer, encoder in parts if tokenizer is not None and encoder is not None]


def _padded(chunks: list[Chunk], count: int) -> list[Chunk]:
    return [*chunks, *(Chunk() for _ in range(count - len(chunks)))]


def _encode(
    tokenizer: Any,
    encoder: Any,
    rows: Sequence[Sequence[Chunk]],
    clip_skip: int,
    two_text_encoders: bool,
    device: torch.device,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted token states [N, 77 · chunks, D], and the first chunk's pooled output [N, P]."""
    import torch

    ids = [[_framed(tokenizer, chunk.ids) for chunk in row] for row in rows]
    weights = [[[1.0, *chunk.weights, *[1.0] * (CHUNK + 1 - len(chunk.weights))] for chunk in row] for row in rows]
    flat = torch.tensor(ids, device=device).flatten(0, 1)
    output = encoder(flat, output_hidden_states=two_text_encoders or clip_skip > 1)
    if two_text_encoders:
        states = output.hidden_states[-2]
    elif clip_skip > 1:
        states = _final_norm(encoder)(output.hidden_states[-clip_skip])
    else:
        states = output.last_hidden_state
    states = states.unflatten(0, (len(rows), -1))  # [N, chunks, 77, D]
    states = _apply_weights(states, torch.tensor(weights, device=states.device, dtype=states.dtype))
    pooled = output.text_embeds if hasattr(output, "text_embeds") else output.pooler_output
    return states.flatten(1, 2), pooled.unflatten(0, (len(rows), -1))[:, 0]


def _framed(tokenizer: Any, ids: Sequence[int]) -> list[int]:
    padding = [tokenizer.pad_token_id] * (CHUNK - len(ids))
    return [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id, *padding]


def _final_norm(encoder: Any) -> Any:
    return encoder.text_model.final_layer_norm if hasattr(encoder, "text_model") else encoder.final_layer_norm


def _apply_weights(states: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Token states [N, chunks, 77, D] × weights [N, chunks, 77], each chunk brought back to its mean.

    Without weights other than 1 the states stay the same to the bit.
    """
    import torch

    if bool((weights == 1).all()):
        return states
    weighted = states * weights[..., None]
    before, after = states.mean((-2, -1), keepdim=True), weighted.mean((-2, -1), keepdim=True)
    # Where the mean is rounding error, their ratio could be anything.
    steady = after.abs() > MIN_MEAN * states.std((-2, -1), keepdim=True)
    return weighted * torch.where(steady, before / after, torch.ones_like(after))
