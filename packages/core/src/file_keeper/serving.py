"""What makes a stored file harmless in a browser: decided once, for links, responses and frameworks."""

from __future__ import annotations

import re

from . import contenttype

# What a browser shows without running any script that is in it. SVG, HTML, XML and PDF are not among these.
_INLINE = frozenset(
    f"{kind}/{name}"
    for kind, names in {
        "image": "png apng jpeg gif webp avif bmp vnd.microsoft.icon heic heif jxl tiff",
        "audio": "mpeg mp4 ogg wave webm flac aac aiff matroska",
        "video": "mp4 webm ogg quicktime matroska vnd.avi mpeg",
        "text": "plain",
        "application": "ogg",
    }.items()
    for name in names.split()
)

SANDBOX = "sandbox; default-src 'none'"
"""The ``Content-Security-Policy`` of what must not run."""


def is_inline(content_type: str, head: bytes | None = None) -> bool:
    """Return whether a browser may show a file in its window instead of saving it.

    It is decided by an allow-list, and by the content where that is known: a page that was stored as a picture is none.

    :param content_type: the type that the file is served with
    :param head: its first 2 KiB, empty for an empty file; ``None`` when they are not known
    """
    if contenttype.canonical(content_type) not in _INLINE:
        return False
    return not head or contenttype.detect(head) in _INLINE


def content_disposition(kind: str, name: str) -> str:
    """Return a ``Content-Disposition`` with a file name that no client reads otherwise.

    :param kind: ``"attachment"`` or ``"inline"``
    :param name: any text: what cannot be in a name is left out, a path is cut to its last segment
    """
    name = re.split(r"[/\\]", name)[-1]
    # Controls, lone surrogates, and what turns the direction of the text: "exe.gpj" is not to look like a picture.
    name = re.sub("[\0-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", "", name).strip()
    while len(name.encode()) > 240:
        stem, dot, extension = name.rpartition(".")
        name = f"{stem[:-1]}.{extension}" if dot and len(stem) > 1 and len(extension) < 32 else name[:-1]
    if not name or name in (".", ".."):
        return kind
    if name.isascii() and not re.search(r'["\\%]', name):
        return f'{kind}; filename="{name}"'
    from urllib.parse import quote  # an import of the library does without

    # Quotes, backslashes, percent signs and what is beyond ASCII are read in several ways: a stand-in for old clients,
    # and the name itself (RFC 8187) beside it.
    stand_in = "".join(char if char.isascii() and char not in '"\\%' else "_" for char in name)
    return f"{kind}; filename=\"{stand_in}\"; filename*=UTF-8''{quote(name, safe='-._~')}"
