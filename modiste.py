"""The checkout as the package `modiste`: a module with `__path__` is a package, whatever its folder's name."""

from pathlib import Path

__path__ = [str(Path(__file__).parent)]
