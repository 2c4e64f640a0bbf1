"""Writes a prompt tree for a host: escaped, with the host's own weights, counted, cut to length.

a1111      (words:1.2), \\( escapes, [ ] too; BREAK; <lora:name:0.8>; chunks of 75 tokens, so nothing is lost
comfy      (words:1.2), \\( escapes; sections of 75 tokens; LoRAs are nodes
diffusers  a1111's syntax, read by hosts/text_embeds.py
plain      words only
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .tree import Clause, Phrase, Prompt

if TYPE_CHECKING:
    from typing import Literal

    Dialect = Literal["a1111", "comfy", "diffusers", "plain"]

CHUNK = 75  # tokens; what lies in one chunk is read together, and the first chunk is read best
SPECIAL = {"a1111": r"\\()[\]", "diffusers": r"\\()[\]", "comfy": "()", "plain": ""}
RESERVED = re.compile(r"\b(AND|BREAK)\b")  # A1111's words; in lower case they are words again
EMBEDDING = re.compile(r"\bembedding:", re.IGNORECASE)  # ComfyUI loads a file of that name
NETWORK = re.compile(r"<(?=\w)")  # `<lora:…>` needs its name right behind the bracket


@dataclass(frozen=True)
class Rendered:
    """A prompt as text in one dialect; `dropped`: phrases left out for length; `tokens` None: they were not counted."""

    positive: str
    negative: str = ""
    tokens: int | None = None
    dropped: tuple[str, ...] = ()


def render(
    prompt: Prompt,
    dialect: Dialect,
    count: Callable[[str], int | None] = lambda text: None,
    limit: int = CHUNK,
) -> Rendered:
    """Writes `prompt` for a host. `count` is the host's own tokenizer, over words without syntax.

    Beyond `limit` tokens the phrases with the least weight go first, the last ones of equals; never the last phrase
    that is left, and none of a prompt that is kept whole.
    """
    positive = prompt.positive
    dropped: list[str] = []
    tokens = count(_words(positive))
    droppable = sum(len(clause.phrases) for clause in positive) - 1 if not prompt.whole else 0
    while tokens is not None and tokens > limit and len(dropped) < droppable:
        positive, phrase = _without_least(positive)
        dropped.append(phrase.text)
        tokens = count(_words(positive))
    return Rendered(
        " ".join([_written(positive, dialect), *_networks(prompt, dialect)]),
        _written(prompt.negative, dialect),
        tokens,
        tuple(dropped),
    )


def _words(clauses: Sequence[Clause]) -> str:
    return ", ".join(clause.text for clause in clauses)


def _without_least(clauses: tuple[Clause, ...]) -> tuple[tuple[Clause, ...], Phrase]:
    places = [(place, index) for place, clause in enumerate(clauses) for index in range(len(clause.phrases))]
    # Of equal weights the last; glue such as "a photo of" before words that the photo gave.
    place, index = min(
        reversed(places),
        key=lambda at: (clauses[at[0]].phrases[at[1]].group is not None, clauses[at[0]].phrases[at[1]].weight),
    )
    phrase = clauses[place].phrases[index]
    left = clauses[place].phrases[:index] + clauses[place].phrases[index + 1 :]
    changed = [replace(clause, phrases=left) if at == place else clause for at, clause in enumerate(clauses)]
    return tuple(clause for clause in changed if clause.phrases), phrase


def _written(clauses: Sequence[Clause], dialect: Dialect) -> str:
    text = ""
    for clause in clauses:
        if text:
            text += " BREAK " if clause.new_chunk and dialect in ("a1111", "diffusers") else ", "
        text += " ".join(_phrase(phrase, dialect) for phrase in clause.phrases)
    return text


def _networks(prompt: Prompt, dialect: Dialect) -> list[str]:
    """The LoRAs as `<lora:name:0.8>`, their names without what ends the tag; other hosts get them with the request."""
    if dialect != "a1111":
        return []
    return [f"<lora:{re.sub('[<>:]', '_', lora.name)}:{round(lora.strength, 2):g}>" for lora in prompt.loras]


def _phrase(phrase: Phrase, dialect: Dialect) -> str:
    text = escape(phrase.text, dialect)
    weight = round(phrase.weight, 2)
    return text if dialect == "plain" or weight == 1 else f"({text}:{weight:g})"


def escape(text: str, dialect: Dialect) -> str:
    """The text, escaped so that the host reads every character of it as itself."""
    if dialect in ("a1111", "diffusers"):
        text = NETWORK.sub("< ", RESERVED.sub(lambda word: word[0].lower(), text))
    if dialect == "comfy":
        text = EMBEDDING.sub("embedding ", text)
    special = SPECIAL[dialect]
    return re.sub(f"([{special}])", r"\\\1", text) if special else text
