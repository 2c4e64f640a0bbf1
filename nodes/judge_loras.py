"""Many LoRAs and the graph's own model → which file to keep, at which strength, proven on fresh seeds."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from .choices import AS_SET, AUTO
from .comfy.folders import lora_file, lora_names
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


class ModisteJudgeLoras(UsesEncoder, io.ComfyNode):
    """Judge LoRAs."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """LoRAs by name, photos and the models that draw in; the file to keep, a grid and a verdict out."""
        return io.Schema(
            node_id="ModisteJudgeLoras",
            display_name="Judge LoRAs",
            category=CATEGORY,
            description="Which of many LoRAs to keep, and at which strength: all draw the photos' prompts on the same "
            "seeds, the weaker ones stop early, and the best must beat the base model on fresh seeds. Cancel keeps the "
            "pictures; queueing again goes on.",
            is_input_list=True,
            is_output_node=True,
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
            inputs=[
                *model_inputs(),
                io.String.Input(
                    "loras",
                    default="",
                    multiline=True,
                    placeholder="my-brand-000004.safetensors\nmy-training/\nmy-brand-*",
                    display_name="loras",
                    tooltip="LoRAs of your list, a line each: a file, a folder with all in it, or a pattern with *.",
                ),
                io.Image.Input(
                    "references",
                    display_name="references",
                    tooltip="Photos that were not trained on, best 8 or more; of a single one nothing is proven.",
                ),
                io.String.Input(
                    "strengths",
                    default="1.0",
                    display_name="strengths",
                    tooltip="LoRA strengths to try, comma-separated; each file at each strength is a candidate.",
                ),
                io.Int.Input(
                    "pictures",
                    default=4,
                    min=1,
                    max=32,
                    display_name="pictures",
                    tooltip="Pictures a photo: of each finalist to choose by, and of best, next, last and base to "
                    "prove by.",
                ),
                encoder_input(),
                *sampling_inputs(),
                seed_input("What decides the seeds, which all candidates share."),
                advanced(
                    io.String.Input(
                        "trigger",
                        default="",
                        display_name="trigger",
                        tooltip="The word that the LoRAs were trained with; empty: what the files say.",
                    )
                ),
                io.String.Input(
                    "names",
                    optional=True,
                    force_input=True,
                    display_name="names",
                    tooltip="The photos' names, from Load Fashion Photos: SKU-front and SKU-back are one garment.",
                ),
                aspect_input(),
            ],
            outputs=[
                io.String.Output("best", display_name="lora name", tooltip="The best file, as LoRA loaders list it."),
                io.Float.Output(
                    "best_strength", display_name="best strength", tooltip="0 where no gain over the base is proven."
                ),
                io.LoraModel.Output("lora", display_name="lora", tooltip="The best file, for Load LoRA Model."),
                io.Image.Output("grid", display_name="grid", tooltip="The photos, then each candidate in a row."),
                io.Boolean.Output(
                    "improved", display_name="improved", tooltip="Whether the gain over the base model is proven."
                ),
                io.String.Output("report", display_name="report", tooltip="The verdict, and every candidate's score."),
            ],
        )

    @classmethod
    def validate_inputs(
        cls,
        loras: list[str | None],
        strengths: list[str | None],
        encoder: list[str | None],
        sampler_name: list[str | None],
        scheduler: list[str | None],
        aspect: list[str | None] | None = None,
    ) -> bool | str:
        """Refuses LoRAs and weights that are not there, and strengths that are no numbers, before queueing."""
        from .comfy.model_management import require_encoder
        from .vision.comparison import strengths_in
        from .vision.lora_judging import loras_named

        words = dict(encoder=encoder, sampler_name=sampler_name, scheduler=scheduler, aspect=aspect or AS_SET)
        return check_result(
            lambda: check_choices(cls.define_schema(), **words),
            lambda: loras[0] is None or loras_named(loras[0], lora_names()),
            lambda: strengths[0] is None or strengths_in(strengths[0]),
            lambda: encoder[0] is None or require_encoder(encoder[0]),
        )

    @classmethod
    def fingerprint_inputs(cls, loras: list[str | None], encoder: list[str | None]) -> str:
        """The encoder, and each file with its size and time: the same names may hold other weights the next time."""
        from ..core.errors import InputError
        from .comfy.model_management import encoder_for
        from .vision.lora_judging import loras_named

        try:
            files = [lora_file(name) for name in loras_named(loras[0] or "", lora_names())]
        except InputError:  # `validate_inputs` says it, or a link brings the text later
            files = []
        states = [f"{file}|{file.stat().st_size}|{file.stat().st_mtime_ns}" for file in files]
        return "\n".join([encoder_for(encoder[0] or AUTO), *states])

    @classmethod
    def execute(
        cls,
        model: list[Any],
        clip: list[Any],
        vae: list[Any],
        loras: list[str],
        references: list[Any],
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
        names: list[str] | None = None,
        aspect: list[str] | None = None,
    ) -> io.NodeOutput:
        """Judges, or resumes a judgement that was cancelled."""
        from .comfy.folders import lora_folders, runs_root
        from .comfy.graph_search import host_of
        from .comfy.images import grid_of, image_of, pictures_of
        from .comfy.lora_host import LoraGraphHost
        from .comfy.model_management import NodeProgress, notice_for_page, vision_models_for, with_notice
        from .training.publish import listed_name, tensors_of
        from .vision.comparison import strengths_in
        from .vision.lora_judging import SIDE, judge_loras, loras_named

        prompt, node = cls.hidden.prompt or {}, str(cls.hidden.unique_id)
        base = host_of(model[0], clip[0], vae[0], scheduler[0], prompt, node)
        options = dict(steps=steps[0], cfg_scale=cfg[0], sampler=sampler_name[0], width=width[0], height=height[0])
        options |= dict(strengths=tuple(strengths_in(strengths[0])), seed=seed[0], trigger=trigger[0].strip())
        options |= dict(choosing_seeds=pictures[0], confirm_seeds=max(2, pictures[0]))
        options["aspect"] = aspect[0] if aspect and aspect[0] != AS_SET else None
        judgement = judge_loras(
            [lora_file(name) for name in loras_named(loras[0], lora_names())],
            pictures_of(references, "references"),
            names or [],
            (LoraGraphHost(base), vision_models_for(encoder[0], AUTO)),
            options,
            runs_root(),
            NodeProgress().follow,
        )
        return io.NodeOutput(
            listed_name(judgement.best, lora_folders()),
            judgement.strength,
            tensors_of(judgement.best),
            image_of(grid_of(judgement.grid(), SIDE)),
            judgement.improved,
            with_notice(judgement.report(), encoder[0]),
            ui=notice_for_page(encoder[0]),
        )
