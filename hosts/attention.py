"""A1111's prompt syntax, read: which words weigh how much, and where a new chunk begins.

(words)      × 1.1        [words]   ÷ 1.1        (words:1.3)   × 1.3        nested weights multiply
\\( \\) \\[ \\] \\\\          the character itself                                BREAK         a new chunk
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

UP = 1.1
TOKENS = re.compile(r"\\[\\()\[\]]|\\|\(|\[|:\s*(?P<weight>[+-]?(?:\d+\.?\d*|\.\d+))\s*\)|\)|\]|[^\\()\[\]:]+|:")
BREAK = re.compile(r"\s*\bBREAK\b\s*", re.DOTALL)


@dataclass(frozen=True)
class Weighted:
    """A run of words with one weight; `text` None is BREAK."""

    text: str | None
    weight: float = 1.0


def read_weights(prompt: str) -> list[Weighted]:
    """The prompt as runs of words with their weights, as A1111 1.10 reads it; unclosed brackets count to the end.

    Two differences: a BREAK within brackets is a BREAK (A1111 weighs the word and then draws it), and a weight that is
    no number is text (A1111 fails).
    """
    runs: list[list[Any]] = []  # [text or None, weight]
    round_open: list[int] = []
    square_open: list[int] = []

    def weigh(start: int, factor: float) -> None:
        for run in runs[start:]:
            run[1] *= factor

    for token in TOKENS.finditer(prompt):
        text, weight = token[0], token["weight"]
        if text[0] == "\\":
            runs.append([text[1:], 1.0])  # a lone backslash is nothing
        elif text == "(":
            round_open.append(len(runs))
        elif text == "[":
            square_open.append(len(runs))
        elif weight is not None and round_open:
            weigh(round_open.pop(), float(weight))
        elif text == ")" and round_open:
            weigh(round_open.pop(), UP)
        elif text == "]" and square_open:
            weigh(square_open.pop(), 1 / UP)
        else:
            for place, part in enumerate(BREAK.split(text)):
                if place:
                    runs.append([None, -1.0])
                runs.append([part, 1.0])
    for start in round_open:
        weigh(start, UP)
    for start in square_open:
        weigh(start, 1 / UP)
    return _joined(runs) or [Weighted("")]


def _joined(runs: list[list[Any]]) -> list[Weighted]:
    """Neighbours of one weight are one run; a BREAK stands alone."""
    joined: list[list[Any]] = []
    for text, weight in runs:
        if text is None:
            joined.append([None, 1.0])
        elif joined and joined[-1][0] is not None and joined[-1][1] == weight:
            joined[-1][0] += text
        else:
            joined.append([text, weight])
    return [Weighted(text, weight) for text, weight in joined]
