"""What a source says of itself: that it is closed, that it is asynchronous, that it still owes bytes."""

from __future__ import annotations

import functools
import inspect
import io
from typing import Any, cast

from . import exc

_WITHIN = ("raw", "_raw_stream", "source")
"""Where what wraps a stream keeps it: ``io.BufferedReader``, requests' responses; botocore's bodies; ours, and
:class:`HashingReader`."""

_DEPTH = 4


def owed(stream: Any) -> int:
    """Return the bytes, at least, that a source which has ended still owes of what it promised; 0 when it says nothing.

    Only counters of bytes on the wire are believed, of ``http.client`` and urllib3, which go down as they come: the
    promise of a header is another number where the content is decoded, or was read from before.
    """
    for _ in range(_DEPTH):
        left: Any = getattr(stream, "length_remaining", None)  # urllib3
        if left is None and _is_http_response(stream.__class__):
            left = stream.length
            if left is None and stream.chunked and stream.chunk_left is not None:
                return 1  # read by lines it ends in silence, without the chunk that ends it
        if isinstance(left, int) and not isinstance(left, bool):
            return max(0, left)
        within = next((found for name in _WITHIN if (found := getattr(stream, name, None)) is not None), None)
        if within is None:
            break
        stream = within
    return 0


@functools.lru_cache(256)
def _is_http_response(kind: type[Any]) -> bool:
    return any(f"{cls.__module__}.{cls.__qualname__}" == "http.client.HTTPResponse" for cls in kind.__mro__)


def check_whole(stream: Any, position: int) -> None:
    """Refuse a source that has ended before all came that it promised.

    :param position: bytes read of it, for the message
    :raises UploadSizeMismatchError: saying how much is missing
    """
    if missing := owed(stream):
        raise exc.UploadSizeMismatchError(
            f"the source broke off: it gave {position} bytes and still owes {missing}, its connection was cut"
        )


def check_open(stream: Any) -> None:
    """Refuse a source that is closed. :raises ContentError: saying so"""
    if getattr(stream, "closed", False) is True:
        raise exc.ContentError("the source is closed: nothing can be read from it")


_PLAIN = (io.IOBase, bytes, bytearray, memoryview, int)


def refuse_async(value: Any) -> None:
    """Refuse what only asynchronous code can read; no coroutine is left unawaited.

    :raises TypeError: naming the remedy
    """
    if isinstance(value, _PLAIN):  # most are, and the questions below cost more than a small upload's hash
        return
    if hasattr(value, "__await__"):
        if inspect.iscoroutine(value):
            value.close()
    elif inspect.iscoroutinefunction(getattr(value, "read", None)):
        pass
    elif not hasattr(value, "__aiter__") or hasattr(value, "read") or hasattr(value, "__iter__"):
        return
    raise TypeError(
        f"{type(cast('object', value)).__name__} is asynchronous and cannot be read by a synchronous call: "
        "give it to the same method of storage.aio, or read it with await and give the bytes"
    )
