"""A model that describes pictures, behind an OpenAI-compatible API: llama.cpp's server, vLLM, Ollama or LM Studio.

    POST URL/v1/chat/completions   {model, messages: [{role: user, content: [text, image_url: data URI]}]}
    200   {choices: [{message: {content: "a red dress with long sleeves"}}]}

The API as of https://platform.openai.com/docs/api-reference/chat, the part that these servers share. What may go well
the next time is asked again, as for the hosts that draw (webui/retry.py); a refusal is not.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

from .address import CAPTIONER, base_url
from .connection import Connection
from .errors import (
    AccessDenied,
    ApiMissing,
    HostBusy,
    HostError,
    RequestRefused,
    UnknownOutcome,
    UnreadableAnswer,
    WrongResult,
)
from .limits import Limits
from .webui.responses import LONGEST, LOST_BY_PROXY, is_html, retry_after_s
from .webui.retry import PASSING, pause_s

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

    from .connection import Answer

log = logging.getLogger("modiste")

KEY = "MODISTE_CAPTIONER_KEY"
COMPLETIONS = "/v1/chat/completions"
# A model of some billion weights on a CPU takes a minute and more for a picture, and the first time it is loaded too.
LIMITS = Limits(answer_s=300.0, body_bytes=1 << 20, tries=3)
SIDE = 768  # pixels of the picture that is sent
MOST_TOKENS = 1024  # a model that thinks aloud first needs most of them
MOST_CHARACTERS = 600  # a caption; text encoders of Stable Diffusion read about 300
INSTRUCTION = (
    "Describe the garment in this photo in one English sentence of at most 30 words, as a caption for an image "
    "generator: kind of garment, colours, pattern, material, cut, length, sleeves, neckline, details. Answer with the "
    "caption alone."
)
THOUGHTS = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
LABEL = re.compile(r"^(?:\W*caption\W*:\W*)?[\"'“”*`]*(.*?)[\"'“”*`]*$", re.IGNORECASE | re.DOTALL)


class Captioner:
    """Asks one model on one server. The key, where the server wants one, comes from the environment alone."""

    def __init__(
        self,
        url: str,
        model: str,
        *,
        allow_remote: bool = False,
        limits: Limits | None = None,
        ca_file: Path | None = None,
        environment: Mapping[str, str] = os.environ,
        sleep: Callable[[float], None] = time.sleep,
    ):
        address = base_url(url, allow_remote=allow_remote, server=CAPTIONER)
        self.url = address.removesuffix(COMPLETIONS).removesuffix("/v1")
        self.model, self.limits, self._sleep = model, limits or LIMITS, sleep
        key = environment.get(KEY, "")
        auth = _Bearer(key) if key else None
        self._connection = Connection(self.url, auth, self.limits, ca_file, CAPTIONER)

    @property
    def name(self) -> str:
        """The model and where it is asked; with the instruction, what its captions follow from."""
        return f"{self.model} at {self.url}"

    def describe(self, image: Image.Image) -> str:
        """The picture in one line of words. Raises the last HostError where none can be had."""
        document = self._request(image)
        for failures in range(1, self.limits.tries + 1):
            try:
                return caption_in(self._connection.post(COMPLETIONS, document), self.model)
            except PASSING as error:
                if failures == self.limits.tries:
                    raise
                log.warning("%s: trying again", error)
                self._sleep(pause_s(self.limits, failures, error))
        raise AssertionError("the last failure is raised")

    def close(self) -> None:
        """Closes idle connections."""
        self._connection.close()

    def _request(self, image: Image.Image) -> dict[str, Any]:
        small, data = image.convert("RGB"), BytesIO()
        small.thumbnail((SIDE, SIDE))
        small.save(data, "JPEG", quality=90)
        picture = f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
        content = [{"type": "text", "text": INSTRUCTION}, {"type": "image_url", "image_url": {"url": picture}}]
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": MOST_TOKENS,
            "temperature": 0,
            "seed": 0,
            "stream": False,
        }


class _Bearer:
    """The key as requests hands it on."""

    def __init__(self, key: str):
        self._key = key

    def __call__(self, request: Any) -> Any:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request


def caption_in(answer: Answer, model: str) -> str:
    """The caption of a good answer; raises the error that a bad one is."""
    if answer.status != 200:
        raise _error_of(answer, model)
    try:
        document = json.loads(answer.body)
    except ValueError:
        what = "a page of HTML" if is_html(answer) else f"no whole JSON document ({len(answer.body)} bytes)"
        raise UnreadableAnswer(
            f"the captioner answered with {what}", where=answer.url, to_try=CAPTIONER.start
        ) from None
    try:
        choice = document["choices"][0]
        content = choice["message"]["content"]
    except (KeyError, IndexError, TypeError):
        raise UnreadableAnswer(
            "the captioner's answer has no choices[0].message.content",
            where=answer.url,
            to_try="the address of an OpenAI-compatible server",
        ) from None
    if isinstance(content, list):
        content = " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    caption = cleaned(content if isinstance(content, str) else "")
    if not caption:
        cut = choice.get("finish_reason") == "length"
        reason = f": its {MOST_TOKENS} tokens were spent before" if cut else ""
        raise WrongResult(f"the captioner {model} said nothing{reason}", where=answer.url, to_try="another model")
    return caption


def cleaned(text: str) -> str:
    """A model's answer as a caption: without its thoughts, in one line, without quotes around it, not over-long."""
    line = " ".join(THOUGHTS.sub(" ", text).replace("\0", "").split())
    match = LABEL.match(line)
    caption = "".join(char for char in (match[1] if match else line) if char.isprintable()).strip().rstrip(".")
    if len(caption) > MOST_CHARACTERS:
        caption = caption[: MOST_CHARACTERS + 1].rpartition(" ")[0] or caption[:MOST_CHARACTERS]
    return caption.rstrip(" ,;")


def _error_of(answer: Answer, model: str) -> HostError:
    status, where, text = answer.status, answer.url, _server_words(answer)
    quoted = f": {text}" if text else ""
    if status in (401, 403):
        return AccessDenied(f"the captioner refuses us{quoted}", where=where, to_try=f"set {KEY} to the server's key")
    if status == 405 or status == 404 and "model" not in text.lower():
        return ApiMissing(
            f"there is no such API ({status})", where=where, to_try="the address of an OpenAI-compatible server"
        )
    if status in (429, 503):
        return HostBusy(
            f"the captioner is busy ({status}){quoted}", where=where, to_try="wait", retry_after_s=retry_after_s(answer)
        )
    if status in LOST_BY_PROXY:
        return UnknownOutcome(f"a proxy gave up ({status})", where=where, to_try="the address without the proxy")
    if 400 <= status < 500:
        return RequestRefused(
            f"the captioner refuses the request for {model} ({status}){quoted}",
            where=where,
            to_try="a model that sees pictures, by a name of GET /v1/models",
        )
    return HostError(f"the captioner failed ({status}){quoted}", where=where, to_try="its console shows where")


def _server_words(answer: Answer) -> str:
    """`{"error": {"message": …}}`, `{"error": …}`, `{"detail": …}` or `{"message": …}`; empty for anything else."""
    try:
        body = json.loads(answer.body)
    except ValueError:
        return ""
    if not isinstance(body, dict):
        return ""
    error = body.get("error")
    text = error.get("message") if isinstance(error, dict) else error
    return " ".join(str(text or body.get("detail") or body.get("message") or "").split())[:LONGEST]
