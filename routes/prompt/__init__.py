"""Photo → the prompt that draws its garment again, proven on unseen seeds."""
