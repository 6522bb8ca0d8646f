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
from .data import FileData, listed

TOKEN = "fk_token"
"""The reserved metadata name of the random token of one create (contract 6.1.3); sent as :func:`named` says."""

HASH = "fk_hash"
"""The reserved metadata name of a recorded hash, ``algorithm:hex``; sent as :func:`named` says."""

MD5 = "md5chksum"
"""The metadata key under which rclone and others record an MD5 on S3, as base64."""

# Names that go as they are. nginx drops headers with an underscore, which breaks the signature of the request; Ceph and
# Swift turn it into a dash. Azure takes identifiers only.
_PLAIN = {"identifiers": re.compile("[a-z][a-z0-9_]*"), "headers": re.compile("[a-z][a-z0-9-]*")}
# What a proxy may change of a value, or a service drop: outer and double spaces, an empty one.
_VALUE = re.compile("[!-~]+(?: [!-~]+)*")
_HEADER = re.compile("(?:[!-~](?:[ -~]*[!-~])?)?")
_WORD = re.compile(r"=\?utf-8\?b\?([A-Za-z0-9+/=]*)\?=", re.IGNORECASE)
_OURS = re.compile("fk[-_]", re.IGNORECASE)
_HEX = "fk_x"
_HEADERS = {
    name.lower(): name for name in ("Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language")
}

# What our own keys may need, so that one metadata fits everywhere or nowhere: the token and a recorded hash.
_TOKEN_SIZE = len(TOKEN) + 16


def _is_ours(key: str) -> bool:
    return _OURS.match(key) is not None or key.lower() == MD5


def named(name: str, limits: Limits) -> str:
    """Return one of our names as this provider carries it."""
    return name.replace("_", "-") if limits.metadata_names == "headers" else name


def _own(raw: Mapping[str, str]) -> dict[str, str]:
    """Return what is ours of metadata, by our names, in whatever case and with whichever separator it came back."""
    return {key.lower().replace("-", "_"): value for key, value in raw.items() if _is_ours(key)}


def _user_key(key: str) -> str | None:
    """Return the user's name of encoded metadata; ``None`` for what is ours."""
    if not _is_ours(key):
        return key
    if key[2:4].lower() not in ("-x", "_x"):
        return None
    try:
        return bytes.fromhex(key[len(_HEX) :]).decode()
    except ValueError:
        return None


def _sent_key(key: str, names: str) -> str:
    if _PLAIN[names].fullmatch(key):
        return key
    return ("fk-x" if names == "headers" else _HEX) + key.encode().hex()


def new_token() -> str:
    """Make the random token of one create."""
    return os.urandom(8).hex()


def token_of(metadata: Mapping[str, str]) -> str:
    """Return the token in encoded metadata, ``""`` where there is none."""
    return _own(metadata).get(TOKEN, "")


def encode(metadata: Mapping[str, str], limits: Limits, algorithm: str) -> dict[str, str]:
    """Return metadata in its encoded form: names as the provider carries them, values of printable ASCII.

    Other names become ``fk-x`` or ``fk_x`` and the hex of their UTF-8, other values an RFC 2047 encoded word.

    :param algorithm: of the hash that may be recorded beside it: what it takes counts
    :raises ContentError: for what cannot be sent: reserved or empty names, line breaks, too much
    """
    result: dict[str, str] = {}
    size = 0
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise exc.ContentError(f"metadata is text by name, not {key!r}: {value!r}")
        if not key or "\r" in key + value or "\n" in key + value or "\0" in key + value:
            raise exc.ContentError(f"metadata {key!r}: an empty name, line breaks and NUL cannot be kept")
        if _is_ours(key):
            raise exc.ContentError(f"metadata {key!r}: the names fk-..., fk_... and {MD5} are reserved")
        try:
            name = _sent_key(key, limits.metadata_names)
            # Every provider's form is counted, so that what fits here fits after a change of the type.
            size += max(len(_sent_key(key, names)) for names in _PLAIN)
            if not _VALUE.fullmatch(value) or _WORD.search(value):
                value = f"=?utf-8?b?{base64.b64encode(value.encode()).decode('ascii')}?="
        except UnicodeEncodeError:
            raise exc.ContentError(f"metadata {key!r}: lone surrogates cannot be kept") from None
        result[name] = value
        size += len(value)
    own = _TOKEN_SIZE + len(HASH) + len(algorithm) + 1 + 2 * hashing.digest_size(algorithm)
    size += own
    if result and size > limits.metadata_max:
        raise exc.ContentError(
            f"the metadata takes {size} bytes in its encoded form ({own} of them our own), "
            f"at most {limits.metadata_max} can be kept"
        )
    return result


def decode(raw: Mapping[str, str]) -> dict[str, str]:
    """Return the user's metadata out of its encoded form; what is ours is left out."""
    result: dict[str, str] = {}
    for sent, value in raw.items():
        key = _user_key(sent)
        if key is None:
            continue
        if found := _WORD.fullmatch(value):
            try:
                value = base64.b64decode(found[1], validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                pass
        result[key] = value
    return result


def record(digests: Mapping[str, str], algorithm: str, native: Iterable[str], limits: Limits) -> dict[str, str]:
    """Return the metadata that records a hash which the provider itself does not keep; none when it does."""
    value = digests.get(algorithm, "")
    if not value or algorithm in native or not limits.metadata:
        return {}
    if algorithm == "md5" and limits.md5_metadata:
        return {limits.md5_metadata: hashing.to_base64(value)}
    return {named(HASH, limits): f"{algorithm}:{value}"}


def recorded(raw: Mapping[str, str]) -> dict[str, str]:
    """Return the hashes that metadata records, algorithm to hex."""
    result: dict[str, str] = {}
    raw = _own(raw)
    algorithm, _, value = raw.get(HASH, "").partition(":")
    if value and hashing.is_hex(value, algorithm):
        result[algorithm] = value.lower()
    if (value := raw.get(MD5)) and (digest := hashing.from_base64(value, "md5")):
        result["md5"] = digest
    return result


def without_ours(raw: Mapping[str, str], limits: Limits) -> dict[str, str]:
    """Return encoded metadata for a copy: without what is true of one object only, its token and its hash.

    Names are those that we send today, whoever wrote them, and when.
    """
    result: dict[str, str] = {}
    for sent, value in raw.items():
        key = _user_key(sent)
        if key is not None:
            result[_sent_key(key, limits.metadata_names)] = value
        elif not _own({sent: value}).keys() & {TOKEN, HASH, MD5}:
            result[named(sent, limits)] = value
    return result


def hash_of(raw: Mapping[str, str], limits: Limits) -> dict[str, str]:
    """Return the recorded hash of encoded metadata as it is sent with a copy."""
    own = _own(raw)
    return {named(name, limits) if name == HASH else name: own[name] for name in (HASH, MD5) if name in own}


_PREFERRED = ("md5", "sha256", "sha512", "sha1", "crc64nvme", "crc32c")


def pick(digests: Mapping[str, str], algorithm: str) -> tuple[str, str]:
    """Return the one hash to show, with its algorithm: the wanted one, else the best that there is."""
    if algorithm in digests:
        return digests[algorithm], algorithm
    for name in (*_PREFERRED, *sorted(digests)):
        if name in digests:
            return digests[name], name
    return "", ""


def all_digests(info: ObjectInfo) -> dict[str, str]:
    """Return what is known of an object's hashes: kept by the provider, or recorded by us."""
    return {**recorded(info.metadata), **info.digests}


def describe(info: ObjectInfo, location: str, algorithm: str) -> FileData:
    """Make the data of a file out of what the provider tells."""
    metadata = info.metadata
    digests = all_digests(info) if metadata else info.digests
    return listed(
        location,
        info.size,
        info.etag,
        info.modified,
        info.content_type,
        pick(digests, algorithm) if digests else ("", ""),
        decode(metadata) if metadata else None,
        info.headers,
    )


_ATTR_CHARS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def disposition(value: str) -> str:
    """Return a ``Content-Disposition`` that every client can read: RFC 6266, with RFC 8187 for names beyond ASCII.

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
    """Return headers with their names in the usual spelling.

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
        if not _HEADER.fullmatch(value):
            raise exc.ContentError(f"header {name}: {value!r} is not printable ASCII without outer spaces")
        if value:
            result[name] = value
    return result
