"""A SegFormer that tells the classes of drawn people by their colours: the real architecture, its last layer solved."""

from __future__ import annotations

import random
from pathlib import Path

from PIL import Image, ImageDraw

from modiste.core.torchvision_ops import patch_torchvision_ops

ATR = (
    "Background Hat Hair Sunglasses Upper-clothes Skirt Pants Dress Belt Left-shoe Right-shoe Face Left-leg Right-leg "
    "Left-arm Right-arm Bag Scarf"
).split()
COLOURS = {
    "Background": (205, 205, 205),
    "Hat": (235, 205, 40),
    "Hair": (60, 38, 25),
    "Upper-clothes": (40, 60, 190),
    "Pants": (35, 120, 60),
    "Face": (228, 178, 148),
}
SIDE = 128


def person(top=COLOURS["Upper-clothes"], ground=COLOURS["Background"]) -> Image.Image:
    """A person with hat, hair, face, bare arms, a top and trousers, 128×192."""
    image = Image.new("RGB", (128, 192), ground)
    draw = ImageDraw.Draw(image)
    for box, colour in (
        ((42, 8, 86, 24), COLOURS["Hat"]),
        ((44, 24, 84, 60), COLOURS["Hair"]),
        ((50, 24, 78, 62), COLOURS["Face"]),
        ((20, 66, 34, 116), COLOURS["Face"]),
        ((94, 66, 108, 116), COLOURS["Face"]),
        ((36, 62, 92, 124), top),
        ((42, 124, 86, 186), COLOURS["Pants"]),
    ):
        draw.rectangle(box, fill=colour)
    return image


def colour_parser(folder: Path) -> Path:
    """A `SegformerForSemanticSegmentation` folder of few channels, with ATR's classes, which reads the pixels' colours.

    Its last layer is the ridge regression of the classes on what the layers before say of pictures in COLOURS.
    """
    model, processor = random_parser(folder)
    import numpy as np
    import torch

    _show_colours(model)
    inputs: list[torch.Tensor] = []
    hook = model.decode_head.classifier.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    rng, targets = random.Random(0), []
    for _ in range(32):
        image, classes = _blocks(rng)
        with torch.inference_mode():
            model(pixel_values=processor(images=[image], return_tensors="pt").pixel_values)
        targets.append(torch.from_numpy(np.asarray(classes)[2::4, 2::4].copy()).long().flatten())
    hook.remove()
    features = torch.cat([part[0].flatten(1).T for part in inputs]).double()
    features = torch.cat([features, torch.ones(len(features), 1, dtype=torch.double)], 1)
    wanted = torch.nn.functional.one_hot(torch.cat(targets), len(ATR)).double()
    gram = features.T @ features + 1e-4 * torch.eye(features.shape[1], dtype=torch.double)
    weights = torch.linalg.solve(gram, features.T @ wanted).float()
    model.decode_head.classifier.weight.data = weights[:-1].T[..., None, None].contiguous()
    model.decode_head.classifier.bias.data = weights[-1].contiguous()
    model.save_pretrained(folder, safe_serialization=True)
    return folder


def _show_colours(model) -> None:
    """Makes the first stage hand on the colour in the middle of each patch, and the coarser ones say nothing."""
    import torch

    for name, weight in model.named_parameters():
        coarse = "linear_projections" in name and "projections.0" not in name
        if coarse or "mlp" in name or "o_proj" in name:
            weight.data.zero_()
    patches = model.segformer.stages[0].patch_embeddings.proj
    patches.weight.data.zero_()
    for channel in range(3):
        patches.weight.data[2 * channel, channel, 3, 3] = 1
        patches.weight.data[2 * channel + 1, channel, 3, 3] = -1
    patches.bias.data[:8] = torch.tensor([0.0] * 6 + [4.0, -4.0])  # keeps the layer norm from hiding brightness
    model.decode_head.linear_projections[0].proj.weight.data.mul_(20)
    model.decode_head.linear_fuse.weight.data.mul_(20)
    model.decode_head.linear_projections[0].proj.bias.data.uniform_(-1, 1)


def random_parser(folder: Path, names=ATR):
    """Model and processor with random weights, saved in `folder` as the hub's are."""
    patch_torchvision_ops()
    import torch
    from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

    torch.manual_seed(0)
    config = SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[48, 16, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        mlp_ratios=[2, 2, 2, 2],
        decoder_hidden_size=96,
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
    )
    model = SegformerForSemanticSegmentation(config).eval()
    processor = SegformerImageProcessor(size={"height": SIDE, "width": SIDE})
    model.save_pretrained(folder, safe_serialization=True)
    processor.save_pretrained(folder)
    return model, processor


def _blocks(rng: random.Random) -> tuple[Image.Image, Image.Image]:
    """Rectangles in the classes' colours, and the classes themselves."""
    image = Image.new("RGB", (SIDE, SIDE), COLOURS["Background"])
    classes = Image.new("L", (SIDE, SIDE), 0)
    for _ in range(9):
        name = rng.choice(list(COLOURS))
        left, top = rng.randrange(SIDE - 20), rng.randrange(SIDE - 20)
        box = (left, top, left + rng.randrange(12, 60), top + rng.randrange(12, 60))
        ImageDraw.Draw(image).rectangle(box, fill=COLOURS[name])
        ImageDraw.Draw(classes).rectangle(box, fill=ATR.index(name))
    return image, classes
