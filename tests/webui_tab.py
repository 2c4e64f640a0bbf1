"""The tab of a real A1111 or Forge in a headless chromium, and a server that a test starts and kills by itself.

MODISTE_WEBUI_URL     a running server of this machine with --api, this tree as an extension, a set-up environment and a
                      checkpoint that draws (tests/finite_sd15.py makes one)
MODISTE_WEBUI_START   a command that starts such a server; `--port N` is put behind it
MODISTE_TAB_PICTURES  a folder that keeps screenshots
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

PHOTOS = Path(__file__).parents[1] / "examples" / "photos"
READY = "document.querySelector('#modiste_run_status') && document.querySelector('#txt2img_prompt textarea')"
STATUS = "document.querySelector('#modiste_run_status').innerText"
LONG_S, START_S = 1800, 900


class TabPage:
    """The page of a WebUI with the tab Modiste open."""

    def __init__(self, page: Any, url: str):
        self.page = page
        page.open(url, READY, 120)
        self.show()

    def show(self) -> None:
        self.run(
            "[...document.querySelectorAll('#tabs > .tab-nav > button')].find(b => b.innerText === 'Modiste').click()"
        )

    def reload(self) -> None:
        self.page.reload(READY, 120)
        self.show()

    def run(self, script: str) -> Any:
        return self.page.run(script)

    def open(self, name: str) -> None:
        """One of the tab's own pages."""
        self.run(
            "[...document.querySelectorAll('#modiste_pages > .tab-nav > button')]"
            f".find(b => b.innerText.trim() === {json.dumps(name)}).click()"
        )

    def fill(self, element_id: str, text: str) -> None:
        """Text into a field, by keys."""
        self.run(f"(e => {{ e.focus(); e.select() }})(document.querySelector('#{element_id} :is(textarea, input)'))")
        self.page.type(text)
        self.run("document.activeElement.blur()")

    def click(self, element_id: str) -> None:
        self.run(f"document.querySelector('#{element_id}').click()")

    def value(self, element_id: str) -> str:
        return self.run(f"document.querySelector('#{element_id} textarea').value")

    def until_status(self, pattern: str, timeout_s: float = LONG_S) -> str:
        """Waits until the status matches, and returns it."""
        self.page.until(f"/{pattern}/.test({STATUS})", timeout_s)
        return self.run(STATUS)

    def number(self, element_id: str, value: float) -> None:
        """A slider's value."""
        self.run(
            f"(e => {{ e.value = {value}; updateInput(e) }})"
            f"(document.querySelector('#{element_id} input[type=number]'))"
        )

    def search(self, photos: Path, budget: int) -> None:
        """Starts a search that this WebUI draws at 64 pixels."""
        self.open("Prompt")
        self.fill("modiste_prompt_folder", str(photos))
        self.run("[...document.querySelectorAll('#modiste_prompt_drawer label')][0].click()")
        self.number("modiste_prompt_budget", budget)
        self.page.until(
            "/this WebUI draws at 64/.test(document.querySelector('#modiste_prompt_warning').innerText)", 60
        )
        self.click("modiste_prompt_start")

    def picture(self, name: str) -> None:
        if folder := os.environ.get("MODISTE_TAB_PICTURES"):
            self.page.picture(Path(folder) / f"{name}.png")

    @property
    def problems(self) -> list[str]:
        """Errors of the console that are not the host's own; gradio 4 ends the news of an upload by an AbortError."""
        hosts_own = (
            "AbortError: signal is aborted without reason",
            "webui-assets",
            "file=",
            "favicon",
            "manifest",
            "theme",
            "fonts",
            "ERR_NAME_NOT_RESOLVED",
        )
        return [problem for problem in self.page.problems if not any(name in problem for name in hosts_own)]


def data_folder(url: str) -> Path:
    """The WebUI's own folder. Forge fails at /cmd-flags where it was started with --port."""
    with urlopen(f"{url}/internal/sysinfo", timeout=300) as answer:
        return Path(json.load(answer)["Data path"])


def lora_folder(url: str) -> Path:
    """The WebUI's folder of LoRA files."""
    return data_folder(url) / "models" / "Lora"


def run_folder(url: str) -> Path:
    """The folder of the job that runs or ran last."""
    record = data_folder(url) / "outputs" / "modiste" / "job" / "job.json"
    return Path(json.loads(record.read_text(encoding="utf-8"))["out"])


@contextmanager
def webui(port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server of MODISTE_WEBUI_START at this port, once its API answers; killed at the end, with all it started."""
    command: Sequence[str] = shlex.split(os.environ["MODISTE_WEBUI_START"])
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            stdout=stream,
            stderr=stream,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},  # the log's last lines are there when it is killed
            start_new_session=True,
        )
    try:
        end = time.monotonic() + START_S
        while not _answers(f"http://127.0.0.1:{port}/sdapi/v1/options"):
            assert process.poll() is None and time.monotonic() < end, log.read_text(errors="replace")[-2000:]
            time.sleep(0.5)
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Ends the server as a power cut would."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
