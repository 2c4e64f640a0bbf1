"""How far a photo is from those that an encoder was trained on: beyond a threshold it shows no garment that it knows.

distance(x) = min over categories c of ‖(x − μ_c) W‖      W Wᵀ = Σ⁻¹, Σ: the covariance within categories

Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks" (NeurIPS
2018), eq. 2. Confidences can't tell this: they compare categories with each other, and one of them is always nearest.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

FILE = "familiarity.safetensors"
RIDGE = 1e-6  # added to the covariance's diagonal
QUANTILE = 0.995  # of held-out garments lies within the threshold


@dataclass(frozen=True)
class Familiarity:
    """The garments of a training: `means` [C, D] of categories, `whitening` [D, D], and the greatest known distance."""

    means: torch.Tensor
    whitening: torch.Tensor
    threshold: float

    def distances(self, embeds: torch.Tensor) -> torch.Tensor:
        """The distance [N] of each embedding [N, D] to the nearest category."""
        import torch

        exact = "donot_use_mm_for_euclid_dist"
        white, centres = embeds @ self.whitening, self.means @ self.whitening
        return torch.cdist(white, centres, compute_mode=exact).min(1).values

    def knows(self, embeds: torch.Tensor) -> list[bool]:
        """Whether each embedding [N, D] is as near as the garments of the training are."""
        known: list[bool] = (self.distances(embeds) <= self.threshold).tolist()
        return known

    @classmethod
    def measured(cls, embeds: torch.Tensor, category: torch.Tensor, held_out: torch.Tensor) -> Familiarity:
        """From embeddings [N, D] with their category numbers [N], and the threshold from held-out ones [M, D]."""
        import torch

        exact = embeds.double()
        means = torch.stack([exact[category == number].mean(0) for number in category.unique()])
        centred = exact - means[torch.searchsorted(category.unique(), category)]
        covariance = centred.T @ centred / len(centred) + RIDGE * torch.eye(embeds.shape[1], dtype=torch.double)
        whitening = torch.linalg.cholesky(torch.linalg.inv(covariance)).float().contiguous()
        untested = cls(means.float(), whitening, float("inf"))
        return cls(means.float(), whitening, float(torch.quantile(untested.distances(held_out), QUANTILE)))

    @classmethod
    def load(cls, folder: str | Path | None) -> Familiarity | None:
        """That of a preset's folder; None where none was measured."""
        from safetensors.torch import load_file

        if folder is None or not (Path(folder) / FILE).is_file():
            return None
        tensors = load_file(Path(folder) / FILE)
        return cls(tensors["means"], tensors["whitening"], float(tensors["threshold"]))

    def save(self, folder: Path) -> None:
        """Writes it into a preset's folder."""
        import torch
        from safetensors.torch import save_file

        threshold = torch.tensor(self.threshold)
        save_file({"means": self.means, "whitening": self.whitening, "threshold": threshold}, folder / FILE)
