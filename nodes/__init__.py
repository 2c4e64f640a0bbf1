"""ComfyUI's nodes: read inputs, one call, return. The only room that imports ComfyUI, and only when asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy_api.v0_0_2 import ComfyExtension


async def comfy_entrypoint() -> ComfyExtension:
    """The extension that ComfyUI asks for its list of nodes; the list is still empty."""
    from comfy_api.v0_0_2 import ComfyExtension, io

    class ModisteExtension(ComfyExtension):
        async def get_node_list(self) -> list[type[io.ComfyNode]]:
            return []

    return ModisteExtension()
