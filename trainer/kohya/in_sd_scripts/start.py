"""Starts a program of sd-scripts with the engine's own Python: `start.py train_network.py --config_file run.toml`.

That Python has none of Modiste's libraries: the standard library alone here. This file's folder is the first that it
imports from, so sd-scripts finds `modiste_rates` by name.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

OPERATORS = Path(__file__).resolve().parents[3] / "core" / "torchvision_ops.py"
ORPHANED = 70


def main() -> None:
    """Runs the program as if it had been called itself."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    patched = _patch_torchvision_ops()  # lasts as long as it is held
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
    del patched


def _end_with_parent() -> None:
    """Standard input is a pipe that its parent holds: it closes when that dies, however that dies."""
    while os.read(0, 4096):
        pass
    os._exit(ORPHANED)


def _patch_torchvision_ops() -> ModuleType | None:
    """Makes a torchvision of another build than torch importable: see torchvision_ops.py."""
    if find_spec("torchvision") is None:
        return None
    spec = spec_from_file_location("torchvision_ops", OPERATORS)
    assert spec and spec.loader  # a .py file has both
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    module.patch_torchvision_ops()
    return module


if __name__ == "__main__":
    main()
