"""The embedded world: a garment renderer, and tiny real models trained on its pictures."""
