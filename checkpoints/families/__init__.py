"""Model families: their published configs."""
