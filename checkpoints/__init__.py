"""Stable Diffusion on disk: the families, and a folder or a single file opened without any hub."""
