"""The example workflows as plans; each is read like a graph, from left to right, a step a group.

`python tests/comfy_page/workflows.py` writes example_workflows/*.json anew; a test compares the files with the plans.
"""

from __future__ import annotations

import json

from comfy_page.saved_graph import ROOT, WIDGETS, Graph, Point, definitions

__all__ = ["FOLDER", "PLANS", "WIDGETS", "Graph", "definitions", "text"]

FOLDER = ROOT / "example_workflows"
CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"
CHECKPOINT_LINK = {
    "name": CHECKPOINT,
    "url": f"https://huggingface.co/Comfy-Org/stable-diffusion-v1-5-archive/resolve/main/{CHECKPOINT}?download=true",
    "directory": "checkpoints",
}
NEGATIVE = "blurry, cropped, deformed, extra limbs, watermark, text"
NOBODY = "person, model, face, hands, hair, legs, background scenery"
TRIGGER = "ohwx garment"
SAMPLING = dict(steps=25, cfg=7.0, sampler_name="dpmpp_2m", scheduler="karras")
BLUE, GREEN, GOLD, PURPLE = (
    "#3f789e",
    "#5f8f5f",
    "#b58b2a",
    "#8a4f9e",
)  # groups: photos, words, models and drawing, verdict


def checkpoint_loader(graph: Graph, at: Point, width: int) -> int:
    """The checkpoint, with the link that the page offers where the file is missing."""
    node = graph.add("CheckpointLoaderSimple", at, (width, 100), ckpt_name=CHECKPOINT)
    graph.nodes[node - 1]["properties"]["models"] = [CHECKPOINT_LINK]
    return node


def tag_prompt_generate_score() -> Graph:
    """A photo's words, four pictures of them, and how close each comes."""
    graph, low = Graph(), 680  # where the second row begins
    graph.note((0, 0), (400, 270), "note_tag")
    graph.note((0, 330), (400, 210), "models")
    photo = graph.add("LoadImage", (470, 0), (340, 360), image="example.png")
    tags = graph.add("ModisteTagger", (890, 0), (380, 320), images=(photo, "IMAGE"))
    words = graph.add("ModistePromptBuilder", (1350, 0), (380, 405), tags=(tags, "tags"), avoid=NEGATIVE)

    checkpoint = checkpoint_loader(graph, (0, low), 310)
    latents = graph.add("EmptyLatentImage", (0, low + 190), (310, 118), batch_size=4)
    clip = {"clip": (checkpoint, "CLIP")}
    positive = graph.add("CLIPTextEncode", (380, low + 75), (310, 100), text=(words, "positive"), **clip)
    negative = graph.add("CLIPTextEncode", (380, low + 245), (310, 100), text=(words, "negative"), **clip)
    sampled = sampler(graph, (760, low), (checkpoint, "MODEL"), positive, negative, latents)
    images = graph.add("VAEDecode", (760, low + 340), (300, 54), samples=(sampled, 0), vae=(checkpoint, "VAE"))
    scores = graph.add(
        "ModisteScorer", (1160, low), (380, 265), images=(images, 0), reference=(photo, "IMAGE"), top_k=1
    )
    saved = graph.add("SaveImage", (1610, low), (340, 390), images=(scores, "best"), filename_prefix="modiste/best")

    lane = low - 100
    graph.bend(positive, "text", (1765, lane), (345, lane))
    graph.bend(negative, "text", (1780, lane + 12), (345, lane + 12))
    graph.bend(scores, "reference", (850, 45), (850, lane + 24), (1115, lane + 24))
    graph.bend(sampled, "model", (380, low + 14), (725, low + 14))
    graph.bend(sampled, "latent_image", (345, low + 365), (725, low + 365))
    graph.bend(images, "samples", (1090, low + 305), (735, low + 305))
    graph.bend(images, "vae", (335, low + 390), (725, low + 390))

    graph.group("group_photo", BLUE, [photo])
    graph.group("group_words", GREEN, [tags, words])
    graph.group("group_draw", GOLD, [checkpoint, latents, positive, negative, sampled, images])
    graph.group("group_score", PURPLE, [scores, saved])
    return graph


def sampler(graph: Graph, at: Point, model: tuple[int, str], positive: int, negative: int, latents: int) -> int:
    """A KSampler with settings for Stable Diffusion 1.5."""
    links = dict(model=model, positive=(positive, 0), negative=(negative, 0), latent_image=(latents, 0))
    return graph.add("KSampler", at, (300, 270), **links, **SAMPLING)


def caption_and_train_a_lora() -> Graph:
    """A folder of photos, their captions, a LoRA, and a first picture with it."""
    graph = Graph(0.62)
    photos = graph.add("ModisteLoadPhotos", (0, 0), (380, 220), folder="photos")
    graph.note((0, 320), (380, 330), "note_train")
    graph.note((0, 710), (380, 220), "models")
    captions = graph.add("ModisteCaptionDataset", (460, 0), (380, 270), folder=(photos, "folder"), trigger=TRIGGER)
    report = graph.add("PreviewAny", (460, 360), (380, 140), source=(captions, "report"))
    graph.name(report, "title_report")
    checkpoint = checkpoint_loader(graph, (460, 640), 380)
    options = graph.add("ModisteTrainingOptions", (460, 860), (380, 0))
    graph.nodes[options - 1]["flags"] = {"collapsed": True}  # thirty fields that nobody has to touch
    lora = graph.add(
        "ModisteLoraTrainer",
        (950, 0),
        (440, 545),
        folder=(captions, "folder"),
        model=(checkpoint, "MODEL"),
        options=(options, "options"),
        trigger=TRIGGER,
        recipe="standard",
        name="my garment",
    )
    clip = {"clip": (checkpoint, "CLIP")}
    prompt = f"{TRIGGER}, product photo on a plain background"
    positive = graph.add("CLIPTextEncode", (1500, 75), (320, 100), text=prompt, **clip)
    negative = graph.add("CLIPTextEncode", (1500, 245), (320, 100), text=NEGATIVE, **clip)
    latents = graph.add("EmptyLatentImage", (1500, 415), (320, 118), batch_size=2)
    sampled = sampler(graph, (1900, 0), (lora, "model"), positive, negative, latents)
    images = graph.add("VAEDecode", (1900, 340), (300, 54), samples=(sampled, 0), vae=(checkpoint, "VAE"))
    saved = graph.add("SaveImage", (2280, 0), (360, 400), images=(images, 0), filename_prefix="modiste/tuned")

    graph.bend(report, "source", (870, 74), (870, 315), (430, 315))
    graph.bend(positive, "clip", (900, -90), (1445, -90))
    graph.bend(negative, "clip", (912, -102), (1457, -102))
    graph.bend(lora, "options", (885, 845))
    graph.bend(images, "vae", (924, -114), (1860, -114), (1860, 374))
    graph.bend(images, "samples", (2230, 305), (1875, 305))
    graph.bend(sampled, "model", (1500, 34), (1820, 14))

    graph.group("group_photos", BLUE, [photos])
    graph.group("group_captions", GREEN, [captions, report])
    graph.group("group_base", GOLD, [checkpoint])
    graph.group("group_options", GOLD, [options])
    graph.group("group_train", GOLD, [lora])
    graph.group("group_try", PURPLE, [positive, negative, latents, sampled, images, saved])
    return graph


def search_a_prompt() -> Graph:
    """The prompt that makes this very model draw the photo again, and proof of it."""
    graph = Graph()
    graph.note((0, 0), (400, 330), "note_search")
    graph.note((0, 390), (400, 220), "models")
    photo = graph.add("LoadImage", (470, 0), (340, 360), image="example.png")
    checkpoint = checkpoint_loader(graph, (470, 500), 340)
    search = graph.add(
        "ModistePromptSearch",
        (890, 0),
        (420, 495),
        model=(checkpoint, "MODEL"),
        clip=(checkpoint, "CLIP"),
        vae=(checkpoint, "VAE"),
        reference=(photo, "IMAGE"),
        budget=24,
    )
    saved = graph.add("SaveImage", (1390, 0), (380, 400), images=(search, "image"), filename_prefix="modiste/search")
    prompt = graph.add("PreviewAny", (1390, 485), (380, 150), source=(search, "positive"))
    report = graph.add("PreviewAny", (1850, 0), (400, 635), source=(search, "report"))
    graph.bend(report, "source", (1350, 114), (1350, 427), (1810, 427))
    graph.name(prompt, "title_prompt")
    graph.name(report, "title_report")

    graph.group("group_photo", BLUE, [photo])
    graph.group("group_model", GOLD, [checkpoint])
    graph.group("group_search", GREEN, [search])
    graph.group("group_prompt", PURPLE, [saved, prompt, report])
    return graph


def compare_base_and_tuned() -> Graph:
    """The same prompts on the same seeds with the base and with a LoRA, scored against photos it never saw."""
    graph = Graph()
    photos = graph.add("ModisteLoadPhotos", (0, 0), (380, 220), folder="photos")
    graph.note((0, 320), (380, 340), "note_compare")
    graph.note((0, 720), (380, 270), "models_judge")
    tags = graph.add("ModisteTagger", (460, 0), (380, 320), images=(photos, "images"))
    words = graph.add("ModistePromptBuilder", (920, 0), (380, 405), tags=(tags, "tags"), avoid=NEGATIVE)
    checkpoint = checkpoint_loader(graph, (920, 650), 380)
    lora = graph.add("ModisteChooseLora", (920, 820), (380, 106))
    compared = graph.add(
        "ModisteCompare",
        (1400, 0),
        (420, 560),
        model=(checkpoint, "MODEL"),
        clip=(checkpoint, "CLIP"),
        vae=(checkpoint, "VAE"),
        references=(photos, "images"),
        positive=(words, "positive"),
        negative=(words, "negative"),
        lora=(lora, "lora"),
        trigger=TRIGGER,
    )
    saved = graph.add("SaveImage", (1900, 0), (440, 440), images=(compared, "grid"), filename_prefix="modiste/compare")
    report = graph.add("PreviewAny", (1900, 530), (440, 320), source=(compared, "report"))
    graph.bend(compared, "references", (420, -100), (1350, -100))
    graph.name(report, "title_report")

    graph.group("group_test_photos", BLUE, [photos])
    graph.group("group_test_words", GREEN, [tags, words])
    graph.group("group_lora", GOLD, [checkpoint, lora])
    graph.group("group_compare", PURPLE, [compared, saved, report])
    return graph


def which_lora() -> Graph:
    """Two LoRAs beside the same base, with the same words on the same seeds."""
    graph = Graph(0.61)
    photos = graph.add("ModisteLoadPhotos", (0, 0), (380, 220), folder="photos")
    graph.note((0, 320), (380, 370), "note_which")
    graph.note((0, 750), (380, 270), "models_judge")
    tags = graph.add("ModisteTagger", (460, 0), (380, 320), images=(photos, "images"))
    words = graph.add("ModistePromptBuilder", (920, 0), (380, 405), tags=(tags, "tags"), avoid=NEGATIVE)
    checkpoint = checkpoint_loader(graph, (920, 650), 380)

    def verdict(lora_name: str, title: str, top: int) -> None:
        lora = graph.add("ModisteChooseLora", (1420, top), (340, 106), lora_name=lora_name)
        compared = graph.add(
            "ModisteCompare",
            (1840, top),
            (420, 560),
            model=(checkpoint, "MODEL"),
            clip=(checkpoint, "CLIP"),
            vae=(checkpoint, "VAE"),
            references=(photos, "images"),
            positive=(words, "positive"),
            negative=(words, "negative"),
            lora=(lora, "lora"),
            trigger=TRIGGER,
        )
        folder = f"modiste/{lora_name.replace(' ', '-')}"
        saved = graph.add("SaveImage", (2340, top), (420, 560), images=(compared, "grid"), filename_prefix=folder)
        for number, name in enumerate(("model", "clip", "vae", "positive", "negative")):
            down = [(1342, 130), (1342, top - 60)] if top and number > 2 else []  # straight, beside the first verdict
            graph.bend(compared, name, *down, (1380, top + 200 + 14 * number), (1800, top + 200 + 14 * number))
        graph.bend(compared, "references", (420, -100), (1350, -100), (1380, top + 186), (1800, top + 186))
        graph.group(title, PURPLE, [lora, compared, saved])

    verdict("newest trained", "group_first_lora", 0)
    verdict("the one before it", "group_second_lora", 840)
    graph.group("group_test_photos", BLUE, [photos])
    graph.group("group_test_words", GREEN, [tags, words])
    graph.group("group_base", GOLD, [checkpoint])
    return graph


def worn_photo_to_garment_words() -> Graph:
    """A photo of somebody who wears the garment, painted down to the garment, and a prompt for it alone."""
    graph = Graph(0.62)
    graph.note((0, 0), (400, 350), "note_worn")
    graph.note((0, 410), (400, 180), "models_words")
    photo = graph.add("LoadImage", (470, 0), (340, 360), image="example.png")
    white = graph.add("EmptyImage", (890, 250), (310, 155), color=0xFFFFFF)
    garment = graph.add(
        "ImageCompositeMasked",
        (890, 0),
        (310, 160),
        destination=(photo, "IMAGE"),
        source=(white, "IMAGE"),
        mask=(photo, "MASK"),
        resize_source=True,
    )
    tags = graph.add("ModisteTagger", (1280, 0), (380, 320), images=(garment, 0))
    words = graph.add(
        "ModistePromptBuilder",
        (1730, 0),
        (380, 405),
        tags=(tags, "tags"),
        extra="flat lay, no person, plain white background",
        avoid=NOBODY,
    )
    positive = graph.add("PreviewAny", (2190, 0), (360, 160), source=(words, "positive"))
    negative = graph.add("PreviewAny", (2190, 230), (360, 160), source=(words, "negative"))
    graph.name(positive, "title_positive")
    graph.name(negative, "title_negative")
    graph.bend(garment, "source", (1230, 264), (1230, 205), (860, 205))

    graph.group("group_photo", BLUE, [photo])
    graph.group("group_garment", GOLD, [garment, white])
    graph.group("group_garment_words", GREEN, [tags, words, positive, negative])
    return graph


PLANS = {
    "tag-prompt-generate-score": tag_prompt_generate_score,
    "search-a-prompt": search_a_prompt,
    "caption-and-train-a-lora": caption_and_train_a_lora,
    "compare-base-and-tuned": compare_base_and_tuned,
    "which-lora": which_lora,
    "worn-photo-to-garment-words": worn_photo_to_garment_words,
}


def text(name: str) -> str:
    """The whole file of that example."""
    return json.dumps(PLANS[name]().saved(), ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in PLANS:
        (FOLDER / f"{name}.json").write_text(text(name), encoding="utf-8")
