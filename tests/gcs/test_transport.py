"""What sends the requests: which of the two, with which token, and what of an answer is read."""

from __future__ import annotations

import dataclasses
import gzip
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import file_keeper as fk
import pytest
from emulators.gcs_double import Delay, GcsDouble, Status
from emulators.tls import Certificates
from faults.hooked import Forward, HookedProxy
from faults.http1 import Body, Request, Response
from faults.proxy import FaultProxy
from file_keeper import exc
from file_keeper.backend import MultipartRef, ObjectInfo, Page, WriteOptions, entries_of
from file_keeper.settings import parse
from file_keeper_gcs import GcsBackend, GcsSettings, listing, quick
from file_keeper_gcs.credentials import SCOPES
from file_keeper_gcs.signing import query_of
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as gcs_sdk
from google.oauth2 import service_account

Make = Callable[..., GcsBackend]
Storages = Callable[..., fk.Storage]


def made(**options: Any) -> GcsBackend:
    return GcsBackend(parse(GcsSettings, "test", {"bucket": "media", **options}, "file_keeper:gcs"))


# -- which ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "variables", "expected"),
    [
        ({"anonymous": True}, {}, "http"),
        ({"anonymous": True, "transport": "sdk"}, {}, "sdk"),
        ({"client_options": {"quota_project_id": "p", "universe_domain": "u.invalid"}}, {}, "http"),
        ({"client_options": {"api_key": "k"}}, {}, "sdk"),
        ({"client_options": {"client_cert_source": list}}, {}, "sdk"),
        ({}, {"HTTPS_PROXY": "http://proxy.invalid:3128"}, "http"),
        ({}, {"HTTPS_PROXY": "socks5://proxy.invalid"}, "sdk"),
        ({"transport": "http"}, {"HTTPS_PROXY": "socks5://proxy.invalid"}, "http"),
        ({}, {"GOOGLE_API_USE_CLIENT_CERTIFICATE": "true"}, "sdk"),
        ({}, {"GOOGLE_API_USE_MTLS_ENDPOINT": "always"}, "sdk"),
        ({"endpoint": "http://localhost:1"}, {"GOOGLE_API_USE_CLIENT_CERTIFICATE": "true"}, "http"),
    ],
)
def test_which_transport(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], variables: dict[str, str], expected: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert made(**options).transport == expected


def test_a_ready_client_sends_itself(double: GcsDouble) -> None:
    client = gcs_sdk.Client("p", AnonymousCredentials(), client_options={"api_endpoint": double.url})
    gcs = made(client=client)
    assert gcs.transport == "sdk"
    gcs.check()
    assert gcs.transport == "sdk"
    client.close()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"transport": "curl"}, "transport"),
        ({"transport": "http", "client": object()}, "a ready client sends"),
        ({"verify": False, "client": object()}, "a ready client sends"),
        ({"transport": "http", "client_options": {"api_key": "k"}}, "'api_key' in 'client_options'"),
        ({"verify": 7}, "'verify' must be"),
    ],
)
def test_choices_that_make_no_sense(options: dict[str, Any], text: str) -> None:
    with pytest.raises(exc.InvalidStorageConfigurationError, match=text):
        made(**options)


def test_a_proxy_of_another_kind_needs_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "socks5://user:sesame@127.0.0.1:9")
    gcs = made(endpoint="http://gcs.invalid", anonymous=True, transport="http")
    with pytest.raises(exc.InvalidStorageConfigurationError, match="'transport' to 'sdk'") as caught:
        gcs.check()
    assert "sesame" not in str(caught.value)


FIRST = """
import json, sys
import file_keeper as fk
with fk.make_storage("test", json.loads(sys.argv[1])) as media:
    assert media.content("a") == b"x"
    assert media.backend.transport == "http"
    first = sorted(sys.modules)
    media.upload("b", b"y")
    signed = media.signed("download", 60, "a") if media.supports(fk.Capability.SIGNED) else ""
print(json.dumps([first, sorted(sys.modules)]))
"""


@pytest.mark.parametrize("how", ["anonymous", "key"])
def test_what_is_not_needed_is_not_imported(double: GcsDouble, how: str) -> None:
    double.put("media", "a", b"x")
    who: dict[str, Any] = {"anonymous": True}
    if how == "key":
        double.require_auth = True
        universe = "universe.invalid"  # that of Google asks in the background where the account may be used from
        who = {
            "credentials": {**double.credentials_info(), "universe_domain": universe},
            "client_options": {"universe_domain": universe},
        }
    settings = json.dumps({"type": "gcs", "bucket": "media", "endpoint": double.url, **who})
    done = subprocess.run([sys.executable, "-c", FIRST, settings], capture_output=True, timeout=60, check=True)
    for modules in json.loads(done.stdout):
        assert not {"requests", "urllib3", "google.cloud.storage", "google.api_core"} & set(modules)
        assert ("google.auth" in modules) is (how == "key")


# -- tokens ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def asking(double: GcsDouble) -> service_account.Credentials:
    """Credentials that ask for their token, as those without a key of their own do."""
    double.require_auth = True
    found = service_account.Credentials.from_service_account_info(double.credentials_info(), scopes=SCOPES)
    return found.with_always_use_jwt_access(False)


def by_threads(call: Callable[[], object], count: int = 16) -> list[BaseException]:
    """Call at the same time; return what was raised."""
    barrier, raised = threading.Barrier(count), list[BaseException]()

    def run() -> None:
        barrier.wait()
        try:
            call()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_scopes_are_those_of_google_s_client() -> None:
    assert gcs_sdk.Client.SCOPE == SCOPES


def test_threads_ask_once_for_a_token(double: GcsDouble, asking: Any) -> None:
    double.put("media", "a", b"x")
    gcs = made(endpoint=double.url, credentials=asking)
    assert by_threads(lambda: gcs.head("a")) == []
    assert double.count("POST", "/token") == 1
    double.expire_tokens()
    double.clear_log()
    assert by_threads(lambda: gcs.head("a")) == []
    assert double.count("POST", "/token") == 1
    assert 17 <= double.count("GET") <= 32  # those that were refused asked again, once
    gcs.close()


def nearly_over(gcs: GcsBackend, credentials: Any) -> None:
    """Let the token be one that google-auth would renew, and that is good for a while."""
    credentials.expiry = datetime.now(UTC).replace(tzinfo=None) + timedelta(minutes=1)
    tokens = gcs._transport.sender._tokens  # type: ignore[attr-defined]
    tokens._held = tokens._held._replace(until=0.0)


def test_a_token_that_is_still_good_is_used_while_one_thread_renews(double: GcsDouble, asking: Any) -> None:
    double.put("media", "a", b"x")
    gcs = made(endpoint=double.url, credentials=asking)
    gcs.head("a")
    old = asking.token
    nearly_over(gcs, asking)
    slow = double.fault(Delay(5), path="/token")
    renewing = threading.Thread(target=lambda: gcs.head("a"))
    renewing.start()
    while not slow.hits:
        time.sleep(0.01)
    double.clear_log()
    for _ in range(5):
        assert gcs.head("a").size == 1
    assert renewing.is_alive()
    assert {entry.headers["authorization"] for entry in double.requests("GET")} == {f"Bearer {old}"}
    renewing.join()
    assert slow.hits == 1
    gcs.head("a")
    assert double.requests("GET")[-1].headers["authorization"] == f"Bearer {asking.token}" != f"Bearer {old}"
    gcs.close()


def test_a_failing_renewal_hurts_nobody_while_the_token_is_good(double: GcsDouble, asking: Any) -> None:
    double.put("media", "a", b"x")
    gcs = made(endpoint=double.url, credentials=asking)
    gcs.head("a")
    nearly_over(gcs, asking)
    double.fault(Status(403, "forbidden", "no"), path="/token", times=None)
    double.clear_log()
    for _ in range(5):
        assert gcs.head("a").size == 1
    assert double.count("POST", "/token") == 1  # and it is not asked for at every request
    gcs.close()


def test_threads_that_waited_share_a_failure(double: GcsDouble, asking: Any) -> None:
    gcs = made(endpoint=double.url, credentials=asking)
    double.fault(Delay(0.5), path="/token", times=None)
    double.fault(Status(400, "invalid_grant", "no"), path="/token", times=None)
    raised = by_threads(lambda: gcs.head("a"))
    assert len(raised) == 16
    assert {type(gcs.translate(error)) for error in raised if isinstance(error, Exception)} == {exc.PermissionError}
    assert double.count("POST", "/token") <= 2
    double.clear_faults()
    double.put("media", "a", b"x")
    assert gcs.head("a").size == 1
    gcs.close()


def test_a_refused_token_is_renewed_once(double: GcsDouble, asking: Any) -> None:
    gcs = made(endpoint=double.url, credentials=asking)
    double.fault(Status(401, "authError", "Invalid Credentials"), path="/o/a", times=None)
    with pytest.raises(Exception, match="Invalid Credentials") as caught:
        gcs.head("a")
    found = gcs.translate(caught.value)
    assert (type(found), getattr(found, "status", 0)) == (exc.PermissionError, 401)
    assert (double.count("GET"), double.count("POST", "/token")) == (2, 2)
    gcs.close()


def test_credentials_of_another_universe(double: GcsDouble) -> None:
    for options in ({"credentials": double.credentials_info(), "client_options": {"universe_domain": "u.invalid"}},
                    {"credentials": object()}):  # fmt: skip
        with pytest.raises(exc.InvalidStorageConfigurationError):
            made(endpoint=double.url, **options).check()


# -- answers --------------------------------------------------------------------------------------------------------


def test_of_an_error_a_mebibyte_is_read(
    backend: Make, fault_proxy: Callable[..., FaultProxy], double: GcsDouble
) -> None:
    proxy = fault_proxy(double.url)
    proxy.on(times=None).answer(500, b"x" * (8 << 20), {"Content-Type": "text/plain"})
    gcs = backend(proxy.url)
    with pytest.raises(Exception, match="500") as caught:
        gcs.head("a")
    found = gcs.translate(caught.value)
    assert isinstance(found, exc.ConnectionError)
    assert len(found.message) <= 500


def test_resources_may_come_packed(backend: Make, hooked: HookedProxy, double: GcsDouble) -> None:
    def pack(request: Request, body: Body, forward: Forward) -> Response:
        response = forward(request, body)
        packed = gzip.compress(response.read())
        headers = response.headers.without("Content-Length")
        return dataclasses.replace(
            response, headers=type(headers)([*headers, ("Content-Encoding", "gzip")]), chunks=[packed],
            length=len(packed), close=lambda: None,
        )  # fmt: skip

    gcs = backend(hooked.url)
    gcs.put("a", b"abc", WriteOptions())
    hooked.hook(pack)
    assert gcs.head("a").size == 3
    assert [entry.key for page in gcs.list("") for entry in entries_of([page])] == ["a"]
    with pytest.raises(Exception, match="No such object"):
        gcs.head("none")


def test_content_that_is_packed_wrongly(
    backend: Make, fault_proxy: Callable[..., FaultProxy], double: GcsDouble
) -> None:
    headers = {"Content-Encoding": "gzip", "X-Goog-Generation": "7", "X-Goog-Stored-Content-Encoding": "identity"}
    packed = gzip.compress(bytes(range(256)) * 100)
    twice = packed + gzip.compress(b"second")
    proxy = fault_proxy(double.url)
    gcs = backend(proxy.url)
    proxy.on("GET").answer(200, twice, headers)
    assert gcs.read("a").read() == bytes(range(256)) * 100 + b"second"
    for wrong in (packed[:-100], b"plain"):
        proxy.on("GET").answer(200, wrong, headers)
        body = gcs.read("a")
        with pytest.raises(exc.ConnectionError) as caught:
            body.read()
        assert caught.value.retryable
        body.close()


def test_bytes_go_into_the_caller_s_buffer(backend: Make, double: GcsDouble) -> None:
    data = bytes(range(256)) * 4000
    double.put("media", "a", data)
    body, whole = backend().read("a"), bytearray(len(data) + 10)
    view, start = memoryview(whole), 0
    while count := body.readinto(view[start : start + 100_000]):
        start += count
    assert (start, bytes(whole[:start])) == (len(data), data)
    body.close()


@pytest.mark.parametrize(
    "bad",
    [
        "/upload/u v?upload_id=1",
        "/upload/u?upload_id=1\r\nX: y",
        "/upload/u?upload_id=\u00fc",
        "/upload/u?upload_id=\x00",
        "/upload/u",
        "/storage/v1/b/media/o/victim?upload_id=1",
        "/media/victim?upload_id=1",
    ],
)
def test_an_address_of_a_session_breaks_no_request(backend: Make, double: GcsDouble, bad: str) -> None:
    """It comes from a user's record: it must name a session, and nothing else at the service."""
    double.put("media", "victim")
    double.clear_log()
    gcs = backend()
    with pytest.raises(exc.MissingFileError):
        gcs.resumable_offset(MultipartRef("a", bad), None)
    assert gcs.resumable_cancel(MultipartRef("a", bad)) is False
    assert double.count() == 0
    assert double.names("media") == ["victim"]


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")  # of urllib3, at what was asked for
def test_verify_names_the_authority(
    backend: Make, double: GcsDouble, fault_proxy: Callable[..., FaultProxy], certificates: Certificates, tmp_path: Path
) -> None:
    url = fault_proxy(double.url, certificates=certificates).url
    double.put("media", "a", b"x")
    for verify in (certificates.ca_file, False):
        assert backend(url, verify=verify).read("a").read() == b"x"
    for verify in (True, None):
        gcs = backend(url, verify=verify)
        with pytest.raises(Exception, match=r"(?i)certificate") as caught:
            gcs.head("a")
        assert isinstance(gcs.translate(caught.value) or caught.value, exc.ConnectionError)


# -- signatures -----------------------------------------------------------------------------------------------------

KEYS = ["plain", "a b/ü☺#?%41+&=.txt", "~tilde/(x)[y]{z}'\"!*;:@$,", "a//b/../c", "\x7f", "a\\b|c^d`e<f>"]
HEADERS: list[dict[str, str]] = [
    {},
    {"Content-Type": "text/plain;  charset=utf-8"},
    {"x-goog-if-generation-match": "0", "X-Goog-Content-Length-Range": "0,10", "Content-Type": " a/b "},
]
QUERIES: list[dict[str, str]] = [
    {},
    {"response-content-type": 'text/html; a="b"', "response-content-disposition": "inline; filename*=UTF-8''%C3%A9~"},
]


@pytest.mark.parametrize("query", QUERIES, ids=["none", "response"])
@pytest.mark.parametrize("headers", HEADERS, ids=["none", "type", "several"])
@pytest.mark.parametrize("key", KEYS)
def test_signatures_are_those_of_google_s_client(
    key: str, headers: dict[str, str], query: dict[str, str], double: GcsDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    monkeypatch.setattr("google.cloud.storage._signing._NOW", lambda _: now)
    signer = service_account.Credentials.from_service_account_info(double.credentials_info())
    blob = gcs_sdk.Client("p", AnonymousCredentials()).bucket("media").blob(key)
    expected = blob.generate_signed_url(
        version="v4",
        expiration=timedelta(seconds=77),
        api_access_endpoint="https://storage.example.com",
        method="PUT",
        headers={**headers, "Host": "storage.example.com"},
        query_parameters=query,
        credentials=signer,
    )
    path = expected.removeprefix("https://storage.example.com").partition("?")[0]
    sent = query_of(signer, "PUT", path, query, {**headers, "Host": "storage.example.com"}, 77, now)
    assert f"https://storage.example.com{path}?{sent}" == expected


# -- listings -------------------------------------------------------------------------------------------------------

ITEM = {
    "name": "a/ü", "size": "12", "generation": "17", "contentType": "text/x", "timeCreated": "2026-01-02T03:04:05.678Z",
    "md5Hash": "1B2M2Y8AsgTpgAmY7PhCfg==", "crc32c": "AAAAAA==",
}  # fmt: skip


def page(*items: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"kind": "storage#objects", "items": items, **more}).encode()


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in ITEM.items() if name not in names}


USUAL = [
    [],
    [ITEM],
    [ITEM, {**ITEM, "name": "b", "size": 0}],
    [without("md5Hash")],
    [without("md5Hash", "crc32c", "contentType", "timeCreated")],
]
ODD = [
    [{**ITEM, "timeCreated": "the second of January"}],
    [{**ITEM, "timeCreated": "2026-01-02T03:04:05"}],
    [{**ITEM, "md5Hash": "AAAA"}],
    [{**ITEM, "crc32c": "not base64!"}],
    [without("generation")],
    [{**ITEM, "name": "\ud800"}],
]


def facts(found: Page, algorithm: str) -> list[Any]:
    from file_keeper.attributes import all_digests, pick

    infos = [entry for entry in entries_of([found]) if isinstance(entry, ObjectInfo)]
    return [(dataclasses.replace(info, digests={}), pick(all_digests(info), algorithm)) for info in infos]


@pytest.mark.parametrize("algorithm", ["md5", "crc32c", "sha256"])
@pytest.mark.parametrize("items", USUAL, ids=range(len(USUAL)))
def test_the_usual_form_tells_what_the_resource_tells(items: list[dict[str, Any]], algorithm: str) -> None:
    content = page(*items, nextPageToken="next", prefixes=["p/"])
    found = quick.objects_of(content, md5_first=algorithm != "crc32c")
    assert found is not None
    assert found[1] == "next"
    slow = listing.page_of_objects(json.loads(content))
    assert (found[0].keys, found[0].prefixes) == (slow.keys, slow.prefixes)
    assert facts(found[0], algorithm) == facts(slow, algorithm)


@pytest.mark.parametrize("items", ODD, ids=range(len(ODD)))
def test_another_form_is_left_to_the_usual_way(items: list[dict[str, Any]]) -> None:
    assert quick.objects_of(page(*items), md5_first=True) is None
    assert len(listing.page_of_objects(json.loads(page(*items))).keys) == 1


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"{", b"\xff", b'{"kind": "storage#objects", "items": [{"name": "\xff"}]}',
                b'{"kind": "drive#files"}', b'{"kind": "storage#objects", "items": [{"size": "1"}]}'],
)  # fmt: skip
def test_what_is_no_page_is_not_taken_for_one(content: bytes) -> None:
    assert quick.objects_of(content, md5_first=True) is None
    assert quick.keys_of(content) is None


def test_both_ways_list_the_same_keys() -> None:
    items = [{"name": "a/", "size": "0"}, {"name": "a/b", "size": "0"}, {"name": "c/", "size": "1"}, {"name": "d"}]
    found = quick.keys_of(page(*items, prefixes=["e/"]))
    assert found == (Page(["a/b", "c/", "d"], (), ["e/"]), "")
    assert listing.page_of_keys(json.loads(page(*items, prefixes=["e/"]))) == found[0]


def test_a_listing_shows_type_hash_and_time(storage: Storages) -> None:
    media = storage()
    sent = media.upload("a", b"abc", content_type="text/x-a")
    (file,) = media.files()
    assert file == sent
    assert (file.etag, file.modified, file.content_type) == (sent.etag, sent.modified, "text/x-a")
