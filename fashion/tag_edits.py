"""A user's edits of tags: pinned, left out; groups that do not fit the garment then are dropped."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from ..core.errors import InputError
from ..core.suggestions import did_you_mean
from .tags import PhotoTags, Tag

if TYPE_CHECKING:
    from .taxonomy import Group, Label, Taxonomy

Choice = tuple[str, str]  # group id, label id; an empty label stands for the whole group


def choices_of(text: str, taxonomy: Taxonomy, what: str) -> list[Choice]:
    """`colour:red, neckline` → [("colour", "red"), ("neckline", "")]; a label by its id or its words.

    InputError names what the vocabulary lacks.
    """
    choices = []
    for part in re.split(r"[,\n]", text):
        if part.strip():
            group_id, _, label = (piece.strip() for piece in part.partition(":"))
            group = named_group(group_id, taxonomy.groups, what)
            choices.append((group.id, _label(group, label, what).id if label else ""))
    return choices


def written(choices: Iterable[Choice]) -> tuple[str, ...]:
    """Choices as settings keep them, by ids: `colour:red`, `neckline`; `choices_of` reads them."""
    return tuple(f"{group}:{label}" if label else group for group, label in choices)


def _label(group: Group, text: str, what: str) -> Label:
    label = label_of(group, text)
    if label is None:
        meant = did_you_mean(text, [label.id for label in group.labels])
        raise InputError(f"{what}: the group {group.id!r} has no label {text!r}", to_try=meant)
    return label


def named_group(group_id: str, groups: Iterable[Group], what: str) -> Group:
    """The group of that id; InputError names the nearest one and all others."""
    by_id = {group.id: group for group in groups}
    if group_id not in by_id:
        raise InputError(f"{what}: there is no group {group_id!r}", to_try=did_you_mean(group_id, by_id, len(by_id)))
    return by_id[group_id]


def label_of(group: Group, text: str) -> Label | None:
    """The label of that id, or of those words in any language; None where there is none."""
    plain = _plain(text)
    for label in group.labels:
        if plain in map(_plain, (label.id, label.prompt_text, *label.name.values())):
            return label
    return None


def _plain(words: str) -> str:
    return re.sub(r"[\s_-]+", " ", words).strip().lower()


def chosen_tags(
    tags: PhotoTags, taxonomy: Taxonomy, threshold: float, pin: Iterable[Choice], exclude: Iterable[Choice]
) -> PhotoTags:
    """The tags at or above the threshold (the garment's name always), without excluded labels, with pinned ones.

    The runner-up of its group replaces an excluded label.
    """
    excluded = set(exclude)
    kept = []
    for tag in tags.tags:
        replacement = _unless(tag, taxonomy, excluded)
        if replacement and (replacement.confidence >= threshold or replacement.group == taxonomy.noun.id):
            kept.append(replacement)
    for group_id, label_id in pin:
        group = taxonomy.group(group_id)
        if label_id:
            kept = [tag for tag in kept if tag.group != group_id or not (group.exclusive or tag.label == label_id)]
            kept.append(tag_of(group, group.label(label_id).prompt_text, label_id))
    return fitting(kept, tags, taxonomy, {group for group, _ in pin})


def _unless(tag: Tag, taxonomy: Taxonomy, excluded: Collection[Choice]) -> Tag | None:
    if (tag.group, "") in excluded:
        return None
    if (tag.group, tag.label) not in excluded:
        return tag
    group = taxonomy.group(tag.group)
    if not group.exclusive or tag.runner_up is None or (tag.group, tag.runner_up) in excluded:
        return None
    confidence = max(0.0, tag.confidence - tag.margin)
    words = group.label(tag.runner_up).prompt_text
    return Tag(group=tag.group, label=tag.runner_up, confidence=confidence, text=words, margin=0.0)


def tag_of(group: Group, words: str, label: str) -> Tag:
    """A tag that the user is sure of."""
    return Tag(group=group.id, label=label, confidence=1.0, text=words)


def fitting(kept: Sequence[Tag], original: PhotoTags, taxonomy: Taxonomy, given: Collection[str]) -> PhotoTags:
    """The tags in the vocabulary's order, without groups that do not apply to the garment: a skirt has no neckline.

    Groups in `given` come from the user and stay. A garment that the vocabulary does not know rules nothing out.
    """
    tags: list[Tag] = []
    chosen: dict[str, str] = {}
    for group in taxonomy.groups:
        group_tags = [tag for tag in kept if tag.group == group.id]
        known = all(
            chosen.get(other) is None or _knows(taxonomy.group(other), chosen[other]) for other in group.applies_to
        )
        if group_tags and (group.id in given or not known or group.applies(chosen)):
            tags += group_tags
            chosen[group.id] = group_tags[0].label
    asked_groups = {tag.group for tag in (*original.tags, *kept)} | set(original.not_visible)
    absent = asked_groups - {tag.group for tag in tags}
    by_words = tuple(group_id for group_id in original.by_words if group_id not in given)
    not_visible = tuple(group.id for group in taxonomy.groups if group.id in absent)
    return PhotoTags(tags=tuple(tags), not_visible=not_visible, garment=original.garment, by_words=by_words)


def _knows(group: Group, label_id: str) -> bool:
    return any(label.id == label_id for label in group.labels)
