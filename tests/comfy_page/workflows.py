"""Node definitions + a short plan → the example workflows as ComfyUI's page saves them.

`python tests/comfy_page/workflows.py` writes example_workflows/*.json anew; a test compares the files with the plans.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "example_workflows"
WIDGETS = {"STRING", "INT", "FLOAT", "BOOLEAN", "COMBO"}
CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"
NEGATIVE = "blurry, cropped, deformed, extra limbs, watermark, text"


def definitions() -> dict[str, Any]:
    """What /object_info says of our nodes and of the few core nodes that the examples use."""
    ours = json.loads((ROOT / "tests/data/comfy_object_info.json").read_text(encoding="utf-8"))
    core = json.loads((Path(__file__).parent / "core_object_info.json").read_text(encoding="utf-8"))
    return core | ours


class Graph:
    """Nodes and links in the page's own file format, version 0.4."""

    def __init__(self):
        self._known = definitions()
        self.nodes: list[dict[str, Any]] = []
        self.links: list[list[Any]] = []

    def note(self, at: tuple[int, int], size: tuple[int, int], text: str) -> None:
        """Words for people, in Markdown."""
        node = self._node("MarkdownNote", at, size)
        node.update(inputs=[], outputs=[], title="", properties={}, widgets_values=[text], color="#432", bgcolor="#653")

    def add(self, kind: str, at: tuple[int, int], size: tuple[int, int], **inputs: Any) -> int:
        """A node; an input is a widget's value, or (node, name or index of its output). Returns its id."""
        known = self._known[kind]
        node = self._node(kind, at, size)
        sockets, widgets, values = [], [], []
        for where in ("required", "optional"):
            for name, (type_, *options) in known["input"].get(where, {}).items():
                given, options = inputs.pop(name, None), options[0] if options else {}
                type_ = "COMBO" if isinstance(type_, list) else type_
                socket = {"name": name, "type": type_, "link": None}
                if where == "optional":
                    socket["shape"] = 7
                if type_ not in WIDGETS or options.get("forceInput"):
                    sockets.append(socket)
                else:
                    widgets.append({**socket, "widget": {"name": name}})
                    values.append(_default(type_, options) if given is None or isinstance(given, tuple) else given)
                    if options.get("control_after_generate"):
                        values.append("fixed")
                    if options.get("image_upload"):
                        values.append("image")
                if isinstance(given, tuple):
                    socket = (sockets if socket in sockets else widgets)[-1]
                    socket["link"] = self._link(given, node["id"], name, type_)
        if inputs:
            raise ValueError(f"{kind} has no input {', '.join(inputs)}")
        node["inputs"] = sockets + widgets
        for link in self.links:
            if link[3] == node["id"]:
                link[4] = [socket["name"] for socket in node["inputs"]].index(link[4])
        node["outputs"] = [
            {"name": name, "type": type_, "links": [], **({"shape": 6} if many else {})}
            for name, type_, many in zip(known["output_name"], known["output"], known["output_is_list"], strict=True)
        ]
        node["properties"] = {"Node name for S&R": kind}
        node["widgets_values"] = values
        return node["id"]

    def _node(self, kind: str, at: tuple[int, int], size: tuple[int, int]) -> dict[str, Any]:
        number = len(self.nodes) + 1
        node = {"id": number, "type": kind, "pos": list(at), "size": list(size), "flags": {}, "order": number - 1}
        self.nodes.append({**node, "mode": 0})
        return self.nodes[-1]

    def _link(self, source: tuple[int, str | int], target: int, name: str, type_: str) -> int:
        node = self.nodes[source[0] - 1]
        names = [output["name"] for output in node["outputs"]]
        slot = source[1] if isinstance(source[1], int) else names.index(source[1])
        number = len(self.links) + 1
        given = node["outputs"][slot]["type"]
        if type_ not in (given, "*"):
            raise ValueError(f"{node['type']} gives {given} where {type_} is wanted")
        node["outputs"][slot]["links"].append(number)
        self.links.append([number, source[0], slot, target, name, given])
        return number

    def saved(self) -> dict[str, Any]:
        """The file's content."""
        return {
            "last_node_id": len(self.nodes),
            "last_link_id": len(self.links),
            "nodes": self.nodes,
            "links": self.links,
            "groups": [],
            "config": {},
            "extra": {},
            "version": 0.4,
        }


def _default(type_: str, options: dict[str, Any]) -> Any:
    if "default" in options:
        return options["default"]
    return (
        options["options"][0] if type_ == "COMBO" else {"STRING": "", "INT": 0, "FLOAT": 0.0, "BOOLEAN": False}[type_]
    )


# ── the plans ──


def tag_prompt_generate_score() -> Graph:
    """A photo's words, four pictures of them, and how close each comes."""
    graph = Graph()
    graph.note(
        (40, -220),
        (420, 190),
        "### A photo, its words, and how close they come\n\n1. Choose a garment photo.\n2. Queue. Click a tag to pin "
        "it, again to leave it out.\n3. Read the gauge: 0 is another garment of its kind, 100 the same one again.",
    )
    photo = graph.add("LoadImage", (40, 40), (420, 420), image="example.png")
    checkpoint = graph.add("CheckpointLoaderSimple", (40, 520), (420, 100), ckpt_name=CHECKPOINT)
    tags = graph.add("ModisteTagger", (520, 40), (420, 730), images=(photo, "IMAGE"))
    words = graph.add("ModistePromptBuilder", (1000, 40), (400, 460), tags=(tags, "tags"), avoid=NEGATIVE)
    positive = graph.add("CLIPTextEncode", (1000, 560), (400, 100), text=(words, "positive"), clip=(checkpoint, "CLIP"))
    negative = graph.add("CLIPTextEncode", (1000, 710), (400, 100), text=(words, "negative"), clip=(checkpoint, "CLIP"))
    latents = graph.add("EmptyLatentImage", (1460, 40), (320, 110), batch_size=4)
    sampled = graph.add(
        "KSampler",
        (1460, 200),
        (320, 270),
        model=(checkpoint, "MODEL"),
        positive=(positive, 0),
        negative=(negative, 0),
        latent_image=(latents, 0),
        steps=25,
        cfg=7.0,
        sampler_name="dpmpp_2m",
        scheduler="karras",
    )
    images = graph.add("VAEDecode", (1460, 530), (320, 50), samples=(sampled, 0), vae=(checkpoint, "VAE"))
    scores = graph.add("ModisteScorer", (1840, 40), (400, 540), images=(images, 0), reference=(photo, "IMAGE"), top_k=1)
    graph.add("SaveImage", (2300, 40), (380, 420), images=(scores, "best"), filename_prefix="modiste/best")
    return graph


def caption_and_train_a_lora() -> Graph:
    """A folder of photos, their captions, a LoRA, and a first picture with it."""
    graph = Graph()
    graph.note(
        (40, -260),
        (420, 230),
        "### Teach the model a garment\n\n1. Copy 20 to 200 photos into `input/photos`.\n2. Queue. Captions are "
        "written beside them, then a LoRA is trained in a process of its own.\n3. Cancel whenever you like: queueing "
        "again goes on. The LoRA stands in every loader's list.",
    )
    photos = graph.add("ModisteLoadPhotos", (40, 40), (420, 190), folder="photos")
    checkpoint = graph.add("CheckpointLoaderSimple", (40, 290), (420, 100), ckpt_name=CHECKPOINT)
    captions = graph.add(
        "ModisteCaptionDataset", (520, 40), (400, 260), folder=(photos, "folder"), trigger="ohwx garment"
    )
    graph.add("PreviewAny", (520, 360), (400, 160), source=(captions, "report"))
    options = graph.add("ModisteTrainingOptions", (520, 580), (400, 420))
    lora = graph.add(
        "ModisteLoraTrainer",
        (980, 40),
        (480, 960),
        folder=(captions, "folder"),
        model=(checkpoint, "MODEL"),
        options=(options, "options"),
        trigger="ohwx garment",
        recipe="standard",
        name="my garment",
    )
    graph.add("LossGraphNode", (1520, 640), (320, 260), loss=(lora, "losses"), filename_prefix="modiste_loss")
    positive = graph.add(
        "CLIPTextEncode",
        (1520, 40),
        (320, 120),
        text="ohwx garment, product photo on a plain background",
        clip=(checkpoint, "CLIP"),
    )
    negative = graph.add("CLIPTextEncode", (1520, 210), (320, 120), text=NEGATIVE, clip=(checkpoint, "CLIP"))
    latents = graph.add("EmptyLatentImage", (1520, 380), (320, 110), batch_size=2)
    sampled = graph.add(
        "KSampler",
        (1900, 40),
        (320, 270),
        model=(lora, "model"),
        positive=(positive, 0),
        negative=(negative, 0),
        latent_image=(latents, 0),
        steps=25,
        cfg=7.0,
        sampler_name="dpmpp_2m",
        scheduler="karras",
    )
    images = graph.add("VAEDecode", (1900, 360), (320, 50), samples=(sampled, 0), vae=(checkpoint, "VAE"))
    graph.add("SaveImage", (2280, 40), (380, 420), images=(images, 0), filename_prefix="modiste/tuned")
    return graph


def search_a_prompt() -> Graph:
    """The prompt that makes this very model draw the photo again, and proof of it."""
    graph = Graph()
    graph.note(
        (40, -220),
        (420, 190),
        "### Let the forms of a prompt compete\n\nEvery form is drawn on the same seeds; the winner must beat the "
        "plain tag list on held-out seeds. 24 pictures is a small budget, 60 a good one.",
    )
    photo = graph.add("LoadImage", (40, 40), (420, 420), image="example.png")
    checkpoint = graph.add("CheckpointLoaderSimple", (40, 520), (420, 100), ckpt_name=CHECKPOINT)
    found = graph.add(
        "ModistePromptSearch",
        (520, 40),
        (460, 780),
        model=(checkpoint, "MODEL"),
        clip=(checkpoint, "CLIP"),
        vae=(checkpoint, "VAE"),
        reference=(photo, "IMAGE"),
        budget=24,
    )
    graph.add("SaveImage", (1040, 40), (400, 420), images=(found, "image"), filename_prefix="modiste/search")
    graph.add("PreviewAny", (1040, 520), (400, 180), source=(found, "positive"))
    graph.add("PreviewAny", (1500, 40), (400, 260), source=(found, "report"))
    return graph


def compare_base_and_tuned() -> Graph:
    """The same prompts on the same seeds with the base and with a LoRA, scored against photos it never saw."""
    graph = Graph()
    graph.note(
        (40, -220),
        (420, 190),
        "### Was the training worth it?\n\nCopy photos that were **not** trained on into `input/photos`, best 4 or "
        "more. The gain comes with its interval: where it crosses zero, nothing is proven.",
    )
    photos = graph.add("ModisteLoadPhotos", (40, 40), (420, 190), folder="photos")
    checkpoint = graph.add("CheckpointLoaderSimple", (40, 290), (420, 100), ckpt_name=CHECKPOINT)
    tuned = graph.add(
        "LoraLoaderModelOnly",
        (40, 450),
        (420, 90),
        model=(checkpoint, "MODEL"),
        lora_name="my garment.safetensors",
        strength_model=0.8,
    )
    tags = graph.add("ModisteTagger", (520, 40), (400, 730), images=(photos, "images"))
    words = graph.add("ModistePromptBuilder", (980, 40), (380, 420), tags=(tags, "tags"), avoid=NEGATIVE)
    compared = graph.add(
        "ModisteCompare",
        (1420, 40),
        (440, 960),
        model=(checkpoint, "MODEL"),
        clip=(checkpoint, "CLIP"),
        vae=(checkpoint, "VAE"),
        references=(photos, "images"),
        positive=(words, "positive"),
        negative=(words, "negative"),
        tuned_model=(tuned, "MODEL"),
        trigger="ohwx garment",
    )
    graph.add("SaveImage", (1920, 40), (480, 480), images=(compared, "grid"), filename_prefix="modiste/compare")
    graph.add("PreviewAny", (1920, 580), (480, 200), source=(compared, "report"))
    return graph


PLANS = {
    "tag-prompt-generate-score": tag_prompt_generate_score,
    "caption-and-train-a-lora": caption_and_train_a_lora,
    "search-a-prompt": search_a_prompt,
    "compare-base-and-tuned": compare_base_and_tuned,
}


def text(name: str) -> str:
    """The whole file of that example."""
    return json.dumps(PLANS[name]().saved(), ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in PLANS:
        (FOLDER / f"{name}.json").write_text(text(name), encoding="utf-8")
