"""Words that lists show and code compares: encoders, bases, recipes, methods. Imports nothing: schemas need them."""

from __future__ import annotations

AUTO = "auto"
FASHION_CLIP = "fashion-clip"
MINI = "mini"
GRAPH_CHECKPOINT = "checkpoint of the graph"
EMBEDDED_MODEL = "mini (embedded)"
METHODS = ("lora", "loha", "lokr")
RECIPES = {"quick": 0.2, "standard": 1.0, "thorough": 2.0}  # times the steps that suit the base
