"""The tab in A1111 and Forge: passes this WebUI's settings to the page of `modiste.panel`."""

from __future__ import annotations

import locale
from pathlib import Path

from modules import infotext_utils, paths_internal, script_callbacks, shared, ui_extra_networks

# All at once: A1111 has the extension's folder on sys.path only while this file is read.
from modiste.panel import page, webui_settings
from modiste.panel import texts as words

PORT = 7860


def address() -> str:
    """The address of this WebUI's API from this machine."""
    options = shared.cmd_opts
    scheme = "https" if options.tls_certfile else "http"
    subpath = f"/{options.subpath.strip('/')}" if options.subpath else ""
    return f"{scheme}://127.0.0.1:{options.port or PORT}{subpath}"


def secrets() -> dict[str, str]:
    """The first name and password of --api-auth, for the process's environment."""
    first = (shared.cmd_opts.api_auth or "").partition(",")[0]
    return {"MODISTE_WEBUI_AUTH": first} if first else {}


def checkpoint_file() -> str | None:
    """The file of the checkpoint that is chosen here."""
    from modules import sd_models

    chosen = sd_models.get_closet_checkpoint_match(shared.opts.sd_model_checkpoint or "")
    return chosen.filename if chosen else None


def refresh_loras() -> None:
    """Makes the pages of extra networks list their folders again."""
    for each in ui_extra_networks.extra_pages:
        each.refresh()


def connect_send(button: object, text: object) -> None:
    """The button pastes the text into txt2img, as the WebUI's own buttons do."""
    infotext_utils.register_paste_params_button(
        infotext_utils.ParamBinding(paste_button=button, tabname="txt2img", source_text_component=text)
    )


def on_ui_tabs() -> list[tuple[object, str, str]]:
    """The `Modiste` tab."""
    options = shared.cmd_opts
    webui = webui_settings.WebuiSettings(
        url=address(),
        has_api=bool(options.api or options.nowebui),
        runs=Path(paths_internal.default_output_dir).absolute() / "modiste",
        lora_folder=Path(options.lora_dir).absolute(),
        language=words.language_of(shared.opts.localization, locale.getlocale()[0]),
        folders_allowed=not (options.hide_ui_dir_config or options.share or options.listen),
        secrets=secrets(),
        checkpoint_file=checkpoint_file,
        refresh_loras=refresh_loras,
        connect_send=connect_send,
    )
    return [(page.build(webui), "Modiste", "modiste")]


script_callbacks.on_ui_tabs(on_ui_tabs)
