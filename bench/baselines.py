"""How others look for a prompt, re-implemented so that they can be compared at equal image budgets.

Each rival gets the same tags, the same picture-drawing and scoring, and a budget of pictures; it returns one prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from ..fashion.encoders.protocol import Encoder

Score = Callable[[Sequence[tuple[str, int]]], list[float]]  # (prompt, seed) pairs → similarity of each picture
Seeds = Sequence[int]


def best_single_image(prompts: Sequence[str], score: Score, budget: int, seeds: Seeds, rng: Random) -> str:
    """What most tools do: draw every prompt on seeds of its own and keep the prompt of the best picture."""
    pictures = [(prompts[index % len(prompts)], seeds[index % len(seeds)]) for index in range(budget)]
    scores = score(pictures)
    return pictures[max(range(budget), key=scores.__getitem__)][0]


def random_search(words: Sequence[str], noun: str, score: Score, budget: int, seeds: Seeds, rng: Random) -> str:
    """Random subsets of the words in random order, two pictures each; the best mean wins."""
    candidates = []
    for _ in range(max(1, budget // 2)):
        chosen = [word for word in words if rng.random() < 0.7]
        rng.shuffle(chosen)
        candidates.append(", ".join([noun, *chosen]))
    pictures = [(prompt, seed) for prompt in candidates for seed in seeds[:2]][:budget]
    return _best_mean(pictures, score(pictures))


def greedy_chain(words: Sequence[str], noun: str, score: Score, budget: int, seeds: Seeds, rng: Random) -> str:
    """From the noun alone, add whichever word helps most on one picture, until nothing helps or the budget is spent."""
    chain, left = [noun], list(words)
    best, spent = score([(noun, seeds[0])])[0], 1
    while left and spent + len(left) <= budget:
        pictures = [(", ".join([*chain, word]), seeds[spent % len(seeds)]) for word in left]
        scores = score(pictures)
        spent += len(pictures)
        winner = max(range(len(left)), key=scores.__getitem__)
        if scores[winner] <= best:
            break
        best = scores[winner]
        chain.append(left.pop(winner))
    return ", ".join(chain)


def interrogator(words: Sequence[str], noun: str, photo: torch.Tensor, encoder: Encoder) -> str:
    """The chain of clip-interrogator: add the phrase that raises the text's cosine with the photo most; draws nothing.

    `photo`: unit vector [D]. After pharmapsychotic/clip-interrogator, `Interrogator.chain`, with the vocabulary's own
    words as its flavours.
    """
    chain, left, best = [f"a photo of {noun}"], list(words), -1.0
    while left:
        texts = [", ".join([*chain, word]) for word in left]
        cosines = (encoder.embed_texts(texts) @ photo).tolist()
        winner = max(range(len(left)), key=cosines.__getitem__)
        if cosines[winner] <= best:
            break
        best = cosines[winner]
        chain.append(left.pop(winner))
    return ", ".join(chain)


def _best_mean(pictures: Sequence[tuple[str, int]], scores: Sequence[float]) -> str:
    sums: dict[str, list[float]] = {}
    for (prompt, _), value in zip(pictures, scores, strict=True):
        sums.setdefault(prompt, []).append(value)
    return max(sums, key=lambda prompt: sum(sums[prompt]) / len(sums[prompt]))
