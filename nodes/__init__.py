"""ComfyUI's nodes: read inputs, one call, return. The only room that imports ComfyUI, and only when asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy_api.v0_0_2 import ComfyExtension


async def comfy_entrypoint() -> ComfyExtension:
    """The extension that ComfyUI asks for its nodes."""
    from comfy_api.v0_0_2 import ComfyExtension, io

    from .caption_dataset import ModisteCaptionDataset
    from .choose_lora import ModisteChooseLora
    from .comfy.folders import register
    from .compare import ModisteCompare
    from .http_routes import add_routes
    from .judge import ModisteJudge
    from .judge_loras import ModisteJudgeLoras
    from .load_photos import ModisteLoadPhotos
    from .lora_trainer import ModisteLoraTrainer
    from .prompt_builder import ModistePromptBuilder
    from .prompt_candidates import ModistePromptCandidates
    from .prompt_search import ModistePromptSearch
    from .scorer import ModisteScorer
    from .tagger import ModisteTagger
    from .training_options import ModisteTrainingOptions

    class ModisteExtension(ComfyExtension):
        async def get_node_list(self) -> list[type[io.ComfyNode]]:
            register()
            add_routes()
            return [
                ModisteTagger,
                ModistePromptBuilder,
                ModisteScorer,
                ModisteLoraTrainer,
                ModisteTrainingOptions,
                ModisteLoadPhotos,
                ModisteCaptionDataset,
                ModistePromptSearch,
                ModisteCompare,
                ModisteChooseLora,
                ModistePromptCandidates,
                ModisteJudge,
                ModisteJudgeLoras,
            ]

    return ModisteExtension()
