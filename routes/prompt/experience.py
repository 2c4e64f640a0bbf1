"""What photos teach about prompts: within a run, and from one run to the next by a file in MODISTE_HOME.

A run sees what was known when it began and keeps that beside its journal, so that it can be stopped, continued and
repeated with the same result while others add to the file.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import InputError
from ...core.files import write_whole
from ...core.home import modiste_home
from ...core.state_files import read_state
from ...fashion.prompts.arms import factors_of
from ...search.arm_model import FactorPriors
from ...search.factor_priors import learn_factor_priors
from ...search.priors import PhotoResult
from ...search.screening import Effects
from ...search.shrinkage import EffectPrior, learn_effect_prior

if TYPE_CHECKING:
    from ...search.trials import Trial

FILE = "experience-2.sqlite"  # the number changes with what a lesson is
BEGUN_WITH = "experience.json"  # in the run's folder
BEGIN_ANEW = "delete the file; the run begins with what is known now"
SCHEMA = """
CREATE TABLE IF NOT EXISTS lessons (
    photo TEXT NOT NULL, checkpoint TEXT NOT NULL, scorer TEXT NOT NULL, lesson TEXT NOT NULL,
    learned INTEGER PRIMARY KEY AUTOINCREMENT, UNIQUE (photo, checkpoint, scorer))
"""
MOST = 2000  # lessons that a run begins with, the latest: more teach nothing new, and reading them takes time
WAIT_S = 30.0  # for another process that writes


@dataclass(frozen=True)
class Lesson:
    """One finished photo: what each strategy gained, and what each of the winner's words did."""

    result: PhotoResult
    effects: Effects | None = None

    def as_json(self) -> str:
        """The lesson as one line of JSON."""
        effects = self.effects and {"effect": dict(self.effects.effect), "se": self.effects.se, "df": self.effects.df}
        return json.dumps({"result": self.result.model_dump(), "found": effects})

    @classmethod
    def from_json(cls, text: str) -> Lesson:
        """The lesson of such a line."""
        data = json.loads(text)
        return cls(PhotoResult.model_validate(data["result"]), Effects(**data["found"]) if data["found"] else None)


@dataclass
class Experience:
    """The lessons that a photo's search begins with; of arms those of its checkpoint count, of words all."""

    checkpoint: str = ""
    lessons: list[Lesson] = field(default_factory=list)

    def add(self, photo: str, category: str, trials: list[Trial], effects: Effects | None) -> Lesson:
        """Learns from a finished photo's search and screening."""
        self.lessons.append(Lesson(PhotoResult.from_trials(photo, category, self.checkpoint, trials), effects))
        return self.lessons[-1]

    def of_factors(self) -> FactorPriors:
        """The priors of what the factors of a new photo's arms bring, from photos that this checkpoint drew."""
        rows = [lesson.result for lesson in self.lessons if lesson.result.checkpoint == self.checkpoint]
        return learn_factor_priors(rows, {arm: factors_of(arm) for row in rows for arm in row.gains})

    def of_words(self) -> EffectPrior | None:
        """The prior of what a word brings; None where no photo was screened yet."""
        return learn_effect_prior(lesson.effects for lesson in self.lessons if lesson.effects)


def _lessons(lines: list[str]) -> list[Lesson]:
    return [Lesson.from_json(line) for line in lines]


class ExperienceFile:
    """The lessons of all runs whose scores are comparable, those of one scorer. Safe among processes."""

    def __init__(self, scorer_key: str, folder: Path | None = None):
        self.scorer_key, self.path = scorer_key, (folder or modiste_home()) / FILE

    def begin(self, run: Path, checkpoint: str, photos: Collection[str]) -> Experience:
        """What the run in the folder `run` begins with: what it began with before, else what is known now.

        Without the run's own `photos`: what they teach is measured again.
        """
        begun_with = run / BEGUN_WITH
        if begun_with.is_file():
            return Experience(checkpoint, read_state(begun_with, _lessons, BEGIN_ANEW))
        lines = [text for photo, text in self._latest() if photo not in photos]
        write_whole(begun_with, json.dumps(lines).encode())
        return Experience(checkpoint, _lessons(lines))

    def keep(self, lesson: Lesson) -> None:
        """Adds a lesson; the same photo and checkpoint again replaces the old one."""
        row = (lesson.result.photo, lesson.result.checkpoint, self.scorer_key, lesson.as_json())
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=WAIT_S)) as database, database:
                database.execute(SCHEMA)
                database.execute(
                    "INSERT OR REPLACE INTO lessons (photo, checkpoint, scorer, lesson) VALUES (?, ?, ?, ?)", row
                )
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error

    def _latest(self) -> list[tuple[str, str]]:
        """(photo, line), the oldest of the latest first."""
        if not self.path.is_file():
            return []
        try:
            with closing(sqlite3.connect(self.path, timeout=WAIT_S)) as database:
                database.execute(SCHEMA)
                rows = database.execute(
                    "SELECT photo, lesson FROM lessons WHERE scorer = ? ORDER BY learned DESC LIMIT ?",
                    (self.scorer_key, MOST),
                ).fetchall()
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error
        return rows[::-1]

    def _unusable(self, error: Exception) -> InputError:
        return InputError(
            f"what earlier runs learned can't be used: {error}",
            where=str(self.path),
            to_try="delete that file, or run with --no-learn",
        )
