"""The vocabulary of garments as data: groups of labels, how each is probed and how each is written into a prompt."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..core.errors import InputError
from ..core.home import modiste_home

SHIPPED = Path(__file__).parent / "taxonomies"


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Label(_Data):
    """One word of the vocabulary: `prompt_text` goes into prompts, `probe_texts` are what the encoder compares."""

    id: str
    prompt_text: str
    probe_texts: tuple[str, ...] = Field(min_length=1)
    name: dict[str, str] = {}  # language code → what a person reads
    rgb: tuple[tuple[int, int, int], ...] = ()  # reference colours, sRGB 0…255, for groups read from pixels


class Group(_Data):
    """Labels that answer one question; `applies_to` says for which garments the question makes sense."""

    id: str
    name: dict[str, str] = {}
    slot: Literal["before", "noun", "after"]  # where its word stands: adjective, the noun, or after "with"
    exclusive: bool = True
    source: Literal["encoder", "pixels"] = "encoder"
    enabled: bool = True  # asked unless somebody chooses the groups
    binds: bool = False  # part of a brand's look: not said beside a trigger word, which thus comes to mean it
    applies_to: dict[str, tuple[str, ...]] = {}  # group id → label ids; empty: always
    absent: tuple[str, ...] = ()  # probes of "can't be seen"; empty: where the group applies, it is seen
    labels: tuple[Label, ...] = Field(min_length=2)

    def label(self, label_id: str) -> Label:
        """The label of that id; `KeyError` if there is none."""
        for label in self.labels:
            if label.id == label_id:
                return label
        raise KeyError(f"group {self.id!r} has no label {label_id!r}; it has {[item.id for item in self.labels]}")

    def applies(self, chosen: dict[str, str]) -> bool:
        """Whether the group makes sense beside the labels already `chosen` (group id → label id)."""
        return all(chosen.get(group) in labels for group, labels in self.applies_to.items())


class Taxonomy(_Data):
    """A vocabulary: the lead-in of its sentences, optional view phrases, the base negative, and the groups in order."""

    id: str
    version: str
    subject: str = "a photo of"
    view: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    groups: tuple[Group, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique_and_conditions_point_somewhere(self) -> Taxonomy:
        ids = [group.id for group in self.groups]
        doubles = {name for name in ids if ids.count(name) > 1}
        if doubles:
            raise ValueError(f"groups named twice: {sorted(doubles)}")
        if sum(group.slot == "noun" for group in self.groups) != 1:
            raise ValueError("exactly one group must have the slot 'noun'")
        for position, group in enumerate(self.groups):
            labels = [label.id for label in group.labels]
            if len(labels) != len(set(labels)):
                raise ValueError(f"group {group.id!r} has a label twice")
            for other, wanted in group.applies_to.items():
                if other not in ids[:position]:
                    raise ValueError(f"group {group.id!r} depends on {other!r}, which does not come before it")
                known = {label.id for label in self.group(other).labels}
                if not set(wanted) <= known:
                    raise ValueError(
                        f"group {group.id!r} depends on unknown labels {sorted(set(wanted) - known)} of {other!r}"
                    )
            if group.source == "pixels" and not all(label.rgb for label in group.labels):
                raise ValueError(f"group {group.id!r} is read from pixels, so each of its labels needs rgb values")
        return self

    def group(self, group_id: str) -> Group:
        """The group of that id; InputError if there is none."""
        for group in self.groups:
            if group.id == group_id:
                return group
        raise InputError(
            f"the vocabulary {self.id!r} has no group {group_id!r}",
            to_try=f"its groups are {', '.join(item.id for item in self.groups)}",
        )

    @property
    def noun(self) -> Group:
        """The group that names the garment."""
        return next(group for group in self.groups if group.slot == "noun")


def load_taxonomy(name_or_file: str | Path) -> Taxonomy:
    """A vocabulary by name (`mini`, `garments`), or a JSON file.

    Under a name the user's own copy, `vocabularies/NAME.json` in MODISTE_HOME, comes before the shipped one. InputError
    with the field that is wrong.
    """
    file = Path(name_or_file)
    if file.suffix != ".json":
        own = modiste_home() / "vocabularies"
        file = next((path for path in _places(str(name_or_file), own) if path.is_file()), own / f"{name_or_file}.json")
    if not file.is_file():
        known = sorted(path.stem for path in SHIPPED.glob("*.json"))
        raise InputError(
            f"there is no vocabulary {str(name_or_file)!r}",
            where=str(file),
            to_try=f"one of {', '.join(known)}, or a JSON file like those in {SHIPPED}",
        )
    try:
        return Taxonomy.model_validate(json.loads(file.read_text(encoding="utf-8-sig")))
    except (ValidationError, json.JSONDecodeError) as error:
        raise InputError(f"the vocabulary can't be read: {error}", where=str(file)) from error


def _places(name: str, own: Path) -> list[Path]:
    return [own / f"{name}.json", SHIPPED / f"{name}.json"] if re.fullmatch(r"[\w-]+", name) else []
