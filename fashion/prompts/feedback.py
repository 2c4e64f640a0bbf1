"""New arms from what the first pictures got wrong, which is known because pictures are tagged again.

    a word of the photo that most pictures do not show     stressed · moved to the front · said in other words
    a word that most pictures show and the photo does not  into the negative prompt

The idea of OPT2I, Mañas et al., "Improving Text-to-Image Consistency via Automatic Prompt Optimization"
(arXiv 2403.17804, §3), where a language model rewrites what a consistency score says is missing. Here a prompt is a
tree of tagged words, so that each fault has its rewriting, and no other model is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..agreement import MOST_PICTURES
from .strategies import AVOIDED, FIRST, FOCUS, HEAVIEST, OTHERWISE, REWRITINGS, STRESSED, TaggedPhoto
from .tree import Clause, Phrase, Prompt

if TYPE_CHECKING:
    from ..tags import PhotoTags, Tag


@dataclass(frozen=True)
class Faults:
    """What pictures of a photo's words got wrong: `missed` tags of the photo, and `uninvited` words."""

    missed: tuple[Tag, ...] = ()
    uninvited: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missed or self.uninvited)


def find_faults(photo: TaggedPhoto, pictures: Sequence[PhotoTags]) -> Faults:
    """What most of the `pictures`, tagged again, miss of the photo's tags or show without being asked.

    The garment's name is not counted among the uninvited: it is missed where another one is drawn.
    """
    if not pictures:
        return Faults()
    shown = [{(tag.group, tag.label) for tag in tags.tags} for tags in pictures]
    labels = {(tag.group, tag.label) for tag in photo.tags.tags}
    noun = photo.taxonomy.noun.id

    def share(label: tuple[str, str]) -> float:
        return sum(label in picture for picture in shown) / len(shown)

    missed = tuple(tag for tag in photo.tags.tags if share((tag.group, tag.label)) < MOST_PICTURES)
    others = sorted({label for picture in shown for label in picture} - labels)
    uninvited = [label for label in others if label[0] != noun and share(label) > MOST_PICTURES]
    return Faults(missed, tuple(photo.taxonomy.group(group).label(label).prompt_text for group, label in uninvited))


def rewritten_arms(arm: str, prompt: Prompt, photo: TaggedPhoto, faults: Faults) -> dict[str, Prompt]:
    """New arm → prompt: `prompt`, which the arm `arm` writes, changed for its faults; empty without faults."""
    missed = {tag.group for tag in faults.missed}
    others = {tag.group: text for tag in faults.missed if (text := _other_text(tag, photo))}
    arms: dict[str, Prompt] = {}
    if missed:
        arms[arm + STRESSED] = _changed(prompt, {group: _stressed for group in missed})
        arms[arm + FIRST] = _first(prompt, faults.missed)
    if others:
        arms[arm + OTHERWISE] = _changed(prompt, {group: _saying(text) for group, text in others.items()})
    if faults.uninvited:
        avoided = tuple(Clause((Phrase(text),)) for text in faults.uninvited)
        unchanged = {arm: prompt}
        arms |= {
            name + AVOIDED: replace(changed, negative=changed.negative + avoided)
            for name, changed in {**arms, **unchanged}.items()
        }
    return {name: changed for name, changed in arms.items() if changed != prompt}


def rewritings_of(arm: str) -> tuple[str, ...]:
    """The rewritings that an arm's name ends with: `sentence, missed first` → `(", missed first",)`."""
    return tuple(name for name in REWRITINGS if name in arm)


def without_rewritings(arm: str) -> str:
    """The arm that was rewritten: `sentence, no view, missed first` → `sentence, no view`."""
    for name in REWRITINGS:
        arm = arm.replace(name, "")
    return arm


def _changed(prompt: Prompt, changes: Mapping[str, Callable[[Phrase], Phrase]]) -> Prompt:
    """The prompt with the phrases of some groups changed; `changes`: group id → what becomes of its phrase."""

    def changed(phrase: Phrase) -> Phrase:
        change = changes.get(phrase.group or "")
        return change(phrase) if change else phrase

    clauses = [replace(clause, phrases=tuple(map(changed, clause.phrases))) for clause in prompt.positive]
    return replace(prompt, positive=tuple(clauses))


def _stressed(phrase: Phrase) -> Phrase:
    return replace(phrase, weight=round(min(HEAVIEST, phrase.weight * FOCUS), 2))


def _saying(text: str) -> Callable[[Phrase], Phrase]:
    return lambda phrase: replace(phrase, text=text)


def _first(prompt: Prompt, missed: Sequence[Tag]) -> Prompt:
    """The prompt with the missed words said before everything else too: what stands first is read best."""
    clauses = tuple(Clause((Phrase(tag.text, group=tag.group),)) for tag in missed)
    leading = prompt.positive[: len(clauses)]
    return prompt if leading == clauses else replace(prompt, positive=clauses + prompt.positive)


def _other_text(tag: Tag, photo: TaggedPhoto) -> str:
    return photo.taxonomy.group(tag.group).label(tag.label).other_text
