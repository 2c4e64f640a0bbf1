"""Two processes train what one trains: the same order, the same gradient, the same file."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from train_samples import config, draw_photos, gradients, in_processes, run_of, settings, tiny_base, trained

from modiste.trainer.loop.checkpoint import whole_checkpoints
from modiste.trainer.results import LORA_FILE
from modiste.trainer.run import CHECKPOINTS

pytestmark = pytest.mark.slow
# 9 photos of which 2 are held out: batches of 3 and 2, of which two processes have uneven parts.
ASKED = dict(
    steps=6,
    batch_size=3,
    network=dict(rank=4, conv_rank=2),
    save_every=4,
    validation=dict(every=3),
    data=dict(held_out_least=2, caption_dropout=0.2),
)


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[Path, Path]:
    """The folders of a run in two processes and of the same in one."""
    folder = tmp_path_factory.mktemp("processes")
    base, photos = tiny_base(folder / "base"), draw_photos(folder / "photos", 9)
    (folder / "config.json").write_text(json.dumps(settings(base, photos, **ASKED)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "two").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODISTE_HOME", str(folder / "home"))  # cold caches, which two processes fill at once
        arguments = (2, port, str(folder / "config.json"), str(folder / "two"))
        torch.multiprocessing.spawn(in_processes, arguments, nprocs=2)
    trained(config(base, photos, **ASKED), folder / "one" / "run")
    run = run_of(config(base, photos, **ASKED), folder / "one" / "looked at")
    torch.save(gradients(run), folder / "one" / "gradients.pt")
    return folder / "two", folder / "one"


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def test_both_processes_have_the_gradient_that_one_has_of_every_batch(both):
    two, one = both
    expected = torch.load(one / "gradients.pt", weights_only=True)
    ranks = [load_file(two / f"gradients-{rank}.safetensors") for rank in range(2)]
    assert ranks[0].keys() == expected.keys() and len(expected) == 3 + 2, "three batches in the same order"
    assert all(torch.equal(ranks[0][name], ranks[1][name]) for name in expected)
    assert max(apart(ranks[0][name], expected[name]) for name in expected) <= 2e-6


def test_a_run_of_two_processes_ends_where_that_of_one_ends(both):
    two, one = both
    found, expected = (load_file(folder / "run" / LORA_FILE) for folder in (two, one))
    assert found.keys() == expected.keys()
    moved = torch.cat([tensor.flatten().float() for name, tensor in sorted(expected.items()) if "up" in name])
    same = torch.cat([tensor.flatten().float() for name, tensor in sorted(found.items()) if "up" in name])
    assert apart(same, moved) < 1e-3
    records = [json.loads((folder / "run" / "train.json").read_text()) for folder in (two, one)]
    assert records[0]["losses"] == pytest.approx(records[1]["losses"], rel=1e-4)
    assert records[0]["best_step"] == records[1]["best_step"]


def test_one_process_writes_and_speaks_and_the_other_is_silent(both):
    two, _ = both
    said = [json.loads((two / f"said-{rank}.json").read_text()) for rank in range(2)]
    assert [one[:2] for one in said] == [[0, 2], [1, 2]]
    assert said[0][2] > 10 and said[1][2] == 0
    assert [one.name for one in whole_checkpoints(two / "run" / CHECKPOINTS)] == ["step-000004", "step-000006"]
    assert not list(two.rglob("*.tmp"))


def test_both_begin_with_the_same_adapter(both):
    two, _ = both
    ranks = [load_file(two / f"weights-{rank}.safetensors") for rank in range(2)]
    assert all(torch.equal(ranks[0][name], ranks[1][name]) for name in ranks[0])
