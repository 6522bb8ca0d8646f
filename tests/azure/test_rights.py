"""Signatures are the SDK's own, tokens are replaced in time and once, and nothing of the SDK is loaded for it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, quote

import pytest
from azure.core.credentials import AccessToken, AzureSasCredential
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.rest import HttpRequest
from azure.storage.blob import BlobServiceClient, UserDelegationKey, generate_blob_sas
from emulators.azure import AzuriteServer
from faults.hooked import Forward, HookedProxy
from faults.http1 import Body, Request, Response
from file_keeper import exc
from file_keeper.backend import WriteOptions
from file_keeper_azure import AzureBackend, rights, signing, transport
from hypothesis import given, settings
from hypothesis import strategies as st

Make = Callable[..., AzureBackend]
KEY = base64.b64encode(b"the key of the account").decode()
KEYS = [
    "a",
    "a b/#?%+&☺.txt",
    "a//b",
    "%41",
    "~x",
    "e\u0301",
    "'\"<>|*",
    "\U0001f600",
    "a=b&c=d",
    "=",
    "a;b:c@d,e!(f)$",
]


def test_the_protocol_is_one_of_the_sdks() -> None:
    with BlobServiceClient("https://acc.blob.core.windows.net") as client:
        assert client.api_version == transport.VERSION


def _by_sdk(method: str, url: str, headers: dict[str, str], account: str = "acc") -> str:
    credential = {"account_name": account, "account_key": KEY}
    with BlobServiceClient(f"https://{account}.blob.core.windows.net", credential=credential) as client:
        policy: Any = client.credential
        request = HttpRequest(method, url, headers=headers)
        policy.on_request(PipelineRequest(request, PipelineContext(None)))
    return request.headers["Authorization"]


def _by_us(method: str, path: str, query: dict[str, str], headers: dict[str, str], size: int) -> str:
    sent = dict(headers)
    rights.SharedKey("acc", KEY).sign(method, path, query, sent, size)
    return sent["Authorization"]


def _compare(method: str, key: str, query: dict[str, str], headers: dict[str, str], size: int) -> None:
    path = "/b/" + quote(key, safe="~/")
    url = "https://acc.blob.core.windows.net" + transport.target_of(path, query)
    sent = {**headers, "Content-Length": str(size)} if method == "PUT" else headers
    assert _by_us(method, path, query, headers, size) == _by_sdk(method, url, sent)


@pytest.mark.parametrize("key", KEYS)
def test_requests_are_signed_as_by_the_sdk(key: str) -> None:
    date = {"x-ms-date": rights.date(), "x-ms-version": transport.VERSION}
    _compare("GET", key, {}, {**date, "x-ms-range": "bytes=1-2", "If-Match": '"0x1"', "Accept-Encoding": "identity"}, 0)
    _compare("HEAD", key, {}, date, 0)
    _compare("DELETE", key, {}, {**date, "x-ms-delete-snapshots": "include"}, 0)
    listing = {"restype": "container", "comp": "list", "prefix": key, "startFrom": key, "marker": "2!80!a=", "a": ""}
    _compare("GET", "", {**listing, "delimiter": "/", "include": "metadata"}, date, 0)
    _compare("PUT", key, {"comp": "block", "blockid": "ZmsrLz0="}, {**date, "x-ms-content-crc64": "AA+/=="}, 17)
    attributes = {
        "x-ms-blob-type": "BlockBlob",
        "x-ms-blob-content-type": "text/plain; charset=utf-8",
        "x-ms-blob-content-disposition": 'attachment; filename="x y.txt"',
        "x-ms-blob-cache-control": "no-cache",
        "x-ms-meta-fk_token": "0123",
        "x-ms-meta-fkX": "upper",
        "x-ms-meta-fk-x": "hyphen",
        "x-ms-meta-fk": "",
        "x-ms-meta-fk0": "digit",
        "x-ms-meta-f_k": "=?utf-8?b?w7w=?=",
        "Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg==",
        "Content-Type": "application/octet-stream",
        "If-None-Match": "*",
        "User-Agent": "x",
    }
    for size in (0, 1, 4096):
        _compare("PUT", key, {}, {**date, **attributes}, size)


NAMES = st.text("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCXYZ", min_size=1, max_size=6)
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES.map(str.lower), VALUES, max_size=6), st.dictionaries(NAMES, VALUES, max_size=3))
def test_odd_names_are_sorted_as_by_the_sdk(metadata: dict[str, str], query: dict[str, str]) -> None:
    query = {quote(name, safe=""): value for name, value in query.items() if "%" not in quote(name, safe="")}
    headers = {f"x-ms-meta-{name}": value for name, value in metadata.items()}
    _compare("PUT", "x", query, {"x-ms-date": "now", **headers}, 1)


@pytest.mark.parametrize("by", ["key", "delegation key", "delegation key of another tenant"])
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("answered", [{}, {"content_type": "text/a b&", "disposition": 'attachment; filename="ü.txt"'}])
def test_links_are_signed_as_by_the_sdk(key: str, by: str, answered: dict[str, str]) -> None:
    expiry = datetime.now(UTC) + timedelta(minutes=5)
    fields = {"skoid": "o", "sktid": "t", "skt": "2026-01-01T00:00:00Z", "ske": "2026-01-02T00:00:00Z", "sks": "b",
              "skv": "2026-01-01"}  # fmt: skip
    if by.endswith("tenant"):
        fields["skdutid"] = "u"
    secret: dict[str, Any] = {"account_key": KEY}
    ours: Any = base64.b64decode(KEY)
    if by != "key":
        delegated: Any = UserDelegationKey()
        names = ("oid", "tid", "start", "expiry", "service", "version", "delegated_user_tid")
        for name, value in zip(names, [*fields.values(), None], strict=False):
            setattr(delegated, f"signed_{name}", value)
        delegated.value = KEY
        secret = {"user_delegation_key": delegated}
        ours = signing.DelegationKey(fields, base64.b64decode(KEY))
    theirs = generate_blob_sas(
        "acc", "b", key, permission="cw", expiry=expiry, content_type=answered.get("content_type"),
        content_disposition=answered.get("disposition"), **secret,
    )  # fmt: skip
    found = signing.shared_access("acc", ours, f"b/{key}", "cw", expiry, **answered)
    assert parse_qs(found, strict_parsing=True) == parse_qs(theirs, strict_parsing=True)


def test_a_date_is_that_of_http() -> None:
    moment = datetime.strptime(rights.date(), "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 2


def test_a_signature_may_be_exchanged() -> None:
    credential = AzureSasCredential("?sig=1")
    right = rights.Signature(credential)
    assert right.signature() == "sig=1"
    credential.update("sig=2")
    assert right.signature() == "sig=2"


# -- tokens --------------------------------------------------------------------------------------------------------


class Source:
    """A credential that gives numbered tokens, slowly."""

    def __init__(self, life: float = 3600, error: Exception | None = None):
        self.life, self.error = life, error
        self.asked: list[dict[str, Any]] = []
        self.same = False

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        assert scopes == (rights.SCOPE,)
        self.asked.append(options)
        time.sleep(0.02)
        if self.error:
            raise self.error
        return AccessToken("same" if self.same else f"token-{len(self.asked)}", int(time.time() + self.life))


def test_a_token_is_asked_for_once_by_all_threads() -> None:
    source = Source()
    right = rights.Token(source)
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda _: right.token(), range(200))) == {"token-1"}
    assert len(source.asked) == 1


def test_a_token_near_its_end_is_replaced_by_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(life=rights.EARLY - 10)
    right = rights.Token(source)
    assert right.token() == "token-1"
    source.life = 3600
    gate = threading.Barrier(8)

    def ask(_: int) -> str:
        gate.wait()
        return right.token()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert set(found) <= {"token-1", "token-2"}
    assert right.token() == "token-2"
    assert len(source.asked) == 2


def test_a_token_that_cannot_be_replaced_is_used_to_its_end() -> None:
    source = Source(life=rights.EARLY - 10)
    right = rights.Token(source)
    right.token()
    source.error = RuntimeError("the identity service is away")
    assert right.token() == "token-1"
    expired = rights.Token(source)
    with pytest.raises(RuntimeError):
        expired.token()


def test_a_refused_token_is_replaced_once_for_all_threads() -> None:
    source = Source()
    right = rights.Token(source)
    refused = right.token()
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: right.renew(refused, ""), range(8)))
    assert right.token() == "token-2"
    source.same = True
    assert right.renew("token-2", "")
    assert not right.renew("same", ""), "the same again would be refused again"


def test_the_service_tells_tenant_and_claims() -> None:
    source = Source()
    right = rights.Token(source)
    uri = "https://login.microsoftonline.com/the-tenant/oauth2/authorize"
    claims = base64.b64encode(b'{"access_token": 1}').decode().rstrip("=")
    right.renew(right.token(), f'Bearer authorization_uri="{uri}", error="insufficient_claims", claims="{claims}"')
    right.renew(right.token(), f"Bearer authorization_uri={uri} resource_id=https://storage.azure.com")
    tenant = {"tenant_id": "the-tenant"}
    assert source.asked == [{}, {**tenant, "claims": '{"access_token": 1}'}, tenant]
    with pytest.raises(exc.PermissionError, match="claims"):
        right.renew(right.token(), 'Bearer error="insufficient_claims", claims="§"')


@pytest.mark.parametrize("refusals", [1, 2])
def test_a_refused_request_is_sent_once_more(
    refusals: int,
    azurite_tls_server: AzuriteServer,
    certificates: Any,
    make_backend: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from .test_signing import Token

    class Counting(Token):
        count = 0

        def get_token(self, *scopes: str, **options: Any) -> AccessToken:
            self.count += 1
            found = super().get_token()
            # Another one each time, as it is when a token was revoked.
            head, _, rest = found.token.partition(".")
            extra = base64.urlsafe_b64encode(json.dumps({"alg": "none", "n": self.count}).encode()).decode().rstrip("=")
            return AccessToken(f"{extra}.{rest}" if head else "", found.expires_on)

    server, left = azurite_tls_server, [refusals]

    def refuse(request: Request, body: Body, forward: Forward) -> Response:
        if not left[0]:
            return forward(request, body)
        left[0] -= 1
        b"".join(body)
        return Response.of(
            401,
            "<Error><Code>InvalidAuthenticationInfo</Code><Message>expired</Message></Error>",
            [("x-ms-request-id", "1"), ("WWW-Authenticate", "Bearer resource_id=https://storage.azure.com")],
        )

    bucket, credential = server.new_bucket(), Counting()
    with HookedProxy(server.url, upstream_ca_file=server.ca_file, certificates=certificates) as front:
        front.hook(refuse, method="PUT")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", front.ca_file)
        backend = make_backend(bucket=bucket, account_url=front.url, credential=credential, transport="http")
        if refusals == 1:
            assert backend.put("x", b"content", WriteOptions()).size == 7
        else:
            with pytest.raises(Exception, match="expired") as caught:
                backend.put("x", b"content", WriteOptions())
            assert isinstance(backend.translate(caught.value), exc.PermissionError)
        assert (front.count("PUT"), credential.count) == (2, 2)


def test_what_a_credential_raises_becomes_ours(make_backend: Make, transport: str) -> None:
    from azure.core.exceptions import ClientAuthenticationError

    from .azure_calls import as_ours

    source = Source(error=ClientAuthenticationError("no token of Bearer abc.def"))
    url = "https://acc.blob.core.windows.net"
    backend = make_backend(bucket="b", account_url=url, credential=source, transport=transport)
    with pytest.raises(exc.PermissionError, match="credentials") as caught, as_ours(backend):
        backend.head("x")
    assert "abc.def" not in str(caught.value)


# -- which sender --------------------------------------------------------------------------------------------------


def test_which_sender_is_used(
    make_backend: Make, azurite_server: AzuriteServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    by_key = {"bucket": "b", "account_name": "acc", "account_key": KEY}
    assert make_backend(**by_key).transport == "http"
    assert make_backend(**by_key, transport="sdk").transport == "sdk"
    with azurite_server.client() as client:
        assert make_backend(client=client, bucket="b").transport == "sdk"
        with pytest.raises(exc.InvalidStorageConfigurationError, match="'transport' cannot be 'http'"):
            make_backend(client=client, bucket="b", transport="http")
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    assert make_backend(**by_key).transport == "http"
    monkeypatch.setenv("https_proxy", "socks5h://proxy.example:1080")
    assert make_backend(**by_key).transport == "sdk"
    with pytest.raises(exc.InvalidStorageConfigurationError, match="must be one of auto, http, sdk"):
        make_backend(**by_key, transport="requests")


PROGRAM = """
import json, sys
from file_keeper import make_storage
with make_storage("media", json.loads(sys.argv[1])) as storage:
    if storage.backend.settings.account_key:
        storage.upload("a", b"content", overwrite=True)
        assert storage.content("a") == b"content"
        assert list(storage.scan()) == ["a"]
        storage.copy("b", "a", overwrite=True)
        assert storage.remove_many(["b"]) == []
    try:
        storage.content("nothing")
    except Exception as error:
        print(type(error).__name__)
print(sorted(name for name in sys.modules if name.startswith(("azure.", "requests", "urllib3"))))
"""


@pytest.mark.parametrize("right", ["key", "sas", "anonymous"])
def test_the_sdk_is_not_loaded(right: str, azurite_server: AzuriteServer) -> None:
    raw: dict[str, Any] = {"type": "azure", "bucket": azurite_server.new_bucket(), "transport": "http"}
    raw["account_url"] = azurite_server.url
    if right == "key":
        raw |= {"account_name": azurite_server.account_name, "account_key": azurite_server.account_key}
    else:
        raw |= {"sas_token": "sv=2022-11-02&sig=x"} if right == "sas" else {"anonymous": True}
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(raw)], capture_output=True, text=True, timeout=60, check=False
    )
    assert found.returncode == 0, found.stderr
    error, modules = found.stdout.splitlines()
    assert error == "MissingFileError" if right == "key" else error.endswith("Error")
    assert modules == "[]"
