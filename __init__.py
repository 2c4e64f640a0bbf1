"""What ComfyUI sees: the folder of Modiste's page and the way to its nodes."""

WEB_DIRECTORY = "./web"

__all__ = ["WEB_DIRECTORY"]

# pytest runs this file bare where the folder has a hyphen: then there is nothing to be relative to.
if __package__:
    from .nodes import comfy_entrypoint

    __all__ += ["comfy_entrypoint"]
