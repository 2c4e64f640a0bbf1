"""The newest LoRA that was trained here, or one of the list → LORA_MODEL."""

from __future__ import annotations

from comfy_api.v0_0_2 import io

from .choices import TRAINED
from .comfy.folders import lora_file, lora_folders, lora_names
from .schema import CATEGORY, check_result


class ModisteChooseLora(io.ComfyNode):
    """Choose LoRA."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs: which LoRA. Outputs: its tensors and its name."""
        return io.Schema(
            node_id="ModisteChooseLora",
            display_name="Choose LoRA",
            category=CATEGORY,
            description="Takes the newest LoRA that was trained here, the one before it, or any of your LoRAs, for "
            "Compare Base and Tuned and Load LoRA Model.",
            inputs=[
                io.Combo.Input(
                    "lora_name",
                    options=[*TRAINED, *lora_names()],
                    default=TRAINED[0],
                    display_name="lora",
                    tooltip="Which LoRA: the newest that LoRA Trainer finished, the one before it, or a file of your "
                    "list.",
                ),
            ],
            outputs=[
                io.LoraModel.Output("lora", display_name="lora", tooltip="For Compare Base and Tuned."),
                io.String.Output("name", display_name="lora name", tooltip="As LoRA loaders list it."),
            ],
        )

    @classmethod
    def validate_inputs(cls, lora_name: str | None) -> bool | str:
        """Refuses a missing LoRA before queueing; None is a link, whose value is known later."""
        return lora_name is None or check_result(lambda: lora_file(lora_name))

    @classmethod
    def fingerprint_inputs(cls, lora_name: str | None) -> str:
        """A digest that changes when another LoRA is the newest, or the file has other content."""
        if lora_name is None:
            return ""
        file = lora_file(lora_name)
        status = file.stat()
        return f"{file}|{status.st_size}|{status.st_mtime_ns}"

    @classmethod
    def execute(cls, lora_name: str) -> io.NodeOutput:
        """Reads the file."""
        from .training.publish import listed_name, tensors_of

        file = lora_file(lora_name)
        return io.NodeOutput(tensors_of(file), listed_name(file, lora_folders()))
