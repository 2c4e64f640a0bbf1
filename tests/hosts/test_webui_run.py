"""A whole search over HTTP: interrupted and gone on with, nothing is drawn twice; and the command line's share."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections import Counter
from contextlib import closing

import paper_studio
import pytest
from faulty_webui import FaultyWebui
from typer.testing import CliRunner

from modiste.cli.app import app
from modiste.cli.choices import choose_preset
from modiste.cli.option_groups import HostOptions
from modiste.core.errors import InputError
from modiste.fashion.photos import gather_photos
from modiste.hosts.errors import HostError
from modiste.hosts.fleet import Fleet
from modiste.hosts.limits import Limits
from modiste.hosts.local import LocalHost
from modiste.hosts.webui.host import WebuiHost
from modiste.models.drawing_host import HostChoice, open_host
from modiste.models.presets import preset
from modiste.models.session import Session
from modiste.routes.prompt.optimise import optimise_prompts
from modiste.routes.prompt.settings import PromptSettings

QUICK = Limits(settle_s=0.001, base_s=0.001, cap_s=0.002, poll_s=0.001, away_s=0.05)


def studio_on(*servers: FaultyWebui) -> Session:
    hosts = [WebuiHost(server.url, limits=QUICK) for server in servers]
    host = hosts[0] if len(hosts) == 1 else Fleet(hosts, [one.url for one in hosts], rest_s=0.01)
    return dataclasses.replace(paper_studio.session(), host=host)


def search(session: Session, photos, out):
    settings = PromptSettings.for_session(session, budget=16, seed=0, sampler="Euler", learn=False, same_seeds=True)
    return optimise_prompts(gather_photos([photos / "0.png", photos / "1.png"]), session, settings, out)


def orders(server: FaultyWebui) -> list[tuple]:
    return [(sent["prompt"], sent["seed"]) for sent in server.received]


def test_a_search_that_the_server_stops_goes_on_and_draws_nothing_twice(webui, paper_photos, tmp_path):
    whole = search(studio_on(webui), paper_photos, tmp_path / "whole")
    asked = orders(webui)
    webui.received.clear()
    webui.faults.extend([""] * 20 + ["wrong_model"])
    with pytest.raises(HostError, match="although"):
        search(studio_on(webui), paper_photos, tmp_path / "broken")
    assert len(webui.received) == 21
    report = search(studio_on(webui), paper_photos, tmp_path / "broken")
    received = orders(webui)
    assert received[:20] + received[21:] == asked and received[20] == received[21]
    assert [image.optimized_prompt for image in report.images] == [image.optimized_prompt for image in whole.images]
    webui.received.clear()
    search(studio_on(webui), paper_photos, tmp_path / "broken")
    assert webui.received == []


def test_the_picture_that_the_server_fails_at_is_failed_with_its_reason_and_those_after_it_are_planned_again(
    webui, paper_photos, tmp_path
):
    webui.faults.extend([""] * 20 + ["wrong_model"])
    with pytest.raises(HostError):
        search(studio_on(webui), paper_photos, tmp_path / "broken")
    with closing(sqlite3.connect(tmp_path / "broken" / "journal.sqlite")) as journal:  # as it was left
        states = Counter(state for (state,) in journal.execute("SELECT state FROM pictures"))
        failed = journal.execute("SELECT error_class, message FROM pictures WHERE state = 'failed'").fetchall()
    assert states["done"] == 20 and states["failed"] == 1 and not states["leased"]
    assert failed[0][0] == "WrongResult" and "although" in failed[0][1]


@pytest.mark.parametrize("servers", [1, 2])
def test_a_picture_of_nan_costs_its_photo_alone_and_the_run_goes_on(servers, webui, paper_photos, tmp_path):
    whole = search(studio_on(webui), paper_photos, tmp_path / "whole")
    broken = orders(webui)[5]  # of the first photo
    with FaultyWebui() as other:
        session = studio_on(webui, other) if servers == 2 else studio_on(webui)
        for server in (webui, other):
            server.received.clear()
            server.broken = {broken}
        report = search(session, paper_photos, tmp_path / "broken")
        asked = orders(webui) + orders(other)
        assert [(skip.path, skip.code) for skip in report.skipped] == [(str(paper_photos / "0.png"), "NOT_DRAWN")]
        assert "overflows" in report.skipped[0].reason and f"seed {broken[1]}" in report.skipped[0].reason
        assert [image.optimized_prompt for image in report.images] == [whole.images[1].optimized_prompt]
        assert asked.count(broken) == 2 * servers
        webui.broken = other.broken = set()
        again = search(session, paper_photos, tmp_path / "broken")  # a model that was mended meanwhile
    assert again.images == whole.images and again.skipped == []


def test_two_servers_find_what_one_finds(webui, paper_photos, tmp_path):
    one = search(studio_on(webui), paper_photos, tmp_path / "one")
    with FaultyWebui() as other:
        two = search(studio_on(webui, other), paper_photos, tmp_path / "two")
        assert other.received
    assert [image.tried for image in two.images] == [image.tried for image in one.images]
    # A run begun on two may end on one.
    assert search(studio_on(webui), paper_photos, tmp_path / "two").images == two.images


# ── the command line ──


def command(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def test_generate_draws_on_the_servers_it_is_given(webui, tmp_path):
    from PIL import Image

    common = ("generate", "a red dress", "--preset", "mini", "--host", "webui", "--url", webui.url)
    done = command(*common, "-n", "3", "--out", str(tmp_path), "--json")
    assert done.exit_code == 0, done.output
    assert [sent["seed"] for sent in webui.received] == [0, 1, 2]
    assert webui.received[0]["sampler_name"] == preset("mini").sampler
    with Image.open(json.loads(done.stdout)[0]) as picture:
        assert "Model: tiny-sd15-a" in picture.text["parameters"]
    with FaultyWebui() as other:
        done = command(*common, "--url", other.url, "-n", "8", "--out", str(tmp_path / "two"))
        assert done.exit_code == 0 and other.received
    done = command(*common, "--checkpoint", "tiny-sd15-b", "--out", str(tmp_path / "b.png"))
    assert done.exit_code == 0 and "tiny-sd15-b" in str(webui.received[-1]["override_settings"])


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--host", "webui", "--url", "http://10.1.2.3:7860"], 2, "--allow-remote"),
        (["--host", "webui", "--url", "http://a:b@127.0.0.1:1"], 2, "MODISTE_WEBUI_AUTH"),
        (["--host", "webui", "--url", "http://127.0.0.1:9"], 4, "nobody answers"),
        (["--host", "webui", "--url", "URL", "--sampler", "Eular"], 2, "did you mean 'Euler'"),
        (["--host", "webui", "--url", "URL", "--checkpoint", "tiny"], 2, "no checkpoint 'tiny'"),
        (["--host", "webui", "--url", "URL", "--url", "URL"], 2, "twice"),
        (["--host", "local", "--url", "URL"], 2, "--host webui"),
        (["--host", "wbui"], 2, "no host 'wbui'"),
    ],
)
def test_what_is_wrong_with_a_host_is_said_before_anything_is_drawn(webui, tmp_path, capfd, arguments, code, says):
    arguments = [webui.url if one == "URL" else one for one in arguments]
    done = command("generate", "x", "--preset", "mini", *arguments, "--out", str(tmp_path / "x"))
    assert done.exit_code == code and says in done.output + capfd.readouterr().err
    assert webui.received == [] and not (tmp_path / "x").exists()


def test_with_a_server_sd15_is_the_default_where_its_encoder_is_and_else_it_is_said_whose_eyes_and_size(
    tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert choose_preset(None, "webui", HostOptions("webui").needed_models).name == "mini"
    said = capfd.readouterr().err
    assert "encoder" in said and "64×64 px" in said and "--preset sd15" in said
    assert choose_preset(None, "webui", ()).name == "sd15"  # `generate` looks at nothing
    encoder = tmp_path / f"models--{preset('sd15').encoder.replace('/', '--')}" / "snapshots" / "1"
    encoder.mkdir(parents=True)
    (encoder / "config.json").write_text("{}")
    assert (
        choose_preset(None, "webui", HostOptions("webui").needed_models).name == "sd15" and capfd.readouterr().err == ""
    )
    assert choose_preset(None, "local", HostOptions("local").needed_models).name == "mini"
    assert "64 px" in capfd.readouterr().err


def test_hosts_are_opened_by_kind_and_without_a_word_over_the_net():
    mini = preset("mini")
    assert isinstance(open_host(mini), LocalHost)
    one = open_host(mini, HostChoice("webui"))
    assert isinstance(one, WebuiHost) and one.url == "http://127.0.0.1:7860"
    far = HostChoice("webui", ("http://10.1.2.3:1", "https://gpu.example.com/sd"), allow_remote=True)
    assert isinstance(open_host(mini, far), Fleet)
    with pytest.raises(InputError, match="another machine"):
        open_host(mini, dataclasses.replace(far, allow_remote=False))
