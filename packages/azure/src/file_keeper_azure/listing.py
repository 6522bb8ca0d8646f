"""What the service tells of blobs: pages of them in XML, and one in the headers of an answer.

https://learn.microsoft.com/rest/api/storageservices/list-blobs
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import unquote
from xml.parsers import expat

from file_keeper import hashing
from file_keeper.backend import ObjectInfo

HEADERS = ("Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language")

COPIED = "success"
"""The status of a copy that is done."""

_MONTHS = {"JanFebMarAprMayJunJulAugSepOctNovDec"[at * 3 : at * 3 + 3]: at + 1 for at in range(12)}


def parse_date(text: str) -> datetime | None:
    """Read an HTTP date, ``Mon, 23 Nov 2026 19:40:57 GMT``; ``None`` where there is none."""
    try:
        return datetime(
            int(text[12:16]),
            _MONTHS[text[8:11]],
            int(text[5:7]),
            int(text[17:19]),
            int(text[20:22]),
            int(text[23:25]),
            tzinfo=UTC,
        )
    except (ValueError, KeyError):
        return None


def etag_of(text: str) -> str:
    """Return the bare etag. A proxy that compresses marks it as weak: the version is the same."""
    return text.removeprefix("W/").strip('"')


@dataclass(slots=True)
class Answered:
    """What one answer to List Blobs tells.

    :param infos: the blobs
    :param prefixes: what names have in common up to the delimiter
    :param marker: where the next page begins, ``""`` on the last one
    :param uncommitted: names that have blocks and no content yet (only when they were asked for)
    """

    infos: list[ObjectInfo] = field(default_factory=list[ObjectInfo])
    prefixes: list[str] = field(default_factory=list[str])
    marker: str = ""
    uncommitted: list[str] = field(default_factory=list[str])


class _PageParser:
    """Reads a page in one go, without a tree: a page has up to 5,000 blobs of some twenty elements."""

    def __init__(self, uncommitted: bool) -> None:
        self.page = Answered()
        self._apart = uncommitted
        self._text: list[str] = []
        self._fields: dict[str, str] = {}
        self._metadata: dict[str, str] = {}
        self._in_metadata = False
        self._encoded = False
        self._parser = expat.ParserCreate("utf-8")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._first
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text.append

    def parse(self, body: bytes) -> Answered:
        self._parser.Parse(body, True)
        return self.page

    def _first(self, tag: str, _: dict[str, str]) -> None:
        if tag != "EnumerationResults":
            raise ValueError(f"it holds <{tag}>, not <EnumerationResults>")
        self._parser.StartElementHandler = self._start

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._text.clear()
        if tag == "Metadata":
            self._in_metadata = True
        elif tag in ("Blob", "BlobPrefix"):
            self._fields, self._metadata, self._encoded = {}, {}, False
        elif tag == "Name":
            # A name that XML cannot hold comes percent-encoded, and says so.
            self._encoded = attributes.get("Encoded") == "true"

    def _end(self, tag: str) -> None:
        if tag == "Metadata":
            self._in_metadata = False
        elif self._in_metadata:
            self._metadata[tag] = "".join(self._text)
            self._text.clear()
        elif tag == "Blob":
            self._blob()
        elif tag == "BlobPrefix":
            self.page.prefixes.append(self._name())
        elif tag == "NextMarker":
            self.page.marker = "".join(self._text)
        elif self._text:
            self._fields[tag] = "".join(self._text)
            self._text.clear()

    def _name(self) -> str:
        name = self._fields.get("Name", "")
        return unquote(name) if self._encoded else name

    def _blob(self) -> None:
        get = self._fields.get
        size = int(get("Content-Length", "0"))
        if self._apart and not size and not get("Content-Type"):
            # What is committed has a type; a name that has none has open blocks only.
            self.page.uncommitted.append(self._name())
            return
        metadata = self._metadata
        if get("ResourceType") == "directory":
            metadata.setdefault("hdi_isfolder", "true")
        self.page.infos.append(
            ObjectInfo(
                key=self._name(),
                size=size,
                content_type=get("Content-Type", ""),
                etag=etag_of(get("Etag", "")),
                modified=parse_date(get("Last-Modified", "")),
                metadata=believed(metadata, get("BlobType", "")),
                headers={name: value for name in HEADERS if (value := get(name))},
                digests=digests_of(get("Content-MD5", ""), get("BlobType", "")),
            )
        )


def parse_page(body: bytes, *, uncommitted: bool = False) -> Answered:
    """Read the answer to List Blobs.

    :param uncommitted: names with open blocks only were asked for, and are to be told apart
    :raises ValueError, ExpatError: when it is something else
    """
    return _PageParser(uncommitted).parse(body)


def digests_of(content_md5: str, blob_type: str) -> Mapping[str, str]:
    """Return the MD5 that the service keeps of a blob. Of page and append blobs it is not kept up to date."""
    value = hashing.from_base64(content_md5, "md5") if content_md5 and blob_type == "BlockBlob" else ""
    return {"md5": value} if value else {}


def believed(metadata: dict[str, str], blob_type: str, *, copied: bool = True) -> dict[str, str]:
    """Return metadata without what it tells of a content that may be another one.

    :param copied: it is not the target of a copy that is unfinished, or failed: that has the metadata and no content
    """
    if copied and blob_type in ("BlockBlob", ""):
        return metadata
    # Page and append blobs are written in place, and keep their metadata.
    ours = ("fk_hash",) if copied else ("fk_hash", "fk_token")
    return {name: value for name, value in metadata.items() if name not in ours}


def info_of(key: str, headers: Mapping[str, str], *, size: int, whole: bool = True) -> ObjectInfo:
    """Make the record of a blob out of the headers of an answer that tells of all of it.

    :param size: of the whole blob, -1 where the answer does not tell it
    :param whole: the answer's ``Content-MD5`` is that of the whole content, not of a range
    """
    get, kind = headers.get, headers.get("x-ms-blob-type", "")
    md5 = get("x-ms-blob-content-md5") or (get("Content-MD5", "") if whole else "")
    # Names keep the case in which they were written; ours have lower case only.
    metadata = {name[10:]: value for name, value in headers.items() if name[:10].lower() == "x-ms-meta-"}
    copied = get("x-ms-copy-status", COPIED) == COPIED
    return ObjectInfo(
        key=key,
        size=size,
        content_type=get("Content-Type", ""),
        etag=etag_of(get("ETag", "")),
        modified=parse_date(get("Last-Modified", "")),
        metadata=believed(metadata, kind, copied=copied),
        headers={name: value for name in HEADERS if (value := get(name))},
        digests=digests_of(md5 if copied else "", kind),
    )
