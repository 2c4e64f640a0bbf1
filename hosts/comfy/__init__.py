"""ComfyUI over HTTP: request → graph → prompt queue → picture."""
