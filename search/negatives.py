"""Contrastive negatives: labels that this photo's bad pictures show and its good ones do not."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

LabelId = tuple[str, str]  # group id, label id
SMOOTHING = 0.5  # pseudo-pictures a label, in bad and good alike (Jeffreys)


@dataclass(frozen=True)
class Shown:
    """In how many of the bad and of the good pictures a label was seen."""

    bad: int = 0
    good: int = 0


def count_labels(pictures: Sequence[tuple[float, Iterable[LabelId]]]) -> dict[LabelId, Shown]:
    """(score, labels) of each generated picture → counts in its worse and its better half by score.

    With an odd number the middle picture counts as neither.
    """
    ordered = sorted(pictures, key=lambda picture: picture[0])
    half = len(ordered) // 2
    bad = Counter(label for _, labels in ordered[:half] for label in set(labels))
    good = Counter(label for _, labels in ordered[len(ordered) - half :] for label in set(labels))
    return {label: Shown(bad[label], good[label]) for label in sorted(bad | good)}


def contrastive_negatives(
    wanted_labels: Iterable[LabelId], generated_label_counts: Mapping[LabelId, Shown], k: int
) -> list[LabelId]:
    """Up to `k` labels to put into the negative prompt, the most telling first.

    The log-odds of a label within its group, bad against good, with a symmetric Dirichlet prior, by its z
    score: Monroe, Colaresi & Quinn, "Fightin' Words" (Political Analysis 16, 2008), eq. 16–22. Never a label
    that the photo has, nor one whose sign is not positive; a draw goes by name.
    """
    wanted = set(wanted_labels)
    groups: dict[str, list[Shown]] = {}
    for (group, _), shown in generated_label_counts.items():
        groups.setdefault(group, []).append(shown)
    scored = []
    for label, shown in generated_label_counts.items():
        z = _z_score(shown, groups[label[0]])
        if label not in wanted and shown.bad > 0 and z > 0:
            scored.append((-z, label))
    return [label for _, label in sorted(scored)[: max(0, k)]]


def _z_score(shown: Shown, group: Sequence[Shown]) -> float:
    """Log-odds ratio over its standard error."""
    labels = max(2, len(group))  # a label seen alone in its group still had an alternative
    bad, good = shown.bad + SMOOTHING, shown.good + SMOOTHING
    all_bad = sum(other.bad for other in group) + SMOOTHING * labels
    all_good = sum(other.good for other in group) + SMOOTHING * labels
    log_odds = math.log(bad / (all_bad - bad)) - math.log(good / (all_good - good))
    return log_odds / math.sqrt(1 / bad + 1 / good)
