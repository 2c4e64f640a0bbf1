"""A prompt as a small tree: clauses joined by commas, each a run of weighted phrases. Renderers write it for a host."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Phrase:
    """A few words with one weight; `group` is its taxonomy group, None for glue such as "a photo of"."""

    text: str
    weight: float = 1.0
    group: str | None = None


@dataclass(frozen=True)
class Clause:
    """Phrases joined by spaces; commas separate clauses.

    `new_chunk` begins a chunk of its own (BREAK), so that its words and those before are not read together.
    """

    phrases: tuple[Phrase, ...]
    new_chunk: bool = False

    @property
    def text(self) -> str:
        """The words without weights."""
        return " ".join(phrase.text for phrase in self.phrases)


@dataclass(frozen=True)
class Lora:
    """A LoRA by its name on the host."""

    name: str
    strength: float = 1.0


@dataclass(frozen=True)
class Prompt:
    """What to draw and what to avoid; `loras` are written into the text for hosts that read them there. `whole`: the
    words are somebody's own, and none is left out for length."""

    positive: tuple[Clause, ...]
    negative: tuple[Clause, ...] = field(default=())
    loras: tuple[Lora, ...] = ()
    whole: bool = False
