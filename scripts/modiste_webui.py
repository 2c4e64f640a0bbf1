"""The tab in A1111 and Forge: passes this WebUI's settings to the page of `modiste.panel`."""

from __future__ import annotations

import locale
from pathlib import Path

from modules import infotext_utils, paths_internal, script_callbacks, shared, ui_extra_networks
from modules.styles import PromptStyle

# All at once: A1111 has the extension's folder on sys.path only while this file is read.
from modiste.panel import commands, options, page, send_buttons, webui_settings
from modiste.panel import texts as words


def server() -> tuple[str, ...]:
    """The options of Modiste's commands that reach this WebUI, by what its running server says of itself."""
    return commands.server_options(shared.demo.local_url.rstrip("/"), shared.cmd_opts.tls_certfile)


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


SHOWN_IN = {"txt2img_gallery": "txt2img", "pnginfo_image": "pnginfo"}  # pictures of the WebUI
BESIDE = {"txt2img_send_to_extras": "txt2img_gallery", "extras_tab": "pnginfo_image"}  # its last button → the picture
shown_pictures: dict[str, object] = {}


def on_after_component(component: object, elem_id: str | None = None, **_: object) -> None:
    """Puts *Send to Modiste* beside txt2img's and PNG Info's own buttons."""
    if elem_id in SHOWN_IN:
        shown_pictures[elem_id] = component
    picture = shown_pictures.get(BESIDE.get(elem_id or "", ""))
    if picture is not None:
        button_id = f"modiste_send_from_{SHOWN_IN[BESIDE[elem_id]]}"
        infotext_utils.register_paste_params_button(
            infotext_utils.ParamBinding(
                paste_button=send_buttons.receiving_button(words.Words(language()), button_id),
                tabname="modiste",
                source_image_component=picture,
            )
        )


def receive_images(image: object) -> None:
    """Pictures that are sent to the tab go into this component."""
    infotext_utils.add_paste_fields("modiste", image, None)


def save_style(name: str, prompt: str, negative: str) -> str:
    """A style of that name, or of the name with a number where there is one already; returns the name."""
    styles = shared.prompt_styles
    taken = (f"{name} ({number})" if number > 1 else name for number in range(1, len(styles.styles) + 3))
    free = next(each for each in taken if each not in styles.styles)
    styles.styles[free] = PromptStyle(free, prompt, negative)
    styles.save_styles()
    return free


def option(name: str) -> str:
    """The user's setting `modiste_NAME`; empty where there is none, or where it is the automatic one."""
    value = str(getattr(shared.opts, f"modiste_{name}", "") or "").strip()
    return "" if value in options.AUTOMATIC else value


def on_ui_settings() -> None:
    """Settings → Modiste."""
    for name, default, label, component, arguments in options.options(words.Words(language())):
        info = shared.OptionInfo(default, label, component, arguments, section=("modiste", "Modiste"))
        shared.opts.add_option(f"modiste_{name}", info.needs_reload_ui())


def language() -> str:
    """The tab's: the user's setting, else the WebUI's, else the machine's."""
    return words.language_of(option("language"), shared.opts.localization, locale.getlocale()[0])


def on_ui_tabs() -> list[tuple[object, str, str]]:
    """The `Modiste` tab."""
    flags = shared.cmd_opts
    runs = Path(option("runs") or Path(paths_internal.default_output_dir) / "modiste").expanduser().absolute()
    if str(runs) not in flags.gradio_allowed_path:  # read after this, when the page is served
        flags.gradio_allowed_path.append(str(runs))
    webui = webui_settings.WebuiSettings(
        server=server,
        has_api=bool(flags.api or flags.nowebui),
        runs=runs,
        lora_folder=Path(flags.lora_dir).absolute(),
        language=language(),
        preset=option("preset"),
        encoder=option("encoder"),
        folders_allowed=not (flags.hide_ui_dir_config or flags.share or flags.listen),
        secrets=secrets(),
        checkpoint_file=checkpoint_file,
        refresh_loras=refresh_loras,
        connect_send=connect_send,
        receive_images=receive_images,
        save_style=save_style,
    )
    return [(page.build(webui), "Modiste", "modiste")]


script_callbacks.on_ui_tabs(on_ui_tabs)
script_callbacks.on_ui_settings(on_ui_settings)
script_callbacks.on_after_component(on_after_component)
