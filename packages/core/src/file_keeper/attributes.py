"""Metadata and headers in the form that every provider carries, and back."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from . import exc, hashing
from .backend import Limits, ObjectInfo
from .data import FileData
from .resilience.retry import TOKEN

HASH = "fk_hash"
"""The reserved metadata key of a recorded hash, ``algorithm:hex``."""

MD5 = "md5chksum"
"""The metadata key under which rclone and others record an MD5 on S3, as base64."""

_KEY = re.compile("[a-z][a-z0-9_]*")
_VALUE = re.compile("(?:[!-~](?:[ -~]*[!-~])?)?")
_WORD = re.compile(r"=\?utf-8\?b\?([A-Za-z0-9+/=]*)\?=", re.IGNORECASE)
_HEX = "fk_x"
_HEADERS = {
    name.lower(): name for name in ("Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language")
}

# What our own keys may need, so that one metadata fits everywhere or nowhere: the token and a recorded hash.
_TOKEN_SIZE = len(TOKEN) + 16


def _is_ours(key: str) -> bool:
    return key.startswith("fk_") or key == MD5


def new_token() -> str:
    """Make the random token of one create."""
    return os.urandom(8).hex()


def encode(metadata: Mapping[str, str], limits: Limits, algorithm: str) -> dict[str, str]:
    """Give metadata in its encoded form: names of ``[a-z][a-z0-9_]*``, values of printable ASCII.

    Other names become ``fk_x`` and the hex of their UTF-8, other values an RFC 2047 encoded word.

    :param algorithm: of the hash that may be recorded beside it: what it takes counts
    :raises ContentError: for what cannot be sent: reserved or empty names, line breaks, too much
    """
    result: dict[str, str] = {}
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise exc.ContentError(f"metadata is text by name, not {key!r}: {value!r}")
        if not key or "\r" in key + value or "\n" in key + value or "\0" in key + value:
            raise exc.ContentError(f"metadata {key!r}: an empty name, line breaks and NUL cannot be kept")
        if _is_ours(key):
            raise exc.ContentError(f"metadata {key!r}: the names fk_... and {MD5} are reserved")
        try:
            name = key if _KEY.fullmatch(key) else _HEX + key.encode().hex()
            if not _VALUE.fullmatch(value) or _WORD.search(value):
                value = f"=?utf-8?b?{base64.b64encode(value.encode()).decode('ascii')}?="
        except UnicodeEncodeError:
            raise exc.ContentError(f"metadata {key!r}: lone surrogates cannot be kept") from None
        result[name] = value
    own = _TOKEN_SIZE + len(HASH) + len(algorithm) + 1 + 2 * hashing.digest_size(algorithm)
    size = sum(len(key) + len(value) for key, value in result.items()) + own
    if result and size > limits.metadata_max:
        raise exc.ContentError(
            f"the metadata takes {size} bytes in its encoded form ({own} of them our own), "
            f"at most {limits.metadata_max} can be kept"
        )
    return result


def decode(raw: Mapping[str, str]) -> dict[str, str]:
    """Give the user's metadata out of its encoded form; what is ours is left out."""
    result: dict[str, str] = {}
    for key, value in raw.items():
        if key.startswith(_HEX):
            try:
                key = bytes.fromhex(key[len(_HEX) :]).decode()
            except ValueError:
                continue
        elif _is_ours(key.lower()):
            continue
        if found := _WORD.fullmatch(value):
            try:
                value = base64.b64decode(found[1], validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                pass
        result[key] = value
    return result


def record(digests: Mapping[str, str], algorithm: str, native: Iterable[str], limits: Limits) -> dict[str, str]:
    """Give the metadata that records a hash which the provider itself does not keep; none when it does."""
    value = digests.get(algorithm, "")
    if not value or algorithm in native or not limits.metadata:
        return {}
    if algorithm == "md5" and limits.md5_metadata:
        return {limits.md5_metadata: hashing.to_base64(value)}
    return {HASH: f"{algorithm}:{value}"}


def recorded(raw: Mapping[str, str]) -> dict[str, str]:
    """Give the hashes that metadata records, algorithm to hex."""
    result: dict[str, str] = {}
    algorithm, _, value = raw.get(HASH, "").partition(":")
    if value and hashing.is_hex(value, algorithm):
        result[algorithm] = value.lower()
    if (value := raw.get(MD5)) and (digest := hashing.from_base64(value, "md5")):
        result["md5"] = digest
    return result


def without_ours(raw: Mapping[str, str]) -> dict[str, str]:
    """Give encoded metadata without what is true only of one object: its token and its hash."""
    return {key: value for key, value in raw.items() if key not in (TOKEN, HASH, MD5)}


_PREFERRED = ("md5", "sha256", "sha512", "sha1", "crc64nvme", "crc32c")


def pick(digests: Mapping[str, str], algorithm: str) -> tuple[str, str]:
    """Give the one hash to show, with its algorithm: the wanted one, else the best that there is."""
    for name in (algorithm, *_PREFERRED, *sorted(digests)):
        if name in digests:
            return digests[name], name
    return "", ""


def all_digests(info: ObjectInfo) -> dict[str, str]:
    """Give what is known of an object's hashes: kept by the provider, or recorded by us."""
    return {**recorded(info.metadata), **info.digests}


def describe(info: ObjectInfo, location: str, algorithm: str) -> FileData:
    """Make the data of a file out of what the provider tells."""
    value, name = pick(all_digests(info), algorithm)
    return FileData(
        location,
        size=info.size,
        content_type=info.content_type,
        hash=value,
        algorithm=name,
        modified=info.modified,
        etag=info.etag,
        metadata=decode(info.metadata),
        headers=dict(info.headers),
    )


_ATTR_CHARS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def disposition(value: str) -> str:
    """Give a ``Content-Disposition`` that every client can read: RFC 6266, with RFC 8187 for names beyond ASCII.

    ``attachment; filename="Résumé.pdf"`` gets an ASCII stand-in for old clients beside the real name.

    :raises ContentError: for line breaks and control characters
    """
    if any(ord(char) < 32 or ord(char) == 127 for char in value):
        raise exc.ContentError("Content-Disposition: control characters and line breaks cannot be sent")
    if value.isascii():
        return value
    found = re.search(r'filename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;]+))', value, re.IGNORECASE)
    if not found or not (value[: found.start()] + value[found.end() :]).isascii():
        raise exc.ContentError(f"Content-Disposition {value!r}: only the file name may go beyond ASCII")
    name = re.sub(r"\\(.)", r"\1", found[1]) if found[1] is not None else found[2].strip()
    stand_in = "".join(char if char.isascii() and char not in '"\\%' else "_" for char in name)
    try:
        real = "".join(chr(byte) if byte in _ATTR_CHARS else f"%{byte:02X}" for byte in name.encode())
    except UnicodeEncodeError:
        raise exc.ContentError("Content-Disposition: lone surrogates cannot be sent") from None
    return f"{value[: found.start()]}filename=\"{stand_in}\"; filename*=UTF-8''{real}{value[found.end() :]}"


def check_headers(headers: Mapping[str, Any]) -> dict[str, str]:
    """Give headers with their names in the usual spelling.

    :raises ContentError: for other headers than the four that are kept, and for values that cannot be sent
    """
    result: dict[str, str] = {}
    for key, value in headers.items():
        name = _HEADERS.get(str(key).lower())
        if name is None:
            raise exc.ContentError(f"header {key!r} is not one that is kept: {', '.join(_HEADERS.values())}")
        if not isinstance(value, str):
            raise exc.ContentError(f"header {name}: {value!r} is not text")
        if name == "Content-Disposition":
            value = disposition(value)
        if not _VALUE.fullmatch(value):
            raise exc.ContentError(f"header {name}: {value!r} is not printable ASCII without outer spaces")
        if value:
            result[name] = value
    return result
