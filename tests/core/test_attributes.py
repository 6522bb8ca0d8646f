"""Metadata, headers and recorded hashes in the form that every provider carries."""

# ruff: noqa: E501 - a value that is told whole is read best on one line

from __future__ import annotations

import base64
import hashlib
import random
import re
from typing import Any

import pytest
from file_keeper import Storage, attributes, exc, make_storage
from file_keeper.backend import Limits, WriteOptions

LIMITS = Limits()


@pytest.fixture
def storage() -> Storage:
    return make_storage("s", {"type": "memory", "overwrite_existing": True})


def test_plain_metadata_goes_as_it_is() -> None:
    plain = {"a": "b", "name_2": "any text, with = and ;", "x": "!~"}
    assert attributes.encode(plain, LIMITS, "md5") == plain
    assert attributes.decode(plain) == plain


@pytest.mark.parametrize(
    ("key", "value", "sent"),
    [
        ("Title", "x", ("fk_x5469746c65", "x")),
        ("título", "x", ("fk_x74c3ad74756c6f", "x")),
        ("a-b", "x", ("fk_x612d62", "x")),
        ("2", "x", ("fk_x32", "x")),
        ("a", " x ", ("a", "=?utf-8?b?IHgg?=")),
        ("a", "é", ("a", "=?utf-8?b?w6k=?=")),
        ("a", "", ("a", "=?utf-8?b??=")),
        ("a", "x  y", ("a", "=?utf-8?b?eCAgeQ==?=")),
        ("a", "\t", ("a", "=?utf-8?b?CQ==?=")),
        ("a", "=?utf-8?b?w6k=?=", ("a", "=?utf-8?b?PT91dGYtOD9iP3c2az0/PQ==?=")),
    ],
)
def test_what_is_encoded(key: str, value: str, sent: tuple[str, str]) -> None:
    assert attributes.encode({key: value}, LIMITS, "md5") == {sent[0]: sent[1]}
    assert attributes.decode(dict([sent])) == {key: value}


def test_round_trips_of_random_metadata() -> None:
    chance = random.Random(5)
    alphabet = "aZ_09 -=?;:\"'\\%é文😀\t\u200b\u2028\x7f\x80" + "=?utf-8?b?"

    def text(longest: int) -> str:
        return "".join(chance.choice(alphabet) for _ in range(chance.randint(0, longest)))

    tried = 0
    for _ in range(3000):
        metadata = {text(6) or "x": text(12) for _ in range(chance.randint(1, 4))}
        if any(key.startswith("fk_") for key in metadata):
            continue
        encoded = attributes.encode(metadata, LIMITS, "md5")
        for key, value in encoded.items():
            assert re.fullmatch("[a-z][a-z0-9_]*", key), key
            assert re.fullmatch("[!-~]([ -~]*[!-~])?", value), value
            assert "  " not in value
        assert attributes.decode(encoded) == metadata
        tried += 1
    assert tried > 2000


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"": "x"}, "an empty name, line breaks and NUL cannot be kept"),
        ({"a": "x\ny"}, "line breaks"),
        ({"a": "x\r"}, "line breaks"),
        ({"a\n": "x"}, "line breaks"),
        ({"a": "\0"}, "NUL"),
        ({"fk_hash": "x"}, "the names fk-..., fk_... and md5chksum are reserved"),
        ({"fk_": "x"}, "reserved"),
        ({"FK-x": "x"}, "reserved"),
        ({"Md5Chksum": "x"}, "reserved"),
        ({"md5chksum": "x"}, "reserved"),
        ({"a": 5}, "metadata is text by name, not 'a': 5"),
        ({5: "a"}, "metadata is text by name, not 5: 'a'"),
        ({"a": None}, "metadata is text by name"),
        ({"a": "\ud800"}, "lone surrogates cannot be kept"),
        ({"\udfff": "a"}, "lone surrogates cannot be kept"),
    ],
)
def test_what_is_refused(metadata: dict[Any, Any], message: str, storage: Storage) -> None:
    for call in (
        lambda: storage.upload("x", b"", metadata=metadata),
        lambda: storage.open("x", "wb", metadata=metadata),
        lambda: storage.multipart_start("x", 5, metadata=metadata),
        lambda: storage.resumable_start("x", 5, metadata=metadata),
    ):
        with pytest.raises(exc.ContentError, match=re.escape(message)):
            call()
    assert not storage.exists("x")


def test_the_limit_is_that_of_the_encoded_form(storage: Storage) -> None:
    def largest(make: Any) -> int:
        size = 0
        for step in (1024, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1):
            try:
                storage.upload("x", b"", metadata=make(size + step))
            except exc.ContentError:
                continue
            size += step
        return size

    own = len("fk_token") + 16 + len("fk_hash") + len("md5:") + 32
    assert own == 67
    with pytest.raises(
        exc.ContentError, match=r"takes 3068 bytes in its encoded form \(67 of them our own\), at most 2048"
    ):
        storage.upload("x", b"", metadata={"k": "x" * 3000})
    assert largest(lambda size: {"k": "x" * size}) == 2048 - own - 1
    words = largest(lambda size: {"k": "é" * size})
    assert 1400 <= words * 2 <= 1500
    # What fits fits everywhere: with the largest hash there is, our own keys included.
    found = dict.fromkeys(("sha512",), "0" * 128)
    encoded = attributes.encode({"k": "x" * 1800}, LIMITS, "sha512")
    encoded |= attributes.record(found, "sha512", (), LIMITS) | {"fk_token": attributes.new_token()}
    assert sum(map(len, encoded)) + sum(map(len, encoded.values())) <= 2048


def test_what_is_ours_is_not_shown() -> None:
    raw = {"fk_hash": "md5:00", "fk_token": "x", "md5chksum": "x", "FK_OTHER": "x", "a": "b", "fk_xzz": "broken"}
    assert attributes.decode(raw) == {"a": "b"}
    assert attributes.without_ours({**raw, "fk_x41": "y", "Fk-X42": "z"}, LIMITS) == {
        "FK_OTHER": "x",
        "a": "b",
        "fk_xzz": "broken",
        "fk_x41": "y",
        "fk_x42": "z",
    }


HEADERS = Limits(metadata_names="headers")


def test_no_underscore_travels_in_a_header() -> None:
    metadata = {"a_b": "1", "a-b": "2", "Title": "3", "a": "4", "é": "5", "_": "6"}
    sent = attributes.encode(metadata, HEADERS, "md5")
    assert sent == {
        "fk-x615f62": "1",
        "a-b": "2",
        "fk-x5469746c65": "3",
        "a": "4",
        "fk-xc3a9": "5",
        "fk-x5f": "6",
    }
    sent |= attributes.record({"sha1": "0" * 40}, "sha1", (), HEADERS)
    sent[attributes.named(attributes.TOKEN, HEADERS)] = "00112233"
    assert all(re.fullmatch("[a-z][a-z0-9-]*", name) for name in sent)
    # As services give it back: in any case, and with either separator.
    for change in (str, str.title, str.upper, lambda name: name.replace("fk-", "fk_")):
        back = {change(name) if name.startswith("fk") else name: value for name, value in sent.items()}
        assert attributes.decode(back) == metadata
        assert attributes.token_of(back) == "00112233"
        assert attributes.recorded(back) == {"sha1": "0" * 40}
        assert attributes.without_ours(back, HEADERS) == attributes.encode(metadata, HEADERS, "md5")
        assert attributes.without_ours(back, LIMITS) == attributes.encode(metadata, LIMITS, "md5")
        assert attributes.hash_of(back, HEADERS) == {"fk-hash": "sha1:" + "0" * 40}


def test_what_the_first_version_wrote_is_read_and_copied() -> None:
    old = {"plain_key": "1", "fk_x612d62": "2", "fk_token": "t", "fk_hash": "sha1:" + "0" * 40, "md5chksum": "x"}
    assert attributes.decode(old) == {"plain_key": "1", "a-b": "2"}
    assert attributes.token_of(old) == "t"
    assert attributes.without_ours(old, HEADERS) == {"fk-x706c61696e5f6b6579": "1", "a-b": "2"}
    assert attributes.hash_of(old, HEADERS) == {"fk-hash": "sha1:" + "0" * 40, "md5chksum": "x"}


def test_what_fits_fits_in_every_form() -> None:
    fitting = {"a_b" * 100: "x" * 1300}  # 600 bytes in hexadecimal digits where names are headers
    attributes.encode(fitting, HEADERS, "md5")
    attributes.encode(fitting, LIMITS, "md5")
    for limits in (LIMITS, HEADERS):
        with pytest.raises(exc.ContentError, match="at most 2048"):
            attributes.encode({"a_b" * 100: "x" * 1450}, limits, "md5")


@pytest.mark.parametrize(
    "value", ["=?utf-8?b?!!!?=", "=?utf-8?b?/w==?=", "=?latin-1?q?x?=", "=?utf-8?b?w6k=?= and more"]
)
def test_what_others_wrote_stays(value: str) -> None:
    assert attributes.decode({"a": value, "X-Odd Key": "v"}) == {"a": value, "X-Odd Key": "v"}


def test_recorded_hashes() -> None:
    digest = hashlib.md5(b"x").hexdigest()
    as_text = base64.b64encode(bytes.fromhex(digest)).decode()
    assert attributes.record({"md5": digest}, "md5", (), LIMITS) == {"fk_hash": f"md5:{digest}"}
    assert attributes.record({"md5": digest}, "md5", ("md5",), LIMITS) == {}
    assert attributes.record({"md5": digest}, "md5", (), Limits(md5_metadata="md5chksum")) == {"md5chksum": as_text}
    assert attributes.record({"md5": digest}, "sha1", (), LIMITS) == {}
    assert attributes.record({"md5": digest}, "md5", (), Limits(metadata=False)) == {}
    assert attributes.recorded({"fk_hash": f"md5:{digest.upper()}"}) == {"md5": digest}
    assert attributes.recorded({"md5chksum": as_text}) == {"md5": digest}
    for broken in ("", "md5", "md5:", "md5:00", f"md5:{'z' * 32}", f"nothing:{digest}", f"MD5:{digest}", digest):
        assert attributes.recorded({"fk_hash": broken}) == {}
    for broken in ("", "x", "AAAA", "é", digest):
        assert attributes.recorded({"md5chksum": broken}) == {}


def test_which_hash_is_shown() -> None:
    digests = {"crc32c": "c", "md5": "m", "blake2b": "b"}
    assert attributes.pick(digests, "crc32c") == ("c", "crc32c")
    assert attributes.pick(digests, "sha1") == ("m", "md5")
    assert attributes.pick({"blake2b": "b", "crc32c": "c"}, "sha1") == ("c", "crc32c")
    assert attributes.pick({"blake2b": "b"}, "sha1") == ("b", "blake2b")
    assert attributes.pick({}, "md5") == ("", "")


# -- headers ----------------------------------------------------------------------------------------------------------


def test_headers_come_back(storage: Storage) -> None:
    headers = {
        "cache-control": "no-store",
        "CONTENT-ENCODING": "gzip",
        "Content-Language": "de",
        "Content-Disposition": "inline",
    }
    made = storage.upload("x", b"x", headers=headers)
    assert made.headers == storage.analyze("x").headers == {
        "Cache-Control": "no-store", "Content-Encoding": "gzip", "Content-Language": "de", "Content-Disposition": "inline",
    }  # fmt: skip
    assert storage.upload("x", b"x", headers={"Cache-Control": ""}).headers == {}


@pytest.mark.parametrize(
    "headers",
    [{"X-Own": "1"}, {"Content-Type": "x/y"}, {5: "x"}, {"Cache-Control": 5}, {"Cache-Control": "a\r\nX: y"},
     {"Cache-Control": "é"}, {"Cache-Control": " x"}, {"Content-Disposition": "a\nb"}, {"": "x"}],
)  # fmt: skip
def test_headers_that_are_refused(headers: Any, storage: Storage) -> None:
    with pytest.raises(exc.ContentError):
        storage.upload("x", b"x", headers=headers)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("", ""),
        ("inline", "inline"),
        ('attachment; filename="a b.txt"', 'attachment; filename="a b.txt"'),
        ('attachment; filename="Résumé.pdf"', "attachment; filename=\"R_sum_.pdf\"; filename*=UTF-8''R%C3%A9sum%C3%A9.pdf"),
        ("attachment; filename=é.txt; size=5", "attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%A9.txt; size=5"),
        (r'attachment; filename="é\"%\\.txt"', "attachment; filename=\"____.txt\"; filename*=UTF-8''%C3%A9%22%25%5C.txt"),
        ('attachment; filename="文 😀.txt"', "attachment; filename=\"_ _.txt\"; filename*=UTF-8''%E6%96%87%20%F0%9F%98%80.txt"),
        ('attachment; FILENAME = "é"', "attachment; filename=\"_\"; filename*=UTF-8''%C3%A9"),
    ],
)  # fmt: skip
def test_dispositions(given: str, sent: str) -> None:
    assert attributes.disposition(given) == sent
    assert sent.isascii()
    assert attributes.disposition(sent) == sent


@pytest.mark.parametrize(
    "given",
    [
        "a\r\nb",
        "a\0",
        "a\x7f",
        "é",
        'attachment; filename="é"; x="ü"',
        'x="ü"; filename="a"',
        'attachment; filename="\ud800"',
    ],
)
def test_dispositions_that_are_refused(given: str) -> None:
    with pytest.raises(exc.ContentError, match="Content-Disposition"):
        attributes.disposition(given)


def test_attributes_survive_copies(storage: Storage) -> None:
    storage.upload("x", b"x", metadata={"é": " ü "}, headers={"Cache-Control": "no-store"}, content_type="a/b")
    before = storage.analyze("x")
    for make in (
        lambda: storage.copy("y", "x"),
        lambda: storage.move("z", "y"),
        lambda: storage.compose("c", "x", "z"),
    ):
        made = make()
        assert (made.metadata, made.headers, made.content_type) == (before.metadata, before.headers, "a/b")
        found = storage.analyze(made)
        assert (found, found.metadata, found.headers) == (made, made.metadata, made.headers)
    tokens = {storage.backend.head(name).metadata["fk_token"] for name in ("x", "z", "c")}
    assert len(tokens) == 3


def test_foreign_objects_are_copied_as_they_are(storage: Storage) -> None:
    storage.backend.put("x", b"x", WriteOptions(content_type="binary", metadata={"x": "=?utf-8?b?!!?="}))
    other = make_storage("o", {"type": "memory"})
    made = storage.copy_synthetic("y", "x", other)
    assert made.metadata == {"x": "=?utf-8?b?!!?="}
    assert other.content("y") == b"x"
