"""Objects: list. Order, prefixes, offsets, pages.

Reference: "Objects: list" (every parameter), "List objects" (order: UTF-8 encoded lexicographic), "Pagination".
"""

from __future__ import annotations

import base64
import bisect
import re
from typing import Any

from .errors import invalid
from .messages import Request
from .store import Bucket, StoredObject

PAGE = 1000  # "Objects: list", maxResults: the recommended upper value and default is 1,000, and the service's cap


def list_objects(bucket: Bucket, request: Request) -> dict[str, Any]:
    query = request.query
    prefix = query.get("prefix", "").encode()
    delimiter = query.get("delimiter", "").encode()
    low = max(prefix, query.get("startOffset", "").encode())
    high = query.get("endOffset", "").encode()
    limit = min(request.number("maxResults") or PAGE, PAGE)
    glob = glob_pattern(query["matchGlob"]) if query.get("matchGlob") else None
    trailing = request.flag("includeTrailingDelimiter")
    versions = request.flag("versions")

    keys = sorted({*bucket.keys, *(name.encode() for name in bucket.archived)}) if versions else bucket.keys
    skip = _token(query["pageToken"]) if query.get("pageToken") else None
    at = bisect.bisect_left(keys, low)
    if skip is not None:
        at = max(at, _past(keys, skip))
    items: list[StoredObject] = []
    prefixes: list[str] = []
    last: bytes | None = None
    more = False
    while at < len(keys):
        key = keys[at]
        if (high and key >= high) or not key.startswith(prefix):
            break
        if glob is not None and not glob.fullmatch(key.decode()):
            at += 1
            continue
        if len(items) + len(prefixes) >= limit:
            more = True
            break
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            items += _versions(bucket, key.decode(), versions)
            last = b"k" + key
            at += 1
            continue
        group = key[: cut + len(delimiter)]
        prefixes.append(group.decode())
        if trailing and key == group:
            items += _versions(bucket, key.decode(), versions)
        last = b"p" + group
        at = _past(keys, last)
    found: dict[str, Any] = {"kind": "storage#objects"}
    if prefixes:
        found["prefixes"] = prefixes
    if items:
        found["items"] = [item.resource(request.base) for item in items]
    if more and last is not None:
        found["nextPageToken"] = base64.urlsafe_b64encode(last).decode()
    return found


def _versions(bucket: Bucket, name: str, versions: bool) -> list[StoredObject]:
    live = [bucket.live[name]] if name in bucket.live else []
    return [*bucket.archived.get(name, ()), *live] if versions else live


def _token(text: str) -> bytes:
    try:
        found = base64.urlsafe_b64decode(text)
    except ValueError:
        found = b""
    if found[:1] not in (b"k", b"p"):
        raise invalid("Invalid page token")
    return found


def _past(keys: list[bytes], mark: bytes) -> int:
    """Where the listing goes on behind a key (k) or behind all keys of a common prefix (p)."""
    kind, text = mark[:1], mark[1:]
    if kind == b"k":
        return bisect.bisect_right(keys, text)
    # No byte of UTF-8 is 0xFF, so this is behind everything that begins with the prefix.
    return bisect.bisect_left(keys, text + b"\xff")


def glob_pattern(glob: str) -> re.Pattern[str]:
    """Reference: "List objects", matchGlob: `*` within a segment, `**` across, `?`, `[...]`, `{a,b}`."""
    out, depth, at = "", 0, 0
    while at < len(glob):
        char = glob[at]
        at += 1
        if glob.startswith("**", at - 1):
            out, at = out + ".*", at + 1
        elif char == "*":
            out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "[" and (end := glob.find("]", at)) > 0:
            inner = glob[at:end]
            out += "[" + ("^" + inner[1:] if inner[:1] in "!^" else inner).replace("\\", "\\\\") + "]"
            at = end + 1
        elif char == "{":
            out, depth = out + "(?:", depth + 1
        elif char == "}" and depth:
            out, depth = out + ")", depth - 1
        elif char == "," and depth:
            out += "|"
        else:
            out += re.escape(char)
    if depth:
        raise invalid("Invalid matchGlob")
    return re.compile(out, re.S)


def select(value: Any, fields: str) -> Any:
    """The partial answer that `fields` asks for.

    Reference: "Cloud Storage JSON API overview", Partial response: `a,b`, `a/b`, `a(b,c)`, `*`.
    """
    tree, rest = _fields(fields.strip(), 0)
    if rest != len(fields.strip()):
        raise invalid(f"Invalid field selection {fields}")
    return _prune(value, tree)


def _fields(text: str, at: int) -> tuple[dict[str, Any], int]:
    tree: dict[str, Any] = {}
    while at < len(text) and text[at] != ")":
        path: list[str] = []
        while found := re.compile(r"\s*([\w*.-]+)\s*(/?)").match(text, at):
            path.append(found[1])
            at = found.end()
            if not found[2]:
                break
        if not path:
            raise invalid(f"Invalid field selection {text}")
        node = tree
        for name in path[:-1]:
            node = node.setdefault(name, {})
        inner: dict[str, Any] = {}
        if at < len(text) and text[at] == "(":
            inner, at = _fields(text, at + 1)
            if at >= len(text):
                raise invalid(f"Invalid field selection {text}")
            at += 1
        node.setdefault(path[-1], {}).update(inner)
        if at < len(text) and text[at] == ",":
            at += 1
        elif at < len(text) and text[at] != ")":
            raise invalid(f"Invalid field selection {text}")
    return tree, at


def _prune(value: Any, tree: dict[str, Any]) -> Any:
    if not tree:
        return value
    if isinstance(value, list):
        return [_prune(item, tree) for item in value]
    if not isinstance(value, dict):
        return value
    if "*" in tree:
        return {key: _prune(item, tree["*"] | tree.get(key, {})) for key, item in value.items()}
    return {key: _prune(item, tree[key]) for key, item in value.items() if key in tree}
