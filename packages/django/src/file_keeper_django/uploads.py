"""Files of forms that go straight into a storage, in bounded memory and without a temporary file."""

from __future__ import annotations

import io
import sys
import threading
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import file_keeper as fk
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import storages
from django.core.files.uploadedfile import InMemoryUploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopFutureHandlers
from django.core.signals import request_finished

from .incoming import IncomingFile
from .refusals import refusals
from .storage import FileKeeperStorage

if TYPE_CHECKING:
    from django.http import HttpRequest

_SNIFF = 2048
"""Bytes that tell the type of a content."""


class _Sending:
    """A file on its way into a storage. ``close`` ends it without a trace, as Django does with what it gives up."""

    def __init__(self, storage: FileKeeperStorage, name: str, head: bytes):
        kind = fk.Upload(io.BytesIO(head), name).content_type
        extension = name.rpartition(".")[2]
        suffix = f".{extension}" if extension.isascii() and extension.isalnum() and len(extension) < 16 else ""
        location = f"{uuid.uuid4().hex}{suffix}"
        options = {"content_type": kind, "headers": storage.headers_for(kind), "overwrite": False}
        self._writer = storage.storage.incoming.open(location, "wb", **options)
        self._thread = threading.get_ident()
        # When the client goes away Django drops the handler and tells it nothing.
        request_finished.connect(self._end)

    def write(self, chunk: bytes) -> None:
        self._writer.write(chunk)

    def finish(self) -> fk.FileData:
        """Return the data of the file that came in, all of it."""
        request_finished.disconnect(self._end)
        self._writer.close()
        return self._writer.file

    def close(self) -> None:
        request_finished.disconnect(self._end)
        self._writer.abort()

    def _end(self, **_: Any) -> None:
        # A request is served by one thread: when that ends one, this file's is over.
        if threading.get_ident() == self._thread:
            self.close()

    def __del__(self) -> None:
        if (writer := self.__dict__.get("_writer")) is not None and not sys.is_finalizing():
            writer.abandon()


class StreamingUploadHandler(FileUploadHandler):
    """Sends the files of a form into a storage while they arrive::

        FILE_UPLOAD_HANDLERS = ["file_keeper_django.StreamingUploadHandler"]

    A file lies out of sight there until it is saved, which moves it: the bytes travel once. What is not saved by the
    end of the request is removed, and what breaks off leaves nothing. Forms of at most ``FILE_UPLOAD_MAX_MEMORY_SIZE``
    stay in memory. What the ``limits`` of the storage refuse ends the request: Django answers 400.
    """

    chunk_size = 256 << 10
    storage_alias = "default"
    """The entry of STORAGES that files go to; a subclass may name another."""

    def __init__(self, request: HttpRequest | None = None):
        super().__init__(request)
        self._room = 0
        self._begin()

    def _begin(self) -> None:
        self._head: io.BytesIO | None = None
        self.file: _Sending | None = None

    def handle_raw_input(
        self,
        input_data: Any,
        META: Any,  # noqa: N803
        content_length: int,
        boundary: Any,
        encoding: str | None = None,
    ) -> None:
        """Decide whether the form is small enough to stay in memory."""
        limit = settings.FILE_UPLOAD_MAX_MEMORY_SIZE
        # What is not said, or not true, is found out when more comes than fits.
        self._room = limit if 0 < content_length <= limit else _SNIFF

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Begin a file: it is ours alone. :raises ImproperlyConfigured: when the storage is none of file-keeper"""
        super().new_file(*args, **kwargs)
        storage = storages[self.storage_alias]
        if not isinstance(storage, FileKeeperStorage):
            raise ImproperlyConfigured(
                f"{type(self).__name__} sends files to STORAGES[{self.storage_alias!r}], which is a "
                f"{type(storage).__name__}: name file_keeper_django.FileKeeperStorage there, or use another handler"
            )
        self._storage = storage
        self._begin()
        self._head = io.BytesIO()
        raise StopFutureHandlers

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:
        """Send a chunk on; the first ones are kept until they tell the type, or that the file is no small one."""
        if self._head is None and self.file is None:
            return raw_data  # a handler before this one has the file
        if self._head is not None:
            self._head.write(raw_data)
            if self._head.tell() < self._room:
                return None
            raw_data = self._head.getvalue()
            self._head = None
            with self._refusing():
                self.file = _Sending(self._storage, self.file_name or "", raw_data[:_SNIFF])
        if self.file is not None:
            with self._refusing():
                self.file.write(raw_data)
        return None

    @contextmanager
    def _refusing(self) -> Generator[None]:
        """End the file that the limits of the storage refuse, with an error that Django answers."""
        try:
            with refusals():
                yield
        except fk.exc.UploadError:
            self.upload_interrupted()
            raise

    def file_complete(self, file_size: int) -> Any:
        """Return the file, in memory or in the storage."""
        head, sending, name = self._head, self.file, self.file_name or ""
        self._begin()
        facts = (self.content_type, file_size, self.charset, self.content_type_extra)
        if head is not None:
            head.seek(0)
            return InMemoryUploadedFile(head, self.field_name, name, *facts)
        if sending is not None:
            with refusals():
                data = sending.finish()
            return IncomingFile(self._storage.storage, data, name, *facts)
        return None

    def upload_interrupted(self) -> None:
        """End the file that broke off; nothing of it is left."""
        sending = self.file
        self._begin()
        if sending is not None:
            sending.close()
