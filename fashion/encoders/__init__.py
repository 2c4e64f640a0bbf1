"""Photos and texts → unit vectors."""
