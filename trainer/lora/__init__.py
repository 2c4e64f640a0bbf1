"""LoRA files: names, layers, metadata, tools."""
