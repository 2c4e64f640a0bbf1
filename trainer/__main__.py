"""`python -m modiste.trainer config.json`: one training run as a process of its own, for every front end.

Standard output carries JSON lines, one event each, and nothing else:

    {"event": "progress", "stage": "train", "done": 12, "total": 400, "message": "loss 0.0412, …", "eta_s": 31.0,
     "loss": 0.0412, "rate": 0.0001, "memory_mb": 3120.5}       the last three while it trains
    {"event": "validation", "step": 100, "loss": 0.05, "mean": 0.01, "low": 0.004, "high": 0.016}   held out; the gain
        where pictures choose also "similarity", "colour_delta_e", "nearest_training" and "judge", of held-out garments
    {"event": "sample", "step": 100, "similarity": 0.71, "seed": 0, "file": "…/samples/step-000100-0.png"}
    {"event": "checkpoint", "step": 100}
    {"event": "heartbeat", "stage": "train", "done": 12}        every few seconds, also while nothing else is said
    {"event": "done", "file": "…", "best_step": 165, "reason": "…"}
    {"event": "error", "message": "…", "exit_code": 2}

SIGTERM and Ctrl-C keep a checkpoint and exit with 4; the same command goes on.
"""

from __future__ import annotations

import sys

from ..cli.train_process import main

if __name__ == "__main__":
    sys.exit(main())
