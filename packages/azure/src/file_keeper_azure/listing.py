"""What the service tells of blobs: pages of them in XML, and one in the headers of an answer.

https://learn.microsoft.com/rest/api/storageservices/list-blobs
"""

from __future__ import annotations

import binascii
import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import unquote
from xml.parsers import expat

from file_keeper.backend import ObjectInfo

HEADERS = ("Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language")

_PLAIN = tuple((name, name.lower()) for name in HEADERS)

_FOLDER = "hdi_isfolder"

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

    :param keys: the names of blobs
    :param infos: the blobs, in the same order; none where names were enough
    :param prefixes: what names have in common up to the delimiter
    :param marker: where the next page begins, ``""`` on the last one
    :param uncommitted: names that have blocks and no content yet (only when they were asked for)
    """

    keys: list[str] = field(default_factory=list[str])
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
        self.page.keys.append(self._name())
        if get("ResourceType") == "directory":
            metadata.setdefault(_FOLDER, "true")
        self.page.infos.append(
            ObjectInfo(
                key=self.page.keys[-1],
                size=size,
                content_type=get("Content-Type", ""),
                etag=etag_of(get("Etag", "")),
                modified=parse_date(get("Last-Modified", "")),
                metadata=believed(metadata, get("BlobType", "")),
                headers={name: value for name in HEADERS if (value := get(name))},
                digests=digests_of(get("Content-MD5", ""), get("BlobType", "")),
            )
        )


# -- the usual form ----------------------------------------------------------------------------------------------------

_PLAIN_TEXT = r"[^<&\0-\x1f]*+"
_TEXT = rf"{_PLAIN_TEXT}(?:&(?:amp|lt|gt|quot|apos|#[0-9]{{1,7}}|#x[0-9a-fA-F]{{1,6}});{_PLAIN_TEXT})*+"
# What is of no interest here, in any order; a page with other names is left to the parser.
_OTHERS = (
    "AccessTier(?:Inferred|ChangeTime)?|Lease(?:Status|State|Duration)|ServerEncrypted|EncryptionScope|"
    "CustomerProvidedKeySha256|IncrementalCopy|ArchiveStatus|RehydratePriority|TagCount|LastAccessTime|"
    "ImmutabilityPolicy(?:UntilDate|Mode)|LegalHold|Expiry-Time"
)


@functools.cache
def _blob(text: str) -> re.Pattern[str]:
    """Return the expression for a blob; compiled when it is first needed, which takes some milliseconds.

    :param text: the expression for what stands between tags
    """

    def one(name: str, kept: str = f"({text})") -> str:
        return f"<{name}(?:>{kept}</{name}>| ?/>)"

    def maybe(name: str, kept: str = f"({text})") -> str:
        return f"(?:{one(name, kept)})?+"

    return re.compile(
        f"<Blob><Name>({text})</Name><Properties>{maybe('Creation-Time', text)}"
        f"<Last-Modified>({text})</Last-Modified><Etag>({text})</Etag>{maybe('ResourceType', 'file')}"
        f"<Content-Length>([0-9]++)</Content-Length>{one('Content-Type')}"
        f"{maybe('Content-Encoding')}{maybe('Content-Language')}{maybe('Content-CRC64', text)}"
        f"{maybe('Content-MD5')}{maybe('Cache-Control')}{maybe('Content-Disposition')}"
        f"{maybe('x-ms-blob-sequence-number', text)}<BlobType>([A-Za-z]++)</BlobType>"
        rf"(?:<({_OTHERS})(?:>{text}</\12>| ?/>))*+{maybe('ResourceType', 'file')}</Properties>"
        rf"(?:<Metadata(?:>((?:<([^\W\d][\w.-]*+)(?:>{text}</\14>| ?/>))*+)</Metadata>| ?/>))?+"
        "(?:<OrMetadata ?/>)?+</Blob>"
    )


_PREFIXES = re.compile(f"(?:<BlobPrefix><Name>{_TEXT}</Name></BlobPrefix>)*")
_PREFIX = re.compile("<Name>([^<]*)</Name>")
_METADATA = re.compile("<([^ <>/]+)(?:>([^<]*)</|[^>]*>)")
_HEAD = re.compile(
    r'(?:<\?xml version="1\.0" encoding="[Uu][Tt][Ff]-8"(?: standalone="yes")? ?\?>)?\s*'
    rf'<EnumerationResults(?: [A-Za-z]+="[^"<]*")*>(?:<([A-Z][A-Za-z]*)(?:>{_TEXT}</\1>| ?/>))*'
)
_TAIL = re.compile(rf"</Blobs><NextMarker(?:>({_TEXT})</NextMarker>| ?/>)</EnumerationResults>\s*")
_ENTITY = re.compile("&(?:([a-z]+)|#([0-9]+)|#x([0-9a-fA-F]+));")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


def _character(found: re.Match[str]) -> str:
    name, decimal, other = found.groups()
    if name:
        return _NAMED[name]
    code = int(decimal) if decimal else int(other, 16)
    if not (code in (9, 10, 13) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or 0x10000 <= code <= 0x10FFFF):
        raise ValueError("a reference to a character that XML does not have")
    return chr(code)


def _plain(text: str) -> str:
    return _ENTITY.sub(_character, text) if "&" in text else text


def _usual(body: bytes, *, keys_only: bool) -> Answered | None:
    """Read a page that has the form in which the service writes it; ``None`` when not all of it has.

    What is between the blobs that the expression finds shows whether it found all: prefixes, or nothing.
    """
    text = body.decode("utf-8-sig")
    start, stop = text.find("<Blobs>"), text.rfind("</Blobs>")
    end = _TAIL.fullmatch(text, stop)
    if start < 0 or end is None or not _HEAD.fullmatch(text, 0, start):
        return None
    inner = text[start + 7 : stop]
    blob = _blob(_TEXT if "&" in inner else _PLAIN_TEXT)
    parts, step = blob.split(inner), blob.groups + 1
    between = "".join(parts[::step])
    if between and not _PREFIXES.fullmatch(between):
        return None
    names, dates, etags, sizes, types, encoding, language, md5s, control, disposition, kinds, _, metadata, _ = (
        parts[at::step] for at in range(1, step)
    )
    page = Answered(marker=_plain(end[1] or ""))
    page.keys = list(map(_plain, names)) if "&" in inner else names
    page.prefixes = [_plain(name) for name in _PREFIX.findall(between)] if between else []
    if keys_only and not _may_have_folders(page.keys, metadata):
        return page
    moments = {text: parse_date(text) for text in set(dates)}
    columns = control, disposition, encoding, language  # as HEADERS names them
    written = any(map(any, columns))
    headers = [_headers(values) if written else dict[str, str]() for values in zip(*columns, strict=True)]
    page.infos = [
        ObjectInfo(
            key=key,
            size=int(size),
            content_type=_plain(kind) if kind else "",
            etag=etag_of(etag),
            modified=moments[date],
            metadata=believed({name: _plain(value) for name, value in _METADATA.findall(told)}, blob) if told else {},
            headers=header,
            digests=digests_of(md5, blob) if md5 else {},
        )
        for key, date, etag, size, kind, md5, blob, told, header in zip(
            page.keys, dates, etags, sizes, types, md5s, kinds, metadata, headers, strict=True
        )
    ]
    return page


def _may_have_folders(keys: Sequence[str], metadata: Sequence[str | None]) -> bool:
    """Return whether something may stand for a directory: a name that ends in a slash, metadata that says so."""
    return "/\n" in "\n".join((*keys, "")) or _FOLDER in "".join(filter(None, metadata)).lower()


def _headers(values: Sequence[str | None]) -> dict[str, str]:
    return {name: _plain(value) for name, value in zip(HEADERS, values, strict=True) if value}


def parse_page(body: bytes, *, uncommitted: bool = False, keys_only: bool = False) -> Answered:
    """Read the answer to List Blobs.

    :param uncommitted: names with open blocks only were asked for, and are to be told apart
    :param keys_only: names are enough, unless something is among them that stands for a directory
    :raises ValueError, ExpatError: when it is something else
    """
    if not uncommitted:
        try:
            page = _usual(body, keys_only=keys_only)
        except ValueError:  # what is wrong with it is told by the parser
            page = None
        if page is not None:
            return page
    return _PageParser(uncommitted).parse(body)


def digests_of(content_md5: str, blob_type: str) -> Mapping[str, str]:
    """Return the MD5 that the service keeps of a blob. Of page and append blobs it is not kept up to date."""
    if not content_md5 or blob_type != "BlockBlob":
        return {}
    try:
        digest = binascii.a2b_base64(content_md5, strict_mode=True)
    except ValueError:
        return {}
    return {"md5": digest.hex()} if len(digest) == 16 else {}


def believed(metadata: dict[str, str], blob_type: str, *, copied: bool = True) -> dict[str, str]:
    """Return metadata without what it tells of a content that may be another one.

    :param copied: it is not the target of a copy that is unfinished, or failed: that has the metadata and no content
    """
    if copied and blob_type in ("BlockBlob", ""):
        return metadata
    # Page and append blobs are written in place, and keep their metadata.
    ours = ("fk_hash",) if copied else ("fk_hash", "fk_token")
    return {name: value for name, value in metadata.items() if name not in ours}


def info_of(
    key: str, headers: Mapping[str, str], lines: list[tuple[str, str]], *, size: int, whole: bool = True
) -> ObjectInfo:
    """Make the record of a blob out of the headers of an answer that tells of all of it.

    :param headers: by names in lower case
    :param lines: the same, their names as they were spelled
    :param size: of the whole blob, -1 where the answer does not tell it
    :param whole: the answer's ``Content-MD5`` is that of the whole content, not of a range
    """
    get, kind = headers.get, headers.get("x-ms-blob-type", "")
    md5 = get("x-ms-blob-content-md5") or (get("content-md5", "") if whole else "")
    # Names keep the case in which they were written; ours have lower case only.
    metadata = {name[10:]: headers[name.lower()] for name, _ in lines if name[:10].lower() == "x-ms-meta-"}
    copied = get("x-ms-copy-status", COPIED) == COPIED
    return ObjectInfo(
        key=key,
        size=size,
        content_type=get("content-type", ""),
        etag=etag_of(get("etag", "")),
        modified=parse_date(get("last-modified", "")),
        metadata=believed(metadata, kind, copied=copied),
        headers={name: value for name, lower in _PLAIN if (value := get(lower))},
        digests=digests_of(md5 if copied else "", kind),
    )
