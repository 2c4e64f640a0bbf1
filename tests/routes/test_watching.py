"""A run can be looked at while it trains: its page, and trackers by accelerate."""

from __future__ import annotations

import pytest
from train_samples import config, draw_photos, stop_at, tiny_base, trained

from modiste.core.errors import InputError, Stopped
from modiste.core.progress import Progress, silent
from modiste.routes.finetune.watching import PAGE, watched
from modiste.trainer.trackers import Trackers


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A stopped run's config and folder."""
    folder = tmp_path_factory.mktemp("run")
    photos = draw_photos(folder / "photos", 7)
    asked = config(tiny_base(folder / "base"), photos, steps=6, title="vesper", data=dict(held_out_least=2))
    stop_at(3, asked, folder / "out")
    return asked, folder / "out"


def test_the_page_of_a_run_that_goes_on_knows_its_beginning_and_ends_with_the_reason(run):
    asked, out = run
    pages = []

    def look(now: Progress) -> None:
        if now.stage == "validation":
            pages.append((out / PAGE).read_text(encoding="utf-8"))

    with watched(asked, out, look) as told:
        result = trained(asked, out, told)
    assert pages and all("refresh" in page for page in pages)
    last = (out / PAGE).read_text(encoding="utf-8")
    assert "Finished at step 6." in last and "refresh" not in last and "vesper" in last
    assert result.record["reason"].split(":")[0] in last


def test_a_run_that_is_stopped_leaves_a_page_that_says_so(run, tmp_path):
    asked, _ = run
    with pytest.raises(Stopped), watched(asked, tmp_path, silent) as told:
        told(Progress("train", 2, 6, values={"loss": 0.5}))
        raise Stopped("stopped", where="here", to_try="again")
    page = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert "Stopped at step 2 of 6" in page and "refresh" not in page


def test_a_tracker_that_is_not_there_is_named_before_anything_is_trained(run, tmp_path):
    asked, _ = run
    with pytest.raises(InputError, match="no tracker 'tensorbord'.*tensorboard"):
        Trackers.of(asked.model_copy(update={"log": ("tensorbord",)}), tmp_path)
    with pytest.raises(InputError, match="aim is not installed; pip install aim"):
        Trackers.of(asked.model_copy(update={"log": ("aim",)}), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_tracker_gets_each_figure_at_its_step(run, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    asked, _ = run
    trackers = Trackers.of(asked.model_copy(update={"log": ("tensorboard",)}), tmp_path)
    for step, loss in ((1, 0.5), (2, 0.25)):
        trackers.take(Progress("train", step, 6, values={"loss": loss}))
    trackers.take(Progress("validation", 2, 6, values={"step": 2, "mean": 0.125}))
    trackers.finish()
    events = EventAccumulator(str(tmp_path / "logs" / "vesper")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(1, 0.5), (2, 0.25)]
    assert [(event.step, event.value) for event in events.Scalars("validation/mean")] == [(2, 0.125)]
