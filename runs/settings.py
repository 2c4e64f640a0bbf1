"""What makes two runs the same run: their settings, compared field by field in words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

OTHER_FOLDER = "use another --out, or the settings and the version that the folder was begun with"


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces; ValueError for NaN and infinities."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(settings: Mapping[str, Any]) -> str:
    """16 hex digits that change with any setting."""
    return hashlib.sha256(canonical(settings).encode()).hexdigest()[:16]


def differences(old: Any, new: Any) -> list[str]:
    """Where two JSON values differ, in words: `host.url: 'a' → 'b'`, `budget: 40 → (nothing)`."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    return [
        f"{name}: {_shown(before, name)} → {_shown(after, name)}"
        for name in dict.fromkeys((*before, *after))
        if name not in before or name not in after or before[name] != after[name]
    ]


def refusal(old: Any, new: Any) -> str | None:
    """Why a folder that was begun with the settings `old` is not continued with `new`; None where they are the same."""
    changed = differences(old, new)
    if not changed:
        return None
    if any(difference.partition(": ")[0].rpartition(".")[2] == "rules" for difference in changed):
        return "the run folder was begun by a version of Modiste that searched and judged by other rules"
    return f"the run folder belongs to other settings: {'; '.join(changed)}"


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _shown(values: dict[str, Any], name: str) -> str:
    text = repr(values[name]) if name in values else "(nothing)"
    return text if len(text) <= 200 else f"{text[:199]}…"
