"""Several servers as one host: the shared suite, and a server that is dead, slow, hung, wrong or gone for a while."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import ExitStack

import pytest
from faulty_webui import FaultyWebui
from host_suite import HostSuite

from modiste.core.errors import InputError
from modiste.hosts import errors
from modiste.hosts.errors import HostError, RequestRefused
from modiste.hosts.fleet import Fleet
from modiste.hosts.limits import Limits
from modiste.hosts.request import GenerationRequest, GenerationResult, HostDescription, LoraRef, UsedSettings
from modiste.hosts.webui.host import WebuiHost

QUICK = Limits(connect_s=1, answer_s=1, picture_s=5, idle_s=1, away_s=0.02, poll_s=0.001, base_s=0.001, cap_s=0.002)


@pytest.fixture
def servers():
    with ExitStack() as stack:
        yield [stack.enter_context(FaultyWebui()) for _ in range(3)]


def fleet_of(servers: list[FaultyWebui], limits: Limits = QUICK, rest_s: float = 0.01) -> Fleet:
    hosts = [WebuiHost(server.url, limits=limits) for server in servers]
    return Fleet(hosts, [host.url for host in hosts], rest_s=rest_s)


def request(seed: int = 1, **changes) -> GenerationRequest:
    return GenerationRequest(**{**dict(prompt="a red dress", seed=seed, steps=3, width=64, height=64), **changes})


def draw(host, *requests: GenerationRequest) -> list[GenerationResult]:
    return list(host.generate(requests))


def alone(server: FaultyWebui, *requests: GenerationRequest) -> list[bytes]:
    return [result.image.tobytes() for result in draw(WebuiHost(server.url, limits=QUICK), *requests)]


class TestThreeServers(HostSuite):
    @pytest.fixture
    def host(self, servers):
        return fleet_of(servers)


def test_the_work_is_shared_and_the_pictures_are_those_of_one_server(servers):
    asked = [request(seed) for seed in range(30)]
    for server in servers:
        server.draw_s = 0.005
    results = draw(fleet_of(servers), *asked)
    assert [result.request for result in results] == asked
    shares = [sum(server.drawn.values()) for server in servers]
    assert min(shares) >= 5 and all(server.most_in_flight == 1 for server in servers)
    with FaultyWebui() as one:
        assert [result.image.tobytes() for result in results] == alone(one, *asked)


def test_a_dead_server_slows_nothing(servers):
    servers[0].stop()
    fleet = fleet_of(servers)
    assert [result.request.seed for result in draw(fleet, *map(request, range(20)))] == list(range(20))
    assert sum(sum(server.drawn.values()) for server in servers[1:]) == 20
    servers[0].start()  # for the fixture to stop


def test_a_server_that_dies_in_the_middle_loses_nothing(servers):
    fleet = fleet_of(servers)
    asked = [request(seed) for seed in range(20)]
    wanted = alone(servers[2], *asked)
    fleet.describe()
    servers[0].on_draw = servers[0].stop
    servers[0].faults.append("reset")
    assert [result.image.tobytes() for result in draw(fleet, *asked)] == wanted
    servers[0].on_draw = lambda: None
    servers[0].start()


def test_a_server_that_comes_back_is_used_again(servers):
    servers[0].stop()
    fleet = fleet_of(servers[:2])
    draw(fleet, *map(request, range(5)))
    servers[0].start()
    servers[1].draw_s = 0.01
    deadline = time.monotonic() + 10
    while not servers[0].drawn and time.monotonic() < deadline:
        draw(fleet, *map(request, range(5)))
    assert servers[0].drawn


def test_a_ten_times_slower_server_slows_nothing_but_itself(servers):
    fast, slow = servers[:2]
    fast.draw_s, slow.draw_s = 0.03, 0.3
    fleet = fleet_of([slow, fast])
    draw(fleet, request(100), request(101))
    took = []
    for first in range(0, 32, 8):
        began = time.monotonic()
        draw(fleet, *map(request, range(first, first + 8)))
        took.append(time.monotonic() - began)
    # Eight on the fast one alone take 0.24 s and their overhead; the slow one's last would end after 0.6 s. Another
    # process may have had the processor in half of them.
    assert sorted(took)[1] < 0.55
    assert slow.most_in_flight == 1


def test_a_hung_server_is_passed_by(servers):
    hung = servers[0]
    fleet = fleet_of(servers)
    draw(fleet, *map(request, range(6)))
    hung.faults.append("hang")
    began = time.monotonic()
    results = draw(fleet, *map(request, range(10, 22)))
    assert [result.request.seed for result in results] == list(range(10, 22)) and time.monotonic() - began < 3
    hung.release.set()


def test_servers_with_different_models_are_refused_at_once(servers):
    servers[1].loaded = "tiny-sd15-b"
    with pytest.raises(InputError, match=f"tiny-sd15-a 99502ed0e1.*{servers[1].url}: tiny-sd15-b") as caught:
        fleet_of(servers).describe()
    assert caught.value.exit_code == 2
    servers[1].loaded, servers[1].models["tiny-sd15-a"] = "tiny-sd15-a", "0000000000"
    with pytest.raises(InputError, match="different models"):
        fleet_of(servers).describe()


def test_a_server_that_comes_back_with_another_model_is_left_out(servers, caplog):
    fleet = fleet_of(servers[:2])
    wanted = alone(servers[1], *map(request, range(20)))
    fleet.describe()
    servers[0].faults.extend(["reset"] * 6)
    servers[0].on_draw = lambda: servers[0].__setattr__("loaded", "tiny-sd15-b")
    servers[1].draw_s = 0.01
    for _ in range(5):
        pictures = [result.image.tobytes() for result in draw(fleet, *map(request, range(20)))]
        assert pictures == wanted
        if fleet.members[0].lost:
            break
    assert "out for the rest of the run" in caplog.text and "the others with tiny-sd15-a" in caplog.text


def test_a_server_that_replaces_in_silence_is_out_and_the_others_draw_its_share(servers, caplog):
    servers[0].faults.extend(["wrong_sampler"] * 100)
    assert len(draw(fleet_of(servers), *map(request, range(12)))) == 12
    assert "out for the rest of the run" in caplog.text and len(servers[0].received) == 1


def test_when_no_server_is_left_the_last_words_are_the_error(servers):
    fleet = fleet_of(servers)
    fleet.describe()
    for server in servers:
        server.faults.extend(["wrong_model"] * 10)
    with pytest.raises(errors.WrongResult, match="used model 'another'"):
        draw(fleet, *map(request, range(12)))
    with pytest.raises(HostError):
        draw(fleet, request())


def test_all_dead_is_unreachable(servers):
    for server in servers:
        server.stop()
    with pytest.raises(errors.HostUnreachable, match="nobody answers"):
        fleet_of(servers).describe()
    for server in servers:
        server.start()


def test_what_one_server_lacks_another_draws(servers):
    for server in servers[1:]:
        server.loras.clear()
    worn = [request(seed, loras=(LoraRef(name="brand"),)) for seed in range(4)]
    assert len(draw(fleet_of(servers), *worn)) == 4
    assert all("brand" not in sent["prompt"] for server in servers[1:] for sent in server.received)
    with pytest.raises(RequestRefused, match="'brnd'"):
        fleet_of(servers).check(request(loras=(LoraRef(name="brnd"),)))


def test_the_same_server_twice_is_refused(servers):
    with pytest.raises(InputError, match="twice"):
        fleet_of([servers[0], servers[0]])


class Plain:
    """A host that is no WebUI: only the protocol."""

    dialect = "comfy"

    def __init__(self, name: str, delay_s: float = 0.0):
        self.name, self.delay_s, self.drawn = name, delay_s, Counter()

    def describe(self) -> HostDescription:
        return HostDescription(kind="comfy", checkpoint="x", samplers=("Euler",))

    def check(self, request: GenerationRequest) -> None:
        """Everything goes."""

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def generate(self, requests):
        from PIL import Image

        for one in requests:
            threading.Event().wait(self.delay_s)
            self.drawn[one.seed] += 1
            used = UsedSettings(
                **one.model_dump(include={"seed", "steps", "cfg_scale", "width", "height", "sampler"}), checkpoint="x"
            )
            yield GenerationResult(Image.new("RGB", (64, 64), (one.seed, 1, 1)), one, used, self.delay_s)


def test_hosts_are_known_by_their_protocol_alone():
    hosts = [Plain("a", 0.002), Plain("b", 0.002)]
    fleet = Fleet(hosts, ["a", "b"])
    assert fleet.describe().kind == "comfy" and fleet.dialect == "comfy" and fleet.count_tokens("a red dress") == 3
    assert [result.request.seed for result in draw(fleet, *map(request, range(12)))] == list(range(12))
    assert all(host.drawn for host in hosts)
