"""A page by one expression tells the same as by the parser, or is left to that."""

from __future__ import annotations

from typing import Any
from xml.parsers.expat import ExpatError
from xml.sax.saxutils import escape

import pytest
from file_keeper.backend import WriteOptions, entries_of
from file_keeper_azure import AzureBackend, listing
from hypothesis import given, settings
from hypothesis import strategies as st

DATE = "Mon, 23 Nov 2026 19:40:57 GMT"
HEAD = '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="https://a/" ContainerName="b">'
REST = (
    "<BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier><AccessTierInferred>true</AccessTierInferred>"
    "<LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted>"
)


def blob(name: str = "a", more: str = "", *, size: str = "7", rest: str = REST, metadata: str = "") -> str:
    return (
        f"<Blob><Name>{name}</Name><Properties><Creation-Time>{DATE}</Creation-Time><Last-Modified>{DATE}"
        f"</Last-Modified><Etag>0x1</Etag><Content-Length>{size}</Content-Length><Content-Type>text/plain</Content-Type>"
        f"{more}{rest}</Properties>{metadata}</Blob>"
    )


def page(*inner: str, marker: str = "<NextMarker />", head: str = HEAD) -> bytes:
    return f"{head}<MaxResults>5000</MaxResults><Blobs>{''.join(inner)}</Blobs>{marker}</EnumerationResults>".encode()


def by_parser(body: bytes) -> listing.Answered:
    return listing._PageParser(False).parse(body)


REAL = (
    "<Content-Encoding>gzip</Content-Encoding><Content-Language>de</Content-Language><Content-CRC64 />"
    "<Content-MD5>1B2M2Y8AsgTpgAmY7PhCfg==</Content-MD5><Cache-Control>no-cache</Cache-Control>"
    "<Content-Disposition>attachment; filename=&quot;a&quot;</Content-Disposition>"
)
USUAL: dict[str, bytes] = {
    "one": page(blob()),
    "none": page(),
    "with a byte order mark": b"\xef\xbb\xbf" + page(blob()),
    "as Azurite": page(blob(), head=HEAD.replace("?>", ' standalone="yes"?>', 1)),
    "all headers": page(blob(more=REAL), blob("b")),
    "empty headers": page(blob(more="<Content-Encoding /><Content-Language/><Content-MD5 /><Cache-Control />")),
    "entities": page(blob("a &amp; b &#x1F600;&#233;&lt;&apos;"), blob("c"), marker="<NextMarker>2&amp;3</NextMarker>"),
    "metadata": page(blob(metadata="<Metadata><fk_token>0&lt;1</fk_token><Empty /><e></e></Metadata><OrMetadata />")),
    "no metadata": page(blob(metadata="<Metadata />")),
    "prefixes": page(
        "<BlobPrefix><Name>a/</Name></BlobPrefix>", blob("b"), "<BlobPrefix><Name>c&amp;/</Name></BlobPrefix>"
    ),
    "of a hierarchy": page(blob(more="", rest=REST + "<ResourceType>file</ResourceType>")),
    "a page blob": page(
        blob(rest="<x-ms-blob-sequence-number>0</x-ms-blob-sequence-number><BlobType>PageBlob</BlobType>")
    ),
    "a date that is none": page(blob().replace(DATE, "yesterday")),
    "a hash that is none": page(
        blob(more="<Content-MD5>AAAA</Content-MD5>"), blob(more="<Content-MD5>$</Content-MD5>")
    ),
}


@pytest.mark.parametrize("name", USUAL)
def test_the_usual_form_is_read_as_by_the_parser(name: str) -> None:
    body = USUAL[name]
    found = listing._usual(body, keys_only=False)
    assert found == by_parser(body) == listing.parse_page(body)
    keys = listing.parse_page(body, keys_only=True)
    assert (keys.keys, keys.prefixes, keys.marker) == (found.keys, found.prefixes, found.marker)


UNUSUAL: dict[str, bytes] = {
    "a name that XML cannot hold": page(blob().replace("<Name>", '<Name Encoded="true">').replace(">a<", ">%07<")),
    "another order": page(blob(rest=REST + "<Content-MD5>1B2M2Y8AsgTpgAmY7PhCfg==</Content-MD5>")),
    "an element of tomorrow": page(blob(rest=REST + "<New>1</New>"), blob("b")),
    "a nested element": page(blob(metadata="<Metadata><a>1</a></Metadata><OrMetadata><p><r>1</r></p></OrMetadata>")),
    "a directory": page(blob(size="0", rest=REST + "<ResourceType>directory</ResourceType>")),
    "a version": page(blob().replace("</Name>", "</Name><VersionId>1</VersionId>")),
    "a comment": page(blob(), "<!-- <Blob> -->", blob("b")),
    "cdata": page(blob("<![CDATA[a<b]]>")),
    "line breaks": page(blob(), "\n  ", blob("b")),
    "a line break in a value": page(blob(more="<Content-Encoding>a\nb</Content-Encoding>")),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_another_form_is_left_to_the_parser(name: str) -> None:
    body = UNUSUAL[name]
    assert listing._usual(body, keys_only=False) is None
    assert listing.parse_page(body) == by_parser(body)
    assert listing.parse_page(body).keys


BROKEN: dict[str, bytes] = {
    "cut": page(blob(), blob("b"))[:-40],
    "cut within": page(blob(), blob("b")[:-20]),
    "an end without a beginning": page(blob() + "</Blob>"),
    "an unknown entity": page(blob("&bogus;")),
    "a reference to nothing": page(blob("&#0;")),
    "a bare ampersand": page(blob("a&b")),
    "a control character": page(blob("a\x01")),
    "ends that do not match": page(blob(rest=REST.replace("</LeaseStatus>", "</LeaseState>"))),
    "metadata that does not match": page(blob(metadata="<Metadata><a>1</b></Metadata>")),
    "no number": page(blob(size="many")),
    "another answer": b"<html><Blobs></Blobs><NextMarker/></html>",
    "not UTF-8": page(blob("\u00e9")).replace("\u00e9".encode(), b"\xe9"),
    "two roots": page(blob()) + page(blob()),
    "nothing": b"",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_refused(name: str) -> None:
    for keys_only in (False, True):
        with pytest.raises((ValueError, ExpatError)):
            listing.parse_page(BROKEN[name], keys_only=keys_only)


def test_directories_are_told_also_where_names_are_enough() -> None:
    folder = blob("d", size="0", metadata="<Metadata><Hdi_IsFolder>true</Hdi_IsFolder></Metadata>")
    found = listing.parse_page(page(blob(), folder), keys_only=True)
    assert [info.metadata for info in found.infos] == [{}, {"Hdi_IsFolder": "true"}]
    assert listing.parse_page(page(blob()), keys_only=True).infos == []
    for names in (("d/", "e"), ("a", "d/")):
        found = listing.parse_page(page(*map(blob, names)), keys_only=True)
        assert [(info.key, info.size) for info in found.infos] == [(name, 7) for name in names]


TEXTS = st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufffe\uffff"), max_size=12)
FIELDS = ("Content-Encoding", "Content-Language", "Content-MD5", "Cache-Control", "Content-Disposition")
BLOBS = st.builds(
    lambda name, size, fields, metadata: blob(
        escape(name),
        "".join(f"<{field}>{escape(value)}</{field}>" for field, value in zip(FIELDS, fields, strict=True) if value),
        size=str(size),
        metadata=f"<Metadata>{''.join(metadata)}</Metadata>",
    ),
    TEXTS,
    st.integers(0, 1 << 50),
    st.tuples(*[TEXTS] * len(FIELDS)),
    st.lists(TEXTS.map(lambda text: f"<m>{escape(text)}</m>"), max_size=3),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(BLOBS, max_size=4), TEXTS)
def test_whatever_is_in_the_usual_form(blobs: list[str], marker: str) -> None:
    body = page(*blobs, marker=f"<NextMarker>{escape(marker)}</NextMarker>")
    assert listing._usual(body, keys_only=False) == by_parser(body)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=4), st.integers(0, 600), st.integers(0, 8))
def test_whatever_is_damaged_is_read_alike(put: bytes, at: int, dropped: int) -> None:
    body = page(blob(more=REAL, metadata="<Metadata><a>1</a></Metadata>"))
    body = body[:at] + put + body[at + dropped :]
    found: Any
    try:
        found = by_parser(body)
    except (ValueError, ExpatError):
        found = None
    try:
        fast = listing._usual(body, keys_only=False)
    except ValueError:
        fast = None
    assert fast is None or fast == found


def test_what_a_server_answers_is_in_the_usual_form(backend: AzureBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a & b", "c/☺", "d"):
        backend.put(name, b"1", WriteOptions(metadata={"k": "<&>"}, headers={"Cache-Control": "no-cache"}))

    def refuse(uncommitted: bool) -> None:
        raise AssertionError("the slow way was taken")

    monkeypatch.setattr(listing, "_PageParser", refuse)
    assert [entry.key for entry in entries_of(backend.list(""))] == ["a & b", "c/☺", "d"]
    assert [entry.key for entry in entries_of(backend.list("", delimiter="/"))] == ["a & b", "c/", "d"]
