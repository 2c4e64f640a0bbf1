"""A request as the JSON that /sdapi/v1/txt2img takes.

Everything that a global option of the server would decide otherwise is said; what changes an option does so for this
one request (`override_settings`), because options set with POST /options also hit jobs that are queued already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import RequestRefused

if TYPE_CHECKING:
    from ..request import GenerationRequest, LoraRef


def payload_of(request: GenerationRequest, checkpoint: str | None, task_id: str) -> dict[str, Any]:
    """One picture. `checkpoint` is the server's own title of the model, None: whatever is loaded."""
    override: dict[str, Any] = {"CLIP_stop_at_last_layers": request.clip_skip}
    if checkpoint is not None:
        override["sd_model_checkpoint"] = checkpoint
    payload: dict[str, Any] = {
        "prompt": " ".join([request.prompt, *map(lora_tag, request.loras)]).strip(),
        "negative_prompt": request.negative_prompt,
        "styles": [],
        "seed": request.seed,
        "subseed_strength": 0,
        "steps": request.steps,
        "cfg_scale": request.cfg_scale,
        "width": request.width,
        "height": request.height,
        "sampler_name": request.sampler,
        "batch_size": 1,  # the same picture whatever stands beside it
        "n_iter": 1,
        "restore_faces": False,
        "tiling": False,
        "enable_hr": False,
        "send_images": True,
        "save_images": False,
        "override_settings": override,
        "override_settings_restore_afterwards": True,
        "force_task_id": task_id,
    }
    if request.scheduler != "Automatic":  # WebUIs before 1.9 have no such field
        payload["scheduler"] = request.scheduler
    return payload


def lora_tag(lora: LoraRef) -> str:
    """As the prompt says it."""
    if set(lora.name) & set(":<>"):
        raise RequestRefused(f"a prompt can't name the LoRA {lora.name!r}", to_try="a name without : < >")
    return f"<lora:{lora.name}:{lora.strength:g}>"
