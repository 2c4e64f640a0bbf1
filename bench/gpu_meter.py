"""What a part of `python -m modiste.bench.gpu` measures with: seconds that wait for the device, its peak, its rows."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..checkpoints.families.configs import Family
from ..core.device import GIB

Figures = dict[str, float | str | bool | None]
MODELS: dict[Family, str] = {"sd1": "sd15", "sdxl": "sdxl"}  # family → preset, and the folder of its random model


@dataclass
class PartMeter:
    """Where a part's models lie, on which device, at which size, and where its rows go."""

    part: str
    folder: Path
    device: str
    tiny: bool = False
    ends: float = float("inf")  # time.monotonic() at which the part is ended
    rows: list[Figures] = field(default_factory=list)

    @property
    def on_card(self) -> bool:
        """Whether the device has memory of its own."""
        return self.device.startswith("cuda")

    def row(self, what: str, **figures: float | str | bool | None) -> None:
        """Keeps a row, here and in the part's file."""
        values: Figures = {name: round(v, 4) if isinstance(v, float) else v for name, v in figures.items()}
        self.rows.append({"what": what, **values})
        with (self.folder / f"{self.part}.jsonl").open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(self.rows[-1]) + "\n")

    @property
    def left_s(self) -> float:
        """Seconds until the part is ended."""
        return self.ends - time.monotonic()

    def wait(self) -> None:
        """Until the device has done what it was given."""
        import torch

        if self.on_card:
            torch.cuda.synchronize(self.device)

    @contextmanager
    def timed(self) -> Iterator[Figures]:
        """Inside `with`: {"s", "peak_gib"} of what runs there, and of a card the memory that torch held for it."""
        import torch

        measured: Figures = {}
        if self.on_card:
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        self.wait()
        began = time.perf_counter()
        yield measured
        self.wait()
        measured["s"] = time.perf_counter() - began
        measured["peak_gib"] = torch.cuda.max_memory_allocated(self.device) / GIB if self.on_card else None
        measured["held_gib"] = torch.cuda.max_memory_reserved(self.device) / GIB if self.on_card else None
