"""The little English that a prompt's sentences need."""

from __future__ import annotations

import re


def is_plural(phrase: str) -> bool:
    """Whether the phrase's last word is a plural: `trousers`, `long sleeves`; not `dress`."""
    return bool(re.search(r"[^su]s$", phrase))


def article(phrase: str) -> str:
    """`phrase` with its article, none before a plural: `a midi dress`, `an orange top`, `shorts`."""
    if is_plural(phrase):
        return phrase
    return f"{'an' if phrase[:1].lower() in 'aeiou' else 'a'} {phrase}"
