"""Models of a few thousand parameters in the folders of the real ones, made by the tests."""

from __future__ import annotations

from pathlib import Path

from modiste.core.torchvision_ops import patch_torchvision_ops
from modiste.mini.tokenizer import save_tokenizer


def tiny_clip(folder: Path, seed: int = 0) -> Path:
    """A random `CLIPModel` folder with processor and tokenizer, 32 px, 24 dimensions."""
    patch_torchvision_ops()
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    tokenizer = save_tokenizer(folder)
    layers = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, projection_dim=24)
    text = dict(
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = dict(image_size=32, patch_size=8)
    torch.manual_seed(seed)
    model = CLIPModel(CLIPConfig(text_config=layers | text, vision_config=layers | vision, projection_dim=24))
    model.save_pretrained(folder, safe_serialization=True)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def tiny_open_clip(folder: Path, kind: str, seed: int = 0) -> Path:
    """A random open_clip folder, 32 px: `clip` with open_clip's own tokenizer, `siglip` with one in the folder."""
    patch_torchvision_ops()
    import json

    import open_clip
    import torch
    from safetensors.torch import save_file

    folder.mkdir()
    text = dict(context_length=77, vocab_size=49408, width=16, heads=2, layers=2)
    config = dict(
        embed_dim=24, vision_cfg=dict(image_size=32, layers=2, width=16, head_width=8, patch_size=8), text_cfg=text
    )
    if kind == "siglip":
        tokenizer = save_tokenizer(folder)
        own = dict(
            context_length=64, vocab_size=len(tokenizer), hf_tokenizer_name="somebody/tokenizer", pool_type="last"
        )
        config = dict(config, text_cfg=text | own, init_logit_bias=-10, custom_text=True)
    preprocess = dict(mean=[0.5] * 3, std=[0.5] * 3, interpolation="bicubic", resize_mode="shortest")
    (folder / "open_clip_config.json").write_text(json.dumps(dict(model_cfg=config, preprocess_cfg=preprocess)))
    torch.manual_seed(seed)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def tiny_dino(folder: Path, seed: int = 0) -> Path:
    """A random `Dinov2Model` folder with its processor, 28 px."""
    patch_torchvision_ops()
    import torch
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    torch.manual_seed(seed)
    config = Dinov2Config(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14)
    Dinov2Model(config).save_pretrained(folder, safe_serialization=True)
    BitImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 28, "width": 28}).save_pretrained(folder)
    return folder


def tiny_diffusion(folder: Path, seed: int = 0) -> Path:
    """A random Stable Diffusion folder, 64 px from 8×8 latents."""
    patch_torchvision_ops()
    import torch
    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = save_tokenizer(folder / "tokenizer")
    torch.manual_seed(seed)
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL(
            latent_channels=4,
            sample_size=64,
            norm_num_groups=4,
            block_out_channels=(8, 8, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
        ),
        unet=UNet2DConditionModel(
            sample_size=8,
            layers_per_block=1,
            block_out_channels=(16, 32),
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            attention_head_dim=4,
            cross_attention_dim=16,
            norm_num_groups=8,
        ),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        ),
        tokenizer=tokenizer,
        scheduler=PNDMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder
