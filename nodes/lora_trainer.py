"""Photos + captions + the checkpoint of the graph → a LoRA, trained in a process of its own."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from .choices import EMBEDDED_MODEL, GRAPH_CHECKPOINT, METHODS, RECIPES
from .comfy.folders import checkpoint_names, photo_folder, runs_root
from .missing_libraries import advice, require
from .schema import (
    CATEGORY,
    OPTIONS,
    advanced,
    captions_input,
    check_choices,
    check_result,
    encoder_input,
    folder_input,
    one_line,
    seed_input,
)

LIBRARIES = ("diffusers", "peft", "transformers", "accelerate")
NO_MODEL = "LoRA Trainer has no model to put the LoRA on: connect one, or load the file with a LoRA loader"


class ModisteLoraTrainer(io.ComfyNode):
    """LoRA Trainer."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs: a dataset and a base. Outputs: the LoRA, the model with it applied, its file and the loss."""
        return io.Schema(
            node_id="ModisteLoraTrainer",
            display_name="Fashion LoRA Trainer",
            category=CATEGORY,
            description="Trains a LoRA for Stable Diffusion 1, 2 and XL on your photos in a process of its own, picks "
            "the best step on held-out photos, and puts the file where every LoRA loader lists it. Cancel keeps a "
            "checkpoint; queueing again goes on.",
            is_input_list=True,
            is_output_node=True,
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
            inputs=[
                folder_input(
                    "A folder of ComfyUI's input with your photos, best 20 to 200, and a caption as NAME.txt "
                    "beside each; missing captions are written by the encoder. Or connect images."
                ),
                io.Combo.Input(
                    "checkpoint",
                    options=[GRAPH_CHECKPOINT, *checkpoint_names(), EMBEDDED_MODEL],
                    default=GRAPH_CHECKPOINT,
                    display_name="checkpoint",
                    tooltip="The base to train on: the one that the connected model was loaded from, or one of your "
                    "checkpoints. The embedded mini model is for trying things out only.",
                ),
                io.String.Input(
                    "trigger",
                    default="",
                    placeholder="ohwx",
                    display_name="trigger",
                    tooltip="A rare word that stands for the learned look; put it into prompts later.",
                ),
                io.Combo.Input(
                    "recipe",
                    options=list(RECIPES),
                    default="standard",
                    display_name="recipe",
                    tooltip="How long to learn: quick shows in minutes whether your data works; standard is for use; "
                    "thorough takes twice as long.",
                ),
                io.String.Input(
                    "name",
                    default="fashion",
                    display_name="name",
                    tooltip="The file's name; a digest of its content is added.",
                ),
                encoder_input(),
                io.Int.Input(
                    "rank",
                    default=16,
                    min=1,
                    max=256,
                    display_name="rank",
                    tooltip="Capacity of the LoRA. 8 to 32 suits garments; the file grows with it.",
                ),
                io.Int.Input(
                    "steps",
                    default=0,
                    min=0,
                    max=100000,
                    display_name="steps",
                    tooltip="Updates of the weights; 0 takes the recipe's. It stops earlier where held-out photos get "
                    "no better.",
                ),
                seed_input("What decides the order of photos and the noise; the same gives the same file."),
                advanced(
                    io.Combo.Input(
                        "method",
                        options=list(METHODS),
                        default="lora",
                        display_name="method",
                        tooltip="The kind of adapter: lora loads everywhere; loha and lokr are smaller and rarer.",
                    )
                ),
                advanced(
                    io.Float.Input(
                        "learning_rate",
                        default=0.0,
                        min=0.0,
                        max=1.0,
                        step=1e-5,
                        round=1e-7,
                        display_name="learning rate",
                        tooltip="How far each update goes; 0 takes what suits the base, 1e-4 for Stable Diffusion.",
                    )
                ),
                advanced(
                    io.Int.Input(
                        "resolution",
                        default=0,
                        min=0,
                        max=2048,
                        step=64,
                        display_name="resolution",
                        tooltip="Pixels a side; 0 takes the base's own: 512, or 1024 for SDXL.",
                    )
                ),
                advanced(
                    io.Float.Input(
                        "strength",
                        default=1.0,
                        min=-4.0,
                        max=4.0,
                        step=0.05,
                        round=0.01,
                        display_name="strength",
                        tooltip="Strength of the LoRA in the output model.",
                    )
                ),
                advanced(
                    io.String.Input(
                        "config",
                        default="",
                        multiline=True,
                        placeholder='{"loss": {"min_snr_gamma": 5}, "data": {"flip": true}}',
                        display_name="config",
                        tooltip="Any field of a training config as JSON; it overrides the fields above. Training "
                        "Options is the form for it; a field that both set differently is refused.",
                    )
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    display_name="model",
                    tooltip="The model whose checkpoint is trained on; it comes out with the LoRA applied.",
                ),
                io.Image.Input(
                    "images",
                    optional=True,
                    display_name="images",
                    tooltip="The photos, instead of a folder.",
                ),
                captions_input("One caption a photo of images; without them the encoder writes them."),
                io.Custom(OPTIONS).Input(
                    "options",
                    optional=True,
                    display_name="options",
                    tooltip="From Training Options; what is set there overrides the fields of this node.",
                ),
            ],
            outputs=[
                io.LoraModel.Output("lora", display_name="lora", tooltip="For Load LoRA Model and Save LoRA Weights."),
                io.Model.Output(
                    "tuned_model", display_name="model", tooltip="The connected model with the LoRA applied."
                ),
                io.LossMap.Output("losses", display_name="losses", tooltip="For Plot Loss Graph."),
                io.String.Output("lora_name", display_name="lora name", tooltip="As LoRA loaders list it."),
                io.String.Output("file", display_name="file", tooltip="The full path of the file."),
                io.String.Output("report", display_name="report", tooltip="What was trained, and how well."),
            ],
        )

    @classmethod
    def validate_inputs(
        cls,
        folder: list[str | None],
        checkpoint: list[str | None],
        trigger: list[str | None],
        recipe: list[str | None],
        encoder: list[str | None],
        steps: list[int | None],
        method: list[str | None],
        learning_rate: list[float | None],
        resolution: list[int | None],
        config: list[str | None],
        model: list[Any] | None = None,
        images: list[Any] | None = None,
    ) -> bool | str:
        """Refuses before queueing what can't be trained: libraries, photos and captions, checkpoint, fields.

        None is a link, whose value is known later.
        """
        from .training.in_comfyui import check_photos, check_widgets, require_base

        widgets = dict(trigger=trigger, steps=steps, method=method, learning_rate=learning_rate, resolution=resolution)
        known = {name: value[0] for name, value in (*widgets.items(), ("config", config)) if value[0] is not None}
        known["trigger"] = one_line(known.get("trigger", ""))
        words = dict(checkpoint=checkpoint, recipe=recipe, encoder=encoder, method=method)
        return advice("Training", *LIBRARIES) or check_result(
            lambda: check_choices(cls.define_schema(), **words),
            lambda: folder[0] is None or check_photos(folder[0], encoder[0], images is not None),
            lambda: require_base(checkpoint[0], model is not None),
            lambda: check_widgets(checkpoint[0], known),
        )

    @classmethod
    def fingerprint_inputs(cls, folder: list[str | None], **others: Any) -> str:
        """A digest that changes with any photo or caption of the folder."""
        from .training.dataset import fingerprint

        return fingerprint(photo_folder(folder[0])) if folder[0] else ""

    @classmethod
    def execute(
        cls,
        folder: list[str],
        checkpoint: list[str],
        trigger: list[str],
        recipe: list[str],
        name: list[str],
        encoder: list[str],
        rank: list[int],
        steps: list[int],
        seed: list[int],
        method: list[str],
        learning_rate: list[float],
        resolution: list[int],
        strength: list[float],
        config: list[str],
        model: list[Any] | None = None,
        images: list[Any] | None = None,
        captions: list[str] | None = None,
        options: list[dict[str, Any]] | None = None,
    ) -> io.NodeOutput:
        """Trains, resumes, or returns the result of a finished run."""
        from .comfy.images import pictures_of
        from .comfy.model_management import device
        from .training.config import TrainingWidgets
        from .training.dataset import fingerprint, require_one_source
        from .training.in_comfyui import train_and_publish, training_base, write_dataset
        from .training.run import decide

        require("Training", *LIBRARIES)
        require_one_source(folder[0], images is not None)
        widgets = TrainingWidgets(
            recipe=recipe[0],
            method=method[0],
            rank=rank[0],
            steps=steps[0],
            learning_rate=learning_rate[0],
            resolution=resolution[0],
            trigger=one_line(trigger[0]),
            seed=seed[0],
            name=name[0],
            device=device(),
            config=config[0],
            options=(options or [{}])[0],
        )
        node = str(cls.hidden.unique_id)
        base = training_base(checkpoint[0], model, cls.hidden.prompt or {}, node)
        photos = photo_folder(folder[0]) if images is None else write_dataset(pictures_of(images), captions)
        run = decide(widgets, base.file, photos, fingerprint(photos), runs_root())
        trained = train_and_publish(run, node, encoder[0], model[0] if model else None, base.warnings)
        return io.NodeOutput(
            trained.tensors,
            trained.apply_to(model[0], strength[0]) if model else _no_model(),
            trained.losses,
            trained.name,
            str(trained.file),
            trained.report,
            ui={"modiste_training": [trained.row()]},
        )


def _no_model() -> Any:
    """What ends the nodes behind the output, and only those."""
    from comfy_execution.graph import ExecutionBlocker

    return ExecutionBlocker(NO_MODEL)
