"""The checkout as the package `modiste`: a module with `__path__` is a package, so every room imports from any folder."""

from pathlib import Path

__path__ = [str(Path(__file__).parent)]
