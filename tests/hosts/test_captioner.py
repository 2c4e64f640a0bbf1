"""The captioner over real HTTP: what it is asked, what its answers become, and how each failure ends."""

from __future__ import annotations

import socket
import time

import pytest
from captioning_server import CaptioningServer
from PIL import Image

from modiste.core.errors import InputError
from modiste.hosts.captioner import LIMITS, Captioner, cleaned
from modiste.hosts.errors import (
    AccessDenied,
    ApiMissing,
    HostBusy,
    HostError,
    HostUnreachable,
    RequestRefused,
    UnknownOutcome,
    UnreadableAnswer,
    WrongResult,
)
from modiste.hosts.limits import Limits
from modiste.models.captioner import RememberingCaptioner, open_captioner

PHOTO = Image.new("RGB", (1200, 900), (200, 30, 30))
HASTE = Limits(answer_s=0.3, body_bytes=1 << 20, tries=3, base_s=0.0)


def captioner(server: CaptioningServer, limits: Limits = HASTE, **more) -> Captioner:
    return Captioner(server.url, "llava", limits=limits, sleep=lambda seconds: None, **more)


def test_a_photo_goes_as_a_small_jpeg_and_comes_back_as_one_line():
    with CaptioningServer('Caption: "A red dress\nwith long sleeves."') as server:
        assert captioner(server).describe(PHOTO) == "A red dress with long sleeves"
    (document,) = server.asked
    assert document["model"] == "llava" and document["temperature"] == 0 and document["stream"] is False
    assert server.pictures[0].size == (768, 576) and server.keys == [None]


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/chat/completions"])
def test_the_address_may_be_given_as_far_as_each_server_s_manual_gives_it(path):
    with CaptioningServer() as server:
        asked = Captioner(server.url + path, "llava", limits=HASTE)
        assert asked.describe(PHOTO) and asked.name == f"llava at {server.url}"


def test_the_key_comes_from_the_environment_and_a_wrong_one_is_not_sent_twice():
    with CaptioningServer(key="secret") as server:
        assert captioner(server, environment={"MODISTE_CAPTIONER_KEY": "secret"}).describe(PHOTO)
        with pytest.raises(AccessDenied, match="Invalid API Key.*MODISTE_CAPTIONER_KEY") as refused:
            captioner(server, environment={"MODISTE_CAPTIONER_KEY": "wrong"}).describe(PHOTO)
        assert refused.value.exit_code == 2 and "wrong" not in str(refused.value)
    assert server.keys == ["Bearer secret", "Bearer wrong"]


@pytest.mark.parametrize("fault", ["busy", "slow", "drip", "garbage", "html", "no choices", "too large"])
def test_what_may_go_well_the_next_time_is_asked_again(fault):
    with CaptioningServer() as server:
        server.faults = [fault, fault]
        assert captioner(server).describe(PHOTO) == "A red dress with long sleeves"
        assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("fault", "error", "text", "exit_code"),
    [
        ("busy", HostBusy, "busy .503.: Loading model", 4),
        ("slow", UnknownOutcome, "no whole answer in 0.3 s", 4),
        ("drip", UnknownOutcome, "no whole answer in 0.3 s", 4),
        ("garbage", UnreadableAnswer, "no whole JSON document", 4),
        ("html", UnreadableAnswer, "a page of HTML", 4),
        ("too large", UnreadableAnswer, "longer than 1 MB.*--captioner-model", 4),
    ],
)
def test_what_never_goes_well_ends_with_its_cause_after_three_tries(fault, error, text, exit_code):
    with CaptioningServer() as server:
        server.faults = [fault] * 9
        began = time.monotonic()
        with pytest.raises(error, match=text) as failed:
            captioner(server).describe(PHOTO)
        assert failed.value.exit_code == exit_code and len(server.asked) == 3
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("fault", "error", "text", "exit_code"),
    [
        ("fails", HostError, "failed .500.: image input is not supported", 4),
        ("no model", RequestRefused, "model 'llava' not found.*GET /v1/models", 2),
        ("refused", RequestRefused, "context size exceeded", 2),
        ("empty", WrongResult, "said nothing: its 1024 tokens were spent", 4),
        ("redirect", HostError, "sends us elsewhere: http://127.0.0.1:9.*as --captioner if you trust it", 4),
    ],
)
def test_a_refusal_is_not_asked_again(fault, error, text, exit_code):
    with CaptioningServer() as server:
        server.faults = [fault]
        with pytest.raises(error, match=text) as failed:
            captioner(server).describe(PHOTO)
        assert failed.value.exit_code == exit_code and len(server.asked) == 1


def test_nobody_there_and_another_program_are_told_apart():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(HostUnreachable, match="nobody answers.*or correct --captioner"):
        Captioner(nobody, "llava", limits=HASTE, sleep=lambda seconds: None).describe(PHOTO)
    with CaptioningServer() as server, pytest.raises(ApiMissing, match="OpenAI-compatible"):
        Captioner(f"{server.url}/elsewhere", "llava", limits=HASTE).describe(PHOTO)


def test_photos_do_not_leave_this_machine_unless_they_are_let():
    for remote in ("http://192.168.0.7:11434", "https://api.example.com/v1", "http://localhost.example.com"):
        with pytest.raises(InputError, match="photos would leave this one.*--allow-remote"):
            Captioner(remote, "llava")
    assert Captioner("https://api.example.com/v1", "llava", allow_remote=True).url == "https://api.example.com"
    with pytest.raises(InputError, match="MODISTE_CAPTIONER_KEY"):
        Captioner("http://user:secret@127.0.0.1", "llava")
    with pytest.raises(InputError, match="--captioner http://127.0.0.1:11434"):
        Captioner("ftp://127.0.0.1", "llava")


@pytest.mark.parametrize(
    ("answer", "caption"),
    [
        ("<think>The user wants…\n</think>\n\nA blue top.", "A blue top"),
        ("**Caption:** A blue top", "A blue top"),
        ("“A blue top, sleeveless”", "A blue top, sleeveless"),
        ("a blue\x00 \x1b[31mtop", "a blue [31mtop"),
        ("<think>never ends", ""),
        ("word " * 400, ("word " * 120).strip()),
    ],
)
def test_an_answer_becomes_a_caption_without_thoughts_quotes_or_control_characters(answer, caption):
    assert cleaned(answer) == caption


def test_a_photo_is_asked_about_once_for_each_model_and_address_also_by_later_runs(tmp_path):
    with CaptioningServer(lambda picture: f"caption {len(server.asked)}") as server:
        for _ in range(2):
            with RememberingCaptioner(captioner(server), tmp_path) as remembering:
                assert remembering.describe("a" * 64, lambda: PHOTO) == "caption 1"
        with RememberingCaptioner(Captioner(server.url, "qwen", limits=HASTE), tmp_path) as other:
            assert other.known("a" * 64) is None
            assert other.describe("a" * 64, lambda: PHOTO) == "caption 2"
        assert len(server.asked) == 2


def test_what_fails_is_not_remembered(tmp_path):
    with CaptioningServer() as server, RememberingCaptioner(captioner(server), tmp_path) as remembering:
        server.faults = ["fails"]
        with pytest.raises(HostError):
            remembering.describe("a" * 64, lambda: PHOTO)
        assert remembering.describe("a" * 64, lambda: PHOTO) == "A red dress with long sleeves"


def test_a_captioner_needs_both_options():
    assert open_captioner(None, None) is None
    with pytest.raises(InputError, match="--captioner-model NAME too"):
        open_captioner("http://127.0.0.1:1", None)
    with pytest.raises(InputError, match="--captioner URL too"):
        open_captioner(None, "llava")


def test_a_slow_model_on_a_cpu_has_minutes():
    assert LIMITS.answer_s >= 120 and LIMITS.body_bytes <= 1 << 20
