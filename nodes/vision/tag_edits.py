"""The user's edits of tags: pinned, excluded, locked; groups that do not fit the garment are dropped."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ...core.errors import InputError
from ...core.suggestions import did_you_mean
from ...fashion.tags import PhotoTags, Tag
from ...fashion.taxonomy import load_taxonomy

if TYPE_CHECKING:
    from ...fashion.taxonomy import Group, Label, Taxonomy

Choice = tuple[str, str]  # group id, label id; an empty label stands for the whole group


# ── what widgets hold ──


def choices_of(text: str, taxonomy: Taxonomy, what: str) -> list[Choice]:
    """`colour:red, neckline` → [("colour", "red"), ("neckline", "")]; a label by its id or its words.

    InputError names what the vocabulary lacks.
    """
    choices = []
    for part in re.split(r"[,\n]", text):
        if part.strip():
            group_id, _, label = (piece.strip() for piece in part.partition(":"))
            group = _group(group_id, taxonomy.groups, what)
            choices.append((group.id, _label(group, label, what).id if label else ""))
    return choices


def _label(group: Group, text: str, what: str) -> Label:
    label = label_of(group, text)
    if label is None:
        meant = did_you_mean(text, [label.id for label in group.labels])
        raise InputError(f"{what}: the group {group.id!r} has no label {text!r}", to_try=meant)
    return label


def _group(group_id: str, groups: Iterable[Group], what: str) -> Group:
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


def locks_of(text: str, taxonomy: Taxonomy) -> dict[str, str]:
    """`{"colour": "emerald green"}` → {"colour": "emerald green"}, its groups checked; "" → {}."""
    return {_group(group, taxonomy.groups, "locks").id: words.strip() for group, words in _lock_fields(text).items()}


def check_locks(text: str, taxonomies: Iterable[Taxonomy]) -> None:
    """InputError unless `text` locks groups of some vocabulary, where it is not known yet which one will be used."""
    groups = [group for taxonomy in taxonomies for group in taxonomy.groups]
    for group_id in _lock_fields(text):
        _group(group_id, groups, "locks")


def _lock_fields(text: str) -> dict[str, str]:
    """Group → words in a JSON object; {} for ""; InputError for anything else."""
    if not text.strip():
        return {}
    example = 'for example {"colour": "emerald green"}'
    try:
        locks = json.loads(text)
    except ValueError as error:
        raise InputError(f"locks is no JSON: {error}", to_try=example) from None
    if not isinstance(locks, dict) or not all(isinstance(words, str) for words in locks.values()):
        raise InputError("locks is not an object of group → words", to_try=example)
    return locks


def finite(name: str, value: float, low: float = -math.inf, high: float = math.inf) -> float:
    """`value`; InputError where it is NaN, or not between `low` and `high`."""
    if not low <= value <= high:
        raise InputError(f"{name} is {value}, not between {low:g} and {high:g}")
    return value


# ── tags ──


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
            kept.append(_tag(group, group.label(label_id).prompt_text, label_id))
    return _fitting(kept, tags, taxonomy, {group for group, _ in pin})


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


def locked_tags(tags: PhotoTags, taxonomy: Taxonomy, locks: dict[str, str]) -> PhotoTags:
    """The tags with the user's words in place of the encoder's; a group locked to "" is left out."""
    kept = [tag for tag in tags.tags if tag.group not in locks]
    for group_id, words in locks.items():
        if words:
            group = taxonomy.group(group_id)
            known = label_of(group, words)
            kept.append(_tag(group, words, known.id if known else words))
    return _fitting(kept, tags, taxonomy, {group for group, words in locks.items() if words})


def _tag(group: Group, words: str, label: str) -> Tag:
    return Tag(group=group.id, label=label, confidence=1.0, text=words)


def _fitting(kept: Sequence[Tag], original: PhotoTags, taxonomy: Taxonomy, given: Collection[str]) -> PhotoTags:
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


# ── MODISTE_TAGS ──


def pack(tags: Sequence[PhotoTags], vocabulary: str) -> list[dict[str, Any]]:
    """The value of a MODISTE_TAGS link: one JSON object for each picture, with the vocabulary's name."""
    return [{**photo_tags.model_dump(mode="json"), "vocabulary": vocabulary} for photo_tags in tags]


def unpack(entries: Iterable[Any]) -> list[tuple[PhotoTags, Taxonomy]]:
    """The tags of each entry with their vocabulary; InputError for anything else, and for none."""
    unpacked, vocabularies = [], {}
    for entry in entries:
        if not isinstance(entry, dict) or "vocabulary" not in entry:
            raise InputError("these are no tags", to_try="connect the tags of FashionCLIP Tagger")
        try:
            tags = PhotoTags.model_validate({key: value for key, value in entry.items() if key != "vocabulary"})
        except ValidationError as error:
            raise InputError(f"these are no tags: {error.errors()[0]['msg']}") from None
        name = str(entry["vocabulary"])
        vocabularies.setdefault(name, None)
        vocabularies[name] = vocabularies[name] or load_taxonomy(name)
        unpacked.append((tags, vocabularies[name]))
    if not unpacked:
        raise InputError("there are no tags", to_try="connect the tags of FashionCLIP Tagger")
    return unpacked


def tag_rows(tags: PhotoTags) -> list[dict[str, Any]]:
    """The tags as the page's chips read them."""
    return [
        {"group": tag.group, "label": tag.label, "text": tag.text, "confidence": round(tag.confidence, 4)}
        for tag in tags.tags
    ]


def confidences(tags: PhotoTags) -> str:
    """JSON: group → its labels with their confidence."""
    by_group: dict[str, dict[str, float]] = {}
    for tag in tags.tags:
        by_group.setdefault(tag.group, {})[tag.label] = round(tag.confidence, 4)
    return json.dumps(by_group)
