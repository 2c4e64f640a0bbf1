"""`python -m modiste.bench.train_base FOLDER`: a Stable Diffusion 1.5 with random weights, 1 billion of them.

It costs what the published one costs, in time and in memory: a diffusers folder of 4.3 GB in float32, as that was
first. A process of its own, because what a process needed once is counted against all that it starts later.
"""

from __future__ import annotations

import sys
from pathlib import Path

from .random_models import random_diffusion

if __name__ == "__main__":
    random_diffusion(Path(sys.argv[1]), "sd1", dtype="float32")
