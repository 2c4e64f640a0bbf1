"""A headless chromium that a test drives: real clicks and keys, over the DevTools protocol."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --remote-debugging-port=0"
)
KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "Enter": 13, "Tab": 9, " ": 32, "Escape": 27}


class Page:
    """The one tab of a browser; `problems` are the exceptions and errors of its console, `warnings` the rest."""

    def __init__(self, socket: Any):
        self._socket, self._last = socket, 0
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command's result; what happens meanwhile is noted."""
        number = self._post(method, **parameters)
        while True:
            told = json.loads(self._socket.recv())
            if told.get("id") == number:
                if "error" in told:
                    raise RuntimeError(f"{method}: {told['error']['message']}")
                return told["result"]
            self._note(told)

    def _post(self, method: str, **parameters: Any) -> int:
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": parameters}))
        return self._last

    def _note(self, told: dict[str, Any]) -> None:
        method, what = told.get("method"), told.get("params", {})
        if method == "Runtime.exceptionThrown":
            thrown = what["exceptionDetails"]
            self.problems.append(thrown.get("exception", {}).get("description") or thrown["text"])
        elif method == "Log.entryAdded" and what["entry"]["level"] == "error":
            self.problems.append(f"{what['entry']['text']} {what['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and what["type"] == "error":
            self.problems.append(" ".join(str(a.get("value", a.get("description"))) for a in what["args"]))
        elif method == "Runtime.consoleAPICalled" and what["type"] == "warning":
            self.warnings.append(" ".join(str(a.get("value", a.get("description"))) for a in what["args"]))
        elif method == "Page.javascriptDialogOpening":
            if what["type"] != "beforeunload":  # "leave this page?" of unsaved work is the host's own question
                self.problems.append(f"{what['type']}: {what['message']}")
            self._post("Page.handleJavaScriptDialog", accept=True)
        elif method == "Network.requestWillBeSent":
            self.requests.append(what["request"]["url"])

    def open(self, url: str, ready: str = "true", timeout_s: float = 20) -> None:
        """Goes there and waits until the JavaScript `ready` holds."""
        self.send("Page.navigate", url=url)
        self.until(ready, timeout_s)

    def reload(self, ready: str = "true", timeout_s: float = 20) -> None:
        """The same page anew."""
        self.run("window.__before = true")
        self.send("Page.reload")
        self.until(f"!window.__before && ({ready})", timeout_s)

    def run(self, script: str) -> Any:
        """The JSON value of an expression; a promise is awaited."""
        told = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in told:
            thrown = told["exceptionDetails"]
            raise AssertionError(thrown.get("exception", {}).get("description") or thrown["text"])
        return told["result"].get("value")

    def until(self, script: str, timeout_s: float = 20) -> None:
        """Waits, frame by frame in the page itself, until the expression is true."""
        end = time.monotonic() + timeout_s
        wait = f"""new Promise((done) => {{
            const end = performance.now() + 2000
            const look = () => {{
              let held = false
              try {{ held = Boolean({script}) }} catch {{}}
              held || performance.now() > end ? done(held) : requestAnimationFrame(look)
            }}
            look()
        }})"""
        while time.monotonic() < end:
            try:
                if self.run(wait):
                    return
            except (AssertionError, RuntimeError):  # the page is just being replaced by the next one
                continue
        raise AssertionError(f"never became true: {script}\n" + "\n".join(self.problems))

    def click(self, selector: str, button: str = "left") -> None:
        """A real click in the middle of the element."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.run(f"{found}.scrollIntoView({{ block: 'center' }})")
        box = self.run(
            f"(({{ x, y, width, height }}) => [x + width / 2, y + height / 2])({found}.getBoundingClientRect())"
        )
        self.click_at(*box, button=button)

    def click_at(self, x: float, y: float, button: str = "left") -> None:
        """A real click at that point of the window."""
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, clickCount=1)

    def hover(self, x: float, y: float) -> None:
        """The pointer rests there."""
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def press(self, key: str) -> None:
        """One key, down and up."""
        code = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": KEYS[key]}
        text = {"text": {"Enter": "\r", " ": " "}[key]} if key in ("Enter", " ") else {}
        self.send("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **code, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", **code)

    def type(self, text: str) -> None:
        """Text into what has the focus."""
        self.send("Input.insertText", text=text)

    def picture(self, file: Path, clip: dict[str, float] | None = None, **options: Any) -> Path:
        """A PNG of the window, or of the part {x, y, width, height}."""
        if clip:
            options["clip"] = {"scale": 1, **clip}
        file.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", **options)["data"]))
        return file


@contextmanager
def chromium(folder: Path, width: int = 1280, height: int = 900, language: str = "en"):
    """A `Page` in a browser of its own, whose profile lies in `folder`; closed again in any case."""
    import websocket

    profile = folder / "profile"
    size = [f"--window-size={width},{height}", f"--lang={language}", f"--user-data-dir={profile}"]
    process = subprocess.Popen([PROGRAM, *FLAGS.split(), *size, "about:blank"], stderr=subprocess.PIPE, text=True)
    try:
        port = next(line.split(":")[2].split("/")[0] for line in process.stderr if "DevTools listening" in line)
        targets = json.loads(urlopen(f"http://127.0.0.1:{port}/json", timeout=20).read())
        address = next(target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page")
        socket = websocket.create_connection(address, timeout=60, suppress_origin=True)
        try:
            yield Page(socket)
        finally:
            socket.close()
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stderr.close()
