"""`python -m modiste.bench.train_launch SCRIPT [ARGUMENT…]`: another trainer's script, as it is.

The one thing done for it: where torchvision does not fit a CPU's torch, no such script could start; see
torchvision_ops.py.
"""

from __future__ import annotations

import runpy
import sys

from ..core.torchvision_ops import patch_torchvision_ops


def main() -> None:
    """Runs the script as Python would."""
    del sys.argv[0]
    patch_torchvision_ops()
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
