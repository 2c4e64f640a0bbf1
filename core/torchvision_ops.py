"""Makes torchvision importable where its compiled operators do not fit the installed torch.

The registry's torchvision wheel is built for CUDA. Beside a CPU-only torch its library does not load, and
`import torchvision` fails with `operator torchvision::nms does not exist`; with it fail open_clip,
transformers and diffusers, which import it. None of them calls those operators for what Modiste does:
declared without an implementation, the two that torchvision's Python code refers to are enough.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.library import Library

OPERATORS = ("nms", "qnms")
SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

_lock = Lock()


def patch_torchvision_ops() -> bool:
    """Declare torchvision's operators if its own library can't; True where that was needed.

    Call it before the first import of torchvision, open_clip, transformers or diffusers; again costs nothing.
    """
    with _lock:
        return _declared() is not None


@cache  # once a process; and the declaration lives as long as its Library object
def _declared() -> Library | None:
    import torch

    if "torchvision" in sys.modules or torch.version.cuda is not None or _own_library_loads():
        return None
    library = torch.library.Library("torchvision", "DEF")
    for operator in OPERATORS:
        if not hasattr(torch.ops.torchvision, operator):
            library.define(operator + SIGNATURE)
    return library


def _own_library_loads() -> bool:
    """Whether torchvision is absent or its library fits this torch: loading it is the only sure test."""
    import torch

    package = find_spec("torchvision")
    if package is None or not package.submodule_search_locations:
        return True
    folder = str(Path(package.submodule_search_locations[0]))
    compiled = FileFinder(folder, (ExtensionFileLoader, EXTENSION_SUFFIXES)).find_spec("_C")
    if compiled is None or compiled.origin is None:
        return False
    try:
        torch.ops.load_library(compiled.origin)
    except OSError:
        return False
    return True
