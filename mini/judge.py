"""The judge: an image-only encoder (`transformers.Dinov2Model`) that recognises a garment in another photo.

It is trained on pairs of photos of the same garment, against siblings that share every word with it and differ in
shade, cut and unnamed traits, half of them in traits alone. So it tells looks apart that have the same words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..core.progress import ProgressCallback
from .catalogue import RenderedCatalogue
from .clip import normalised
from .train_loop import fit

if TYPE_CHECKING:
    import torch
    from transformers import BitImageProcessor, Dinov2Model

WIDTH = 128
TEMPERATURE = 0.1


def new_judge() -> Dinov2Model:
    """An untrained model of 0.8 million parameters; the class token is the embedding."""
    from transformers import Dinov2Config, Dinov2Model

    return Dinov2Model(
        Dinov2Config(
            hidden_size=WIDTH,
            num_hidden_layers=4,
            num_attention_heads=4,
            mlp_ratio=4,
            image_size=64,
            patch_size=8,
            layerscale_value=1.0,
            drop_path_rate=0.0,
        )
    )


def image_processor() -> BitImageProcessor:
    """DINOv2's image processor at 64 pixels, with its mean and deviation."""
    from transformers import BitImageProcessor

    return BitImageProcessor(
        size={"shortest_edge": 64},
        crop_size={"height": 64, "width": 64},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )


def train_judge(
    pairs: RenderedCatalogue,
    reconstruct: Callable[[np.ndarray], np.ndarray],
    steps: int,
    seed: int,
    progress: ProgressCallback,
    *,
    families: int = 48,
    lr: float = 1.5e-3,
    share: float = 0.5,
) -> Dinov2Model:
    """Trains on `pairs`: two photos of each garment, garments 2i and 2i + 1 being siblings.

    `reconstruct` maps pictures, uint8 [N, 64, 64, 3], to the autoencoder's version of them, as all generated ones are;
    a `share` of the second photos is shown in that version.
    """
    import torch

    torch.manual_seed(seed)
    model, processor, rng = new_judge(), image_processor(), np.random.default_rng(seed)
    targets = torch.arange(2 * families)
    through = reconstruct(pairs.pictures[:, 1])

    def loss_of(step: int) -> torch.Tensor:
        first = rng.choice(len(pairs) // 2, families, replace=False) * 2
        picks = np.stack([first, first + 1], 1).ravel()
        second = np.where(
            (rng.random(len(picks)) < share)[:, None, None, None], through[picks], pairs.pictures[picks, 1]
        )
        both = np.concatenate([pairs.pictures[picks, 0], second])
        with torch.autocast("cpu", torch.bfloat16):
            embeds = model(normalised(both, processor)).pooler_output
        a, b = torch.nn.functional.normalize(embeds.float(), dim=-1).chunk(2)
        logits = a @ b.T / TEMPERATURE
        return (
            torch.nn.functional.cross_entropy(logits, targets) + torch.nn.functional.cross_entropy(logits.T, targets)
        ) / 2

    fit("judge", loss_of, [{"params": list(model.parameters()), "lr": lr}], steps, progress)
    return model.eval()


def embed(model: Dinov2Model, pictures: np.ndarray, batch: int = 250) -> torch.Tensor:
    """The unit vectors, float [N, 128], of pictures, uint8 [N, 64, 64, 3]."""
    import torch

    processor = image_processor()
    with torch.inference_mode():
        out = [
            model(normalised(pictures[i : i + batch], processor)).pooler_output for i in range(0, len(pictures), batch)
        ]
    return torch.nn.functional.normalize(torch.cat(out).float(), dim=-1)
