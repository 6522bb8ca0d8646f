"""The XML of S3's answers, as mappings by the names of the API Reference."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_plus
from xml.etree import ElementTree

_LISTS = {
    "Contents": "Contents",
    "CommonPrefixes": "CommonPrefixes",
    "Part": "Parts",
    "Upload": "Uploads",
    "Deleted": "Deleted",
    "Error": "Errors",
    "Tag": "TagSet",
}
"""Elements that come any number of times, by name, and the member that holds them."""

_ENCODED = ("Prefix", "Delimiter", "Marker", "NextMarker", "StartAfter")

# The usual form of an entry of a listing, as Amazon and most others write it.
_ENTRY = re.compile(
    "<Contents><Key>([^<]*)</Key><LastModified>([^<]*)</LastModified><ETag>([^<]*)</ETag>"
    "(?:<Checksum[A-Za-z]*>[^<]*</Checksum[A-Za-z]*>)*<Size>([0-9]+)</Size>"
    "(?:<Owner>(?:<(?:ID|DisplayName)>[^<]*</(?:ID|DisplayName)>|<DisplayName/>|<DisplayName />)*</Owner>)?"
    "(?:<StorageClass>[^<]*</StorageClass>)?</Contents>"
)
_PREFIX = re.compile("<CommonPrefixes><Prefix>([^<]*)</Prefix></CommonPrefixes>")
_REFERENCE = re.compile("&(?:#([0-9]+)|#x([0-9a-fA-F]+)|(amp|lt|gt|quot|apos));")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


def parse(body: bytes) -> tuple[str, dict[str, Any]]:
    """Return the name of the root element and what it holds.

    :raises ValueError: it is no XML
    """
    try:
        root = ElementTree.fromstring(body.strip())
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise ValueError(f"it is no XML ({error})") from error
    return _name(root), _members(root)


def parse_listing(body: bytes) -> tuple[str, dict[str, Any]]:
    """Return the same of a listing, with its entries as ``Rows``: key, modified, etag and size as they are written.

    Its common prefixes are ``Names``. One expression reads entries of the usual form, if it sees every one of them;
    else the parser does.

    :raises ValueError: it is no XML
    """
    try:
        text = body.decode("utf-8").replace("&quot;", '"')
    except UnicodeDecodeError:
        text = ""
    rows: list[tuple[str, str, str, str]] = _ENTRY.findall(text)
    names: list[str] = _PREFIX.findall(text)
    count = text.count("<Contents")
    if (
        count == len(rows)
        and text.count("</Contents><Contents>") == max(0, count - 1)  # nothing stands between two of them
        and text.count("<CommonPrefixes") == len(names)
        and "<!" not in text  # neither a comment nor a section, in which an entry would be none
    ):
        if count:
            text = text[: text.index("<Contents>")] + text[text.rindex("</Contents>") + len("</Contents>") :]
        root, found = parse(_PREFIX.sub("", text).encode())
        if b"&" in body:
            rows = [(_plain(key), modified, _plain(etag), size) for key, modified, etag, size in rows]
            names = [_plain(name) for name in names]
    else:
        root, found = parse(body)
        rows = [
            (entry.get("Key", ""), entry.get("LastModified", ""), entry.get("ETag", ""), entry.get("Size", ""))
            for entry in found.pop("Contents", ())
        ]
        names = [entry.get("Prefix", "") for entry in found.pop("CommonPrefixes", ())]
    if found.get("EncodingType") == "url":
        for name in _ENCODED:
            if name in found:
                found[name] = unquote_plus(found[name])
        if b"%" in body or b"+" in body:
            rows = [(unquote_plus(row[0]), *row[1:]) for row in rows]
            names = [unquote_plus(name) for name in names]
    found["Rows"], found["Names"] = rows, names
    return root, found


def _plain(text: str) -> str:
    return _REFERENCE.sub(_resolved, text) if "&" in text else text


def _resolved(found: re.Match[str]) -> str:
    decimal, hexadecimal, name = found.groups()
    if name:
        return _NAMED[name]
    number = int(decimal) if decimal else int(hexadecimal, 16)
    return chr(number) if number < 0x110000 else "\ufffd"


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _members(element: ElementTree.Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for child in element:
        name = _name(child)
        value: Any = _members(child) if len(child) else (child.text or "")
        if name == "TagSet":
            found["TagSet"] = [_members(tag) for tag in child]
        elif (several := _LISTS.get(name)) is not None:
            found.setdefault(several, []).append(value if isinstance(value, dict) else {})
        else:
            found[name] = value
    return found
