"""Base model against tuned model, on photos that neither search nor training has seen."""
