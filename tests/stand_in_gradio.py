"""gradio as far as the page can tell: components and parameters that 3.41 and 4.40 both have (data/gradio_common.json).

Anything else is an error here, as it would be in one of the two. Copied beside the WebUI's stand-in as `gradio`.
"""

from __future__ import annotations

import json
from pathlib import Path

COMMON = json.loads((Path(__file__).parent / "data" / "gradio_common.json").read_text(encoding="utf-8"))["parameters"]


class Component:
    """Remembers what it was made with; what is made inside it is its child."""

    open: list[Component] = []

    def __init__(self, *arguments, **options):
        kind = type(self).__name__
        unknown = set(options) - set(COMMON[kind])
        assert not unknown, f"{kind} has no {unknown} in both versions"
        as_file = kind == "Image" and options.get("type") == "filepath"
        assert not as_file, "Forge hands over no files of pictures: its save_pil_to_file knows no name"
        self.arguments, self.options, self.children, self.handlers = arguments, options, [], {}
        if self.open:
            self.open[-1].children.append(self)

    def __enter__(self):
        self.open.append(self)
        return self

    def __exit__(self, *error):
        self.open.pop()

    @property
    def label(self) -> str:
        """What people read on it."""
        said = self.options.get("label") or (self.arguments[0] if self.arguments else "")
        return said if isinstance(said, str) else ""

    def everything(self) -> list[Component]:
        """Itself and all that is in it."""
        return [self, *(each for child in self.children for each in child.everything())]

    def listens(self, event: str, fn, inputs, outputs, **options):
        """A handler of an event."""
        assert not set(options) - set(COMMON[event]), options
        assert all(isinstance(one, Component) for one in [*inputs, *outputs])
        self.handlers[event] = (fn, inputs, outputs)

    def click(self, fn, inputs, outputs, **options):
        """What a press does."""
        assert type(self).__name__ == "Button"
        self.listens("click", fn, inputs, outputs, **options)

    def change(self, fn, inputs, outputs, **options):
        """What another value does."""
        self.listens("change", fn, inputs, outputs, **options)


for _name in COMMON:
    if _name[0].isupper():
        globals()[_name] = type(_name, (Component,), {})


def update(**changes) -> dict:
    """Changes of an output; the two versions mark it differently."""
    return {"__type__": "update", **changes}
