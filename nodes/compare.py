"""Base beside tuned on the same seeds, scored against reference photos: was the training worth it?"""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from .choices import AS_SET, AUTO
from .schema import (
    CATEGORY,
    UsesEncoder,
    advanced,
    aspect_input,
    check_choices,
    check_result,
    encoder_input,
    model_inputs,
    sampling_inputs,
    seed_input,
)

GRID_SIDE = 256  # pixels of a picture


class ModisteCompare(UsesEncoder, io.ComfyNode):
    """Compare."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Base, tuned and references in; a grid and a verdict with its interval out."""
        return io.Schema(
            node_id="ModisteCompare",
            display_name="Compare Base and Tuned",
            category=CATEGORY,
            description="Draws the same prompts on the same seeds with the base and with the tuned model, and scores "
            "both against your photos: the gain with its 95 % interval, over several LoRA strengths.",
            is_input_list=True,
            is_output_node=True,
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
            inputs=[
                *model_inputs(),
                io.Image.Input(
                    "references",
                    display_name="references",
                    tooltip="Photos that were not trained on, best 4 or more; of a single one nothing is proven.",
                ),
                io.String.Input(
                    "positive",
                    default="",
                    multiline=True,
                    placeholder="a photo of a red dress",
                    display_name="positive",
                    tooltip="The prompt: one for all references, or one each.",
                ),
                io.String.Input(
                    "negative",
                    default="",
                    multiline=True,
                    display_name="negative",
                    tooltip="The negative prompt: one for all references, or one each.",
                ),
                io.String.Input(
                    "strengths",
                    default="0.6, 0.8, 1.0",
                    display_name="strengths",
                    tooltip="LoRA strengths to compare, comma-separated; with a tuned model connected they do not "
                    "matter.",
                ),
                io.Int.Input(
                    "pictures",
                    default=2,
                    min=1,
                    max=32,
                    display_name="pictures",
                    tooltip="Pictures a reference and strength; among several strengths one is chosen, then proven on "
                    "as many more.",
                ),
                encoder_input(),
                *sampling_inputs(),
                seed_input("What decides the seeds; base and tuned share them."),
                advanced(
                    io.String.Input(
                        "trigger",
                        default="",
                        display_name="trigger",
                        tooltip="The word that the tuned model was trained with; put before its prompts only.",
                    )
                ),
                io.LoraModel.Input(
                    "lora", optional=True, display_name="lora", tooltip="The LoRA to try, from the LoRA Trainer."
                ),
                io.Model.Input(
                    "tuned_model",
                    optional=True,
                    display_name="tuned model",
                    tooltip="Or a model that is tuned already.",
                ),
                aspect_input(),
            ],
            outputs=[
                io.Image.Output("grid", display_name="grid", tooltip="Reference, base and each strength side by side."),
                io.Float.Output("best_strength", display_name="best strength", tooltip="0 where the base is best."),
                io.Float.Output("gain", display_name="gain", tooltip="Of the chosen strength over the base, −1 … 1."),
                io.Boolean.Output("improved", display_name="improved", tooltip="Whether that gain is proven."),
                io.String.Output("report", display_name="report", tooltip="The figures and the verdict."),
            ],
        )

    @classmethod
    def validate_inputs(
        cls,
        strengths: list[str | None],
        encoder: list[str | None],
        sampler_name: list[str | None],
        scheduler: list[str | None],
        aspect: list[str | None] | None = None,
    ) -> bool | str:
        """Refuses missing weights and strengths that are no numbers before queueing; None is a link."""
        from .comfy.model_management import require_encoder
        from .vision.comparison import strengths_in

        words = dict(encoder=encoder, sampler_name=sampler_name, scheduler=scheduler, aspect=aspect or AS_SET)
        return check_result(
            lambda: check_choices(cls.define_schema(), **words),
            lambda: strengths[0] is None or strengths_in(strengths[0]),
            lambda: encoder[0] is None or require_encoder(encoder[0]),
        )

    @classmethod
    def execute(
        cls,
        model: list[Any],
        clip: list[Any],
        vae: list[Any],
        references: list[Any],
        positive: list[str],
        negative: list[str],
        strengths: list[str],
        pictures: list[int],
        encoder: list[str],
        steps: list[int],
        cfg: list[float],
        sampler_name: list[str],
        scheduler: list[str],
        width: list[int],
        height: list[int],
        seed: list[int],
        trigger: list[str],
        lora: list[Any] | None = None,
        tuned_model: list[Any] | None = None,
        aspect: list[str] | None = None,
    ) -> io.NodeOutput:
        """Draws, scores, compares."""
        from .comfy.graph_search import host_of, tuned_hosts
        from .comfy.images import grid_of, image_of, pictures_of
        from .comfy.model_management import NodeProgress, notice_for_page, vision_models_for, with_notice
        from .vision.comparison import compare, plan_pictures, strengths_in

        photos = pictures_of(references, "references")
        prompt, node = cls.hidden.prompt or {}, str(cls.hidden.unique_id)
        base = host_of(model[0], clip[0], vae[0], scheduler[0], prompt, node)
        tuned = tuned_hosts(base, lora and lora[0], tuned_model and tuned_model[0], strengths_in(strengths[0]))
        drawing = dict(steps=steps[0], cfg_scale=cfg[0], sampler=sampler_name[0], width=width[0], height=height[0])
        shape = aspect[0] if aspect and aspect[0] != AS_SET else None
        plan = plan_pictures(photos, positive, negative, pictures[0], seed[0], drawing, trigger[0].strip(), shape)
        sweep = compare(base, tuned, plan, photos, vision_models_for(encoder[0], AUTO), NodeProgress().show)
        return io.NodeOutput(
            image_of(grid_of(sweep.rows_of_pictures(photos), GRID_SIDE)),
            sweep.strength if sweep.improved else 0.0,
            sweep.gain.mean,
            sweep.improved,
            with_notice(sweep.report(), encoder[0]),
            ui={**notice_for_page(encoder[0]), "modiste_compare": [sweep.as_json()]},
        )
