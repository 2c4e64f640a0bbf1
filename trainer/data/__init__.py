"""Folders → samples with captions, latents and buckets."""
