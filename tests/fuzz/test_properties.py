"""Properties over made-up input: names, prompts, configs, metadata, and the journal against a plain list."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from journal_samples import SETTINGS, drawn, key_for
from lora_samples import small_lora

from modiste.fashion.prompts.renderers import render
from modiste.fashion.prompts.tree import Clause, Phrase, Prompt
from modiste.hosts.attention import read_weights
from modiste.runs import pictures
from modiste.runs.journal import Journal
from modiste.runs.pictures import Key
from modiste.trainer.config import TrainConfig, read_config
from modiste.trainer.lora.file import read_tensors, write_lora

QUICK = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
LONG = settings(QUICK, max_examples=10_000)
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)
NASTY = some.sampled_from(["../", "\\", "C:\\x", "\\\\srv", "~", "CON", "nul.png", "a\0b", "a\nb", " ", ".", "長袖"])
NAMES = some.lists(some.one_of(some.text(max_size=12), NASTY), max_size=4).map("".join)


def check_names(names: list[str]) -> None:
    keys = [Key(photo, strategy, 1, "0" * 16) for strategy in names for photo in (names[0], "ab" * 32)]
    files = {key: pictures.file_of(key) for key in keys}
    assert len(set(files.values())) == len(set(keys))
    assert len({file.lower() for file in files.values()}) == len(set(keys)), "Windows knows no case"
    for file in files.values():
        windows = PureWindowsPath(file)
        assert not windows.is_absolute() and not windows.drive and ".." not in windows.parts
        assert windows.as_posix() == file and len(windows.parts) == 3 and file.startswith("images/")
        for part in windows.parts:
            assert re.fullmatch(r"[A-Za-z0-9._+-]{1,90}", part) and part[-1] not in ". "
            assert not DEVICES.fullmatch(part.partition(".")[0])


@QUICK
@given(some.lists(NAMES, min_size=1, max_size=5))
def test_any_names_become_files_inside_the_folder_that_never_meet(names):
    check_names(names)


@pytest.mark.load
@LONG
@given(some.lists(NAMES, min_size=1, max_size=5))
def test_ten_thousand_lists_of_names_become_files_inside_the_folder(names):
    check_names(names)


WORDS = some.text(some.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=12).map(
    lambda text: " ".join(text.split()) or "x"
)
WEIGHTS = some.sampled_from([1.0, 0.8, 1.05, 1.2, 1.35])


@QUICK
@given(some.lists(some.lists(some.tuples(WORDS, WEIGHTS), min_size=1, max_size=3), min_size=1, max_size=3))
def test_whatever_the_words_every_host_reads_them_back_as_words_of_that_weight(clauses):
    prompt = Prompt(tuple(Clause(tuple(Phrase(text, weight) for text, weight in clause)) for clause in clauses))
    for dialect in ("a1111", "diffusers"):
        runs = read_weights(render(prompt, dialect).positive)
        text = "".join(run.text or "BREAK" for run in runs)
        assert text.replace("< ", "<").lower() == ", ".join(clause.text for clause in prompt.positive).lower()
        weighted = {round(phrase.weight, 2) for clause in prompt.positive for phrase in clause.phrases} | {1.0}
        assert {round(run.weight, 6) for run in runs if run.text} <= weighted


RATES = some.floats(1e-7, 1.0, allow_nan=False)


@QUICK
@given(
    steps=some.integers(1, 100_000),
    rate=RATES,
    rank=some.integers(1, 128),
    trigger=some.text(some.characters(exclude_categories=["C"]), max_size=20),
    folders=some.lists(some.text(min_size=1, max_size=20), min_size=1, max_size=3),
    ema=some.one_of(some.just(0.0), some.floats(0.5, 0.9999)),
    seed=some.integers(0, 2**32 - 1),
)
def test_a_config_comes_back_equal_from_json(steps, rate, rank, trigger, folders, ema, seed):
    data = {"trigger": trigger, "folders": folders}
    made = {"steps": steps, "learning_rate": rate, "network": {"rank": rank}, "data": data, "ema": ema, "seed": seed}
    config = read_config({"base": "x", **made})
    again = TrainConfig.model_validate_json(config.model_dump_json())
    assert again == config and again.model_dump_json() == config.model_dump_json()


@settings(QUICK, max_examples=25)
@given(some.dictionaries(some.text(min_size=1, max_size=20), some.text(max_size=200), max_size=5))
def test_metadata_come_back_from_a_file_as_they_were_written(metadata):
    metadata = {name: text for name, text in metadata.items() if "\0" not in name and is_unicode(name + text)}
    with tempfile.TemporaryDirectory() as folder:
        write_lora(small_lora(), Path(folder) / "lora.safetensors", metadata)
        assert read_tensors(Path(folder) / "lora.safetensors")[1].items() >= metadata.items()


def is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class JournalAsAList(RuleBasedStateMachine):
    """What a journal says after any order of plans, leases, pictures, failures and restarts is what a dict says."""

    leased = Bundle("leased")

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory()
        self.folder = Path(self.place.name)
        self.journal = Journal.open(self.folder, SETTINGS)
        self.states: dict[int, str] = {}

    @rule(seed=some.integers(0, 7))
    def plan(self, seed: int) -> None:
        todo = self.journal.plan([key_for(seed)])
        assert todo == ([] if self.states.setdefault(seed, "planned") == "done" else [key_for(seed)])

    @rule(target=leased, seed=some.integers(0, 7))
    def lease(self, seed: int) -> int:
        if self.states.get(seed) != "done":
            assert self.journal.lease([key_for(seed)]) == [key_for(seed)]
            self.states[seed] = "leased"
        return seed

    @rule(seed=consumes(leased))
    def finish(self, seed: int) -> None:
        if self.states[seed] == "leased":
            self.journal.finish(key_for(seed), drawn(seed))
            self.states[seed] = "done"

    @rule(seed=consumes(leased))
    def fail(self, seed: int) -> None:
        if self.states[seed] == "leased":
            self.journal.fail(key_for(seed), "Failure", "no reason")
            self.states[seed] = "failed"

    @rule()
    def restart(self) -> None:
        self.journal.close()
        self.journal = Journal.open(self.folder, SETTINGS)
        self.states = {seed: "planned" if state == "leased" else state for seed, state in self.states.items()}

    @rule(seed=some.integers(0, 7))
    def lose_the_file(self, seed: int) -> None:
        file = self.folder / pictures.file_of(key_for(seed))
        if self.states.get(seed) == "done":
            file.unlink()
            assert self.journal.find(key_for(seed)) is None or key_for(seed) in self.journal._verified
            self.restart()
            self.states[seed] = "planned"

    @invariant()
    def the_journal_says_what_the_list_says(self) -> None:
        assert {row.key.seed: row.state for row in self.journal.rows()} == self.states
        for seed, state in self.states.items():
            assert (self.folder / pictures.file_of(key_for(seed))).exists() == (state == "done")

    def teardown(self) -> None:
        self.journal.close()
        self.place.cleanup()


TestJournalAsAList = JournalAsAList.TestCase
TestJournalAsAList.settings = settings(QUICK, max_examples=6, stateful_step_count=12)
