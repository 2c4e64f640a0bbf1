"""The name that was probably meant, for error texts."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, names: Iterable[str], shown: int = 12) -> str:
    """`did you mean 'red'? there are red, orange, …`: the nearest name where one is near, and the first `shown`."""
    known = list(dict.fromkeys(names))
    by_lower = {each.lower(): each for each in reversed(known)}
    near = difflib.get_close_matches(name.lower(), by_lower, 1, 0.6)
    guess = f"did you mean {by_lower[near[0]]!r}? " if near else ""
    return f"{guess}there are {', '.join(known[:shown])}{', …' * (len(known) > shown)}"
