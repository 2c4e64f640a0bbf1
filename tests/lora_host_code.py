"""The set-up of each host's own LoRA code in a process of its own, in its checkout: what stands in for the rest of it.

Each expects `family` and `targets`, and leaves: ComfyUI `model`, `clip` and what was logged in `said`; A1111 `networks`
with the model's layers; Forge `forge`, `unet`, `clip` and its map `names`. Models have no weights.
"""

COMFYUI = """
import comfy.options
comfy.options.enable_args_parsing()
import comfy.lora, comfy.model_detection, comfy.sd1_clip, comfy.sdxl_clip, comfy.utils
import comfy.text_encoders.sd2_clip

said = []
keep = types.SimpleNamespace(level=0, handle=lambda record: said.append(record.getMessage()))
logging.getLogger().addHandler(keep)
unet = empty_model("unet", targets.configs["unet"]).state_dict()
model = comfy.model_detection.model_config_from_diffusers_unet(unet).get_model({}, "", device="meta")
clips = dict(sd1=comfy.sd1_clip.SD1ClipModel, sd2=comfy.text_encoders.sd2_clip.SD2ClipModel,
             sdxl=comfy.sdxl_clip.SDXLClipModel)
clip = clips[family](device="meta", dtype=torch.float32)
"""

A1111 = """
def module(name, **content):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(content)
    parent, _, own = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], own, sys.modules[name])

from functools import partial
import safetensors.torch
MultiheadAttention = torch.nn.MultiheadAttention
for name in ("modules", "modules.models", "modules.models.sd3", "modules.textual_inversion", "gradio",
             "modules.textual_inversion.textual_inversion", "modules.errors", "modules.scripts", "modules.sd_hijack",
             "modules.cache", "modules.hashes", "lora_patches"):
    module(name)
module("modules.models.sd3.mmdit", QkvLinear=type("QkvLinear", (), {}))
module("modules.devices", cpu="cpu", device="cpu", dtype=torch.float32)
empty = str(lora.parent / "none")
module("modules.shared", sd_model=None, walk_files=lambda *_, **__: [],
       cmd_opts=types.SimpleNamespace(lora_dir=empty, lyco_dir_backcompat=empty))
module("modules.sd_models", read_state_dict=safetensors.torch.load_file)
module("lora_logger", logger=logging.getLogger("lora"))
import network, networks

def tree(names):
    root = torch.nn.Module()
    for path, layer in names.items():
        *folders, own = path.split(".")
        here = root
        for folder in folders:
            if not hasattr(here, folder):
                here.add_module(folder, torch.nn.Module())
            here = getattr(here, folder)
        here.add_module(own, layer)
    return root

def layer(shape, device="meta", of_rows=False):
    if len(shape) == 1:
        norm = torch.nn.LayerNorm if of_rows else partial(torch.nn.GroupNorm, 32)
        return norm(shape[0], device=device)
    if len(shape) == 2:
        return torch.nn.Linear(shape[1], shape[0], device=device)
    return torch.nn.Conv2d(shape[1], shape[0], shape[2], padding=shape[2] // 2, device=device)

def text_model(part):
    if part == "text_encoder_2" or family == "sd2":
        import open_clip
        from open_clip.transformer import Transformer
        width, layers = targets.configs[part]["hidden_size"], targets.configs[part]["num_hidden_layers"]
        with torch.device("meta"):
            return tree({"model.transformer": Transformer(width, layers, 16)})
    layers = {**targets.shapes[part], **targets.norms[part]}
    return tree({f"transformer.{path}": layer(shape, of_rows=True) for path, shape in layers.items()})

layers = {**targets.shapes["unet"], **targets.norms["unet"]}
unet = {sgm_path(path, targets.layout): layer(shape, of_rows="transformer_blocks" in path)
        for path, shape in layers.items()}
sd_model = types.SimpleNamespace(is_sdxl=family == "sdxl", model=tree({"diffusion_model": tree(unet)}))
texts = [types.SimpleNamespace(wrapped=text_model(part)) for part in targets.shapes if part != "unet"]
sd_model.conditioner, sd_model.cond_stage_model = types.SimpleNamespace(embedders=texts), texts[0]
networks.shared.sd_model = sd_model
networks.assign_network_names_to_compvis_modules(sd_model)
"""

FORGE = """
for name in ("backend.operations", "backend.memory_management", "backend.utils"):
    sys.modules[name] = types.ModuleType(name)
import backend
for name in ("operations", "memory_management", "utils"):
    setattr(backend, name, sys.modules[f"backend.{name}"])
backend.memory_management.cast_to_device = lambda tensor, device, dtype, copy=False: tensor.to(device, dtype, copy=copy)
import safetensors.torch
from backend.patcher import lora as forge

class Model:
    def __init__(self, names):
        self.names = names
    def state_dict(self):
        return dict.fromkeys(self.names)

config = targets.configs["unet"]
blocks, layers = len(config["block_out_channels"]), config["layers_per_block"]
depth = config.get("transformer_layers_per_block", [1] * blocks)
down = [depth[i] * ("Attn" in kind) for i, kind in enumerate(config["down_block_types"]) for _ in range(layers)]
up = [depth[i] * ("Attn" in kind) for i, kind in enumerate(config["down_block_types"]) for _ in range(layers + 1)]
unet = Model({f"diffusion_model.{sgm_path(path, targets.layout)}.weight": shape
              for path, shape in {**targets.shapes["unet"], **targets.norms["unet"]}.items()})
unet.config = types.SimpleNamespace(huggingface_repo="")
unet.diffusion_model = types.SimpleNamespace(config=dict(
    num_res_blocks=[layers] * blocks, channel_mult=[0] * blocks, transformer_depth=down, transformer_depth_output=up,
    transformer_depth_middle=depth[-1]))
places = dict(text_encoder="clip_h" if family == "sd2" else "clip_l", text_encoder_2="clip_g")
clip = Model({f"{places[part]}.transformer.{path}.weight": shape for part, shapes in targets.shapes.items()
              if part != "unet" for path, shape in shapes.items()})
names = forge.model_lora_keys_clip(clip, dict(forge.model_lora_keys_unet(unet, {})))
"""
