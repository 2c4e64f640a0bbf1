"""Scored trials → next trial → winner, confirmed on held-out seeds. Pure arithmetic, no images."""
