"""A photo and the graph's own model → the prompt that draws it best, proven on held-out seeds."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from ..fashion.prompts.strategies import refuse_unknown_strategies
from .choices import AS_SET, AUTO
from .missing_libraries import advice, require
from .schema import (
    CATEGORY,
    MOST_STEPS,
    UsesEncoder,
    advanced,
    aspect_input,
    check_choices,
    check_result,
    encoder_input,
    model_inputs,
    names_in,
    sampling_inputs,
    seed_input,
)

LIBRARIES = ("transformers", "jinja2")


class ModistePromptSearch(UsesEncoder, io.ComfyNode):
    """Prompt Search."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs: a photo, and the models that draw. Outputs: the best prompt, its picture and figures."""
        return io.Schema(
            node_id="ModistePromptSearch",
            display_name="Fashion Prompt Search",
            category=CATEGORY,
            description="Finds the prompt that makes this model draw the photo again: strategies compete on common "
            "seeds, and the winner must beat the plain tag list on held-out seeds. Cancel keeps the pictures; queueing "
            "again goes on.",
            is_output_node=True,
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
            inputs=[
                *model_inputs(),
                io.Image.Input("reference", display_name="reference", tooltip="The photo to draw again."),
                encoder_input(),
                io.Int.Input(
                    "budget",
                    default=24,
                    min=5,
                    max=400,
                    display_name="budget",
                    tooltip="Pictures to draw in all, with the final confirmation; 24 and more give a useful answer.",
                ),
                *sampling_inputs(),
                seed_input("What decides all seeds of the search; the same gives the same answer."),
                advanced(
                    io.String.Input(
                        "strategies",
                        default="",
                        placeholder="sentence, studio, weighted_by_confidence",
                        display_name="strategies",
                        tooltip="Which strategies compete, comma-separated; empty: all.",
                    )
                ),
                advanced(
                    io.Boolean.Input(
                        "refine",
                        default=True,
                        display_name="refine",
                        tooltip="Whether to test the winner's words one by one where the budget allows it.",
                    )
                ),
                advanced(
                    io.Boolean.Input(
                        "learn",
                        default=True,
                        display_name="learn",
                        tooltip="Whether to begin with what worked for earlier photos.",
                    )
                ),
                aspect_input(),
                advanced(
                    io.Int.Input(
                        "search_steps",
                        default=0,
                        min=0,
                        max=MOST_STEPS,
                        optional=True,
                        display_name="search steps",
                        tooltip="Sampling steps of the pictures that only choose, drawn with half the cfg and the "
                        "scheduler normal; those that prove have all steps. 0: all pictures alike.",
                    )
                ),
            ],
            outputs=[
                io.String.Output("positive", display_name="positive", tooltip="The prompt that is recommended."),
                io.String.Output("negative", display_name="negative", tooltip="Its negative prompt."),
                io.Image.Output("image", display_name="image", tooltip="The best picture on held-out seeds."),
                io.Float.Output(
                    "similarity", display_name="similarity", tooltip="Calibrated, 0 … 1, mean on held-out seeds."
                ),
                io.Boolean.Output(
                    "improved", display_name="improved", tooltip="Whether the gain over the plain tag list is proven."
                ),
                io.String.Output("report", display_name="report", tooltip="What was tried, and the figures."),
            ],
        )

    @classmethod
    def validate_inputs(
        cls,
        strategies: str | None,
        encoder: str | None,
        steps: int | None,
        sampler_name: str | None,
        scheduler: str | None,
        aspect: str | None = AS_SET,
        search_steps: int | None = 0,
    ) -> bool | str:
        """Refuses missing libraries and weights, unknown strategies and too many steps; None is a link."""
        from .comfy.model_management import require_encoder

        lacking = advice("Prompt Search", *LIBRARIES)
        words = dict(encoder=encoder, sampler_name=sampler_name, scheduler=scheduler, aspect=aspect)
        return lacking or check_result(
            lambda: check_choices(cls.define_schema(), **words),
            lambda: refuse_unknown_strategies(names_in(strategies or "")),
            lambda: _check_steps(steps, search_steps),
            lambda: encoder and require_encoder(encoder),
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        reference: Any,
        encoder: str,
        budget: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        width: int,
        height: int,
        seed: int,
        strategies: str,
        refine: bool,
        learn: bool,
        aspect: str = AS_SET,
        search_steps: int = 0,
    ) -> io.NodeOutput:
        """Searches, or resumes a search that was cancelled."""
        from .comfy.graph_search import host_of, search
        from .comfy.images import image_of, pictures_of
        from .comfy.model_management import notice_for_page, vision_models_for, with_notice

        require("Prompt Search", *LIBRARIES)
        prompt, node = cls.hidden.prompt or {}, str(cls.hidden.unique_id)
        host = host_of(model, clip, vae, scheduler, prompt, node)
        drawing = dict(steps=steps, cfg_scale=cfg, sampler=sampler_name, width=width, height=height)
        drawing["aspect"] = aspect if aspect != AS_SET else None
        options = dict(budget=budget, seed=seed, strategies=names_in(strategies), refine=refine, learn=learn)
        options["search_steps"] = search_steps or None
        photos = pictures_of([reference], "reference")
        result = search(host, vision_models_for(encoder, AUTO), photos, {**drawing, **options})
        return io.NodeOutput(
            result.photo.optimized_prompt,
            result.photo.negative_prompt,
            image_of(result.picture),
            result.photo.similarity_score,
            result.photo.improved,
            with_notice(result.report(), encoder),
            ui={**notice_for_page(encoder, result.notices), "modiste_search": [result.row()]},
        )


def _check_steps(steps: int | None, search_steps: int | None) -> None:
    """InputError for steps outside their bounds, or where the search takes as many as the proof; None is a link.

    ComfyUI does not hold inputs that `validate_inputs` names to their bounds.
    """
    from ..routes.prompt.few_steps import few_step_sampling
    from .vision.tag_edits import finite

    if steps is not None:
        finite("steps", steps, 1, MOST_STEPS)
    if search_steps:
        finite("search_steps", search_steps, 1, MOST_STEPS)
    if steps is not None and search_steps:
        few_step_sampling({"steps": steps, "cfg_scale": 1.0}, search_steps, None)
