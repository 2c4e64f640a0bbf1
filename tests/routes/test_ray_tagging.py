"""Tagging by a Ray cluster: the file of one process, also where a worker is killed in mid-run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from modiste.bench.side_by_side import draw_photos
from modiste.cli.app import app
from modiste.core.errors import InputError
from modiste.models.presets import missing_weights, preset
from modiste.routes import ray_cluster

ROOT = Path(__file__).parents[2]
PHOTOS = int(os.environ.get("MODISTE_RAY_PHOTOS", 120))  # 120: four batches
KILLED_AT = PHOTOS // 2 if PHOTOS > 1000 else 1  # lines, while batches are left
KILLING = """
import sys, psutil
from modiste.cli.app import main
from modiste.fashion import tag_file

add, killed, written = tag_file.TagFile.add, [], []

def add_and_kill(file, line):
    add(file, line)
    written.append(line)
    if len(written) == int(sys.argv[1]):
        processes = psutil.Process().children(recursive=True)
        workers = [each for each in processes if "MapWorker" in each.name() + "".join(each.cmdline())]
        killed.append(workers[0].pid)
        workers[0].kill()
        print("killed one of", len(workers), file=sys.stderr)

tag_file.TagFile.add = add_and_kill
main(sys.argv[2:])
"""


@pytest.mark.load
@pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray, the extra ray")
@pytest.mark.skipif(bool(missing_weights(preset("mini"))), reason="the embedded weights are not here")
def test_two_workers_one_of_them_killed_write_the_file_of_one_process(tmp_path):
    folder = draw_photos(tmp_path / "shop", PHOTOS)
    (folder / "000005.jpg").write_bytes(b"no picture")
    words, files = ["tag", folder.name, "--preset", "mini", "--trigger", "vesper"], {}
    for engine, start in (("local", "from modiste.cli.app import main; main()"), ("ray", KILLING)):
        files[engine] = tmp_path / f"{engine}.jsonl"
        command = [sys.executable, "-c", start, *([str(KILLED_AT)] if engine == "ray" else []), *words]
        command += ["--out", str(files[engine]), "--engine", engine] + (["--workers", "2"] if engine == "ray" else [])
        home = os.environ | {
            "MODISTE_HOME": str(tmp_path / f"home-{engine}"),
            "RAY_worker_niceness": "0",
            "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run(command, cwd=tmp_path, env=home, capture_output=True, text=True)
        assert done.returncode == 3 and "000005.jpg: NOT_IMAGE" in done.stderr, done.stderr
    assert "killed one of 2" in done.stderr
    assert files["ray"].read_bytes() == files["local"].read_bytes()
    tagged = [json.loads(line)["image"] for line in files["ray"].read_text().splitlines()]
    left_out = [line for line in done.stderr.splitlines() if line.startswith("skipped ")]
    assert len(set(tagged)) == len(tagged) == PHOTOS - len(left_out) and len(tagged) > 0.99 * PHOTOS - 1


def test_an_unknown_engine_a_cluster_for_nobody_and_a_missing_ray_are_told(tmp_path, monkeypatch):
    for words, told in (
        (["--engine", "spark"], "there is no engine 'spark'"),
        (["--workers", "2"], "--address and --workers are for a Ray cluster"),
    ):
        done = CliRunner().invoke(app, ["tag", str(ROOT / "examples" / "photos"), "--preset", "mini", *words])
        assert done.exit_code == 2 and told in " ".join(done.stderr.split()), done.stderr
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs Ray, the extra `ray`"), ray_cluster.connected(None):
        pass


def test_a_cluster_that_does_nothing_or_gives_up_ends_the_run_in_words(monkeypatch):
    monkeypatch.setattr(ray_cluster, "PATIENCE_S", 0.05)

    released = threading.Event()

    def silent():
        yield {"image": "a"}
        released.wait(5)

    def broken():
        yield {"image": "a"}
        raise ValueError("Traceback\nValueError: the node is gone\n")

    for rows, told in ((silent(), "no photo was tagged for"), (broken(), "gave up: ValueError: the node is gone")):
        watched = ray_cluster.watched(rows, "no photo was tagged")
        assert next(watched) == {"image": "a"}
        with pytest.raises(ray_cluster.ClusterError, match=told):
            next(watched)
    released.set()


def test_workers_share_out_the_processors_and_none_spans_two_machines():
    shares = [ray_cluster.share_of_processors(*given) for given in (([16], 4), ([3, 3, 3], 4), ([8, 2], 1), ([2], 2))]
    assert shares == [4, 1, 8, 1]
