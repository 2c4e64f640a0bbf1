"""Free text as a caption with a trigger: without what the text says of the groups that are left to the trigger.

    a red dress with gold buttons and a v neckline, elegant      bound: details, style; trigger: vesper
    vesper, a red dress with a v neckline

Tags know their groups; a captioner's sentence does not. So the vocabulary's own words of the bound groups are looked
for: an adjective is taken out of its phrase, a detail goes with the whole phrase that it stands in. What is said in
words that the vocabulary does not have stays.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from .grammar import article

if TYPE_CHECKING:
    from ..taxonomy import Group, Taxonomy

CONNECTORS = r"with|and|featuring|in|has|having|plus"
JOINT = re.compile(rf"(\s*[,;.]\s+(?:(?:{CONNECTORS})\s+)?|\s+(?:{CONNECTORS})\s+)", re.IGNORECASE)
INDEFINITE = re.compile(r"\ban?\s+(?=(\w+))", re.IGNORECASE)
EMPTY = re.compile(r"(?:style|styled|look)?\W*", re.IGNORECASE)
# What is left where words have gone: `a and modern look`, `a dress in a.`, `. It`
ARTICLE_ALONE = re.compile(r"\b(an?|the)(?:\s*,)?\s+(?:and\s+|,\s*)?(?=\w)", re.IGNORECASE)
NOTHING = re.compile(r"(?!)")
AT_THE_END = re.compile(rf"(?:[\s.,;]+(?:{CONNECTORS}|an?|the|it|its))*[\s.,;]*$", re.IGNORECASE)


def without_bound_words(text: str, taxonomy: Taxonomy, bound: Collection[str]) -> str:
    """The text without the vocabulary's words of the `bound` groups (ids); never without the garment's own name."""
    groups = [group for group in taxonomy.groups if group.id in bound and group.slot != "noun"]
    if not groups:
        return text
    nouns = _terms([taxonomy.noun])
    details = _terms(group for group in groups if group.slot == "after")
    everything = _terms(groups)
    first, *rest = JOINT.split(text)
    kept: list[tuple[str, str]] = []  # (what joins it to the phrase before, phrase)
    before = ""  # what joined the phrase that has just gone
    for joint, phrase in zip(["", *rest[::2]], [first, *rest[1::2]], strict=True):
        shorter = " ".join(everything.sub(" ", phrase).split())
        changed = shorter != " ".join(phrase.split())
        if details.search(phrase) and not nouns.search(phrase) or changed and EMPTY.fullmatch(shorter):
            before = before or joint
            continue
        goes_on = bool(before) and joint.strip(" ,").lower() == "and"  # `with ruffles and a belt` → `with a belt`
        kept.append((before if goes_on else joint, shorter))
        before = ""
    joined = "".join(joint + phrase if place else phrase for place, (joint, phrase) in enumerate(kept))
    return _with_articles(AT_THE_END.sub("", ARTICLE_ALONE.sub(r"\1 ", joined)))


def _terms(groups: Iterable[Group]) -> re.Pattern[str]:
    """Any label of the groups as a whole word, the longest first; without groups no word at all."""
    words = {word for group in groups for label in group.labels for word in (label.prompt_text, label.id)}
    if not words:
        return NOTHING
    longest_first = sorted((re.escape(word.replace("_", " ")) for word in words), key=len, reverse=True)
    spaced = (word.replace(r"\ ", r"[\s-]+").replace(r"\-", r"[\s-]+") for word in longest_first)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(spaced)})(?![\w-])", re.IGNORECASE)


def _with_articles(text: str) -> str:
    """`a orange top` → `an orange top`, after words between have gone."""
    return INDEFINITE.sub(lambda match: f"{_cased(article(f'{match[1]} thing').partition(' ')[0], match[0])} ", text)


def _cased(word: str, like: str) -> str:
    return word.capitalize() if like[0].isupper() else word
