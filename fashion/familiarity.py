"""How far a photo is from those that an encoder was trained on: beyond a threshold it shows no garment that it knows.

distance(x) = min over categories c of ‖(x − μ_c) W‖      W Wᵀ = Σ⁻¹, Σ: the covariance within categories
likeness(x) = x · d                                       d: of a logistic regression, garments against other pictures

The distance is that of Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and
Adversarial Attacks" (NeurIPS 2018), eq. 2. Garments in many styles lie so widely that other pictures lie among them;
what tells these is examples of them, as in Hendrycks et al., "Deep Anomaly Detection with Outlier Exposure" (ICLR
2019).
Confidences can't tell it: they compare categories with each other, and one of them is always nearest.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

FILE = "familiarity.safetensors"
RIDGE = 1e-6  # added to the covariance's diagonal
QUANTILE, LIKENESS_QUANTILE = 0.995, 0.9925  # of held-out garments lies within the threshold, and within the limit
L2 = 1e-4  # penalty of the regression's squared weights, on standardised embeddings


@dataclass(frozen=True)
class Familiarity:
    """The garments of a training: `means` [C, D] of categories, `whitening` [D, D], and the greatest known distance.

    `direction` [D] leads from garments to other pictures; beyond `limit` along it lies no garment.
    """

    means: torch.Tensor
    whitening: torch.Tensor
    threshold: float
    direction: torch.Tensor
    limit: float

    def distances(self, embeds: torch.Tensor) -> torch.Tensor:
        """The distance [N] of each embedding [N, D] to the nearest category."""
        import torch

        exact = "donot_use_mm_for_euclid_dist"
        white, centres = embeds @ self.whitening, self.means @ self.whitening
        return torch.cdist(white, centres, compute_mode=exact).min(1).values

    def knows(self, embeds: torch.Tensor) -> list[bool]:
        """Whether each embedding [N, D] is as near as the garments of the training are, and like no other picture."""
        near, like = self.distances(embeds) <= self.threshold, embeds @ self.direction <= self.limit
        known: list[bool] = (near & like).tolist()
        return known

    @classmethod
    def measured(
        cls,
        embeds: torch.Tensor,
        category: torch.Tensor,
        held_out: torch.Tensor,
        others: torch.Tensor | None = None,
    ) -> Familiarity:
        """From embeddings [N, D] with their category numbers [N], and the thresholds from held-out ones [M, D].

        `others` [O, D]: pictures without a garment; without any of them the distance alone decides.
        """
        import torch

        exact = embeds.double()
        means = torch.stack([exact[category == number].mean(0) for number in category.unique()])
        centred = exact - means[torch.searchsorted(category.unique(), category)]
        covariance = centred.T @ centred / len(centred) + RIDGE * torch.eye(embeds.shape[1], dtype=torch.double)
        whitening = torch.linalg.cholesky(torch.linalg.inv(covariance)).float().contiguous()
        direction = torch.zeros(embeds.shape[1]) if others is None else direction_to(others, embeds)
        untested = cls(means.float(), whitening, float("inf"), direction, float("inf"))
        threshold = float(torch.quantile(untested.distances(held_out), QUANTILE))
        limit = float(torch.quantile(held_out @ direction, LIKENESS_QUANTILE))
        return cls(means.float(), whitening, threshold, direction, limit)

    @classmethod
    def load(cls, folder: str | Path | None) -> Familiarity | None:
        """That of a preset's folder; None where none was measured."""
        from safetensors.torch import load_file

        if folder is None or not (Path(folder) / FILE).is_file():
            return None
        tensors = load_file(Path(folder) / FILE)
        threshold, limit = float(tensors["threshold"]), float(tensors["limit"])
        return cls(tensors["means"], tensors["whitening"], threshold, tensors["direction"], limit)

    def save(self, folder: Path) -> None:
        """Writes it into a preset's folder."""
        import torch
        from safetensors.torch import save_file

        limits = {"threshold": torch.tensor(self.threshold), "limit": torch.tensor(self.limit)}
        tensors = {"means": self.means, "whitening": self.whitening, "direction": self.direction}
        save_file({**tensors, **limits}, folder / FILE)


def direction_to(others: torch.Tensor, garments: torch.Tensor) -> torch.Tensor:
    """The direction [D], float32, of a logistic regression of `others` [O, D] against `garments` [N, D].

    Both kinds weigh the same, however many there are of each. Where the regression's line lies is for a threshold.
    """
    import torch

    every = torch.cat([garments, others]).double()
    spread = every.std(0) + RIDGE
    standard = (every - every.mean(0)) / spread
    target = torch.cat([torch.zeros(len(garments)), torch.ones(len(others))]).double()
    weight = torch.where(target > 0, len(every) / (2 * len(others)), len(every) / (2 * len(garments)))
    slopes = torch.zeros(every.shape[1], dtype=torch.double, requires_grad=True)
    bias = torch.zeros(1, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([slopes, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        entropy = torch.nn.functional.binary_cross_entropy_with_logits
        value = entropy(standard @ slopes + bias, target, weight=weight) + L2 * slopes.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return (slopes.detach() / spread).float().contiguous()
