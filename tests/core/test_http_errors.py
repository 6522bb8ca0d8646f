"""What a status means, how long an answer asks to wait, what no message shows: once for all providers."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from file_keeper import exc
from file_keeper.backend import is_transient, meaning_of, redact, retry_after


@pytest.mark.parametrize(
    ("status", "kind", "transient"),
    [
        (400, exc.StorageError, False),
        (401, exc.PermissionError, False),
        (403, exc.PermissionError, False),
        (404, exc.MissingFileError, False),
        (408, exc.TimeoutError, True),
        (409, exc.StorageError, False),
        (413, exc.LargeUploadError, False),
        (429, exc.ThrottledError, True),
        (500, exc.ConnectionError, True),
        (501, exc.StorageError, False),
        (502, exc.ConnectionError, True),
        (503, exc.ConnectionError, True),
        (505, exc.StorageError, False),
        (507, exc.ConnectionError, False),
        (599, exc.ConnectionError, False),
    ],
)
def test_a_status(status: int, kind: type[exc.FilesError], transient: bool) -> None:
    assert meaning_of(status).kind is kind
    assert is_transient(status) is transient


def test_how_long_to_wait() -> None:
    for value, seconds in (
        ("", 0),
        ("0", 0),
        ("7", 7),
        (" 7 ", 7),
        ("1.5", 1.5),
        ("-1", 0),
        ("soon", 0),
        ("9" * 40, 0),
    ):
        assert retry_after({"retry-after": value}) == seconds, value
    assert retry_after({}) == 0
    assert retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    assert 28 < retry_after({"retry-after": formatdate(time.time() + 30, usegmt=True)}) <= 30
    assert retry_after({"retry-after": formatdate(time.time() - 30, usegmt=True)}) == 0


def test_redact() -> None:
    for text, shown in (
        ("GET /b/x?sv=1&sig=a%2Fb%3D&sp=r HTTP/1.1", "GET /b/x?sv=1&sig=***&sp=r HTTP/1.1"),
        ("url: /x?sig=abc (Caused by", "url: /x?sig=*** (Caused by"),
        ("AccountName=a;AccountKey=abc==;X=1", "AccountName=a;AccountKey=***;X=1"),
        ("Authorization: SharedKey acc:abc=", "Authorization: SharedKey acc:***"),
        ("Bearer eyJ.abc-_", "Bearer ***"),
        ("?X-Amz-Credential=AK%2F1&X-Amz-Signature=ab12&x=1", "?X-Amz-Credential=***&X-Amz-Signature=***&x=1"),
        ("POST /upload?upload_id=AB-c_d&x=1", "POST /upload?upload_id=***&x=1"),
        ("http://user:secret@host/b", "http://user:***@host/b"),
        ("a signature is missing", "a signature is missing"),
    ):
        assert redact(text) == shown
