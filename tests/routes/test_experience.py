"""What one run teaches the next: begun with, kept, and never a reason for a run to differ from itself."""

from __future__ import annotations

import json

import paper_studio
import pytest

from modiste.core.errors import InputError
from modiste.fashion.photos import gather_photos
from modiste.routes.prompt.experience import FILE, Experience, ExperienceFile
from modiste.routes.prompt.optimise import optimise_prompts
from modiste.search.screening import Effects
from modiste.search.trials import Trial


def trials(good: float) -> list[Trial]:
    return [Trial(arm, seed, value) for seed in range(3) for arm, value in (("good", good), ("poor", 0.1 + seed / 50))]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "home"))
    return tmp_path


def taught(file: ExperienceFile, names: str, checkpoint: str = "sd15") -> None:
    experience = Experience(checkpoint)
    for name in names:
        file.keep(experience.add(name, "dress", trials(0.6), Effects({"colour: red": 0.1}, 0.05, 4.0)))


def test_a_run_begins_with_what_others_taught_and_goes_on_with_that_whatever_comes_meanwhile(home):
    file, run = ExperienceFile("scorer"), home / "run"
    run.mkdir()
    taught(file, "abc")
    begun = file.begin(run, "sd15", {"c"})
    assert [lesson.result.photo for lesson in begun.lessons] == ["a", "b"]
    priors = begun.of_factors()
    assert priors.of("good").mean > priors.of("poor").mean + 0.1 and begun.of_words().n == 2
    assert Experience("another", begun.lessons).of_factors().of("good").mean == 0, "arms teach their own checkpoint"
    taught(file, "defg")
    assert file.begin(run, "sd15", {"c"}) == begun
    (home / "next").mkdir()
    assert len(file.begin(home / "next", "sd15", set()).lessons) == 7


def test_a_photo_searched_again_replaces_its_lesson_and_other_scorers_have_their_own(home):
    file = ExperienceFile("scorer")
    taught(file, "aab")
    taught(file, "a", checkpoint="another")
    taught(ExperienceFile("another scorer"), "x")
    (home / "run").mkdir()
    found = file.begin(home / "run", "sd15", set()).lessons
    assert [(lesson.result.photo, lesson.result.checkpoint) for lesson in found] == [
        ("a", "sd15"),
        ("b", "sd15"),
        ("a", "another"),
    ]


def test_a_broken_file_is_named_with_what_to_do(home):
    (home / "home").mkdir()
    (home / "home" / FILE).write_bytes(b"no database at all" * 99)
    with pytest.raises(InputError, match=f"(?s){FILE}.*--no-learn"):
        ExperienceFile("scorer").begin(home, "sd15", set())


def test_the_second_run_over_other_photos_says_that_it_began_with_the_first(home):
    def run(colour: str, out: str, **asked) -> dict:
        photo = home / f"{colour}.png"
        paper_studio.paint(paper_studio.COLOURS[colour], False, 4, 7).save(photo)
        settings = paper_studio.settings(16).model_copy(update=asked)
        optimise_prompts(gather_photos([photo]), paper_studio.session(), settings, home / out)
        return json.loads((home / out / "report.json").read_text(encoding="utf-8"))

    first = run("red", "first")
    assert (first["learned_from"], run("blue", "second")["learned_from"]) == (0, 1)
    again = run("blue", "again")
    assert again["learned_from"] == 1  # not from itself
    assert run("blue", "without", learn=False)["learned_from"] == 0
    finished = run("red", "first")
    for report in (first, finished):
        report["summary"].pop("elapsed_s"), report["summary"].pop("seconds_per_photo")
    assert finished == first  # what came since does not reach it
