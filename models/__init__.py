"""Presets, and the models of a preset, opened."""
