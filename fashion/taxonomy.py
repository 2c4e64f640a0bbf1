"""The vocabulary of garments as data: groups of labels, how each is probed and how each is written into a prompt."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..core.errors import InputError
from ..core.home import modiste_home
from ..core.state_files import read_state

SHIPPED = Path(__file__).parent / "taxonomies"


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Label(_Data):
    """A word of the vocabulary: `prompt_text` is written into prompts, `probe_texts` are compared with photos.

    `other_text` says the same otherwise, for a model that does not draw the first; empty: there are no other words.
    """

    id: str
    prompt_text: str
    other_text: str = ""
    probe_texts: tuple[str, ...] = Field(min_length=1)
    name: dict[str, str] = {}  # language code → the name in reports
    rgb: tuple[tuple[int, int, int], ...] = ()  # reference colours, sRGB 0…255, for groups read from pixels


class Group(_Data):
    """Labels of one kind, such as colours; `applies_to` limits the group to some garments."""

    id: str
    name: dict[str, str] = {}
    slot: Literal["before", "noun", "after"]  # where its word stands: adjective, the noun, or after "with"
    exclusive: bool = True
    source: Literal["encoder", "pixels"] = "encoder"
    enabled: bool = True  # tagged by default
    binds: bool = (
        False  # part of a brand's look: captions with a trigger word leave it out, so that the trigger means it
    )
    applies_to: dict[str, tuple[str, ...]] = {}  # group id → label ids; empty: always
    absent: tuple[str, ...] = ()  # probes of "not visible"; empty: where the group applies, it is visible
    labels: tuple[Label, ...] = Field(min_length=2)

    def label(self, label_id: str) -> Label:
        """The label of that id; raises KeyError if there is none."""
        for label in self.labels:
            if label.id == label_id:
                return label
        raise KeyError(f"group {self.id!r} has no label {label_id!r}; it has {[item.id for item in self.labels]}")

    def applies(self, chosen: dict[str, str]) -> bool:
        """Whether the group applies to a garment with the labels `chosen` so far (group id → label id)."""
        return all(chosen.get(group) in labels for group, labels in self.applies_to.items())


class Taxonomy(_Data):
    """A vocabulary: how its sentences begin, view phrases, the negative prompt, and the groups in order."""

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
            for other, required in group.applies_to.items():
                if other not in ids[:position]:
                    raise ValueError(f"group {group.id!r} depends on {other!r}, which does not come before it")
                known = {label.id for label in self.group(other).labels}
                if not set(required) <= known:
                    raise ValueError(
                        f"group {group.id!r} depends on unknown labels {sorted(set(required) - known)} of {other!r}"
                    )
            if group.source == "pixels" and not all(label.rgb for label in group.labels):
                raise ValueError(f"group {group.id!r} is read from pixels, so each of its labels needs rgb values")
        return self

    def group(self, group_id: str) -> Group:
        """The group of that id; raises InputError if there is none."""
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

    Under a name the user's own copy, `vocabularies/NAME.json` in MODISTE_HOME, comes before the shipped one. Raises
    InputError with the field that is wrong.
    """
    file = Path(name_or_file)
    if file.suffix != ".json":
        users = modiste_home() / "vocabularies"
        places = _places(str(name_or_file), users)
        file = next((path for path in places if path.is_file()), users / f"{name_or_file}.json")
    if not file.is_file():
        known = sorted(path.stem for path in SHIPPED.glob("*.json"))
        raise InputError(
            f"there is no vocabulary {str(name_or_file)!r}",
            where=str(file),
            to_try=f"one of {', '.join(known)}, or a JSON file like those in {SHIPPED}",
        )
    return read_state(
        file, Taxonomy.model_validate, f"correct the vocabulary, in the form of those in {SHIPPED}, saved as UTF-8"
    )


def _places(name: str, users: Path) -> list[Path]:
    return [users / f"{name}.json", SHIPPED / f"{name}.json"] if re.fullmatch(r"[\w-]+", name) else []
