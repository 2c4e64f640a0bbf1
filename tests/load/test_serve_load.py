"""`modiste serve` under clients that nobody wishes for: `python install.py test -m load`; `-s` shows the table."""

from __future__ import annotations

import base64
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pytest
import requests
from PIL import Image

pytestmark = [
    pytest.mark.load,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux for the memory"),
]
HARNESS = Path(__file__).parents[2] / "harness.py"
MOST_S = 1.0  # for an answer of /progress, whatever else goes on
SMALL = {"prompt": "a red dress", "steps": 2, "width": 64, "height": 64}
LONGEST_S = 300


@dataclass
class Server:
    """`modiste serve` with the embedded model, as a process."""

    url: str
    pid: int
    place: tuple[str, int] = field(init=False)

    def __post_init__(self) -> None:
        name, port = self.url.removeprefix("http://").split(":")
        self.place = name, int(port)

    def memory_mb(self, what: str) -> int:
        """Resident memory, now (VmRSS) or the most of all time (VmHWM)."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"{what}:\s+(\d+)", text)[1]) // 1024

    def post(self, route: str, body: object = None, **more) -> requests.Response:
        return requests.post(f"{self.url}/sdapi/v1/{route}", json=body, timeout=LONGEST_S, **more)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    command = [sys.executable, HARNESS, "serve", "--preset", "mini", "--port", "0", "--device", "cpu"]
    folder = tmp_path_factory.mktemp("serve")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=log)
    try:
        end = time.monotonic() + 120
        while not (address := re.search(r"http://127\.0\.0\.1:\d+", (folder / "log").read_text())):
            assert process.poll() is None and time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.2)
        server = Server(address[0], process.pid)
        assert server.post("txt2img", SMALL).status_code == 200  # all is opened
        yield server
    finally:
        process.terminate()
        process.wait(60)


# Asks ten times a second until its stdin ends; then tells the slowest answer in seconds, and how many came and failed.
PROBE = """
import sys, threading, time
import requests

done = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), done.set()), daemon=True).start()
slowest, answers, failed = 0.0, 0, 0
with requests.Session() as session:
    while not done.wait(0.1):
        start = time.monotonic()
        answer = session.get(sys.argv[1] + "/sdapi/v1/progress?skip_current_image=true", timeout=60)
        slowest = max(slowest, time.monotonic() - start)
        answers += 1
        failed += answer.status_code != 200
print(slowest, answers, failed)
"""


class Probe:
    """A process of its own, which the clients' threads do not slow down, asks /progress while the block runs."""

    def __init__(self, server: Server):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
        self._process = subprocess.Popen([sys.executable, "-c", PROBE, server.url], **pipes)
        self.slowest_s, self.answers, self.failed = 0.0, 0, 0

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *error) -> None:
        told, _ = self._process.communicate("")
        slowest, answers, failed = told.split()
        self.slowest_s, self.answers, self.failed = float(slowest), int(answers), int(failed)


def in_parallel(work: Callable[[int], object], count: int) -> list[object]:
    """What `work(number)` gives, each number on a thread of its own."""
    results: list[object] = [None] * count

    def run(number: int) -> None:
        results[number] = work(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def crowd(server: Server) -> str:
    """200 pictures asked for at once."""
    codes = Counter(in_parallel(lambda number: server.post("txt2img", SMALL).status_code, 200))
    assert set(codes) == {200, 429} and codes[200] >= 64, codes
    return ", ".join(f"{count} × {code}" for code, count in sorted(codes.items()))


def slowloris(server: Server) -> str:
    """64 clients that send a header's letter every half second."""
    with ExitStack() as lines:
        sockets = [lines.enter_context(socket.create_connection(server.place, timeout=30)) for _ in range(64)]
        for line in sockets:
            line.sendall(b"GET /sdapi/v1/progress HTTP/1.1\r\nX-Slow: ")
        start, open_lines = time.monotonic(), set(sockets)
        while open_lines and time.monotonic() - start < 40:
            time.sleep(0.5)
            for line in list(open_lines):
                try:
                    line.sendall(b"a")
                except OSError:
                    open_lines.discard(line)
        assert not open_lines
        return f"all cut off within {time.monotonic() - start:.0f} s"


def half_open(server: Server) -> str:
    """64 connections on which nothing comes."""
    with ExitStack() as lines:
        sockets = [lines.enter_context(socket.create_connection(server.place, timeout=40)) for _ in range(64)]
        start = time.monotonic()
        assert all(line.recv(10) == b"" for line in sockets)
        return f"all closed within {time.monotonic() - start:.0f} s"


def large_body(server: Server) -> str:
    """A body of 300 MB."""
    block = b"x" * 2**20
    answer = requests.post(
        f"{server.url}/sdapi/v1/txt2img",
        data=(block for _ in range(300)),
        headers={"Content-Type": "application/json"},
        timeout=LONGEST_S,
    )
    with_length = requests.post(f"{server.url}/sdapi/v1/txt2img", data=BytesIO(block * 300), timeout=LONGEST_S)
    assert answer.status_code == with_length.status_code == 413
    return "413, with and without a Content-Length"


def large_pictures(server: Server) -> str:
    """8 initial pictures of 50 megapixels in a request, three times, each a file of some hundred kilobytes."""
    file = BytesIO()
    Image.new("RGB", (8660, 5773), (120, 30, 30)).save(file, "PNG")
    encoded = base64.b64encode(file.getvalue()).decode()
    files = [other(encoded, number) for number in range(8)]
    body = SMALL | {"init_images": files, "batch_size": 8, "denoising_strength": 0.5}
    start, memory = time.monotonic(), []
    for _ in range(3):
        answer = server.post("img2img", body)
        assert answer.status_code == 200 and len(answer.json()["images"]) == 8, answer.text[:300]
        memory.append(server.memory_mb("VmRSS"))
    assert memory[2] < memory[0] + 100, memory  # what is kept is kept once
    return f"24 pictures in {time.monotonic() - start:.0f} s; after each {memory} MB"


def other(encoded: str, number: int) -> str:
    """The same picture in another file, so that it is decoded too."""
    return base64.b64encode(base64.b64decode(encoded) + bytes(number)).decode()


@pytest.mark.parametrize("attack", [crowd, slowloris, half_open, large_body, large_pictures])
def test_progress_answers_within_a_second_memory_stays_bounded_and_an_honest_client_is_served(attack, server):
    before = server.memory_mb("VmRSS")
    with Probe(server) as probe:
        told = attack(server)
    honest = server.post("txt2img", SMALL)
    most, after = server.memory_mb("VmHWM"), server.memory_mb("VmRSS")
    print(
        f"\n| {attack.__doc__.strip('.')} | {told} | {1000 * probe.slowest_s:.0f} ms of {probe.answers} "
        f"| {before} → {after} MB, at most {most} |"
    )
    assert honest.status_code == 200 and probe.failed == 0 and probe.answers >= 5
    assert probe.slowest_s <= MOST_S
    assert most < before + 700
