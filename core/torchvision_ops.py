"""Makes torchvision importable beside a torch that its compiled operators were not built for.

The registry's torchvision wheel is built for CUDA. Beside a CPU-only torch its library does not load, and
`import torchvision` fails with `operator torchvision::nms does not exist`; with it fail open_clip,
transformers and diffusers, which import it. Modiste needs none of those operators. Torchvision's Python code only
refers to two of them, so declaring these two without an implementation is enough.
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
    """Declares torchvision's operators where its own library does not load; True if that was needed.

    To be called before the first import of torchvision, open_clip, transformers or diffusers; a second call is free.
    """
    with _lock:
        return _declared() is not None


@cache  # once a process: the declaration lasts as long as its Library object
def _declared() -> Library | None:
    import torch

    if "torchvision" in sys.modules or torch.version.cuda is not None or _compiled_library_loads():
        return None
    library = torch.library.Library("torchvision", "DEF")
    for operator in OPERATORS:
        if not hasattr(torch.ops.torchvision, operator):
            library.define(operator + SIGNATURE)
    return library


def _compiled_library_loads() -> bool:
    """Whether torchvision is absent or its library fits this torch, which only loading it can tell."""
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
