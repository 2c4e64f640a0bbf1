"""LoRA files as other trainers write them, by those trainers' own code: LyCORIS, sd-scripts, peft and diffusers.

For a process of its own, in the folder of an sd-scripts checkout: `python -m foreign_loras FOLDER`. Beside each
NAME.safetensors lies NAME.weights, with weights before (`org:MODULE`) and after (`merged:MODULE`) by the trainer's own
arithmetic, where it says. Layers have Stable Diffusion 1.5's shapes and names; a few of them, so that it stays quick.
"""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from modiste.core.torchvision_ops import patch_torchvision_ops

Made = tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]
BLOCK = "down_blocks_0_attentions_0_transformer_blocks_0"
KEPT = re.compile(
    rf"(lora_unet|oft_unet|lycoris)_({BLOCK}_(attn1_to_q|attn2_to_k|ff_net_2|norm1)"
    r"|down_blocks_0_(attentions_0_proj_in|attentions_0_norm|resnets_0_conv1|resnets_0_norm1|downsamplers_0_conv))"
    r"|lora_te_(text_model_)?encoder_layers_0_(self_attn_q_proj|mlp_fc1)"
)
LYCORIS: dict[str, dict[str, Any]] = {
    "lycoris-locon": {"algo": "lora"},
    "lycoris-locon-tucker": {"algo": "lora", "use_tucker": True},
    "lycoris-loha": {"algo": "loha"},
    "lycoris-loha-tucker": {"algo": "loha", "use_tucker": True},
    "lycoris-lokr": {"algo": "lokr", "factor": 4},
    "lycoris-lokr-tucker": {"algo": "lokr", "factor": 4, "use_tucker": True},
    "lycoris-lokr-full": {"algo": "lokr", "full_matrix": True},
    "lycoris-full": {"algo": "full"},
    "lycoris-oft": {"algo": "diag-oft"},
    "lycoris-oft-constraint": {"algo": "diag-oft", "constraint": 1e-4},
    "lycoris-oft-rescaled": {"algo": "diag-oft", "rescaled": True},
    "lycoris-boft": {"algo": "boft"},
    "lycoris-ia3": {"algo": "ia3"},
    "lycoris-glora": {"algo": "glora"},
    "lycoris-norm": {"algo": "lora", "train_norm": True},
    "lycoris-dora-rows": {"algo": "lora", "dora_wd": True, "wd_on_output": True},
    "lycoris-dora-columns": {"algo": "lora", "dora_wd": True, "wd_on_output": False},
}


class _Part(torch.nn.Module):
    """A part that holds some of its published modules, under their published names."""

    def __init__(self, **modules: torch.nn.Module):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


def unet_part() -> torch.nn.Module:
    """The first block of SD 1.5's UNet: a resnet, a transformer, a downsampler."""
    from diffusers.models.unets.unet_2d_blocks import CrossAttnDownBlock2D

    torch.manual_seed(0)
    shape = dict(in_channels=320, out_channels=320, temb_channels=1280, num_layers=1)
    block = CrossAttnDownBlock2D(**shape, num_attention_heads=8, cross_attention_dim=768)
    return _Part(down_blocks=torch.nn.ModuleList([block]))


def text_part() -> torch.nn.Module:
    """The first layer of SD 1.5's text encoder, spelt as in transformers 4."""
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(1)
    model = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=9, hidden_size=768, num_hidden_layers=1, num_attention_heads=12, intermediate_size=3072
        )
    )
    return _Part(text_model=getattr(model, "text_model", model))


def _randomised(network: torch.nn.Module) -> None:
    """As after some training: no factor is 0."""
    generator = torch.Generator().manual_seed(2)
    for name, parameter in network.named_parameters():
        if parameter.requires_grad and "org_module" not in name:
            noise = 0.02 * torch.randn(parameter.shape, generator=generator)
            one = "dora_scale" in name or name.endswith("rescale")
            parameter.data = parameter.data * (1 + noise) if one else noise


def _kept(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        key: tensor.detach().contiguous() for key, tensor in tensors.items() if KEPT.fullmatch(key.partition(".")[0])
    }


def of_lycoris(name: str) -> Made:
    from lycoris.kohya import create_network

    rank = 16 if name == "lycoris-boft" else 4  # no smaller one divides 768
    options = {"conv_dim": rank, "conv_alpha": rank, **LYCORIS[name]}
    # An alpha that scales by 1: `get_merged_weight` of LyCORIS 4.1.3 applies it to LoHa and LoKr twice, hosts once.
    network = create_network(1.0, rank, rank, None, text_part(), unet_part(), **options)
    for module in (*network.unet_loras, *network.text_encoder_loras):
        _randomised(module)
    weights = {}
    for module in (*network.unet_loras, *network.text_encoder_loras):
        if KEPT.fullmatch(module.lora_name):
            before = module.org_module[0].weight
            if before.dim() == 2 and name != "lycoris-full":  # of LoHa's convolutions it makes a matrix of 40 GB
                after = module.get_merged_weight(multiplier=1.0)[0]
                weights |= {f"org:{module.lora_name}": before, f"merged:{module.lora_name}": after}
    return _kept(_of_modules(network)), {key: tensor.detach().contiguous() for key, tensor in weights.items()}


def _of_modules(network: Any) -> dict[str, torch.Tensor]:
    """What the network's own `state_dict` writes, its modules registered or not."""
    tensors = {}
    for module in (*network.unet_loras, *network.text_encoder_loras):
        own = (
            module.custom_state_dict() if getattr(module, "custom_state_dict", lambda: None)() else module.state_dict()
        )
        tensors |= {f"{module.lora_name}.{key}": tensor for key, tensor in own.items()}
    return tensors


def of_simpletuner(name: str) -> Made:
    from lycoris.wrapper import LycorisNetwork, create_lycoris

    LycorisNetwork.apply_preset({"target_module": ["Transformer2DModel", "ResnetBlock2D"]})
    network = create_lycoris(unet_part(), 1.0, 4, 2, algo="lokr", factor=4)
    for module in network.loras:
        _randomised(module)
    tensors = {
        f"{module.lora_name}.{key}": each for module in network.loras for key, each in module.state_dict().items()
    }
    return _kept(tensors), {}


def of_sd_scripts(name: str) -> Made:
    sys.modules.setdefault("cv2", types.ModuleType("cv2"))
    from importlib import import_module

    module = import_module(f"networks.{ {'lora-conv': 'lora', 'lora-fa': 'lora_fa'}.get(name[11:], name[11:]) }")
    options: dict[str, Any] = {"conv_dim": 4, "conv_alpha": 2} if "conv" in name else {}
    options |= (
        {"unit": 2} if "dylora" in name else {"enable_all_linear": True, "enable_conv": True} if "oft" in name else {}
    )
    text, unet = text_part(), unet_part()
    network = module.create_network(1.0, 4, 2.0, None, text, unet, **options)
    network.apply_to(text, unet, True, True)
    _randomised(network)
    return _kept({key: value for key, value in network.state_dict().items() if "org_module" not in key}), {}


PEFT = r".*(attn1\.to_q|attn2\.to_k|ff\.net\.2|attentions\.0\.proj_in|resnets\.0\.conv1|downsamplers\.0\.conv)"


def of_peft(name: str) -> Made:
    """`PeftModel.save_pretrained`'s adapter_model.safetensors."""
    import peft
    from peft import get_peft_model, get_peft_model_state_dict

    configs = {
        "peft-lora": lambda: peft.LoraConfig(r=4, target_modules=PEFT),
        "peft-dora": lambda: peft.LoraConfig(r=4, use_dora=True, target_modules=PEFT),
        "peft-loha": lambda: peft.LoHaConfig(r=4, target_modules=PEFT),
        "peft-lokr": lambda: peft.LoKrConfig(r=4, target_modules=PEFT),
        "peft-oft": lambda: peft.OFTConfig(oft_block_size=8, r=0, target_modules=r".*(attn1\.to_q|attn2\.to_k)"),
        "peft-ia3": lambda: peft.IA3Config(target_modules=r".*(attn1\.to_q|ff\.net\.2)", feedforward_modules=[]),
    }
    model = get_peft_model(unet_part(), configs[name]())
    _randomised(model)
    return {key: tensor.detach().contiguous() for key, tensor in get_peft_model_state_dict(model).items()}, {}


def of_diffusers(name: str) -> Made:
    """As diffusers' training scripts save it: `save_lora_weights`, and their older attention processors."""
    from diffusers.utils import (
        convert_all_state_dict_to_peft,
        convert_state_dict_to_diffusers,
        convert_state_dict_to_kohya,
    )
    from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model

    tensors = {}
    for prefix, part, layers in (("unet", unet_part(), PEFT), ("text_encoder", text_part(), r".*(q_proj|fc1)")):
        config = LoraConfig(r=4, lora_alpha=2, target_modules=layers, use_dora="dora" in name)
        inject_adapter_in_model(config, part)
        _randomised(part)
        own = {f"{prefix}.{key}": tensor for key, tensor in get_peft_model_state_dict(part).items()}
        tensors |= own if name == "diffusers-dora" else convert_state_dict_to_diffusers(own)
    if name == "diffusers-kohya":
        tensors = convert_state_dict_to_kohya(convert_all_state_dict_to_peft(tensors))
    if name == "diffusers-old":
        tensors = {
            re.sub(r"(attn[12])\.to_(\w)\.lora\.", r"\1.processor.to_\2_lora.", key): tensor
            for key, tensor in tensors.items()
            if "attn" in key and key.startswith("unet.")
        }
    return {key: tensor.detach().contiguous() for key, tensor in tensors.items()}, {}


def of_hands(name: str) -> Made:
    """Files that people have made of others' files."""
    q, k = f"lora_unet_{BLOCK}_attn1_to_q", f"lora_unet_{BLOCK}_attn2_to_k"
    generator = torch.Generator().manual_seed(3)

    def pair(module: str, width: int, out: int = 320) -> dict[str, torch.Tensor]:
        down, up = torch.randn((4, width), generator=generator), 0.02 * torch.randn((out, 4), generator=generator)
        return {
            f"{module}.lora_down.weight": down,
            f"{module}.lora_up.weight": up,
            f"{module}.alpha": torch.tensor(4.0),
        }

    def glora(old: bool) -> dict[str, torch.Tensor]:
        shapes = {"a1": (768, 4), "a2": (4, 768), "b1": (320, 4), "b2": (4, 768)}
        if old:
            shapes = {"a1": (4, 768), "a2": (768, 4), "b1": (4, 768), "b2": (320, 4)}
        return {f"{k}.{side}.weight": 0.02 * torch.randn(shape, generator=generator) for side, shape in shapes.items()}

    files: dict[str, Callable[[], dict[str, torch.Tensor]]] = {
        "hand-another-width": lambda: pair(q, 320) | pair(k, 512),
        "hand-half-a-pair": lambda: pair(q, 320) | {f"{k}.lora_up.weight": torch.ones(320, 4)},
        "hand-other-half": lambda: pair(q, 320) | {f"{k}.lora_down.weight": torch.ones(4, 768)},
        "hand-an-embedding": lambda: pair(q, 320) | {"bundle_emb.vesper.string_to_param.*": torch.ones(2, 768)},
        "hand-peft-suffixes": lambda: {
            key.replace("lora_down", "lora_A").replace("lora_up", "lora_B"): tensor
            for key, tensor in pair(q, 320).items()
        },
        "hand-glora-old": lambda: glora(True) | {f"{k}.alpha": torch.tensor(4.0)},
        "hand-glora-without-alpha": lambda: glora(True),
        "hand-boft-without-alpha": lambda: {f"{q}.oft_blocks": 0.02 * torch.randn((2, 8, 40, 40), generator=generator)},
        "hand-oft-old": lambda: {f"{q}.oft_diag": torch.eye(8).repeat(40, 1, 1) + 0.01},
        "hand-ia3-without-side": lambda: pair(k, 768) | {f"{q}.weight": torch.ones(320)},
        "hand-norm-without-bias": lambda: {f"lora_unet_{BLOCK}_norm1.w_norm": torch.ones(320)},
        "hand-full-with-bias": lambda: (
            {"lora_unet_down_blocks_0_attentions_0_proj_in.diff": torch.ones(320, 320, 1, 1)}
            | {"lora_unet_down_blocks_0_attentions_0_proj_in.diff_b": torch.ones(320)}
        ),
        "hand-comfyui-names": lambda: {
            f"diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.{key.partition('.')[2]}": tensor
            for key, tensor in pair(q, 320).items()
        },
        "hand-sgm-names": lambda: {
            key.replace("down_blocks_0_attentions_0", "input_blocks_1_1"): tensor
            for key, tensor in pair(q, 320).items()
        },
        "hand-conv-in": lambda: pair("lora_unet_time_embedding_linear_1", 320, 1280) | pair(q, 320),
    }
    return files[name](), {}


SD_SCRIPTS = [f"sd-scripts-{kind}" for kind in ("lora", "lora-conv", "dylora", "lora-fa", "oft")]
PEFT_KINDS = [f"peft-{kind}" for kind in ("lora", "dora", "loha", "lokr", "oft", "ia3")]
DIFFUSERS = [f"diffusers-{kind}" for kind in ("lora", "dora", "old", "kohya")]
BY_HAND = [
    f"hand-{kind}"
    for kind in (
        *(
            "another-width",
            "half-a-pair",
            "other-half",
            "an-embedding",
            "peft-suffixes",
            "glora-old",
            "glora-without-alpha",
        ),
        *("boft-without-alpha", "oft-old", "ia3-without-side", "norm-without-bias", "full-with-bias"),
        *("comfyui-names", "sgm-names", "conv-in"),
    )
]


def makers() -> Iterator[tuple[str, Callable[[str], Made]]]:
    yield from ((name, of_lycoris) for name in LYCORIS)
    yield "simpletuner-lokr", of_simpletuner
    yield from ((name, of_sd_scripts) for name in SD_SCRIPTS)
    yield from ((name, of_peft) for name in PEFT_KINDS)
    yield from ((name, of_diffusers) for name in DIFFUSERS)
    yield from ((name, of_hands) for name in BY_HAND)


def make(folder: Path) -> None:
    """Writes every file; says on standard error which could not be made, and why."""
    patch_torchvision_ops()
    for name, maker in makers():
        try:
            tensors, weights = maker(name)
        except Exception as error:  # one trainer's change must not hide the others
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        save_file(tensors, folder / f"{name}.safetensors")
        if weights:
            save_file(weights, folder / f"{name}.weights")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
