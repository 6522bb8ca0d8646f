"""The file of a ``multipart/form-data`` body, passed on as it comes: no temporary file, no form in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import file_keeper as fk
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from .http import Failure, Intake
from .receiving import LocationOf, Receiver, Terms

_OTHERS = 1 << 20
"""Bytes of a form beside its file: fields and headers. They are read and dropped."""
_PARTS = 1000


class FormReceiver:
    """Finds the one file of a form and puts it into a storage, once the whole form has come.

    :param location: where to; a callable gets the client's name for the file
    :param field: name of the form's field that holds the file
    """

    def __init__(self, storage: fk.Storage, location: LocationOf, terms: Terms, content_type: str, field: str):
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not 0 < len(boundary) <= 200:
            raise Failure(400, "The form has no boundary.")
        self._storage = storage
        self._location = location
        self._terms = terms
        self._field = field
        self._receiver: Receiver | None = None
        self._inside = False  # the part that comes is the file
        self._unnamed = False  # the part that comes is a file's field that was left empty
        self._ended = False
        self._others = self._parts = 0
        self._name = self._value = b""
        self._headers: dict[bytes, bytes] = {}
        callbacks: Any = {
            "on_part_begin": self._part_begins,
            "on_header_field": self._slice(self._header_name),
            "on_header_value": self._slice(self._header_value),
            "on_header_end": self._header_ends,
            "on_headers_finished": self._headers_end,
            "on_part_data": self._slice(self._data),
            "on_end": self._form_ends,
        }
        self._parser = MultipartParser(boundary, callbacks)

    @staticmethod
    def _slice(take: Callable[[bytes], None]) -> Callable[[bytes, int, int], None]:
        return lambda data, start, end: take(data[start:end])

    # -- what the parser tells ----------------------------------------------------------------------------------------

    def _count(self, size: int) -> None:
        self._others += size
        if self._others > _OTHERS:
            raise Failure(413, "The form holds too much beside its file.")

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > _PARTS:
            raise Failure(413, "The form has too many fields.")
        self._inside = self._unnamed = False
        self._headers.clear()

    def _header_name(self, piece: bytes) -> None:
        self._count(len(piece))
        self._name += piece

    def _header_value(self, piece: bytes) -> None:
        self._count(len(piece))
        self._value += piece

    def _header_ends(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _headers_end(self) -> None:
        options = parse_options_header(self._headers.get(b"content-disposition", b"").decode("latin-1"))[1]
        if b"filename" not in options:
            return
        name = options[b"filename"].decode("utf-8", "replace")
        for escape, char in (("%22", '"'), ("%0D", "\r"), ("%0A", "\n")):  # WHATWG: the three that browsers escape
            name = name.replace(escape, char)
        if not name:
            self._unnamed = True
            return
        if options.get(b"name", b"").decode("utf-8", "replace") != self._field:
            raise Failure(400, "The form has a file in another field.")
        if self._receiver is not None:
            raise Failure(400, "The form has more than one file.")
        encoding = self._headers.get(b"content-transfer-encoding", b"binary").lower()
        if encoding not in (b"binary", b"8bit", b"7bit"):
            raise Failure(400, "The file is encoded: it must come as it is.")
        location = self._location if isinstance(self._location, str) else self._location(name)
        self._receiver = Receiver(self._storage, location, self._terms)
        self._inside = True

    def _data(self, piece: bytes) -> None:
        if self._inside and self._receiver is not None:
            self._receiver.feed(piece)
        elif self._unnamed:
            raise Failure(400, "The file has no name.")
        else:
            self._count(len(piece))

    def _form_ends(self) -> None:
        self._ended = True

    # -- intake -------------------------------------------------------------------------------------------------------

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the form. :raises Failure: for what is no form with one file"""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise Failure(400, "The form cannot be read.") from error

    def finish(self) -> fk.FileData:
        """Publish the file. :raises Failure: when the form was cut, or had none"""
        if not self._ended:
            self.abort()
            raise Failure(400, "The form broke off.")
        if self._receiver is None:
            raise Failure(400, f"The form has no file in the field {self._field!r}.")
        return self._receiver.finish()

    def abort(self) -> None:
        """Leave nothing."""
        if self._receiver is not None:
            self._receiver.abort()


def receiver_of(
    storage: fk.Storage,
    location: LocationOf,
    terms: Terms,
    *,
    content_type: str,
    length: int | None,
    field: str,
) -> Intake[fk.FileData]:
    """Return what takes a body: the file of a form, or the body itself.

    :param content_type: of the request
    :param length: of the body as declared
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        terms.check_size(None if length is None else max(0, length - _OTHERS))
        return FormReceiver(storage, location, terms, content_type, field)
    if kind == "application/x-www-form-urlencoded":
        raise Failure(415, "A form with a file is sent as multipart/form-data.")
    return Receiver(storage, location if isinstance(location, str) else location(""), terms, length)
