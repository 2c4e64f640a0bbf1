"""How many changes of the code the tests notice: `python -m modiste.bench.mutants [ROOM…] [--sample N] [--json]`.

mutmut changes one expression at a time and runs the room's fast tests in forks of one process. It wants the package in
a folder of its name, and ours lies at the root of the repository: each room is run in a copy that is laid out so. It is
no dependency: `pip install mutmut` beside the checkout's libraries.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ..core.errors import InputError

ROOT = Path(__file__).parents[1]
LEFT_OUT = ("tests", ".*", "docs", "examples", "web", "modiste.py", "harness.py", "*.egg-info", "__pycache__", "shared")
SURVIVED, UNTESTED = 0, 33  # what mutmut notes of a mutant that no test noticed, and of one that no test reaches
OUT_OF_TIME = (36, 24, -24, 152, 255)  # of one with which the tests came to no end


@dataclass(frozen=True)
class MutatedRoom:
    """Files that keep a promise, the test files that hold it, and which of their tests are fast (pytest's -k)."""

    files: tuple[str, ...]
    tests: tuple[str, ...]
    fast: str


ROOMS = {
    "confirmation": MutatedRoom(
        ("search/confirmation.py",),
        ("search/test_search.py", "search/test_photo_seeds.py", "search/test_multiple_testing.py")
        + ("search/test_route_decision.py",),
        "not numpy",
    ),
    "journal": MutatedRoom(
        tuple(f"runs/{name}.py" for name in ("journal", "records", "checksums", "pictures", "database")),
        tuple(f"runs/test_{name}.py" for name in ("journal", "journal_words", "damaged_journal", "failing_disk")),
        "not durations and not killed_at_any_line and not flipped and not report and not lora and not tag_file",
    ),
    "checkpoint": MutatedRoom(
        ("trainer/loop/checkpoint.py",),
        ("trainer/test_train_resume.py",),
        "gives_back or optimizer_goes_on or slots or manifest or two_checkpoints or newest or two_whole or "
        "every_checkpoint or become_another or whichever_operation or not_finite_is_named or does_not_fit",
    ),
    "export": MutatedRoom(
        ("trainer/lora/file.py", "trainer/model/export.py"),
        ("trainer/test_lora_file.py", "runs/test_failing_disk.py", "trainer/test_checkpoint_file.py"),
        "break_or_do_nothing or zero_may or hashes or alpha_and or broken_file or pickles or begins_like or "
        "another_kind or identity or exported_lora or exported_model or family_is or would_do_nothing or "
        "in_any_order or (diffusers and not test_checkpoint) or not_there_is or other_bytes",
    ),
    "captions": MutatedRoom(
        ("fashion/caption_files.py", "fashion/prompts/captions.py", "trainer/data/caption_files.py")
        + ("trainer/data/captions.py",),
        ("fashion/test_tag_files.py", "fashion/test_prompts.py", "trainer/test_train_data.py")
        + ("trainer/test_train_samples.py", "runs/test_failing_disk.py", "routes/test_split_and_captions.py"),
        "(caption or trigger or weighs_no_word or latin or byte_order or nul_ or shuffling or separator or dropout or "
        "words or visits or metadata or memory or remembered) and not the_command_keeps and "
        "(not test_train_samples or loses_its_trigger)",
    ),
    "judge": MutatedRoom(
        tuple(
            f"routes/judge/{name}.py"
            for name in ("candidates", "copies", "effect", "files", "files_report", "keep", "run", "sample_names")
            + ("samples", "settings", "traits", "verdict")
        )
        + ("search/elimination.py",),
        ("routes/test_judge_rules.py", "routes/test_judge.py", "search/test_elimination.py")
        + ("nodes/test_nodes_judge_loras.py",),
        "test_judge_rules or test_elimination or test_nodes_judge_loras or trainers_call or final_file or "
        "copies_for or sample or pictures_own or table or three_prompts",
    ),
    "guard": MutatedRoom(
        ("server/guard.py",),
        ("server/test_guard.py", "server/test_server_limits.py", "server/test_server.py"),
        "test_guard or behind_a_408 or refused_body_is or small_bodies or users_and_addresses",
    ),
    "paths": MutatedRoom(
        ("nodes/comfy/safe_paths.py", "core/files.py", "core/folder_lock.py", "core/read_files.py"),
        ("core/test_files.py", "core/test_folder_lock.py", "core/test_state_files.py", "nodes/test_nodes_training.py"),
        "test_files or test_folder_lock or damaged_file or regular_files or path_stays or photos_on_another or "
        "file_of_paths or list_shows or name_of_a_run",
    ),
}


def lay_out(room: MutatedRoom, folder: Path) -> None:
    """A copy of the checkout as mutmut wants it: the package in `modiste/`, the tests beside it, and its settings."""
    shutil.copytree(ROOT, folder / "modiste", ignore=shutil.ignore_patterns(*LEFT_OUT))
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    settings = {
        "source_paths": ["modiste"],
        "only_mutate": [f"modiste/{file}" for file in room.files],
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-q", "-x", "-k", room.fast],
        "pytest_add_cli_args_test_selection": [f"tests/{file}" for file in room.tests],
        "timeout_constant": 20.0,
        "timeout_multiplier": 4.0,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    lines += ["use_git_change_detection = false", "track_dependencies = false", ""]
    project = [text[text.index("[tool.pytest") :], "[tool.mutmut]", *lines]
    (folder / "pyproject.toml").write_text("\n".join(project), encoding="utf-8")


def results(folder: Path) -> dict[str, int | None]:
    """Every mutant's name and what mutmut has noted of it; None: not tried."""
    noted: dict[str, int | None] = {}
    for file in sorted(folder.glob("mutants/**/*.meta")):
        noted.update(json.loads(file.read_text(encoding="utf-8"))["exit_code_by_key"])
    return noted


def mutmut(folder: Path, *words: str) -> str:
    """What mutmut says; InputError where it can't be had."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "mutmut", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if "No module named mutmut" in done.stderr:
        raise InputError("mutmut is not installed", where=sys.executable, to_try="pip install mutmut")
    return done.stdout + done.stderr


def measure(room: MutatedRoom, sample: int, seed: int) -> dict[str, object]:
    """Counts over a seeded sample of the room's mutants, and the changed lines of those that live."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        lay_out(room, folder)
        said = mutmut(
            folder, "run", "--max-children", "1", "none*"
        )  # makes the mutants and learns which tests reach them
        names = sorted(results(folder))
        if not names or not (folder / "mutants" / "mutmut-stats.json").is_file():
            raise InputError("mutmut came to no end", where=str(folder), to_try=said[-1000:])
        chosen = random.Random(seed).sample(names, min(sample, len(names)))
        reached = json.loads((folder / "mutants" / "mutmut-stats.json").read_text(encoding="utf-8"))
        tested = [
            name for name in chosen if name.rpartition("__mutmut_")[0] in reached["tests_by_mangled_function_name"]
        ]
        mutmut(folder, "run", "--max-children", "1", *tested)
        noted = {name: results(folder)[name] if name in tested else UNTESTED for name in chosen}
        alive = [name for name, code in noted.items() if code in (SURVIVED, UNTESTED, None)]
        return {
            "mutants": len(names),
            "sample": len(chosen),
            "killed": len(chosen) - len(alive),
            "out_of_time": sum(code in OUT_OF_TIME for code in noted.values()),
            "alive": {name: changed_lines(mutmut(folder, "show", name)) for name in alive},
        }


def changed_lines(diff: str) -> list[str]:
    """The lines of a diff that went and came."""
    return [line for line in diff.splitlines() if line.startswith(("- ", "+ "))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        prog="python -m modiste.bench.mutants", description=(__doc__ or "").partition(":")[0]
    )
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=", ".join(ROOMS))
    parser.add_argument("--sample", type=int, default=25)
    parser.add_argument("--seed", type=int, default=19)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.rooms if name not in ROOMS]:
        parser.error(f"no room {unknown[0]}; there are {', '.join(ROOMS)}")
    for name in options.rooms or ROOMS:
        result = measure(ROOMS[name], options.sample, options.seed)
        if options.json:
            print(json.dumps({"room": name, **result}, ensure_ascii=False), flush=True)
            continue
        slow = f" ({result['out_of_time']} by the clock)" if result["out_of_time"] else ""
        print(f"{name}: {result['killed']} of {result['sample']} killed{slow}, of {result['mutants']}", flush=True)
        for mutant, lines in dict(result["alive"]).items():  # type: ignore[call-overload]
            print("\n".join([f"  {mutant}", *(f"    {line}" for line in lines)]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
