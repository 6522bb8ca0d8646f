"""Links: verified by a service that looks at signatures, also behind a reverse proxy, and made without a request."""

from __future__ import annotations

import dataclasses
import http.client
import time
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from emulators.s3 import S3Server
from faults.proxy import FaultProxy
from faults.strict_s3 import StrictS3
from file_keeper import Storage, exc
from s3.conftest import MiB

OnServer = Callable[..., Storage]
NAMES = ["plain.txt", "a b+c%20d?e#f&g=h.txt", "ü/文/😀", "!'()*,;:@$~[]{}|\\^`<>\""]


def request(
    method: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> tuple[int, bytes, http.client.HTTPMessage]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    try:
        connection.request(method, f"{parts.path}?{parts.query}" if parts.query else parts.path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


@pytest.mark.parametrize("name", NAMES)
def test_signed_for_everything(name: str, strict: Callable[..., StrictS3], storage_on: OnServer) -> None:
    front = strict()
    storage = storage_on(front.server())
    upload = storage.signed("upload", 60, name)
    assert (upload.method, dict(upload.headers)) == ("PUT", {})
    assert request("PUT", upload, b"content")[0] == 200
    assert storage.content(name) == b"content"
    assert request("PUT", upload, b"again")[0] == 200, "a plain upload overwrites"
    download = storage.signed("download", 60, name)
    assert request("GET", download)[:2] == (200, b"again")
    assert request("DELETE", download)[0] == 403
    delete = storage.signed("delete", 60, name)
    assert request("GET", delete)[0] == 403
    assert request("DELETE", delete)[0] == 204
    assert not storage.exists(name)


def form(fields: Mapping[str, str], content: bytes) -> tuple[bytes, dict[str, str]]:
    parts = [("", name, value.encode()) for name, value in fields.items()] + [('; filename="f"', "file", content)]
    body = b"".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"
        for more, name, value in parts
    )
    return body + b"--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.mark.parametrize("name", NAMES[:3])
def test_a_size_is_bound_by_a_form(name: str, strict: Callable[..., StrictS3], storage_on: OnServer) -> None:
    front = strict()
    storage = storage_on(front.server(), storage_class="STANDARD_IA")
    link = storage.signed("upload", 60, name, content_type="text/x-a", max_size="1KiB")
    assert (link.method, link.headers) == ("POST", {})
    assert link.fields["x-amz-storage-class"] == "STANDARD_IA"
    refused = {
        "more": (400, link.fields, b"x" * 1025),
        "type": (403, {**link.fields, "Content-Type": "text/html"}, b"x"),
        "name": (403, {**link.fields, "key": "other"}, b"x"),
        "extra": (403, {**link.fields, "x-amz-meta-by": "me"}, b"x"),
        "acl": (403, {**link.fields, "acl": "public-read"}, b"x"),
        "signature": (403, {**link.fields, "x-amz-signature": "0" * 64}, b"x"),
        "none": (403, {"key": link.fields["key"]}, b"x"),
    }
    for what, (status, fields, content) in refused.items():
        assert request("POST", link, *form(fields, content))[0] == status, what
    assert request("PUT", f"{link}/{quote(name)}", b"x")[0] == 403
    assert list(storage.scan()) == []
    assert request("POST", link, *form(link.fields, b"x" * 1024))[0] == 204
    assert (storage.size(name), storage.content_type(name)) == (1024, "text/x-a")
    front.clock = lambda: time.time() + 61
    assert request("POST", link, *form(link.fields, b"late"))[0] == 403
    assert storage.size(name) == 1024


def test_what_a_form_cannot_bind_is_told(strict: Callable[..., StrictS3], storage_on: OnServer) -> None:
    storage = storage_on(strict().server(), public_endpoint="https://cdn.example/files")
    assert storage.signed("upload", 60, "a", max_size=1).startswith("https://cdn.example/files/")
    with pytest.raises(exc.UnsupportedOperationError, match="knows no condition"):
        storage.signed("upload", 60, "a", max_size=1, overwrite=False)
    with pytest.raises(exc.UnsupportedOperationError, match="does not bind the hash"):
        storage.signed("upload", 60, "a", hash="0" * 32)


def test_no_checksum_is_asked_for(strict: Callable[..., StrictS3], storage_on: OnServer) -> None:
    storage = storage_on(strict().server(), checksums="always")
    for action in ("upload", "download", "delete"):
        link = storage.signed(action, 60, "a")
        assert "checksum" not in link.lower()
        assert parse_qs(urlsplit(link).query)["X-Amz-SignedHeaders"] == ["host"]


def test_bound_to_a_type_and_to_absence(strict: Callable[..., StrictS3], storage_on: OnServer) -> None:
    storage = storage_on(strict().server())
    link = storage.signed("upload", 60, "a", content_type="image/png", overwrite=False)
    assert dict(link.headers) == {"Content-Type": "image/png", "If-None-Match": "*"}
    assert request("PUT", link, b"1", {**link.headers, "Content-Type": "text/html"})[0] == 403
    assert request("PUT", link, b"1", {"Content-Type": "image/png"})[0] == 403
    assert request("PUT", link, b"1", link.headers)[0] == 200
    assert request("PUT", link, b"2", link.headers)[0] == 412
    assert (storage.content("a"), storage.content_type("a")) == (b"1", "image/png")


def test_how_a_download_is_answered(strict: Callable[..., StrictS3], storage_on: OnServer) -> None:
    storage = storage_on(strict().server())
    storage.upload("a", b"1")
    link = storage.signed("download", 60, "a", content_type="text/plain", disposition='attachment; filename="Ä ö.txt"')
    status, _, headers = request("GET", link)
    assert status == 200
    assert headers["Content-Type"] == "text/plain"
    assert "filename*=UTF-8''%C3%84%20%C3%B6.txt" in headers["Content-Disposition"]


def test_expired_and_tampered(strict: Callable[..., StrictS3], storage_on: OnServer) -> None:
    front = strict()
    storage = storage_on(front.server())
    storage.upload("a", b"1")
    link = storage.signed("download", 60, "a")
    assert request("GET", link.replace("/a?", "/b?"))[0] == 403
    assert request("GET", link.replace("Expires=60", "Expires=6000"))[0] == 403
    front.clock = lambda: time.time() + 61
    assert request("GET", link)[0] == 403
    with pytest.raises(exc.FilesError, match="604800"):
        storage.signed("download", 8 * 24 * 3600, "a")


def test_behind_a_reverse_proxy(
    strict: Callable[..., StrictS3], fault_proxy: Callable[..., FaultProxy], storage_on: OnServer
) -> None:
    front = strict()
    public = fault_proxy(front.url, prefix="/files/s3")
    assert public.url.endswith("/files/s3")
    storage = storage_on(front.server(), public_endpoint=public.url + "/")
    link = storage.signed("upload", 60, "ü b")
    assert link.startswith(public.url + "/" + storage.settings.bucket)
    assert request("PUT", link, b"1", link.headers)[0] == 200
    assert request("GET", storage.temporary_link("ü b", 60))[:2] == (200, b"1")
    assert request("DELETE", storage.signed("delete", 60, "ü b"))[0] == 204
    assert storage.permanent_link("ü b") == f"{public.url}/{storage.settings.bucket}/area/%C3%BC%20b"


def test_parts_sent_by_others(strict: Callable[..., StrictS3], storage_on: OnServer) -> None:
    front = strict()
    storage = storage_on(front.server(), part_size="5MiB")
    content = bytes(range(256)) * (6 * MiB // 256)
    data = storage.multipart_start("a", len(content))
    for number, start in enumerate(range(0, len(content), 5 * MiB)):
        link = storage.multipart_signed(data, number, 60)
        assert "checksum" not in link.lower()
        assert request(link.method, link, content[start : start + 5 * MiB], link.headers)[0] == 200
    data = storage.multipart_refresh(data)
    assert data.storage_data["uploaded"] == len(content)
    assert storage.multipart_complete(data).size == len(content)
    assert storage.content("a") == content


def test_a_permanent_link_is_what_everyone_may_read(
    strict: Callable[..., StrictS3], storage_on: OnServer, moto_server: S3Server
) -> None:
    front = strict(anonymous=True)
    storage = storage_on(front.server())
    for name in NAMES:
        storage.upload(name, name.encode())
        link = storage.permanent_link(name)
        assert "?" not in link
        assert request("GET", link)[:2] == (200, name.encode())
    reader = storage_on(front.server(), bucket=storage.settings.bucket, anonymous=True, key="", secret="")
    assert reader.content(NAMES[0]) == NAMES[0].encode()
    assert reader.permanent_link(NAMES[0]) == storage.permanent_link(NAMES[0])
    with pytest.raises(exc.PermissionError, match="anonymous"):
        reader.signed("download", 60, NAMES[0])
    with pytest.raises(exc.PermissionError):
        reader.upload("x", b"1")


def test_links_of_amazon(storage_on: OnServer, moto_server: S3Server) -> None:
    server = dataclasses.replace(moto_server, url="")
    storage = storage_on(server, bucket="media.example", region="eu-west-3")
    assert storage.permanent_link("a b") == "https://s3.eu-west-3.amazonaws.com/media.example/area/a%20b"
    storage = storage_on(server, bucket="media", region="eu-west-3")
    assert storage.permanent_link("a b") == "https://media.s3.eu-west-3.amazonaws.com/area/a%20b"
    link = storage.signed("upload", 60, "a b")
    assert link.startswith("https://media.s3.eu-west-3.amazonaws.com/area/a%20b?X-Amz-Algorithm=AWS4-HMAC-SHA256")
    public = storage_on(server, bucket="media", region="eu-west-3", public_endpoint="https://cdn.example.com/x")
    assert public.permanent_link("a") == "https://cdn.example.com/x/media/area/a"


def test_how_an_upload_is_kept_is_part_of_its_link(strict: Callable[..., StrictS3], storage_on: OnServer) -> None:
    storage = storage_on(strict().server(), sse="AES256", storage_class="STANDARD_IA")
    link = storage.signed("upload", 60, "a")
    assert dict(link.headers) == {"x-amz-server-side-encryption": "AES256", "x-amz-storage-class": "STANDARD_IA"}
    assert request("PUT", link, b"1")[0] == 403
    assert request("PUT", link, b"1", link.headers)[0] == 200
    found = storage.backend.client.head_object(Bucket=storage.settings.bucket, Key="area/a")
    assert (found["ServerSideEncryption"], found["StorageClass"]) == ("AES256", "STANDARD_IA")


def test_signing_makes_no_request(strict: Callable[..., StrictS3], storage_on: OnServer) -> None:
    front = strict()
    storage = storage_on(front.server())
    front.clear()
    for action in ("upload", "download", "delete"):
        storage.signed(action, 60, "a")
    storage.temporary_link("a", 60)
    storage.permanent_link("a")
    assert front.requests == []
