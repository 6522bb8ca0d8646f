"""Cases 7 and 64 to 66: links, followed by plain HTTP."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from file_keeper import Capability, SignedURL, Storage, exc

from ..counting import counted
from ..sources import payload
from .base import Base, needs, store
from .locations import NAMES


def request(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """Make a plain request; give status and body, also of a refusal."""
    asked = urllib.request.Request(url, data=body, method=method, headers=headers)
    if body is not None and not headers.get("Content-Type"):
        # urllib would otherwise say that it is a form.
        asked.add_unredirected_header("Content-Type", "application/octet-stream")
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def follow(link: SignedURL, body: bytes | None = None, **changed: str) -> tuple[int, bytes]:
    """Do what a signed link is for; `changed` fields or headers take the place of those that it says."""
    if not link.fields:
        return request(link, link.method, body, **{**link.headers, **changed})
    form = b"".join(
        f'--form\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in {**link.fields, **changed}.items()
    )
    form += b'--form\r\nContent-Disposition: form-data; name="file"; filename="any"\r\n\r\n' + (body or b"")
    headers = {"Content-Type": "multipart/form-data; boundary=form", **link.headers}
    return request(link, link.method, form + b"\r\n--form--\r\n", **headers)


class Links(Base):
    """``signed``, ``temporary_link``, ``permanent_link``, ``one_time_link``."""

    @needs(Capability.SIGNED)
    def test_case_07_names_through_signed_links(self, storage: Storage) -> None:
        names = [name for name in NAMES if self.takes(name)]
        store(storage, names)
        for name in names:
            status, body = follow(storage.signed("download", 60, name))
            assert (status, body) == (200, name.encode()), name
        name = "up load/#?%+&=ü.bin"
        assert follow(storage.signed("upload", 60, name), b"sent")[0] in (200, 201)
        assert storage.content(name) == b"sent"
        assert follow(storage.signed("delete", 60, name))[0] in (200, 202, 204)
        assert not storage.exists(name)

    @needs(Capability.LINK_TEMPORARY)
    def test_case_07_temporary_links(self, storage: Storage) -> None:
        storage.upload("a b/#?%+&.txt", b"content")
        link = storage.temporary_link("a b/#?%+&.txt", 60)
        assert request(str(link)) == (200, b"content")

    @needs(Capability.LINK_PERMANENT)
    def test_case_07_permanent_links(self, storage: Storage) -> None:
        name = "a b/#?%+&=ü.txt"
        storage.upload(name, b"content")
        link = storage.permanent_link(name)
        parts = urlsplit(link)
        assert parts.scheme in ("http", "https", "file")
        assert not parts.query
        assert not parts.fragment
        assert " " not in link
        assert link.isascii()
        status, body = request(link)
        # Whether it is readable is up to the bucket's rights.
        assert (status == 200 and body == b"content") or status in (401, 403, 404, 409)

    @needs(Capability.LINK_ONE_TIME)
    def test_case_07_one_time_links(self, storage: Storage) -> None:
        storage.upload("x", b"content")
        link = storage.one_time_link("x", 60)
        assert request(link) == (200, b"content")
        assert request(link)[0] >= 400

    @needs(Capability.SIGNED)
    def test_case_64_each_action(self, storage: Storage) -> None:
        content = payload(10_000)
        upload = storage.signed("upload", 60, "x")
        assert isinstance(upload, SignedURL)
        assert upload.method == "PUT"
        assert upload.expires.tzinfo is not None
        assert follow(upload, content)[0] in (200, 201)
        assert storage.content("x") == content
        download = storage.signed("download", 60, "x")
        assert follow(download) == (200, content)
        typed = storage.signed("upload", 60, "typed", content_type="text/x-special")
        assert follow(typed, b"typed")[0] in (200, 201)
        if not self.gap("content_type"):
            assert storage.analyze("typed").content_type == "text/x-special"
        delete = storage.signed("delete", 60, "x")
        assert follow(delete)[0] in (200, 202, 204)
        assert not storage.exists("x")
        with pytest.raises(exc.StorageDataError):
            storage.signed("copy", 60, "x")  # type: ignore[arg-type]
        for duration in (0, -5, "soon"):
            with pytest.raises(exc.StorageDataError):
                storage.signed("download", duration, "x")

    @needs(Capability.SIGNED)
    def test_case_64_a_link_that_must_not_overwrite(self, storage: Storage) -> None:
        if self.gap("atomic_create") and storage.supports(Capability.SIGNED):
            with pytest.raises(exc.UnsupportedOperationError):
                storage.signed("upload", 60, "x", overwrite=False)
            return
        link = storage.signed("upload", 60, "x", overwrite=False)
        assert follow(link, b"first")[0] in (200, 201)
        assert follow(link, b"second")[0] in (403, 409, 412)
        assert storage.content("x") == b"first"

    @needs(Capability.SIGNED)
    def test_case_64_an_upload_of_a_bound_size_and_type(self, storage: Storage) -> None:
        if "size" not in storage.limits.sign_bounds and storage.supports(Capability.SIGNED):
            with pytest.raises(exc.UnsupportedOperationError):
                storage.signed("upload", 60, "x", max_size=10)
            return
        link = storage.signed("upload", 60, "x/ü.txt", content_type="text/x-special", max_size=10)
        assert link.as_dict()["url"] == link
        assert follow(link, b"12345678901")[0] in (400, 403, 413)
        assert follow(link, b"1234567890", **{"Content-Type": "text/html"})[0] in (400, 403, 415)
        if link.fields:
            assert follow(link, b"1234567890", key=link.fields["key"] + "y")[0] in (400, 403)
        assert list(storage.scan()) == []
        assert follow(link, b"1234567890")[0] in (200, 201, 204)
        assert storage.content("x/ü.txt") == b"1234567890"
        if not self.gap("content_type"):
            assert storage.analyze("x/ü.txt").content_type == "text/x-special"
        assert follow(storage.signed("upload", 60, "empty", max_size=0), b"")[0] in (200, 201, 204)
        assert follow(storage.signed("upload", 60, "empty", max_size=0), b"x")[0] in (400, 403, 413)
        assert storage.content("empty") == b""

    @needs(Capability.SIGNED)
    def test_case_64_refused(self, storage: Storage) -> None:
        storage.upload("x", b"content")
        storage.upload("y", b"other")
        link = storage.signed("download", 60, "x")
        bare = urlsplit(link)._replace(query="").geturl()
        at = link.rindex("/x?")
        for url in (bare, link[:at] + "/y?" + link[at + 3 :]):
            status, body = request(url)
            assert status >= 400
            assert b"other" not in body
        assert request(link, "DELETE")[0] >= 400
        expired = storage.signed("download", 1, "x")
        assert expired.expires <= datetime.now(UTC) + timedelta(seconds=1)
        time.sleep(2.5)  # providers count whole seconds
        assert follow(expired)[0] >= 400
        assert storage.exists("x")

    @needs(Capability.SIGNED, Capability.MULTIPART)
    def test_case_64_parts_by_a_browser(self, storage: Storage) -> None:
        data = storage.multipart_start("x", 5)
        link = storage.multipart_signed(data, 0, 60)
        assert follow(link, b"parts")[0] in (200, 201)
        data = storage.multipart_refresh(data)
        assert data.storage_data["uploaded"] == 5
        storage.multipart_complete(data)
        assert storage.content("x") == b"parts"

    @needs(Capability.SIGNED)
    def test_case_66_signing_makes_no_request(self, storage: Storage) -> None:
        watched, counter = counted(storage)
        for action in ("upload", "download", "delete"):
            watched.signed(action, 60, "x")
        assert set(counter.counts) == {"sign"}
