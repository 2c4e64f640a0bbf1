"""The always-on script *Modiste score* in A1111 and Forge: how like a reference photo each picture is, 0 to 100.

API: {"alwayson_scripts": {"Modiste score": {"args": [true, "<base64 photo>", "sd15"]}}}; the score stands in each
picture's infotext. X/Y/Z plot: the axis `[Modiste] Reference photo` takes paths.
"""

from __future__ import annotations

import locale
from pathlib import Path

from modules import script_callbacks, scripts, shared

# All at once: A1111 has the extension's folder on sys.path only while this file is read.
from modiste.panel import options, score_script, score_worker
from modiste.panel import texts as words

worker = score_worker.ScoreWorker()


def option(name: str) -> str:
    """The user's setting `modiste_NAME`; empty where there is none, or where it is the automatic one."""
    value = str(getattr(shared.opts, f"modiste_{name}", "") or "").strip()
    return "" if value in options.AUTOMATIC else value


class ModisteScore(scripts.Script):
    """Scores each picture after all that changes it; off by default."""

    def title(self) -> str:
        """The name that the API knows it by."""
        return score_script.TITLE

    def show(self, is_img2img: bool) -> object:
        """On both pages, always."""
        return scripts.AlwaysVisible

    def ui(self, is_img2img: bool) -> list[object]:
        """Its fields."""
        language = words.language_of(option("language"), shared.opts.localization, locale.getlocale()[0])
        return score_script.controls(words.Words(language), option("preset") or "mini", self.elem_id)

    def postprocess_image(self, p: object, pp: object, *arguments: object) -> None:
        """A picture begins: the score of the one before is not its own."""
        p.extra_generation_params.pop(score_script.KEY, None)

    def postprocess_image_after_composite(self, p: object, pp: object, *arguments: object) -> None:
        """A picture is finished: its score goes into its infotext."""
        enabled, *rest = arguments or (False,)
        override = getattr(p, score_script.OVERRIDE, None)
        if override is not None:
            enabled, rest = True, [override, *rest[1:]]
        score = score_script.score_of(worker, pp.image, enabled, *rest[:2], encoder=option("encoder"))
        if score is not None:
            p.extra_generation_params[score_script.KEY] = score_script.infotext_value(score)


def set_reference(p: object, path: str, paths: list[str]) -> None:
    """Another reference for one cell of an X/Y/Z plot."""
    from PIL import Image

    with Image.open(Path(path).expanduser()) as photo:
        setattr(p, score_script.OVERRIDE, photo.convert("RGB"))


def add_axis() -> None:
    """The axis of the X/Y/Z plot, where people may name files of this machine."""
    flags = shared.cmd_opts
    if flags.hide_ui_dir_config or flags.share or flags.listen:
        return
    for data in scripts.scripts_data:
        if data.script_class.__module__ in ("xyz_grid.py", "scripts.xyz_grid"):
            label = "[Modiste] Reference photo"
            if label not in (axis.label for axis in data.module.axis_options):
                data.module.axis_options.append(data.module.AxisOption(label, str, set_reference))


script_callbacks.on_before_ui(add_axis)
