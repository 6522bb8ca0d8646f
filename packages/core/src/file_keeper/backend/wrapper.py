"""A backend around a backend: where errors are translated, calls repeated, counted or made to fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar, TypeVar

from .. import exc
from ..types import Buffer
from .contract import (
    Backend,
    Body,
    Limits,
    MultipartRef,
    ObjectInfo,
    OpenUpload,
    Page,
    Part,
    SignAction,
    SignedRequest,
    SignOptions,
    Source,
    WriteOptions,
)
from .paging import outlives_errors

T = TypeVar("T")


class Wrapper(Backend[Any]):
    """Passes every verb to another backend through one hook, :meth:`around`.

    Beside the verbs, the hook sees ``"body"`` (each read from an open body) and ``"item"`` (each step of a listing).
    """

    transparent: ClassVar[bool] = True
    """Whether its objects are those of the backend that it is around."""

    def __init__(self, inner: Backend[Any]):
        super().__init__(inner.settings)
        self.inner = inner

    def around(self, verb: str, key: str, call: Callable[[], T]) -> T:
        """Do `call`, which is `verb` on `key`; a subclass does something before, after or instead."""
        return call()

    @property
    def limits(self) -> Limits:  # pyright: ignore[reportIncompatibleVariableOverride] - an instance may learn its own
        return self.inner.limits

    @property
    def verbs(self) -> frozenset[str]:
        return self.inner.verbs

    @property
    def client(self) -> Any:
        return self.inner.client

    def neighbour(self, other: Backend[Any]) -> str:
        while isinstance(other, Wrapper) and other.transparent:
            other = other.inner
        return self.inner.neighbour(other)

    def after_fork(self) -> None:
        self.inner.after_fork()

    def close(self) -> None:
        self.inner.close()

    def translate(self, error: Exception) -> exc.FilesError | None:
        return self.inner.translate(error)

    def _each(self, verb: str, key: str, start: Callable[[], Iterator[T]]) -> Iterator[T]:
        iterator = self.around(verb, key, start)
        while True:
            # A sentinel instead of StopIteration: it cannot pass through a hook that catches exceptions.
            item = self.around("item", key, lambda: next(iterator, _END))
            if item is _END:
                return
            yield item  # pyright: ignore[reportReturnType]

    def head(self, key: str) -> ObjectInfo:
        return self.around("head", key, lambda: self.inner.head(key))

    def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Body:
        body = self.around("read", key, lambda: self.inner.read(key, start, end, etag=etag))
        return Body(body.info, body.length, WrappedStream(self, key, body), start=body.start)

    def list(
        self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
    ) -> Iterator[Page]:
        return self._each(
            "list",
            prefix,
            lambda: self.inner.list(prefix, start_after=start_after, delimiter=delimiter, keys_only=keys_only),
        )

    def put(self, key: str, body: Buffer | Source, options: WriteOptions) -> ObjectInfo:
        return self.around("put", key, lambda: self.inner.put(key, body, options))

    def delete(self, key: str, *, etag: str = "") -> bool:
        return self.around("delete", key, lambda: self.inner.delete(key, etag=etag))

    def multipart_create(self, key: str, options: WriteOptions) -> str:
        return self.around("multipart_create", key, lambda: self.inner.multipart_create(key, options))

    def multipart_put(self, upload: MultipartRef, number: int, body: Buffer) -> Part:
        return self.around("multipart_put", upload.key, lambda: self.inner.multipart_put(upload, number, body))

    def multipart_parts(self, upload: MultipartRef) -> Iterator[Part]:
        return self._each("multipart_parts", upload.key, lambda: self.inner.multipart_parts(upload))

    def multipart_complete(self, upload: MultipartRef, parts: Sequence[Part], options: WriteOptions) -> ObjectInfo:
        return self.around(
            "multipart_complete", upload.key, lambda: self.inner.multipart_complete(upload, parts, options)
        )

    def multipart_abort(self, upload: MultipartRef) -> bool:
        return self.around("multipart_abort", upload.key, lambda: self.inner.multipart_abort(upload))

    def multipart_list(self, prefix: str) -> Iterator[OpenUpload]:
        return self._each("multipart_list", prefix, lambda: self.inner.multipart_list(prefix))

    def resumable_start(self, key: str, options: WriteOptions) -> str:
        return self.around("resumable_start", key, lambda: self.inner.resumable_start(key, options))

    def resumable_send(
        self, upload: MultipartRef, offset: int, body: Buffer, total: int | None, options: WriteOptions
    ) -> int | ObjectInfo:
        return self.around(
            "resumable_send", upload.key, lambda: self.inner.resumable_send(upload, offset, body, total, options)
        )

    def resumable_offset(self, upload: MultipartRef, total: int | None) -> int | ObjectInfo:
        return self.around("resumable_offset", upload.key, lambda: self.inner.resumable_offset(upload, total))

    def resumable_cancel(self, upload: MultipartRef) -> bool:
        return self.around("resumable_cancel", upload.key, lambda: self.inner.resumable_cancel(upload))

    def copy(self, source: ObjectInfo, key: str, options: WriteOptions) -> ObjectInfo:
        return self.around("copy", key, lambda: self.inner.copy(source, key, options))

    def move(self, source: str, key: str, options: WriteOptions) -> ObjectInfo:
        return self.around("move", key, lambda: self.inner.move(source, key, options))

    def compose(self, sources: Sequence[ObjectInfo], key: str, options: WriteOptions) -> ObjectInfo:
        return self.around("compose", key, lambda: self.inner.compose(sources, key, options))

    def append(self, target: ObjectInfo, body: Buffer, options: WriteOptions) -> ObjectInfo:
        return self.around("append", target.key, lambda: self.inner.append(target, body, options))

    def store_digests(self, info: ObjectInfo, digests: Mapping[str, str]) -> None:
        return self.around("store_digests", info.key, lambda: self.inner.store_digests(info, digests))

    def read_digests(self, info: ObjectInfo) -> Mapping[str, str]:
        return self.around("read_digests", info.key, lambda: self.inner.read_digests(info))

    def prepare(self) -> None:
        return self.around("prepare", "", self.inner.prepare)

    def check(self) -> None:
        return self.around("check", "", self.inner.check)

    def sign(self, action: SignAction, key: str, options: SignOptions) -> SignedRequest:
        return self.around("sign", key, lambda: self.inner.sign(action, key, options))

    def url(self, key: str) -> str:
        return self.around("url", key, lambda: self.inner.url(key))

    def delete_many(self, keys: Sequence[str]) -> Iterable[tuple[str, Exception]]:
        # As a list: whatever the requests raise is raised within the hook.
        return self.around("delete_many", keys[0] if keys else "", lambda: list(self.inner.delete_many(keys)))

    def cleanup(self, prefix: str, older_than: float) -> int:
        return self.around("cleanup", prefix, lambda: self.inner.cleanup(prefix, older_than))


_END: Any = object()


class WrappedStream:
    """The stream of a body, each read of which goes through the hook of a wrapper."""

    __slots__ = ("_body", "_key", "_wrapper")

    def __init__(self, wrapper: Wrapper, key: str, body: Body):
        self._wrapper = wrapper
        self._key = key
        self._body = body

    def read(self, size: int = -1, /) -> bytes:
        return self._wrapper.around("body", self._key, lambda: self._body.read(size))

    def readinto(self, buffer: memoryview, /) -> int:
        return self._wrapper.around("body", self._key, lambda: self._body.readinto(buffer))

    def close(self) -> None:
        self._body.close()


class ErrorBoundary(Wrapper):
    """The one boundary between a backend and the rest: nothing but our own errors passes it."""

    def around(self, verb: str, key: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except exc.FilesError:
            raise
        except Exception as error:
            raise self._ours(error) from error

    def _ours(self, error: Exception) -> exc.FilesError:
        ours = self.inner.translate(error)
        if ours is None:
            ours = exc.StorageError(f"the backend failed: {type(error).__name__}: {error}")
        return ours

    def _each(self, verb: str, key: str, start: Callable[[], Iterator[T]]) -> Iterator[T]:
        iterator = self.around(verb, key, start)
        return _Guarded(iterator, self.around) if outlives_errors(iterator) else self._through(iterator)

    def _through(self, iterator: Iterator[T]) -> Iterator[T]:
        # Listings are long: one try around the whole, not one a step.
        try:
            yield from iterator
        except exc.FilesError:
            raise
        except Exception as error:
            raise self._ours(error) from error

    def close(self) -> None:
        with suppress(exc.FilesError):
            self.around("close", "", self.inner.close)


class _Guarded(Iterator[T]):
    """An iterator that outlives its errors, each step of which goes through a hook."""

    outlives_errors = True

    def __init__(self, iterator: Iterator[T], around: Callable[[str, str, Callable[[], Any]], Any]):
        self._iterator = iterator
        self._around = around

    def __next__(self) -> T:
        item = self._around("item", "", lambda: next(self._iterator, _END))
        if item is _END:
            raise StopIteration
        return item
