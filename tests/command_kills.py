"""kill -9 over commands on the embedded preset, again and again, each start forked from a process with the libraries.

For a process of its own: `python -c "from command_kills import kill_commands; kill_commands('FOLDER', 100)"`.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import sys
import time
import traceback
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image
from safetensors import safe_open

from modiste.cli.app import main
from modiste.trainer.loop.checkpoint import MANIFEST, verify

ROOT = Path(__file__).parents[1]
TICKS = os.sysconf("SC_CLK_TCK")
SMALL = ("--preset", "mini", "--steps", "2")
LORAS, TUNED = "../../loras/lora/steps", "../../loras/lora/fashion_lora_weights.safetensors"
COMMANDS: dict[str, list[str]] = {
    "tag": ["tag", "photos", "--preset", "mini", "--captions", "--out", "tags.jsonl", "--trigger", "vesper"],
    "prompt": ["prompt", *("photos/piece-01.jpg", "photos/piece-02.jpg"), "--out", "run", "--budget", "8", *SMALL]
    + ["--no-learn", "--same-seeds"],
    "compare": ["compare", "photos", "--tuned", TUNED, "--out", "run", "--seeds", "2", "--same-seeds", *SMALL],
    "judge": ["judge", LORAS, "--photos", "photos", "--out", "run", "--seeds", "2", "--choosing-seeds", "1", *SMALL],
    "pipeline": ["pipeline", "photos", "--out", "run", "--budget", "8", "--searched", "1", "--train-steps", "4"]
    + ["--trigger", "vesper", "--seeds", "2", "--no-learn", "--same-seeds", "--config", "../training.json", *SMALL],
}
TRAINING = {"save_every": 1, "validation": {"every": 3, "timesteps": 1, "most": 2, "pictures": 1, "picture_steps": 2}}
PHOTOS = {"tag": 10, "prompt": 2, "compare": 2, "judge": 2, "pipeline": 8}
LONGEST = "pipeline"  # a start of its for two of each other
SEARCH, BUDGET = "prompt over a server", 40
COMMANDS[SEARCH] = ["prompt", "photos", "--out", "run", "--budget", str(BUDGET), "--host", "webui", *SMALL]
COMMANDS[SEARCH] += ["--no-learn", "--same-seeds", "--width", "64", "--height", "64"]
TRY_AGAIN = 4  # a server that failed for good: the same command goes on
# What two undisturbed runs do not have in common: durations, dates, and how often a picture was asked for.
OF_THE_DAY = {
    "elapsed_s",
    "seconds",
    "seconds_per_photo",
    "created",
    "date",
    "speed",
    "duration_s",
    "took_s",
    "plan",
    "memory_mb",
    "memory_bytes",
    "disk_bytes",
    "cost",
}
# Of a request: that of a trained LoRA holds the hash of its file, whose metadata have the time of the training.
HASH = re.compile(r"-[0-9a-f]{16}\.png")


def lay_out(folder: Path, first: int, count: int) -> None:
    """A folder with so many photos of the collection of examples."""
    (folder / "photos").mkdir(parents=True)
    for photo in sorted((ROOT / "examples" / "collection").glob("*.jpg"))[first : first + count]:
        shutil.copy(photo, folder / "photos")


def started(command: Sequence[str], folder: Path) -> int:
    """Forks the command with `folder` as its own; its process id. What it says goes to `log` beside the folder."""
    child = os.fork()
    if child:
        return child
    code: Any = 1
    try:
        os.chdir(folder)
        log = os.open(f"{folder}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        main(list(command))
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def cpu_s(child: int) -> float:
    """The CPU seconds of a child that still runs or has not been waited for."""
    fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def exit_code(child: int) -> int:
    """Waits for a child; its exit code, negative where it was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def journal_rows(out: Path) -> Iterator[tuple[str, str, sqlite3.Row]]:
    """Every row of every journal under `out`, read from a copy: (journal, key, row)."""
    for file in sorted(out.rglob("journal.sqlite")):
        with TemporaryDirectory() as aside:
            for part in file.parent.glob("journal.sqlite*"):
                shutil.copy(part, aside)
            with closing(sqlite3.connect(Path(aside) / file.name)) as database:
                database.row_factory = sqlite3.Row
                assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok", file
                if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'pictures'").fetchone():
                    continue  # killed before its tables were there
                rows = database.execute("SELECT * FROM pictures").fetchall()
        name = str(file.parent.relative_to(out))
        yield from ((name, f"{row['image_sha256']} {row['strategy_id']} {row['seed']}", row) for row in rows)


def finished_pictures(out: Path) -> dict[tuple[str, str], tuple[int, int]]:
    """Every picture that a journal calls done: its tries, and when its file was written. The file is as recorded."""
    done = {}
    for journal, key, row in journal_rows(out):
        if row["state"] == "done":
            file = out / journal / row["path"]
            assert hashlib.sha256(file.read_bytes()).hexdigest() == row["sha256"], f"{file} is not as recorded"
            done[journal, key] = row["attempts"], file.stat().st_mtime_ns
    return done


def look_at_files(out: Path, captions: Collection[str] = ()) -> None:
    """Every file under `out` that has its name is whole: JSON, pages, pictures, tensors, checkpoints, captions.

    `captions`: those that an undisturbed run wrote.
    """
    for file in (path for path in out.rglob("*") if path.is_file()):
        if file.suffix == ".json":
            json.loads(file.read_text(encoding="utf-8"))
        elif file.suffix == ".html":
            assert file.read_text(encoding="utf-8").rstrip().endswith("</html>"), file
        elif file.suffix == ".png":
            with Image.open(file) as image:
                image.load()
        elif file.suffix == ".safetensors":
            with safe_open(file, framework="np") as tensors:
                assert list(tensors.keys()), file
        elif file.suffix == ".txt" and file.parent.name == "photos":
            caption = file.read_text(encoding="utf-8")
            assert "vesper" in caption and caption in (captions or [caption]), f"{file}: {caption!r}"
        elif file.suffix == ".jsonl":
            for line in file.read_text(encoding="utf-8").split("\n")[:-1]:  # the last one may be torn
                json.loads(line)
    for checkpoint in out.rglob(f"step-*/{MANIFEST}"):
        assert verify(checkpoint.parent) is not None, f"{checkpoint.parent} is damaged"


def without_days(value: Any) -> Any:
    """A document without what belongs to the day it was made on."""
    if isinstance(value, dict):
        return {name: without_days(inner) for name, inner in value.items() if name not in OF_THE_DAY}
    return [without_days(inner) for inner in value] if isinstance(value, list) else value


def result_of(out: Path) -> dict[str, Any]:
    """What a run leaves for people: reports, pictures, weights, captions, lines; by file."""
    result: dict[str, Any] = {}
    for file in sorted(path for path in out.rglob("*") if path.is_file()):
        name = str(file.relative_to(out))
        if file.name in ("report.json", "train.json"):
            text = re.sub(r"http://127.0.0.1:\d+", "URL", file.read_text(encoding="utf-8").replace(str(out), "OUT"))
            text = HASH.sub(".png", text)
            result[name] = without_days(json.loads(text))
        elif file.suffix == ".png" and "images" in file.parts:
            with Image.open(file) as image:
                result.setdefault(HASH.sub(".png", name), []).append(image.tobytes())
        elif file.suffix == ".safetensors" and "checkpoints" not in file.parts:
            with safe_open(file, framework="np") as tensors:
                result[name] = {key: tensors.get_tensor(key).tobytes() for key in tensors.keys()}
        elif file.suffix in (".txt", ".jsonl", ".csv"):
            result[name] = file.read_bytes()
    return result


def differences(expected: Any, actual: Any, where: str = "") -> list[str]:
    """The places at which two results differ."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        names = sorted(expected.keys() | actual.keys())
        return [line for n in names for line in differences(expected.get(n), actual.get(n), f"{where}/{n}")]
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        pairs = enumerate(zip(expected, actual, strict=True))
        return [line for index, (a, b) in pairs for line in differences(a, b, f"{where}[{index}]")]
    return [] if expected == actual else [f"{where}: {str(expected)[:80]} → {str(actual)[:80]}"]


@dataclass
class KilledCommand:
    """One command in `folder`, killed again and again; each run that comes to its end is compared with `whole`."""

    name: str
    folder: Path
    dice: random.Random
    photos: int
    whole_s: float = 0.0  # of CPU
    begins_s: float = 0.0  # of it, before the first picture
    expected: dict[str, Any] = field(default_factory=dict)
    captions: set[str] = field(default_factory=set)
    finished: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def out(self) -> Path:
        """The folder of the run that is killed."""
        return self.folder / "killed"

    def begin(self, *more: str) -> None:
        """Lets one run come to its end undisturbed; `more` words of the command are for it alone."""
        out = self.folder / "whole"
        self.folder.mkdir(parents=True)
        (self.folder / "training.json").write_text(json.dumps(TRAINING))
        lay_out(out, 0, self.photos)
        child = started([*COMMANDS[self.name], *more], out)
        while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            self.whole_s = cpu_s(child)
            if not self.begins_s and next(out.glob("run/images/**/*.png"), None):
                self.begins_s = self.whole_s
            time.sleep(0.02)
        self.check_end(exit_code(child), out)
        look_at_files(out)
        self.expected = result_of(out)
        self.captions = {text.decode() for name, text in self.expected.items() if Path(name).match("photos/*.txt")}
        lay_out(self.out, 0, self.photos)
        print(f"{self.name}: {self.whole_s:.1f} CPU s undisturbed, {len(finished_pictures(out))} pictures", flush=True)

    def check_end(self, code: int, out: Path) -> None:
        """0, or 3 with reported skips; never a traceback."""
        log = Path(f"{out}.log").read_text(encoding="utf-8", errors="replace")
        assert code in (0, 3) and "Traceback" not in log, f"{self.name} ended with {code}: {log[-3000:]}"

    def kill_once(self) -> None:
        """One start, killed when it has had some share of the CPU seconds that a whole run takes."""
        code = self.start_and_kill(self.dice.uniform(0.05, 1.0) * self.whole_s)
        if code != -signal.SIGKILL:
            self.compare(code)
            self.begin_anew()

    def start_and_kill(self, limit_s: float, *more: str) -> int:
        """One start, killed after so many CPU seconds; its exit code, which is another where it ended before."""
        child = started([*COMMANDS[self.name], *more], self.out)
        while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None and cpu_s(child) < limit_s:
            time.sleep(self.dice.uniform(0.002, 0.02))
        os.kill(child, signal.SIGKILL)
        code = exit_code(child)
        if code == -signal.SIGKILL:
            self.counts["kills"] += 1
            self.look()
        return code

    def look(self) -> None:
        """After a kill: every file is whole, and what was finished before is there as it was, drawn once."""
        look_at_files(self.out, self.captions)
        finished = finished_pictures(self.out)
        lost = self.finished.keys() - finished.keys()
        again = [key for key in self.finished.keys() & finished.keys() if self.finished[key] != finished[key]]
        assert not lost and not again, f"{self.name}: lost {lost}, drawn again {again}"
        self.finished = finished
        unfinished = {row["state"] for _, _, row in journal_rows(self.out)} - {"done", "planned"}
        self.counts["while drawing"] += "leased" in unfinished
        print(f"{self.name}: kill {self.counts['kills']}, {len(finished)} pictures finished", flush=True)

    def compare(self, code: int) -> None:
        """What a run of many starts leaves is what the undisturbed one left."""
        self.check_end(code, self.out)
        self.look_at_end()
        actual = result_of(self.out)
        assert not (lines := differences(self.expected, actual)), f"{self.name}: {lines[:5]}"
        self.counts["ends"] += 1
        print(f"{self.name}: end {self.counts['ends']} after {self.counts['kills']} kills: identical", flush=True)

    def begin_anew(self) -> None:
        """An empty folder for the next run."""
        self.finished = {}
        shutil.rmtree(self.out)
        Path(f"{self.out}.log").unlink()
        lay_out(self.out, 0, self.photos)

    def look_at_end(self) -> None:
        """At the end each picture is done, and none that was finished before was drawn again."""
        look_at_files(self.out, self.captions)
        finished = finished_pictures(self.out)
        assert all(finished.get(key) == before for key, before in self.finished.items()), f"{self.name} drew again"
        left = [dict(row) for _, _, row in journal_rows(self.out) if row["state"] not in ("done", "planned")]
        assert not left, f"{self.name}: {left[:3]}"
        self.counts["pictures"] += len(finished)
        self.counts["lost to a kill"] += sum(tries - 1 for tries, _ in finished.values())

    def end(self, *more: str) -> None:
        """Lets the run under way come to its end, however often a server makes it stop."""
        while (code := exit_code(started([*COMMANDS[self.name], *more], self.out))) == TRY_AGAIN and more:
            self.counts["stopped by the server"] += 1
        self.compare(code)


def _import_libraries() -> None:
    """What the commands need is imported here, once for all starts."""
    from modiste.fashion.photos import read_photo
    from modiste.models.presets import PRESETS
    from modiste.models.session import open_session

    session = open_session(PRESETS["mini"])
    photo = read_photo(ROOT / "examples" / "collection" / "piece-01.jpg")
    session.vision.tagger.observe([photo.image])


def _train_files(folder: Path) -> None:
    """The LoRA files that are compared and judged: of two steps, and the result."""
    lay_out(folder, 0, 6)
    training = ["finetune", "photos", "--out", "lora", "--preset", "mini", "--steps", "6", "--trigger", "vesper"]
    (folder / "files.json").write_text(json.dumps({**TRAINING, "files_every": 3}))
    assert exit_code(started([*training, "--config", "files.json"], folder)) in (0, 3)


def kill_search(folder: str, urls: Sequence[str], photos: int, kills: int, seed: int = 0) -> None:
    """Searches over the first server undisturbed, over the second one with kills, and prints the counts as JSON."""
    _import_libraries()
    (sound, faulty), dice = [("--url", url) for url in urls], random.Random(seed)
    command = KilledCommand(SEARCH, Path(folder), dice, photos)
    command.begin(*sound)
    pictures = finished_pictures(Path(folder) / "whole")
    step_s = (command.whole_s - command.begins_s) / kills
    while command.counts["kills"] < kills:
        code = command.start_and_kill(command.begins_s + dice.uniform(0.0, 1.6) * step_s, *faulty)
        if code not in (-signal.SIGKILL, TRY_AGAIN):
            break
        command.counts["stopped by the server"] += code == TRY_AGAIN
    command.end(*faulty)
    assert finished_pictures(command.out).keys() == pictures.keys()
    print(json.dumps({**command.counts, "expected": len(pictures)}), flush=True)


def kill_commands(folder: str, kills: int, names: Sequence[str] = tuple(PHOTOS), seed: int = 0) -> None:
    """Kills each command in turn, lets each come to its end once more, and prints the counts as JSON."""
    _import_libraries()
    if {"compare", "judge"} & set(names):
        _train_files(Path(folder) / "loras")
    commands = [
        KilledCommand(name, Path(folder) / name, random.Random(seed + index), PHOTOS[name])
        for index, name in enumerate(names)
    ]
    for command in commands:
        command.begin()
    turns = [command for command in commands if command.name != LONGEST] * 2
    turns += [command for command in commands if command.name == LONGEST]
    turn = 0
    while sum(command.counts["kills"] for command in commands) < kills:
        turns[turn % len(turns)].kill_once()
        turn += 1
    for command in commands:
        command.end()
    print(json.dumps({command.name: dict(command.counts) for command in commands}), flush=True)
