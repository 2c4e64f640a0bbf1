"""A user's edits of tags in the prompt route: a pinned one is in every photo's tags, one left out in no prompt."""

from __future__ import annotations

import paper_studio
import pytest

from modiste.cli.search_option_groups import TagEditOptions
from modiste.core.errors import InputError
from modiste.fashion.photos import gather_photos
from modiste.routes.prompt.optimise import optimise_prompts
from modiste.routes.prompt.settings import PromptSettings


def test_pinned_tags_are_searched_with_and_a_group_that_is_left_out_is_in_no_prompt(tmp_path):
    photo = tmp_path / "photo.png"
    paper_studio.paint(paper_studio.COLOURS["red"], False, 4, 0).save(photo)
    edits = TagEditOptions(["colour:Blue"], ["pattern"]).as_fields(paper_studio.TAXONOMY)
    assert edits == {"pin": ("colour:blue",), "leave_out": ("pattern",)}
    settings = paper_studio.settings(budget=8).model_copy(update=edits)
    session = paper_studio.session()
    (image,) = optimise_prompts(gather_photos([photo]), session, settings, tmp_path / "out").images
    assert {tag["group"]: tag["label"] for tag in image.tags}["colour"] == "blue"
    assert "pattern" not in {tag["group"] for tag in image.tags}
    prompts = [request.prompt for request in session.host.drawn]
    assert any("blue" in prompt for prompt in prompts)
    assert not any(word in prompt for prompt in prompts for word in ("red", "striped", "plain dress", "plain top"))


def test_settings_without_edits_are_those_of_runs_that_were_begun_before_there_were_any():
    settings = paper_studio.settings()
    assert not {"pin", "leave_out"} & settings.model_dump(mode="json").keys()
    edited = settings.model_copy(update={"pin": ("colour:red",)})
    assert edited.model_dump(mode="json")["pin"] == ["colour:red"]
    for each in (settings, edited):
        assert PromptSettings.model_validate_json(each.model_dump_json()) == each


@pytest.mark.parametrize(
    ("edits", "says"),
    [
        (TagEditOptions(pin=["colour:magenta"]), "--pin: the group 'colour' has no label 'magenta'"),
        (TagEditOptions(leave_out=["patern"]), "--leave-out: there is no group 'patern'"),
    ],
)
def test_what_the_vocabulary_lacks_is_refused_with_the_option_and_the_nearest_name(edits, says):
    with pytest.raises(InputError, match=says) as caught:
        edits.as_fields(paper_studio.TAXONOMY)
    assert caught.value.to_try
