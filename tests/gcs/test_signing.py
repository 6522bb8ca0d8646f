"""Signed addresses, checked by a double that verifies V4 signatures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import file_keeper as fk
import pytest
import requests
from emulators.gcs_double import GcsDouble, Status
from file_keeper import exc
from file_keeper.backend import MultipartRef, SignOptions, WriteOptions
from file_keeper_gcs import GcsBackend
from file_keeper_gcs.signing import signed_host
from google.auth.credentials import AnonymousCredentials, Credentials

Make = Callable[..., GcsBackend]
Storages = Callable[..., fk.Storage]

NAMES = ["a b/ü☺#?%41+&=.txt", "plain", "~tilde/(x)[y]{z}'\"!*;:@$,"]


@pytest.fixture
def signing(storage: Storages, double: GcsDouble) -> fk.Storage:
    double.require_auth = True
    return storage(path="p q", credentials=double.credentials_info())


@pytest.mark.parametrize("name", NAMES)
def test_all_three_over_plain_http(signing: fk.Storage, double: GcsDouble, name: str) -> None:
    double.clear_log()
    upload = signing.signed("upload", 60, name, content_type="text/x-test")
    download = signing.signed("download", 60, name)
    delete = signing.signed("delete", 60, name)
    assert double.count() == 0
    assert (upload.method, download.method, delete.method) == ("PUT", "GET", "DELETE")
    sent = requests.put(upload, data=b"hello", headers=upload.headers, timeout=5)
    assert sent.status_code == 200, sent.text
    assert signing.analyze(name).content_type == "text/x-test"
    assert requests.put(upload, data=b"hello", headers={"Content-Type": "other/type"}, timeout=5).status_code == 403
    assert requests.get(download, timeout=5).content == b"hello"
    assert requests.delete(download, timeout=5).status_code == 403
    assert requests.delete(delete, timeout=5).status_code == 204
    assert not signing.exists(name)
    assert requests.get(f"{download}0", timeout=5).status_code == 403


def test_the_condition_is_signed(signing: fk.Storage, double: GcsDouble) -> None:
    signed = signing.signed("upload", 60, "a", overwrite=False)
    assert signed.headers == {"x-goog-if-generation-match": "0"}
    assert requests.put(signed, data=b"1", headers=signed.headers, timeout=5).status_code == 200
    assert requests.put(signed, data=b"2", headers=signed.headers, timeout=5).status_code == 412
    assert requests.put(signed, data=b"2", timeout=5).status_code in (400, 403)
    free = signing.signed("upload", 60, "a")
    assert requests.put(free, data=b"3", headers=free.headers, timeout=5).status_code == 200
    assert double.content("media", "p q/a") == b"3"


def test_what_a_download_is_answered_with(signing: fk.Storage) -> None:
    signing.upload("a", b"x")
    url = signing.signed(
        "download", 60, "a", content_type="text/x-other", disposition='attachment; filename="Résumé.pdf"'
    )
    answer = requests.get(url, timeout=5)
    assert answer.headers["Content-Type"] == "text/x-other"
    assert "filename*=UTF-8''R%C3%A9sum%C3%A9.pdf" in answer.headers["Content-Disposition"]
    assert requests.get(signing.temporary_link("a", 60), timeout=5).content == b"x"


def test_at_most_seven_days(signing: fk.Storage) -> None:
    assert "X-Goog-Expires=604800" in signing.signed("download", "7d", "a")
    with pytest.raises(exc.StorageDataError, match="7 days"):
        signing.signed("download", 604_801, "a")


def test_a_part_sent_by_a_browser(backend: Make, storage: Storages, double: GcsDouble) -> None:
    double.require_auth = True
    media = storage(path="p", credentials=double.credentials_info())
    data = media.multipart_start("a", 6)
    data = media.multipart_update(data, b"abc", 0)
    signed = media.multipart_signed(data, 1, 60)
    assert signed.method == "PUT"
    assert requests.put(signed, data=b"def", headers=signed.headers, timeout=5).status_code == 200
    data = media.multipart_refresh(data)
    assert data.storage_data["uploaded"] == 6
    media.multipart_complete(data)
    assert double.content("media", "p/a") == b"abcdef"
    assert double.names("media") == ["p/a"]
    gcs = backend(anonymous=None, credentials=double.credentials_info())
    with pytest.raises(exc.MissingFileError):
        gcs.sign("part", "a", SignOptions(duration=1, upload=MultipartRef("a", "../../secret")))
    assert gcs.multipart_create("x", WriteOptions())


def test_behind_a_reverse_proxy(storage: Storages, double: GcsDouble, fault_proxy: Callable[..., Any]) -> None:
    double.require_auth = True
    proxy = fault_proxy(double.url, prefix="/files", keep_host=True)
    media = storage(credentials=double.credentials_info(), public_endpoint=f"{proxy.url}/")
    signed = media.signed("upload", 60, "a b")
    assert signed.startswith(f"{proxy.url}/media/a%20b?")
    assert requests.put(signed, data=b"x", headers=signed.headers, timeout=5).status_code == 200
    assert requests.get(media.signed("download", 60, "a b"), timeout=5).content == b"x"
    assert media.permanent_link("a b") == f"{proxy.url}/media/a%20b"


@pytest.mark.parametrize(
    ("endpoint", "public", "host"),
    [
        ("https://storage.googleapis.com", "https://storage.googleapis.com", "storage.googleapis.com"),
        ("https://storage-x.p.googleapis.com", "https://storage.googleapis.com", "storage.googleapis.com"),
        # Google takes a foreign host for the name of a bucket: a proxy must address it by its own.
        ("https://storage.googleapis.com", "https://files.example.com/gcs", "storage.googleapis.com"),
        ("http://gcs:4443", "http://localhost:4443", "localhost:4443"),
        ("http://gcs:4443", "https://files.example.com/gcs", "files.example.com"),
    ],
)
def test_the_host_that_is_signed(endpoint: str, public: str, host: str) -> None:
    assert signed_host(endpoint, public) == host


def test_a_foreign_proxy_before_google(storage: Storages, double: GcsDouble) -> None:
    media = storage(
        "https://storage.googleapis.com",
        credentials=double.credentials_info(),
        public_endpoint="https://files.example.com/gcs",
    )
    url = media.signed("download", 60, "a")
    assert url.startswith("https://files.example.com/gcs/media/a?")
    assert parse_qs(urlsplit(url).query)["X-Goog-SignedHeaders"] == ["host"]


class TokenOnly(Credentials):
    """Credentials of a workload: a token and an account, no key."""

    def __init__(self, email: str):
        super().__init__()
        self.email = email
        self.token = "token"

    @property
    def service_account_email(self) -> str:
        return self.email

    def refresh(self, request: object) -> None:
        self.email = "double@project-of-tests.iam.gserviceaccount.com"


@pytest.mark.parametrize("email", ["double@project-of-tests.iam.gserviceaccount.com", "default"])
def test_without_a_key_google_signs(storage: Storages, double: GcsDouble, email: str) -> None:
    media = storage(credentials=TokenOnly(email), iam_endpoint=f"{double.url}/")
    double.put("media", "a", b"x")
    double.clear_log()
    url = media.signed("download", 60, "a")
    assert [entry.path for entry in double.requests()] == [
        "/v1/projects/-/serviceAccounts/double@project-of-tests.iam.gserviceaccount.com:signBlob"
    ]
    assert requests.get(url, timeout=5).content == b"x"


def test_signing_at_google_may_be_refused_or_fail(storage: Storages, double: GcsDouble) -> None:
    email = "double@project-of-tests.iam.gserviceaccount.com"
    media = storage(credentials=TokenOnly(email), iam_endpoint=double.url)
    double.deny("iam.serviceAccounts.signBlob")
    with pytest.raises(exc.PermissionError, match="signBlob"):
        media.signed("download", 60, "a")
    double.allow("iam.serviceAccounts.signBlob")
    double.fault(Status(503), path="signBlob")
    assert media.signed("download", 60, "a")


def test_who_cannot_sign_is_told(storage: Storages) -> None:
    for credentials in (TokenOnly(""), TokenOnly("someone"), AnonymousCredentials()):
        media = storage(credentials=credentials)
        with pytest.raises(exc.UnsupportedOperationError, match="service account"):
            media.signed("download", 60, "a")
