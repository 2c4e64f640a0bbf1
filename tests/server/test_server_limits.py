"""Requests that no honest client sends: each gets its status, and the next honest one its picture."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest
import requests
from listening import listening

from modiste.server import guard, jobs
from modiste.server.app import make_app
from modiste.server.lora_folder import LoraFolder

SMALL = {"prompt": "a red dress", "steps": 2, "width": 64, "height": 64}


@pytest.fixture(scope="module")
def url(host):
    with listening(make_app(host, LoraFolder(None)), head_s=1.0) as address:
        yield address


def place_of(url: str) -> tuple[str, int]:
    name, port = url.removeprefix("http://").split(":")
    return name, int(port)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (json.dumps(SMALL | {"cfg_scale": float("nan")}), "cfg_scale"),
        (json.dumps(SMALL).replace('"steps": 2', '"cfg_scale": 1e999'), "cfg_scale"),
        (json.dumps(SMALL | {"denoising_strength": float("inf")}), "denoising_strength"),
        (json.dumps(SMALL | {"prompt": "a \ud800 dress"}), "prompt"),
        (json.dumps(SMALL | {"sampler_name": "\udfff"}), "sampler_name"),
        (json.dumps(SMALL | {"width": 10**400}), "width"),
        ('{"prompt": "cut o', "json"),
        ("[1, 2]", "body"),
    ],
)
def test_values_that_no_picture_can_have_are_422_and_name_their_field(body, field, url):
    answer = requests.post(f"{url}/sdapi/v1/txt2img", data=body, timeout=60)
    assert answer.status_code == 422 and field in answer.text


def test_an_unknown_field_holds_nothing_that_an_answer_could_not_repeat(url):
    body = SMALL | {"note": ["\ud800", float("nan")]}
    answer = requests.post(f"{url}/sdapi/v1/txt2img", data=json.dumps(body), timeout=60)
    assert answer.status_code == 422 and "note" in answer.text


def test_a_host_header_that_names_no_host_is_a_400(url):
    with socket.create_connection(place_of(url), timeout=10) as line:
        line.sendall(b"GET /sdapi/v1/progress HTTP/1.1\r\nHost: [::1\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 400")


def test_a_body_that_is_too_large_is_a_413_also_for_a_client_that_sends_all_of_it(url):
    for body in (b"x" * (guard.MOST_BYTES + 2**20), iter([b"x" * 2**20] * 3)):
        answer = requests.post(f"{url}/sdapi/v1/txt2img", data=body, timeout=60)
        assert answer.status_code == 413 and "64 MB" in answer.json()["detail"]
    assert requests.post(f"{url}/sdapi/v1/txt2img", json=SMALL, timeout=60).status_code == 200


def test_connections_without_a_whole_request_are_cut_and_others_answered_meanwhile(url):
    lines = [socket.create_connection(place_of(url), timeout=30) for _ in range(64)]
    for number, line in enumerate(lines):
        line.sendall((b"", b"GET /sdapi/v1/progress HTTP/1.1\r\nX-Slow: ", b"POST ")[number % 3])
    assert requests.get(f"{url}/sdapi/v1/progress", timeout=60).status_code == 200
    for line in lines:
        assert line.recv(10) == b""  # closed by the server
        line.close()


def test_a_body_that_does_not_arrive_is_a_408(url, monkeypatch):
    monkeypatch.setattr(guard, "BODY_S", 0.5)
    with socket.create_connection(place_of(url), timeout=30) as line:
        line.sendall(b'POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 500\r\n\r\n{"prompt":')
        answer = b""
        while part := line.recv(1000):  # to the end of the connection
            answer += part
    assert answer.startswith(b"HTTP/1.1 408") and answer.count(b"HTTP/1.1") == 1


def test_small_bodies_are_always_taken_and_large_ones_as_long_as_there_is_room():
    budget = guard.BodyBudget()
    assert all(budget.take(guard.MOST_BYTES) for _ in range(guard.MOST_BYTES_AT_ONCE // guard.MOST_BYTES))
    assert budget.take(guard.SMALL_BYTES) and not budget.take(guard.SMALL_BYTES + 1)
    budget.give_back(guard.SMALL_BYTES)
    assert not budget.take(guard.MOST_BYTES)
    budget.give_back(guard.MOST_BYTES)
    assert budget.take(guard.MOST_BYTES) and not budget.take(guard.MOST_BYTES)


def test_more_jobs_than_may_wait_are_told_to_come_again(host, monkeypatch):
    monkeypatch.setattr(jobs, "MOST_WAITING", 2)
    drawn = threading.Event()
    with listening(make_app(host, LoraFolder(None))) as address:
        tell = host.on_step

        def step(done: int, steps: int, pictures: int) -> None:
            drawn.wait(60)
            tell(done, steps, pictures)

        host.on_step = step
        answers = []
        clients = [
            threading.Thread(
                target=lambda: answers.append(requests.post(f"{address}/sdapi/v1/txt2img", json=SMALL, timeout=120))
            )
            for _ in range(5)
        ]
        for client in clients:
            client.start()
        while len(answers) < 3:  # the two that may wait are held
            time.sleep(0.05)
        assert requests.get(f"{address}/sdapi/v1/progress", timeout=60).json()["state"]["job_count"] == 1
        drawn.set()
        for client in clients:
            client.join()
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429, 429]
    assert all("Retry-After" in answer.headers for answer in answers if answer.status_code == 429)
