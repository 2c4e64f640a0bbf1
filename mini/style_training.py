"""Teaches trained encoders other styles: the same words and the same garments, drawn in another hand.

Only how pictures are seen changes. Texts keep their vectors, so that the image model, whose text encoder is a copy,
stays as it is; and pictures of the renderer's own style are held where the encoder had them, by distillation from
itself (Li and Hoiem, "Learning without Forgetting", ECCV 2016).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.progress import ProgressCallback
from .captions import contradict, sample_caption
from .catalogue import RenderedCatalogue, words_of
from .clip import (
    ANCHORED,
    TEXT_LENGTH,
    WIDTH,
    anchor_loss,
    image_processor,
    instance_loss,
    multi_positive_loss,
    normalised,
    truth,
)
from .garment import GROUPS, labels
from .judge import TEMPERATURE
from .judge import image_processor as judge_processor
from .tokenizer import token_ids
from .train_loop import fit

if TYPE_CHECKING:
    import torch
    from transformers import CLIPModel, CLIPTokenizer, Dinov2Model

KEPT = 4.0  # weight of staying where pictures of the renderer's own style were
PAIRED = 0.3  # weight of telling garments apart that share every word
LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class StyledShots:
    """Two photos each of garments and their siblings: in other styles, and as the renderer draws by itself."""

    styled: RenderedCatalogue
    own: RenderedCatalogue

    def families(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Both photos of a family's two garments, styled, [4 · count, …], photos of a garment side by side."""
        first = rng.choice(len(self.styled) // 2, count, replace=False) * 2
        owners = np.stack([first, first + 1], 1).ravel()
        return self.styled.pictures[owners].reshape(-1, 64, 64, 3), self.styled.table[owners].repeat(2, 0)

    def singles(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A photo each of styled garments."""
        picks = rng.integers(len(self.styled), size=count)
        return self.styled.pictures[picks, 0], self.styled.table[picks]

    def unstyled(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A photo each of garments in the renderer's own style."""
        picks = rng.integers(len(self.own), size=count)
        return self.own.pictures[picks, rng.integers(2, size=count)], self.own.table[picks]


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.nn.functional.normalize(vectors.float(), dim=-1)


def see_styles(
    model: CLIPModel,
    shots: StyledShots,
    tokenizer: CLIPTokenizer,
    steps: int,
    seed: int,
    progress: ProgressCallback,
    batch: int = 64,
) -> CLIPModel:
    """Trains the tagger's vision tower in place; its text tower stays. A quarter of a batch is of the own style."""
    import torch

    torch.manual_seed(seed)
    model.train().requires_grad_(False)
    before = copy.deepcopy(model).eval()
    learning = [*model.vision_model.parameters(), *model.visual_projection.parameters()]
    for parameter in learning:
        parameter.requires_grad_(True)
    processor, rng, chance, quarter = image_processor(), np.random.default_rng(seed), Random(seed), batch // 4
    anchors = torch.nn.Linear(WIDTH, sum(len(labels(g)) for g in GROUPS))

    def seen(encoder: CLIPModel, pixels: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = encoder.visual_projection(encoder.vision_model(pixels).pooler_output)
        return vectors

    def loss_of(step: int) -> torch.Tensor:
        parts = (shots.families(quarter // 2, rng), shots.singles(quarter, rng), shots.unstyled(quarter, rng))
        pictures, table = (np.concatenate([part[index] for part in parts]) for index in (0, 1))
        captions = [sample_caption(words_of(row), chance, bool(row[len(GROUPS)])) for row in table[::2]]
        captions += [contradict(caption, chance) for caption in captions]
        pixels = normalised(pictures, processor)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                tokens = token_ids(tokenizer, [caption.text for caption in captions], TEXT_LENGTH)
                texts = _unit(model.text_projection(model.text_model(input_ids=tokens).pooler_output))
                place = _unit(seen(before, pixels[-quarter:]))
            images = _unit(seen(model, pixels))
        moved = (1 - (images[-quarter:] * place).sum(-1)).mean()
        matched = multi_positive_loss(model.logit_scale.exp() * images @ texts.T, truth(captions, table))
        told_apart = instance_loss(images[: 2 * quarter])
        return matched + ANCHORED * anchor_loss(anchors, images, table) + PAIRED * told_apart + KEPT * moved

    fit("styles", loss_of, [{"params": [*learning, *anchors.parameters()], "lr": LEARNING_RATE}], steps, progress)
    return model.eval()


def judge_styles(
    model: Dinov2Model, shots: StyledShots, steps: int, seed: int, progress: ProgressCallback, families: int = 24
) -> Dinov2Model:
    """Trains the judge in place: a garment's other photo in its style, among siblings; its own style stays in place."""
    import torch

    torch.manual_seed(seed)
    before: Any = copy.deepcopy(model).eval()
    processor, rng = judge_processor(), np.random.default_rng(seed)
    targets = torch.arange(2 * families)

    def loss_of(step: int) -> torch.Tensor:
        styled, own = shots.families(families, rng)[0], shots.unstyled(families, rng)[0]
        pixels = normalised(np.concatenate([styled[::2], styled[1::2], own]), processor)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                place = _unit(before(pixels[-families:]).pooler_output)
            embeds = _unit(model(pixels).pooler_output)
        first, second, stayed = embeds.split([2 * families, 2 * families, families])
        logits = first @ second.T / TEMPERATURE
        entropy = torch.nn.functional.cross_entropy
        moved = (1 - (stayed * place).sum(-1)).mean()
        return (entropy(logits, targets) + entropy(logits.T, targets)) / 2 + KEPT * moved

    model.train()
    fit("judge styles", loss_of, [{"params": list(model.parameters()), "lr": LEARNING_RATE}], steps, progress)
    return model.eval()
