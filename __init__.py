"""What ComfyUI sees: the folder of Modiste's page and the way to its nodes."""

WEB_DIRECTORY = "./web"

__all__ = ["WEB_DIRECTORY"]

# Without a package there is nothing to be relative to: pytest runs this file bare where the folder has a hyphen.
if __package__:
    from .nodes import comfy_entrypoint as comfy_entrypoint

    __all__ += ["comfy_entrypoint"]
