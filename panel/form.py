"""Parts that the tab's pages share: photo and drawing fields, who draws, names that the WebUI keeps apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .commands import OWN_MODEL, PRESETS, WEBUI, BadForm
from .suggestions import default_drawer, default_preset, warning_of
from .texts import Words
from .webui_settings import WebuiSettings

PHOTO_TYPES = [".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif"]
SENT = "sent"  # folder in that of the runs


def photo_fields(page: str, label: str, webui: WebuiSettings, words: Words) -> tuple[Any, Any]:
    """Uploads, and a folder's path where the WebUI lets people name folders."""
    import gradio as gr

    photos = gr.File(label=label, file_count="multiple", file_types=PHOTO_TYPES, elem_id=f"modiste_{page}_photos")
    folder = gr.Textbox(label=words("folder"), visible=webui.folders_allowed, elem_id=f"modiste_{page}_folder")
    return photos, folder


def sent_file(picture: Any, runs: Path) -> str | None:
    """The file that a PIL image is kept in, one a content; None for no image.

    A path is not asked of gradio: Forge's own saving of pictures (modules/ui_tempdir.py) fails there.
    """
    if picture is None:
        return None
    digest = hashlib.sha256(f"{picture.mode}{picture.size}".encode() + picture.tobytes()).hexdigest()[:10]
    file = runs / SENT / f"{digest}.png"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.save(file, "PNG")
    return str(file)


def preset_field(page: str, webui: WebuiSettings, words: Words) -> Any:
    """The preset; at first the one that fits what is on this machine."""
    import gradio as gr

    first = default_preset(webui)
    return unsaved(gr.Dropdown(list(PRESETS), value=first, label=words("preset"), elem_id=f"modiste_{page}_preset"))


def drawing_fields(page: str, webui: WebuiSettings, words: Words) -> tuple[Any, Any]:
    """The preset, the host that draws, and beneath them what they mean: size, encoder, what is missing."""
    import gradio as gr

    with gr.Row():
        preset = preset_field(page, webui, words)
        first = default_drawer(webui)
        here, own = words("here"), words("own")
        chosen = here if first == WEBUI else own
        drawer = unsaved(gr.Radio([here, own], value=chosen, label=words("drawer"), elem_id=f"modiste_{page}_drawer"))
    warning = gr.HTML(warning_of(default_preset(webui), first, words), elem_id=f"modiste_{page}_warning")

    def warn(preset_name: str, drawer_label: str) -> str:
        return warning_of(preset_name, WEBUI if drawer_label == here else OWN_MODEL, words)

    for field in (preset, drawer):
        field.change(fn=warn, inputs=[preset, drawer], outputs=[warning])
    return preset, drawer


def tick(page: str, name: str, words: Words) -> Any:
    """A box that is not ticked at first; `name` is its text's."""
    import gradio as gr

    return gr.Checkbox(value=False, label=words(name), elem_id=f"modiste_{page}_{name}")


def who_draws(chosen: str, webui: WebuiSettings, words: Words) -> str:
    """The chosen host as the commands name it; BadForm for this WebUI where its API is off."""
    drawer = {words("here"): WEBUI, words("own"): OWN_MODEL}.get(chosen, "")
    if drawer == WEBUI and not webui.has_api:
        raise BadForm("drawer", "no_api")
    return drawer


def keep_apart(tab: Any, page: str, results: tuple[Any, ...]) -> None:
    """Gives each page keys of its own in the WebUI's ui-config.json, which knows tab and label alone; no results there.

    A1111 and Forge put a component's `custom_script_source` before its key.
    """
    for component in _inside(tab):
        component.custom_script_source = f"modiste_{page}"
    for component in results:
        unsaved(component)


def unsaved(component: Any) -> Any:
    """The component, whose first value A1111 and Forge will not keep in ui-config.json as its value forever."""
    component.do_not_save_to_config = True
    return component


def _inside(component: Any) -> Iterator[Any]:
    yield component
    for child in getattr(component, "children", None) or ():
        yield from _inside(child)
