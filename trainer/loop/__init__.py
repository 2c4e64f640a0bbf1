"""The training loop: gradient, objective, optimizer, checkpoints, validation."""
