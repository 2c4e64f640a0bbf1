"""The environment of a Python process that a test starts: the checkout's package and what tests share."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]


def python_environment(**variables: str) -> dict[str, str]:
    """Our environment variables with the checkout importable as `modiste`, and these."""
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", **variables}
