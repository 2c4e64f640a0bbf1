"""How long a server is waited for, how much it may send, how often it is asked again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Seconds on the monotonic clock. `picture_s` is the whole of one drawing, from connecting to the last byte."""

    connect_s: float = 5.0
    answer_s: float = 60.0  # everything but a drawing; with 60 jobs queued, progress was seen to take 35 s
    picture_s: float = 900.0
    idle_s: float = 900.0  # for a job whose answer is lost to end
    away_s: float = 120.0  # for a server that starts anew meanwhile
    settle_s: float = 10.0  # between a server's first sign of life and the first request to it
    poll_s: float = 0.5
    body_bytes: int = 64 << 20

    tries: int = 5  # of one picture
    base_s: float = 1.0  # the longest pause after the first failure; it doubles
    cap_s: float = 60.0
    failures: int = 5  # in a row, and the host is left alone
    rest_s: float = 60.0
