"""Tags → prompts and captions."""
