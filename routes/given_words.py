"""Words that come with a photo from elsewhere: its user's, in a text file beside it or in an option, and a captioner's.

The user's words are read as A1111 reads a prompt: `(red:1.2)`, `[lace]`, `\\(`, BREAK. Every host then gets the weights
in its own dialect. `<lora:…>` is left out, as are the negative prompt and the settings of a text file that A1111 saved:
all prompts of a search are drawn with the same model, negative prompt and sampling. A captioner's sentence is taken
literally; its brackets are brackets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.errors import InputError
from ..fashion.caption_files import written_by_modiste
from ..fashion.photos import Skip
from ..fashion.prompts.tree import Clause, Phrase, Prompt
from ..hosts.attention import read_weights
from ..trainer.data.caption_files import BadCaption, caption_file, read_caption

if TYPE_CHECKING:
    from ..fashion.photos import Gathered, Photo

NETWORK = re.compile(r"<\w+:[^<>]*>")  # <lora:name:0.8>, <hypernet:name:1>
OTHER_LINES = re.compile(r"\bNegative prompt:|\bSteps: \d+, ", re.IGNORECASE)  # of A1111's parameters
ID_DIGITS = 12  # of a photo's sha256: what settings and files know it by


def photo_id(sha256: str) -> str:
    """What settings know a photo by."""
    return sha256[:ID_DIGITS]


def words_beside(photos: Sequence[Photo]) -> tuple[dict[str, str], list[Skip]]:
    """Each photo's id → the words in the text file beside it, and the files that can't be read.

    A file that Modiste wrote (`tag --captions`) says only what the tags say, so that it is no word of the user's.
    """
    beside = {photo.sha256: caption_file(photo.path) for photo in photos}
    written = written_by_modiste([file for file in beside.values() if file is not None])
    words: dict[str, str] = {}
    unreadable = []
    for photo in photos:
        file = beside[photo.sha256]
        if file is None or file in written:
            continue
        try:
            text = read_caption(file).text
        except BadCaption as bad:
            unreadable.append(Skip(bad.path, bad.code, f"{bad.what}; the photo is searched without these words"))
            continue
        if text and words_prompt(text) is not None:
            words[photo_id(photo.sha256)] = text
    return words, unreadable


def words_for(gathered: Gathered, words: str | None) -> dict[str, str]:
    """Each photo's id → its user's words: `words` for all, '' for none; None: what lies beside each photo.

    Text files that can't be read join the skipped ones. InputError for `words` of which nothing can be drawn.
    """
    if words is None:
        beside, unreadable = words_beside(gathered.photos)
        gathered.skipped += unreadable
        return beside
    if not words.strip():
        return {}
    if words_prompt(words) is None:
        raise InputError(f"there are no words in {words!r}", to_try="words that say what to draw")
    return {photo_id(photo.sha256): " ".join(words.split()) for photo in gathered.photos}


def words_prompt(text: str) -> Prompt | None:
    """A user's words with their weights, whole; None where nothing is left of them."""
    clauses: list[list[Phrase]] = [[]]
    breaks: set[int] = set()
    for run in read_weights(NETWORK.sub("", OTHER_LINES.split(text)[0])):
        if run.text is None:
            breaks.add(len(clauses))
            clauses.append([])
            continue
        for place, part in enumerate(run.text.split(",")):
            if place:
                clauses.append([])
            if words := " ".join(part.split()):
                clauses[-1].append(Phrase(words, run.weight))
    positive = [Clause(tuple(phrases), at in breaks) for at, phrases in enumerate(clauses) if phrases]
    return Prompt(tuple(positive), whole=True) if positive else None


def without_trigger(text: str, trigger: str) -> str:
    """A user's words without the trigger of a training, which means nothing to the base model."""
    return " ".join(re.sub(rf"(?<!\w){re.escape(trigger)}(?!\w)\s*,?\s*", "", text).split()) if trigger else text


def caption_as_prompt(caption: str) -> Prompt:
    """A captioner's sentence, word for word."""
    return Prompt((Clause((Phrase(caption),)),), whole=True)


def left_out(text: str) -> tuple[str, ...]:
    """What of a user's words is not drawn, for people."""
    prompt, *others = OTHER_LINES.split(text, maxsplit=1)
    networks = NETWORK.findall(prompt)
    notes = (
        [f"of your words {', '.join(networks)} is left out: all prompts are drawn with one model"] if networks else []
    )
    if others:
        notes.append("of your words the negative prompt and the settings are left out: all prompts share theirs")
    return tuple(notes)
