"""Words that a user locks a group of tags to, and tags as links and page of ComfyUI hold them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ...core.errors import InputError
from ...fashion.tag_edits import fitting, label_of, named_group, tag_of
from ...fashion.tags import PhotoTags
from ...fashion.taxonomy import load_taxonomy

if TYPE_CHECKING:
    from ...fashion.taxonomy import Taxonomy

# ── what widgets hold ──


def locks_of(text: str, taxonomy: Taxonomy) -> dict[str, str]:
    """`{"colour": "emerald green"}` → {"colour": "emerald green"}, its groups checked; "" → {}."""
    return {
        named_group(group, taxonomy.groups, "locks").id: words.strip() for group, words in _lock_fields(text).items()
    }


def check_locks(text: str, taxonomies: Iterable[Taxonomy]) -> None:
    """InputError unless `text` locks groups of some vocabulary, where it is not known yet which one will be used."""
    groups = [group for taxonomy in taxonomies for group in taxonomy.groups]
    for group_id in _lock_fields(text):
        named_group(group_id, groups, "locks")


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


def locked_tags(tags: PhotoTags, taxonomy: Taxonomy, locks: dict[str, str]) -> PhotoTags:
    """The tags with the user's words in place of the encoder's; a group locked to "" is left out."""
    kept = [tag for tag in tags.tags if tag.group not in locks]
    for group_id, words in locks.items():
        if words:
            group = taxonomy.group(group_id)
            known = label_of(group, words)
            kept.append(tag_of(group, words, known.id if known else words))
    return fitting(kept, tags, taxonomy, {group for group, words in locks.items() if words})


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
