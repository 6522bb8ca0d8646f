"""What the bytes are: the media type of a content, from its first bytes and then from its name.

Content decides, the name only refines it: a name chooses among the types that the content can have (plain text
may be CSV, a zip container may be an e-book) and never overrules a signature. No table of the system is read, so
one content under one name has one type on every machine and every Python. Why the tables are our own is told, with
figures, in ``docs/decisions/content-types.md``; those of the binary formats are in :mod:`file_keeper.signatures`.

Sources: the formats' own specifications; the WHATWG MIME Sniffing Standard (https://mimesniff.spec.whatwg.org/)
for what is text and what is HTML; the IANA registry (https://www.iana.org/assignments/media-types/) for names.
An unregistered type has its customary ``x-`` name. Only WAVE has WHATWG's name: not every browser plays IANA's.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from .signatures import OLE, ZIP, by_signature, by_structure

if TYPE_CHECKING:
    import mimetypes

SNIFF = 2048
"""Bytes of content that are enough for :func:`detect`; what comes after them is ignored."""

EMPTY = "application/x-empty"
UNKNOWN = "application/octet-stream"

_OOXML = "application/vnd.openxmlformats-officedocument."
_ODF = "application/vnd.oasis.opendocument."


def _names(table: str, prefix: str = "") -> dict[str, str]:
    """Read lines of "type extension ..." into extension -> type."""
    return {name: prefix + kind for kind, *names in map(str.split, table.strip().splitlines()) for name in names}


# Formats that are written as text: their content says "text", their name says which.
_TEXT = _names("""
    application/atom+xml atom
    application/dash+xml mpd
    application/geo+json geojson
    application/gpx+xml gpx
    application/json json map har
    application/ld+json jsonld
    application/manifest+json webmanifest
    application/n-triples nt
    application/rdf+xml rdf owl
    application/rss+xml rss
    application/sparql-query rq
    application/sql sql
    application/toml toml
    application/vnd.apple.mpegurl m3u8
    application/vnd.google-earth.kml+xml kml
    application/x-httpd-php php phtml
    application/x-ipynb+json ipynb
    application/x-ndjson ndjson jsonl
    application/x-sh sh bash
    application/x-subrip srt
    application/x-latex latex
    application/x-tex tex
    application/xhtml+xml xhtml xht
    application/xml-dtd dtd
    application/xslt+xml xsl xslt
    application/yaml yaml yml
    audio/x-mpegurl m3u
    image/svg+xml svg
    image/x-portable-bitmap pbm
    image/x-portable-graymap pgm
    image/x-portable-pixmap ppm
    message/rfc822 eml mht mhtml
    model/gltf+json gltf
    model/mtl mtl
    model/obj obj
    model/step step stp
    model/stl stl
    model/vnd.collada+xml dae
    text/calendar ics ifb
    text/css css
    text/csv csv
    text/html html htm shtml
    text/javascript js mjs cjs
    text/jsx jsx
    text/markdown md markdown
    text/plain txt text log ini cfg conf
    text/tab-separated-values tsv
    text/turtle ttl
    text/vcard vcf vcard
    text/vtt vtt
    text/x-diff diff patch
    text/x-python py pyi
    text/x-rst rst
    text/x-typescript ts tsx
    text/xml xml xsd
""")
# Formats that are zip containers, for those whose first entries do not say it.
_ZIPPED = {
    **_names(
        """
        wordprocessingml.document docx
        wordprocessingml.template dotx
        spreadsheetml.sheet xlsx
        spreadsheetml.template xltx
        presentationml.presentation pptx
        presentationml.template potx
        presentationml.slideshow ppsx
        """,
        _OOXML,
    ),
    **_names("text odt\nspreadsheet ods\npresentation odp\ngraphics odg\nformula odf\ntext-template ott", _ODF),
    **_names("""
        application/epub+zip epub
        application/java-archive jar war ear
        application/vnd.android.package-archive apk
        application/vnd.comicbook+zip cbz
        application/vnd.google-earth.kmz kmz
        application/vnd.ms-excel.sheet.binary.macroEnabled.12 xlsb
        application/vnd.ms-excel.sheet.macroEnabled.12 xlsm
        application/vnd.ms-powerpoint.presentation.macroEnabled.12 pptm
        application/vnd.ms-word.document.macroEnabled.12 docm
        application/vnd.ms-xpsdocument xps
        application/vnd.visio2013 vsdx
        application/x-npz npz
        application/x-xpinstall xpi
        model/3mf 3mf
        model/vnd.usdz+zip usdz
    """),
}
# Formats that are OLE compound files ("docx": an encrypted one is).
_COMPOUND = _names("""
    application/msword doc dot
    application/vnd.ms-excel xls xlt
    application/vnd.ms-outlook msg
    application/vnd.ms-powerpoint ppt pot pps
    application/vnd.ms-project mpp
    application/vnd.visio vsd
    application/x-msi msi
    application/x-mspublisher pub
""") | {name: kind for name, kind in _ZIPPED.items() if kind.startswith(_OOXML)}
# Binary formats without a signature in the first SNIFF bytes: only here does a name alone decide.
_UNSIGNED = _names("""
    application/cbor cbor
    application/pkix-cert cer crt der
    application/vnd.efi.iso iso
    application/vnd.msgpack msgpack
    application/x-apple-diskimage dmg
    application/x-pkcs12 p12 pfx
    application/x-python-code pyc
    image/x-tga tga
    model/stl stl
""")
# Containers that say little about what is in them: (type by content, extension) -> type.
_REFINED = {
    ("application/java-archive", "apk"): "application/vnd.android.package-archive",
    ("video/mp4", "m4a"): "audio/mp4",
    ("application/ogg", "ogv"): "video/ogg",
    ("application/ogg", "oga"): "audio/ogg",
    ("application/ogg", "ogg"): "audio/ogg",
    ("video/matroska", "mka"): "audio/matroska",
    ("video/webm", "weba"): "audio/webm",
    ("video/x-ms-asf", "wma"): "audio/x-ms-wma",
    ("video/x-ms-asf", "wmv"): "video/x-ms-wmv",
}


# WHATWG MIME Sniffing, 3: every byte that is not a "binary data byte".
_TEXT_BYTES = bytes(byte for byte in range(256) if byte >= 0x20 or byte in b"\t\n\f\r\x1b")
_ASCII = bytes(byte for byte in _TEXT_BYTES if byte < 0x7F)
_BOMS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def _textual(head: bytes, complete: bool) -> bytes:
    """Return the content as ASCII-compatible text without its byte order mark; empty when it is binary.

    Text is what has no binary data byte and is UTF-8 (its last character may be cut), UTF-16 or UTF-32 with a mark,
    or a legacy encoding: long enough that 64 bytes without one control are no accident, or mostly ASCII.
    """
    for bom, codec in _BOMS:
        if head.startswith(bom):
            text = head.decode(codec, "ignore" if codec == "utf-8" else "replace")
            head = text.removeprefix("\ufeff").encode("utf-8", "replace") or b"\n"
            break
    if head.translate(None, _TEXT_BYTES):
        return b""
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        cut = error.reason == "unexpected end of data" and not complete
        if not cut and len(head) < 64 and 10 * len(head.translate(None, _ASCII)) > 3 * len(head):
            return b""
    return head


# Patterns are compiled at their first use, by `re` itself: an import pays for none.
_TAG = rb"(?i)<([a-z_][a-z0-9_.:-]*)(?=[\s/>])"
_DOCTYPE = rb"(?i)<!doctype\s+([a-z:]+)(?=[\s>\[])"
_HTML = {b"html", b"head", b"body", b"script", b"iframe", b"title"}
_HTMLISH = {b"h1", b"div", b"font", b"table", b"a", b"style", b"b", b"br", b"p"}
_ROOTS = {
    b"svg": "image/svg+xml",
    b"rss": "application/rss+xml",
    b"feed": "application/atom+xml",
    b"kml": "application/vnd.google-earth.kml+xml",
    b"gpx": "application/gpx+xml",
    b"mpd": "application/dash+xml",
    b"stylesheet": "application/xslt+xml",
    b"transform": "application/xslt+xml",
}


def _markup(text: bytes, named: str) -> str:
    """Type of a text that starts with ``<``: by its doctype and root element; the name may keep a looser format.

    HTML's tags are those of WHATWG MIME Sniffing, 7.1. Those with which Markdown and templates also start count
    only where the name tells no text format.
    """
    if re.match(rb"<\?php\s", text):
        return "application/x-httpd-php"
    prolog = re.match(rb"<\?xml\s", text) is not None
    at, doctype, comment = 0, b"", False
    while text.startswith((b"<?", b"<!"), at):
        comment = comment or text.startswith(b"<!--", at)
        if found := re.match(_DOCTYPE, text[at:]):
            doctype = found[1].lower()
        end = b"-->" if text.startswith(b"<!--", at) else b"?>" if text.startswith(b"<?", at) else b">"
        if found and b"[" in text[at : text.find(b">", at)]:
            end = b"]>"
        at = text.find(end, at)
        if at < 0:
            break
        at += len(end)
        while text[at : at + 1].isspace():
            at += 1
    tag = re.match(_TAG, text[at:]) if at >= 0 else None
    root = tag[1].lower().rpartition(b":")[2] if tag else doctype
    if doctype == b"html" or root in _HTML:
        return "application/xhtml+xml" if prolog and named != "text/html" else "text/html"
    if root == b"svg" or (root in _ROOTS and (prolog or b"xmlns" in text or root == b"rss")):
        return _ROOTS[root]
    if prolog:
        return named if named.endswith(("+xml", "/xml")) else "text/xml"
    if not named and (root in _HTMLISH or comment):
        return "text/html"
    return named or ("text/xml" if tag and b"xmlns" in text else "text/plain")


_OBJECT = rb'(?:\[\s*)*\{\s*"(?:[^"\\\x00-\x1f]|\\.)*"\s*:'
_SHEBANG = rb"#![ \t]*/\S*?(?:env[ \t]+(?:-S[ \t]+)?)?([a-z]+)[\d.]*(?=\s|$)"
_INTERPRETERS = {b"python": "text/x-python", b"node": "text/javascript", b"php": "application/x-httpd-php"} | (
    dict.fromkeys((b"sh", b"bash", b"dash", b"ksh", b"zsh"), "application/x-sh")
)


def _parses(text: bytes) -> bool:
    import json  # only here, and seldom: a nameless text that starts with a bracket

    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _text(text: bytes, named: str, complete: bool) -> str:
    """Type of a text: by its markup, then by the name, then by the few openings that are certain."""
    text = text.strip() if complete else text.lstrip()
    if text.startswith(b"<"):
        return _markup(text, named)
    if named:
        return named
    if found := re.match(_SHEBANG, text):
        return _INTERPRETERS.get(found[1], "text/plain")
    if text.startswith((b"{", b"[")):
        first, _, rest = text.partition(b"\n")
        if rest[:1] == b"{" and _parses(first):
            return "application/x-ndjson"
        if _parses(text) if complete else re.match(_OBJECT, text):
            return "application/json"
    return {b"BEGIN:VCARD": "text/vcard", b"BEGIN:VCALE": "text/calendar"}.get(text[:11], "text/plain")


def detect(head: bytes | memoryview, name: str = "", *, complete: bool = False) -> str:
    """Return the media type of a content.

    Args:
        head: the first bytes of the content, up to ``SNIFF`` of them (more are ignored); empty is an empty content.
        name: the file's name or location, for its last extension; it refines what the content says.
        complete: whether ``head`` is the whole content.

    Returns:
        A registered (else customary) media type in its usual case, without parameters: ``application/x-empty`` for
        an empty content, ``application/octet-stream`` for a binary one that nothing is known about.

    Any bytes and any name are answered, in time linear in ``SNIFF``; nothing is raised.
    """
    if not head:
        return EMPTY
    complete = complete and len(head) <= SNIFF
    head = bytes(head[:SNIFF])[:SNIFF]  # twice: a view may count in items of several bytes
    base, _, extension = name.rpartition("/")[2].rpartition(".")
    extension = extension.lower() if base else ""  # a leading dot is no extension
    kind = by_signature(head)
    if not kind:
        if text := _textual(head, complete):
            return _text(text, _TEXT.get(extension, ""), complete)
        kind = by_structure(head, extension) or _UNSIGNED.get(extension, UNKNOWN)
    if kind == ZIP:
        return _ZIPPED.get(extension, ZIP)
    if kind == OLE:
        return _COMPOUND.get(extension, OLE)
    return _REFINED.get((kind, extension), kind)


_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE = (
    rf'{_TOKEN}/{_TOKEN}(?: *;(?: *{_TOKEN}=(?:{_TOKEN}|"(?:[ !#-\[\]-~]|\\[ -~])*"))?)*'  # linear: one way to match
)


def valid(content_type: str) -> bool:
    """Return whether a text is a media type that every provider can keep.

    RFC 9110, 8.3.1 (https://www.rfc-editor.org/rfc/rfc9110#name-media-type), with its parameters, in printable
    ASCII (so no CR, LF or tab) and at most 255 characters; outer spaces would not come back and are refused.
    """
    return len(content_type) <= 255 and re.fullmatch(_MEDIA_TYPE, content_type) is not None


@functools.cache
def by_extension() -> mimetypes.MimeTypes:
    """Return Python's own table of names and types, the system's left out."""
    import mimetypes  # only here, and seldom

    return mimetypes.MimeTypes(())


def by_name(name: str) -> str:
    """Return the media type that a name promises, where there is no content; ``application/octet-stream`` if none."""
    extension = name.rpartition("/")[2].rpartition(".")[2].lower()
    for table in (_TEXT, _ZIPPED, _COMPOUND, _UNSIGNED):
        if extension in table:
            return table[extension]
    guessed, packed = by_extension().guess_type(f"x.{extension}")
    return guessed or (packed and f"application/{packed}") or UNKNOWN


_SAME = {
    "application/x-gzip": "application/gzip",
    "application/x-javascript": "text/javascript",
    "application/javascript": "text/javascript",
    "application/x-zip-compressed": ZIP,
    "application/xml": "text/xml",
    "audio/wav": "audio/wave",
    "audio/x-wav": "audio/wave",
    "audio/mp3": "audio/mpeg",
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-ms-bmp": "image/bmp",
    "image/x-icon": "image/vnd.microsoft.icon",
}


def canonical(content_type: str) -> str:
    """Return the one name of a media type, without its parameters."""
    content_type = content_type.partition(";")[0].strip().lower()
    return _SAME.get(content_type, content_type)


_SHOWN = frozenset(
    ("text/plain", "text/html", "text/xml", "application/xhtml+xml", "application/json", "application/x-ndjson",
     "text/vcard", "text/calendar", "image/x-portable-bitmap", "image/x-portable-graymap", "image/x-portable-pixmap",
     *_INTERPRETERS.values(), *_ROOTS.values())
)  # fmt: skip


def told_by_name(content_type: str) -> bool:
    """Return whether a type is one of text that no content shows: without a name it is ``text/plain``."""
    return content_type in _TEXT.values() and content_type not in _SHOWN


_GENERIC = (ZIP, OLE, "application/gzip", "application/ogg")
_MEDIA = ("image/", "audio/", "video/", "font/")


def agrees(declared: str, detected: str) -> bool:
    """Return whether a content that looks like `detected` may be what was `declared`.

    Only a plain contradiction is one: a picture, sound, film, font or PDF that is text or of another format, a text
    that is binary. What cannot be told by its bytes agrees with any.
    """
    declared, detected = canonical(declared), canonical(detected)
    if declared == detected or UNKNOWN in (declared, detected) or detected == EMPTY:
        return True
    marked = (declared.startswith(_MEDIA) and not declared.endswith(("+xml", "+json"))) or declared == "application/pdf"
    if detected.startswith("text/") or detected in _TEXT.values():
        return not marked
    if detected in _GENERIC:
        return (not marked and not declared.startswith("text/")) or declared.startswith(("audio/", "video/"))
    if detected.startswith(("audio/", "video/")) and declared.startswith(("audio/", "video/")):
        return True
    return not marked and not declared.startswith("text/")
