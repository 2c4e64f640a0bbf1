"""What ComfyUI provides: its models, folders, images, graphs."""
