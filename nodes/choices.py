"""Words that lists show and code compares: encoders, bases, recipes, methods. Imports nothing: schemas need them."""

from __future__ import annotations

AUTO = "auto"
FASHION_CLIP = "fashion-clip"
MINI = "mini"
GRAPH_CHECKPOINT = "checkpoint of the graph"
EMBEDDED_MODEL = "mini (embedded)"
TRAINED = ("newest trained", "the one before it")  # LoRAs of this host's own runs, by age
METHODS = ("lora", "loha", "lokr")
RECIPES = {"quick": 0.2, "standard": 1.0, "thorough": 2.0}  # times the steps that suit the base
AS_SET = "off"  # the aspect of pictures: width × height as they are set
ASPECTS = (AS_SET, "photo", "1:1", "4:5", "3:4", "2:3", "9:16", "5:4", "4:3", "3:2", "16:9")
