"""The faults: which requests meet them, and what they do to a body that passes."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from .http1 import Request


class Dropped(Exception):
    """A fault ended the connection; nothing more is sent on it."""


class HungUp(Exception):
    """A fault ends the connection by a plain close."""


class Rule:
    """Which requests meet a fault, and which one; the actions may be chained and return the rule itself.

    `hits` counts the requests that met it.
    """

    def __init__(
        self,
        arm: Callable[[Rule], None],
        method: str | None,
        path: str,
        query: str,
        where: Callable[[Request], bool] | None,
        nth: int,
        times: int | None,
    ) -> None:
        self._arm = arm
        self._method = method
        self._path = re.compile(path)
        self._query = re.compile(query)
        self._where = where
        self._skip = nth - 1
        self._left = times
        self.hits = 0
        self.name = ""
        self.response: tuple[int, bytes, Mapping[str, str]] | None = None
        self.reset_after: int | None = None
        self.loses_answer = False
        self.cut_after: int | None = None
        self.cut_cleanly = False
        self.stalls: list[tuple[str, float, int]] = []
        self.flips: list[tuple[str, int, int]] = []
        self.shorter_by = 0
        self.longer_by = 0
        self.hangs_up = ""
        self.upload_rate: float | None = None
        self.download_rate: float | None = None

    def answer(self, status: int, body: bytes | str = b"", headers: Mapping[str, str] | None = None) -> Rule:
        """Answer instead of the server, which never sees the request."""
        data = body.encode() if isinstance(body, str) else body
        self.response = (status, data, dict(headers or {}))
        return self._set(f"answer {status}")

    def reset(self, *, after: int = 0) -> Rule:
        """Reset the connection when `after` bytes of the request's body have come; the server completes nothing."""
        self.reset_after = after
        return self._set("reset")

    def lose_answer(self) -> Rule:
        """Let the server do it and read its whole answer, then reset the connection without passing it on."""
        self.loses_answer = True
        return self._set("lose answer")

    def cut(self, *, after: int, clean: bool = False) -> Rule:
        """End the connection after `after` bytes of the answer's body: by a reset, or cleanly by a plain close.

        With `times=None` it is a connection that never lives longer than that.
        """
        self.cut_after = after
        self.cut_cleanly = clean
        return self._set("cut")

    def stall(self, seconds: float, *, at: Literal["request", "answer", "body"] = "answer", after: int = 0) -> Rule:
        """Wait before forwarding, before the answer, or after `after` bytes of its body; `stop` ends the wait."""
        self.stalls.append((at, seconds, after))
        return self._set(f"stall {at}")

    def flip_request(self, offset: int = 0, bit: int = 0) -> Rule:
        """Flip one bit of the request's body (of what is inside a chunked transfer coding)."""
        self.flips.append(("request", offset, bit))
        return self._set("flip request")

    def flip_response(self, offset: int = 0, bit: int = 0) -> Rule:
        """Flip one bit of the answer's body."""
        self.flips.append(("response", offset, bit))
        return self._set("flip response")

    def short_body(self, by: int = 1) -> Rule:
        """Leave out the last `by` bytes of the answer's body, with a Content-Length that agrees with what is sent."""
        self.shorter_by = by
        return self._set("short body")

    def long_body(self, by: int = 1) -> Rule:
        """Add `by` bytes to the answer's body, with a Content-Length that agrees with what is sent."""
        self.longer_by = by
        return self._set("long body")

    def hang_up(self, *, done: bool = False) -> Rule:
        """Close without an answer, on TLS without saying so: before the server has seen the request, or when `done`."""
        self.hangs_up = "done" if done else "before"
        return self._set("hang up")

    def throttle(self, *, upload: float | None = None, download: float | None = None) -> Rule:
        """Pass bodies on at so many bytes per second."""
        self.upload_rate = upload
        self.download_rate = download
        return self._set("throttle")

    def _set(self, name: str) -> Rule:
        self.name = f"{self.name}, {name}" if self.name else name
        self._arm(self)
        return self

    def takes(self, request: Request) -> bool:
        """Whether this request meets the fault; called once a request, under the proxy's lock."""
        if self._left == 0 or (self._method and request.method != self._method):
            return False
        if not self._path.search(request.path) or not self._query.search(request.query):
            return False
        if self._where and not self._where(request):
            return False
        if self._skip:
            self._skip -= 1
            return False
        if self._left is not None:
            self._left -= 1
        self.hits += 1
        return True


class Pace:
    """Cuts bodies into pieces and waits between them, so that they pass at the slowest of the given rates."""

    def __init__(self, rates: list[float | None], stopping: threading.Event) -> None:
        self._rate = min((rate for rate in rates if rate), default=None)
        self._stopping = stopping
        self._started = time.monotonic()
        self._bytes = 0

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if self._rate is None:
            if data:
                yield data
            return
        step = max(1, int(self._rate / 20))
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            self._bytes += len(piece)
            ahead = self._started + self._bytes / self._rate - time.monotonic()
            if ahead > 0 and self._stopping.wait(ahead):
                raise Dropped
            yield piece


def flipped(data: bytes, position: int, flips: list[tuple[int, int]]) -> bytes:
    here = [(offset - position, bit) for offset, bit in flips if position <= offset < position + len(data)]
    if not here:
        return data
    changed = bytearray(data)
    for offset, bit in here:
        changed[offset] ^= 1 << bit
    return bytes(changed)


def with_more(chunks: Iterator[bytes], count: int) -> Iterator[bytes]:
    yield from chunks
    yield b"+" * count


def without_last(chunks: Iterator[bytes], count: int) -> Iterator[bytes]:
    held = b""
    for data in chunks:
        held += data
        if len(held) > count:
            yield held[:-count]
            held = held[-count:]
