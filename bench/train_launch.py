"""`python -m modiste.bench.train_launch SCRIPT [ARGUMENT…]`: another trainer's script, as it is.

The one thing done for it: where torchvision does not fit a CPU's torch, no such script could start; see
torchvision_ops.py.
"""

from __future__ import annotations

import runpy
import sys

from ..torchvision_ops import heal


def main() -> None:
    """Runs the script as Python would."""
    del sys.argv[0]
    heal()
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
