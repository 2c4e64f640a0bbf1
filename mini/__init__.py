"""The embedded models: a renderer of garments, and small real models trained on its pictures."""
