"""What makes a stored file harmless in a browser: one helper for links, responses and frameworks."""

from __future__ import annotations

import re
from email.message import EmailMessage
from urllib.parse import unquote

import pytest
from file_keeper.backend import content_disposition, is_inline

NAMES = {
    "plain.txt": "plain.txt",
    "with space.txt": "with space.txt",
    'a"b.txt': 'a"b.txt',
    "100%25.txt": "100%25.txt",
    "semi;colon.txt": "semi;colon.txt",
    "résumé ☺.pdf": "résumé ☺.pdf",
    "a\r\nSet-Cookie: x=1.txt": "aSet-Cookie: x=1.txt",
    "../../etc/passwd": "passwd",
    "C:\\files\\x.txt": "x.txt",
    "\u202egnp.exe": "gnp.exe",
    "lone\ud800.txt": "lone.txt",
}


def parsed(header: str) -> tuple[str, str | None]:
    message = EmailMessage()
    message["Content-Disposition"] = header
    # RFC 6266, 4.3: filename* is preferred. Python takes the first one, as old clients do.
    if found := re.search(r"; filename\*=UTF-8''([^;\s]+)$", header):
        assert '"' not in (message.get_filename() or "")
        return message.get_content_disposition() or "", unquote(found[1], errors="strict")
    return message.get_content_disposition() or "", message.get_filename()


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_one_name(name: str):
    header = content_disposition("attachment", name)
    assert header.isascii()
    assert header.isprintable()
    assert parsed(header) == ("attachment", NAMES[name])


@pytest.mark.parametrize("name", ["", ".", "..", "a/", "\r\n"])
def test_what_is_no_name_is_left_out(name: str):
    assert content_disposition("inline", name) == "inline"


def test_a_long_name_keeps_its_extension():
    kind, name = parsed(content_disposition("attachment", "é" * 300 + ".tar"))
    assert kind == "attachment"
    assert name is not None
    assert name.endswith("é.tar")
    assert len(name.encode()) <= 240


@pytest.mark.parametrize(
    ("content_type", "head", "expected"),
    [
        ("image/png", b"\x89PNG\r\n\x1a\n" + bytes(8), True),
        ("image/jpg", b"\xff\xd8\xff\xe0" + bytes(16), True),
        ("text/plain; charset=utf-8", b"words", True),
        ("text/plain", b"", True),
        ("image/png", None, True),
        ("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>", False),
        ("image/svg+xml", None, False),
        ("text/html", b"<html>", False),
        ("text/xml", b"<?xml version='1.0'?><a/>", False),
        ("application/pdf", b"%PDF-1.7", False),
        ("text/javascript", b"alert(1)", False),
        ("image/png", b"<html><script>alert(1)</script>", False),
        ("text/plain", b"<!doctype html><script>alert(1)</script>", False),
        ("image/png", b"\x1f\x8b\x08\0\0\0\0\0", False),
        ("application/octet-stream", b"\x89PNG\r\n\x1a\n", False),
        ("", None, False),
    ],
)
def test_inline_is_an_allow_list(content_type: str, head: bytes | None, expected: bool):
    assert is_inline(content_type, head) is expected
