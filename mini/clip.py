"""The tagger's encoder: a small `transformers.CLIPModel`, trained on renders and their true captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.progress import ProgressCallback
from .captions import GarmentCaption, contradict, sample_caption
from .catalogue import RenderedCatalogue, words_of
from .garment import GROUPS, labels
from .tokenizer import token_ids
from .train_loop import as_tensor, fit

if TYPE_CHECKING:
    import torch
    from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

WIDTH = 128
TEXT_LENGTH = 32  # longest caption in tokens, while training; the model itself takes 77
ANCHORED = 1.0  # weight of the anchors' loss
# Three stages: each garment is told from all others; words are read more surely; and in any colours.
PAIRED = (0.5, 0.2, 0.2)  # weight of the pairs' loss
PAIRS = (0.5, 0.25, 0.25)  # share of a batch
RECOLOURED = (0.0, 0.0, 0.4)  # share of the pictures that are no pairs
LEARNING_RATE = (1.5e-3, 1e-3, 1e-3)
INSTANCE_TEMPERATURE = 0.1
ANCHOR_SCALE = 10.0  # of unit vectors, so that a linear reading can be sure
RECONSTRUCTED = 0.25  # share of training pictures seen through the autoencoder, as generated ones will be


def text_config(tokenizer: CLIPTokenizer) -> dict:
    """The text tower's sizes and special tokens."""
    return dict(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=77,
        projection_dim=WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def new_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    """An untrained model of 1.5 million parameters: patches of 8 pixels, 4 layers for pictures, 3 for texts."""
    from transformers import CLIPConfig, CLIPModel

    vision = dict(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=64,
        patch_size=8,
        projection_dim=WIDTH,
    )
    return CLIPModel(CLIPConfig(text_config=text_config(tokenizer), vision_config=vision, projection_dim=WIDTH))


def image_processor() -> CLIPImageProcessor:
    """CLIP's image processor at 64 pixels."""
    from transformers import CLIPImageProcessor

    return CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})


def normalised(pictures: np.ndarray, processor: Any) -> torch.Tensor:
    """The model's input, float [N, 3, 64, 64], as `processor` would make it of pictures, uint8 [N, 64, 64, 3]."""
    import torch

    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (processor.image_mean, processor.image_std))
    return ((as_tensor(pictures) + 1) / 2 - mean) / std


def truth(captions: list[GarmentCaption], table: np.ndarray) -> torch.Tensor:
    """Whether all that a caption states is true of a picture, bool [pictures, captions]; `table` [N, columns]."""
    import torch

    stated = torch.tensor(
        [
            [labels(g).index(c.stated[g]) if g in c.stated else -9 for g in GROUPS] + [1 if c.degraded else -9]
            for c in captions
        ]
    )
    facts = torch.from_numpy(table[:, : len(GROUPS) + 1].astype(np.int64))
    return ((stated == -9)[None] | (stated[None] == facts[:, None])).all(-1)


def multi_positive_loss(logits: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of logits [pictures, captions] both ways; `positive`, of the same shape, marks the true pairs.

    Khosla et al., "Supervised Contrastive Learning" (NeurIPS 2020), with pictures and captions as the two views.

    A caption that is true of no picture is only a wrong answer to each of them.
    """
    loss = 0.0
    for z, p in ((logits, positive.float()), (logits.T, positive.T.float())):
        true = p.sum(1)
        loss = loss - ((z.log_softmax(1) * p).sum(1) / true.clamp(min=1)).sum() / (true > 0).sum()
    return loss / 2


def stated_table(captions: list[GarmentCaption]) -> np.ndarray:
    """The number of the label that a caption states in each group, −1 where it states none, int [captions, groups]."""
    return np.array([[labels(g).index(c.stated[g]) if g in c.stated else -1 for g in GROUPS] for c in captions])


def anchor_loss(anchors: torch.nn.Linear, embeds: torch.Tensor, table: np.ndarray) -> torch.Tensor:
    """Cross-entropy of a linear classifier of each group on `embeds` [N, D]; `table` [N, ≥ groups], −1: no label.

    One classifier for pictures and texts: small things such as sleeves, which hardly matter among 256 captions of as
    many different garments, get a place in the common space. The classifiers are not kept.
    """
    import torch

    parts = anchors(ANCHOR_SCALE * embeds).split([len(labels(g)) for g in GROUPS], 1)
    targets = torch.from_numpy(table[:, : len(GROUPS)].astype(np.int64))
    losses = [
        torch.nn.functional.cross_entropy(part, target, ignore_index=-1)
        for part, target in zip(parts, targets.T, strict=True)
        if (target >= 0).any()
    ]
    return torch.stack(losses).mean()


def instance_loss(embeds: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of finding the second photo of a garment in the batch: rows 2i and 2i + 1 of `embeds` [N, D].

    Mu et al., "SLIP: Self-supervision meets Language-Image Pre-training" (ECCV 2022), in the captions' own space:
    without it two garments that share every word would be one, and no score could miss a pocket.
    """
    import torch

    logits = embeds @ embeds.T / INSTANCE_TEMPERATURE
    logits = logits.masked_fill(torch.eye(len(embeds), dtype=torch.bool), -torch.inf)
    return torch.nn.functional.cross_entropy(logits, torch.arange(len(embeds)) ^ 1)


@dataclass(frozen=True)
class Shots:
    """The sources of a training batch: `data` with one photo of each garment, `pairs` with two.

    `data_through`, `pairs_through`: reconstructions by the autoencoder, uint8 [M, 64, 64, 3], of the first pictures of
    `data` and of the first second photos of `pairs`.
    """

    data: RenderedCatalogue
    pairs: RenderedCatalogue
    data_through: np.ndarray
    pairs_through: np.ndarray

    def draw(self, batch: int, pairs: int, recolour: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Pictures [batch, 64, 64, 3] and their table: the first `pairs` two by two, siblings side by side.

        A share `recolour` of the others is in other colours, and has none in its table: what it is does not depend on
        colours, and some of them no training picture had together with its pattern.
        """
        families = rng.choice(len(self.pairs) // 2, pairs // 4, replace=False)
        owners = np.stack([2 * families, 2 * families + 1], 1).ravel().repeat(2)
        views = np.arange(len(owners)) % 2
        paired = self.pairs.pictures[owners, views]
        for k in np.flatnonzero((views == 1) & (owners < len(self.pairs_through)) & (rng.random(len(owners)) < 0.5)):
            paired[k] = self.pairs_through[owners[k]]
        picks = rng.integers(len(self.data), size=batch - len(owners))
        through = rng.random(len(picks)) < 2 * RECONSTRUCTED
        picks[through] %= len(self.data_through)
        single = np.where(
            through[:, None, None, None],
            self.data_through[picks % len(self.data_through)],
            self.data.pictures[picks, 0],
        )
        table = self.data.table[picks].copy()
        other = np.flatnonzero(rng.random(len(picks)) < recolour)
        single[other] = recoloured(single[other], rng)
        table[other, GROUPS.index("colour")] = -1
        return np.concatenate([paired, single]), np.concatenate([self.pairs.table[owners], table])


def recoloured(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The pictures, uint8 [N, H, W, 3], with their channels in another order, every second one as its negative."""
    swapped = [picture[..., rng.permutation(3)] for picture in pictures]
    return np.array([255 - picture if rng.random() < 0.5 else picture for picture in swapped], np.uint8).reshape(
        pictures.shape
    )


def train_clip(
    shots: Shots,
    tokenizer: CLIPTokenizer,
    steps: Sequence[int],
    seed: int,
    progress: ProgressCallback,
    batch: int = 128,
) -> CLIPModel:
    """Trains on captions, contradictions, anchors and pairs in one loss; `steps` of each stage."""
    import torch

    torch.manual_seed(seed)
    model = new_clip(tokenizer)
    for stage, count in enumerate(steps):
        train_stage(model, stage, shots, tokenizer, count, seed + stage, progress, batch)
    return model.eval()


def train_stage(
    model: CLIPModel,
    stage: int,
    shots: Shots,
    tokenizer: CLIPTokenizer,
    steps: int,
    seed: int,
    progress: ProgressCallback,
    batch: int = 128,
) -> None:
    """Trains one stage, in place, with new anchors."""
    import torch

    processor, rng, chance = image_processor(), np.random.default_rng(seed), Random(seed)
    anchors = torch.nn.Linear(WIDTH, sum(len(labels(g)) for g in GROUPS))
    pairs = int(PAIRS[stage] * batch)

    def loss_of(step: int) -> torch.Tensor:
        pictures, table = shots.draw(batch, pairs, RECOLOURED[stage], rng)
        captions = [sample_caption(words_of(row), chance, bool(row[len(GROUPS)])) for row in table]
        captions += [contradict(caption, chance) for caption in captions]
        with torch.autocast("cpu", torch.bfloat16):
            out = model(
                input_ids=token_ids(tokenizer, [c.text for c in captions], TEXT_LENGTH),
                pixel_values=normalised(pictures, processor),
            )
        images, texts = out.image_embeds.float(), out.text_embeds.float()
        logits = model.logit_scale.exp() * images @ texts.T
        anchored = anchor_loss(anchors, images, table) + anchor_loss(anchors, texts, stated_table(captions))
        paired = instance_loss(images[:pairs])
        return multi_positive_loss(logits, truth(captions, table)) + ANCHORED * anchored + PAIRED[stage] * paired

    def clamp(step: int) -> None:
        model.logit_scale.data.clamp_(max=np.log(100))

    learning = [*model.parameters(), *anchors.parameters()]
    fit("clip", loss_of, [{"params": learning, "lr": LEARNING_RATE[stage]}], steps, progress, after_step=clamp)


def embed_images(model: CLIPModel, pictures: np.ndarray, batch: int = 250) -> torch.Tensor:
    """The unit vectors, float [N, 128], of pictures, uint8 [N, 64, 64, 3]."""
    import torch

    processor = image_processor()
    with torch.inference_mode():
        out = [
            model.visual_projection(model.vision_model(normalised(pictures[i : i + batch], processor)).pooler_output)
            for i in range(0, len(pictures), batch)
        ]
    return torch.nn.functional.normalize(torch.cat(out).float(), dim=-1)
