"""A prompt tree as the text that a host draws."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..fashion.prompts.renderers import render

if TYPE_CHECKING:
    from ..fashion.prompts.renderers import Rendered
    from ..fashion.prompts.tree import Prompt
    from ..hosts.request import Host


def write_for(host: Host, prompt: Prompt) -> Rendered:
    """In the host's dialect and within its limit of tokens; without what to avoid where it has no place for that."""
    if not getattr(host, "takes_negative", True):
        prompt = replace(prompt, negative=())
    return render(prompt, dialect=host.dialect, count=host.count_tokens)
