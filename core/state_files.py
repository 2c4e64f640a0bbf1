"""Reading JSON files that an earlier run, or a user, wrote: a damaged one is an error that says what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from .errors import InputError
from .read_files import read_whole

Content = TypeVar("Content")

MOST_BYTES = 256_000_000
DAMAGED = ".damaged"  # suffix of the copy


class DamagedFile(InputError):
    """A file does not hold what it should; `copy` is a copy of it as it was found, where one could be made."""

    def __init__(self, path: Path, reason: str, to_try: str, copy: Path | None):
        self.path, self.copy = path, copy
        kept = f", copied to {copy.name}" if copy else ""
        super().__init__(f"damaged: {reason}", where=f"{path}{kept}", to_try=to_try)


def read_state(path: Path, form: Callable[[Any], Content], to_try: str) -> Content:
    """The content of a JSON file in UTF-8, given its form by `form`, such as a model's `model_validate`.

    Raises UnreadableFile where it can't be read. Raises DamagedFile, with what `to_try`, where it is no JSON or where
    `form` raises ValueError, TypeError, KeyError or AttributeError; a copy of the damaged file is kept beside it.
    """
    try:
        return _read(path, form)
    except ValueError as error:
        raise DamagedFile(path, str(error), to_try, _copied(path)) from None


def read_model_json(path: Path, form: Callable[[Any], Content]) -> Content:
    """The content of a JSON file of a model that others made, as by `read_state`; no copy is written beside it."""
    try:
        return _read(path, form)
    except ValueError as error:
        raise DamagedFile(path, str(error), "bring the model's files here again", None) from None


def _read(path: Path, form: Callable[[Any], Content]) -> Content:
    """ValueError says in words what is damaged."""
    data = read_whole(path, MOST_BYTES)
    try:
        return form(json.loads(data.decode("utf-8-sig")))
    except RecursionError:
        reason = "its JSON is nested too deeply"
    except UnicodeDecodeError as error:
        reason = f"it is not in UTF-8 (byte {error.start})"
    except json.JSONDecodeError as error:
        reason = f"it is no JSON: {error}"
    except KeyError as error:
        reason = f"it has no {error}"
    except (ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
    raise ValueError(reason)


def _copied(path: Path) -> Path | None:
    copy = path.with_name(path.name + DAMAGED)
    try:
        shutil.copy2(path, copy)
    except OSError:
        return None
    return copy


def json_object(content: Any) -> dict[str, Any]:
    """The content where it is a JSON object: a form for `read_state`."""
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, not an object")
    return content
