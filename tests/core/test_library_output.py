"""Opening a model prints nothing, and leaves the libraries as talkative as they were."""

from __future__ import annotations

import logging

import pytest

from modiste.core.library_output import suppress_log, without_bars
from modiste.core.torchvision_ops import patch_torchvision_ops


@pytest.mark.parametrize("on", [True, False])
def test_bars_are_off_inside_and_afterwards_as_before(on):
    patch_torchvision_ops()
    from diffusers.utils import logging as ours
    from transformers.utils import logging as theirs

    before = [library.is_progress_bar_enabled() for library in (ours, theirs)]
    try:
        for library in (ours, theirs):
            library.enable_progress_bar() if on else library.disable_progress_bar()
        with pytest.raises(OSError), without_bars():
            assert not ours.is_progress_bar_enabled() and not theirs.is_progress_bar_enabled()
            raise OSError
        assert ours.is_progress_bar_enabled() is theirs.is_progress_bar_enabled() is on
    finally:
        for library, was in zip((ours, theirs), before, strict=True):
            library.enable_progress_bar() if was else library.disable_progress_bar()


def test_only_what_begins_so_is_kept_back_and_only_inside(caplog):
    speaker = logging.getLogger("modiste.test")
    with suppress_log("modiste.test", "No LoRA"):
        speaker.warning("No LoRA keys")
        speaker.warning("Yes")
    speaker.warning("No LoRA again")
    assert caplog.messages == ["Yes", "No LoRA again"]
