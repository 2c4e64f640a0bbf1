"""The prompt route by a Ray cluster: rows, pictures and report of one process, also where a worker is killed."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import paper_studio
import pytest
from journal_samples import SETTINGS, draw, key_for
from typer.testing import CliRunner

from modiste.cli.app import app
from modiste.fashion.photos import gather_photos
from modiste.models.presets import missing_weights, preset
from modiste.reports.prompt import PromptReport
from modiste.routes import ray_cluster
from modiste.routes.prompt.optimise import optimise_prompts
from modiste.routes.ray_prompts import SearchTask, scorer_keys, search_in_own_journal, without_models
from modiste.runs.journal import Journal, JournalError
from modiste.runs.shards import FinishedPicture, FinishedPictures, gather

ROOT = Path(__file__).parents[2]
KILLING = """
import sys, psutil
from modiste.cli.app import main
from modiste.runs import shards

gather, killed = shards.gather, []

def gather_and_kill(pictures, journal):
    keys = gather(pictures, journal)
    if not killed:
        processes = psutil.Process().children(recursive=True)
        workers = [each for each in processes if "ray::PromptWorker" in "".join(each.cmdline())]
        killed.append(workers[-1].pid)
        workers[-1].kill()
        print("killed one of", len(workers), file=sys.stderr)
    return keys

shards.gather = gather_and_kill
main(sys.argv[1:])
"""


def rows_of(out: Path) -> tuple[list[tuple], list[tuple]]:
    """The rows of a run's pictures and scores, without what tells times."""
    with closing(sqlite3.connect(out / "journal.sqlite")) as database:
        columns = "image_sha256, strategy_id, seed, request_hash, state, attempts, path, sha256, request, used"
        pictures = database.execute(f"SELECT {columns}, error_class, message FROM pictures ORDER BY 1, 2, 3").fetchall()
        names = "image_sha256, strategy_id, seed, scorer_key, similarity, unclipped, raw_cosine, centred"
        return pictures, database.execute(f"SELECT {names} FROM scores ORDER BY 1, 2, 3, 4").fetchall()


def without_times(report: PromptReport) -> dict:
    """What a report says, but for when it was made and how long it took."""
    document = report.model_dump(mode="json", exclude={"created"})
    for time in ("elapsed_s", "seconds_per_photo"):
        document["summary"].pop(time)
    return document


class Workers:
    """What the cluster does, in this process: each photo's search in a journal of its own, the last photo first."""

    def __init__(self):
        self.hosts = []

    def __call__(self, photos, photo_tags, run):
        known = FinishedPictures(run.evaluator.journal, scorer_keys(run.session))
        for photo, tags in reversed(list(zip(photos, photo_tags, strict=True))):
            session = paper_studio.session()
            task = SearchTask(photo, tags, known.of_photo(photo.sha256))
            result = search_in_own_journal(task, without_models(run), session)
            assert not result.refusal
            gather(result.pictures, run.evaluator.journal)
            self.hosts.append(session.host)

    @property
    def drawn(self) -> int:
        return sum(len(host.drawn) for host in self.hosts)


def test_photos_searched_apart_and_gathered_are_the_run_of_one_process(paper_photos, tmp_path):
    settings = paper_studio.settings(budget=10).model_copy(update={"apart": True})
    reports, drawn_here = {}, {}
    for name, ahead in (("one", None), ("many", workers := Workers())):
        session = paper_studio.session()
        found = gather_photos([paper_photos])
        reports[name] = optimise_prompts(found, session, settings, tmp_path / name, ahead=ahead)
        drawn_here[name] = len(session.host.drawn)
    assert rows_of(tmp_path / "many") == rows_of(tmp_path / "one")
    assert without_times(reports["many"]) == without_times(reports["one"])
    assert drawn_here["many"] == 0 and workers.drawn == drawn_here["one"] > 0
    again = Workers()
    optimise_prompts(gather_photos([paper_photos]), paper_studio.session(), settings, tmp_path / "many", ahead=again)
    assert again.drawn == 0, "what the run has is known to the workers"


@pytest.mark.parametrize(("apart", "lessons"), [(False, 3), (True, 0)])
def test_a_photo_begins_with_what_the_run_s_others_taught_unless_they_are_searched_apart(
    paper_photos, tmp_path, apart, lessons
):
    settings = paper_studio.settings(budget=8).model_copy(update={"apart": apart})
    runs = []
    found = gather_photos([paper_photos])
    optimise_prompts(
        found, paper_studio.session(), settings, tmp_path / "out", ahead=lambda _, tags, run: runs.append(run)
    )
    assert len(runs[0].experience.lessons) == lessons
    assert ("apart" in settings.model_dump()) is apart, "folders of runs before it go on"


def test_a_journal_takes_over_what_another_has_finished_once_and_nothing_else(tmp_path):
    with Journal.open(tmp_path / "shard", SETTINGS) as shard:
        draw(shard, 1, 2)
        shard.lease([key_for(3)])
        shard.fail(key_for(3), "BrokenPicture", "it is NaN")
        shard.score(key_for(1), "clip", similarity=0.5, unclipped=0.5, raw_cosine=0.2, centred=0.1)
        pictures = FinishedPictures(shard, ["clip"]).of_photo(key_for(1).image_sha256)
        files = [path.read_bytes() for path in sorted((tmp_path / "shard").rglob("*.png"))]
    with Journal.open(tmp_path / "run", SETTINGS) as run:
        draw(run, 2)
        for _ in range(2):
            assert gather(pictures, run) == [key_for(1), key_for(2)]
        assert [(row.key, row.state, row.attempts) for row in run.rows()] == [
            (key_for(seed), "done", 1) for seed in (1, 2)
        ]
        assert list(run.scores("clip")) == [key_for(1)] and run.find(key_for(1)).elapsed_s == 0.25
        assert [path.read_bytes() for path in sorted((tmp_path / "run").rglob("*.png"))] == files
        for data, told in ((pictures[0].data[:-20], "not whole"), (b"", "not whole")):
            with pytest.raises(JournalError, match=told):
                gather([FinishedPicture(data, 0.1)], run)
    with Journal.open(tmp_path / "other", SETTINGS | {"budget": 8}) as other:
        with pytest.raises(JournalError, match="of other settings"):
            gather(pictures, other)
        assert other.rows() == []


def test_a_server_and_ray_together_and_a_missing_ray_are_refused_before_anything_is_made(tmp_path, monkeypatch):
    words = ["prompt", str(ROOT / "examples" / "photos"), "--preset", "mini", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: None)
    for more, told in (
        (["--engine", "ray", "--host", "webui"], "--engine ray draws on its workers, --host webui on a server"),
        (["--engine", "ray"], "needs Ray, the extra `ray`"),
        (["--workers", "2"], "--address and --workers are for a Ray cluster"),
    ):
        done = CliRunner().invoke(app, [*words, *more])
        assert done.exit_code == 2 and told in " ".join(done.stderr.split()), done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.load
@pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray, the extra ray")
@pytest.mark.skipif(bool(missing_weights(preset("mini"))), reason="the embedded weights are not here")
def test_two_workers_one_of_them_killed_leave_the_run_of_one_process(tmp_path):
    photos = sorted((ROOT / "examples" / "photos").glob("look-*.jpg"))[:4]
    words = ["prompt", *map(str, photos), "--preset", "mini", "--budget", "12", "--no-learn", "--same-seeds"]
    reports = {}
    for engine, start in (("local", "from modiste.cli.app import main; main()"), ("ray", KILLING)):
        command = [sys.executable, "-c", start, *words, "--out", str(tmp_path / engine), "--engine", engine]
        command += ["--workers", "2"] if engine == "ray" else []
        home = os.environ | {"MODISTE_HOME": str(tmp_path / f"home-{engine}"), "PYTHONPATH": str(ROOT)}
        home |= {"RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=tmp_path, env=home, capture_output=True, text=True, timeout=1500)
        assert done.returncode == 0, done.stderr
        reports[engine] = PromptReport.model_validate_json((tmp_path / engine / "report.json").read_text("utf-8"))
    assert "killed one of 2" in done.stderr
    assert rows_of(tmp_path / "ray") == rows_of(tmp_path / "local")
    assert without_times(reports["ray"]) == without_times(reports["local"])
    assert len(reports["ray"].images) == 4
