"""Tagging, prompts and scores over a batch of images."""
