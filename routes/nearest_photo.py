"""How like each picture is to the photos of a collection, and which of them is nearest."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from ..fashion.scorer import Scorer


def similarities(scorer: Scorer, embeds: torch.Tensor, photos: torch.Tensor) -> torch.Tensor:
    """Calibrated and unclipped similarities [N, P] of pictures [N, D] with photos [P, D], unit embeddings both."""
    import torch

    return torch.tensor([[like.unclipped for like in scorer.compare(embeds, photo)] for photo in photos]).T


def nearest_photo(scorer: Scorer, embeds: torch.Tensor, photos: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The similarity [N] of each picture [N, D] with the nearest photo of [P, D], and that photo's index [N]."""
    values, indices = similarities(scorer, embeds, photos).max(1)
    return values, indices
