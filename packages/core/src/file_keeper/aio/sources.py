"""Where the bytes of an asynchronous upload come from."""

from __future__ import annotations

import contextlib
import inspect
import os
import weakref
from collections.abc import AsyncIterator
from typing import Any, Self

from .. import exc
from ..types import Buffer
from ..upload import is_framework_file

_CHUNK = 256 << 10

_begun: weakref.WeakSet[Any] = weakref.WeakSet()
"""Iterators that were read from: what is left of one is never stored as the whole."""


def is_async(value: Any) -> bool:
    """Return whether only asynchronous code can read `value`."""
    if is_framework_file(value):
        return False  # the file within is read in a thread, whole
    if hasattr(value, "__await__"):
        if inspect.iscoroutine(value):
            value.close()
        raise TypeError(f"{type(value).__name__} must be awaited first: give what it returns")
    if inspect.iscoroutinefunction(getattr(value, "read", None)):
        return True
    return hasattr(value, "__aiter__") and not hasattr(value, "read") and not hasattr(value, "__iter__")


def name_of_source(value: Any) -> str:
    """Return the name that tells the content type where the content does not."""
    for attribute in ("filename", "name"):
        name = getattr(value, attribute, "")
        if isinstance(name, str) and name:
            return os.path.basename(name)
    return ""


class Chunks:
    """What a source gives, to its end, as bytes-likes.

    The source is not closed, but for a generator that is left in the middle: nobody may read the rest of it.

    :raises ContentError: when it gives something else than bytes, or was read from before
    """

    def __init__(self, source: Any):
        self._source = source
        self._read = source.read if inspect.iscoroutinefunction(getattr(source, "read", None)) else None
        if self._read is not None:
            if getattr(source, "closed", False) is True:
                raise exc.ContentError("the source is closed: nothing can be read from it")
            return
        self._iterator: AsyncIterator[Any] = source.__aiter__()
        if self._iterator is source:
            if source in _begun:
                raise exc.ContentError("the source was already read from and cannot be read again: make a new one")
            _begun.add(source)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Buffer:
        chunk = _checked(await self._read(_CHUNK) if self._read is not None else await anext(self._iterator))
        if self._read is not None and not chunk:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Leave the source in the middle."""
        if inspect.isasyncgen(self._source):
            with contextlib.suppress(Exception):
                await self._source.aclose()


def _checked(chunk: Any) -> Buffer:
    if isinstance(chunk, bytes | bytearray):
        return chunk
    try:
        return memoryview(chunk).cast("B")
    except TypeError:
        raise exc.ContentError(f"the source gives {type(chunk).__name__}, not bytes") from None
