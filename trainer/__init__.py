"""Dataset → latents → loss → weights → file → validation. Knows no host."""
