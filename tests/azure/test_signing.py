"""Links, requested over plain HTTP as a browser would, and the kinds of credentials."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from azure.core.credentials import AccessToken, AzureSasCredential
from azure.storage.blob import BlobServiceClient, generate_container_sas
from emulators.azure import AzuriteServer
from faults.proxy import FaultProxy
from file_keeper import exc
from file_keeper.backend import MultipartRef, ObjectInfo, SignOptions, WriteOptions, entries_of
from file_keeper_azure import AzureBackend, signing

from .azure_calls import as_ours, read_all

Make = Callable[..., AzureBackend]
MINUTE = SignOptions(duration=60)
NAME = "a b/#?%+&☺.txt"


def fetch(request: Any, **more: Any) -> requests.Response:
    return requests.request(request.method, request.url, headers=request.headers, timeout=10, **more)


def test_download(backend: AzureBackend) -> None:
    backend.put(NAME, b"content", WriteOptions())
    options = SignOptions(duration=60, content_type="text/x-try", disposition='attachment; filename="a b.txt"')
    signed = backend.sign("download", NAME, options)
    answer = fetch(signed)
    assert (answer.status_code, answer.content) == (200, b"content")
    assert answer.headers["Content-Type"] == "text/x-try"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a b.txt"'
    for method in ("PUT", "DELETE"):
        refused = requests.request(method, signed.url, headers={"x-ms-blob-type": "BlockBlob"}, data=b"x", timeout=10)
        assert refused.status_code == 403
    assert requests.get(signed.url.replace("sig=", "sig=A"), timeout=10).status_code == 403
    assert requests.get(signed.url.partition("?")[0], timeout=10).status_code in (401, 403, 404)
    assert requests.get(signed.url.replace("a%20b", "other"), timeout=10).status_code == 403


def test_upload(backend: AzureBackend) -> None:
    signed = backend.sign("upload", NAME, SignOptions(duration=60, content_type="text/x-try"))
    for content in (b"first", b"second"):
        assert fetch(signed, data=content).status_code == 201
    assert read_all(backend, NAME) == b"second"
    assert backend.head(NAME).content_type == "text/x-try"


def test_an_upload_that_must_not_overwrite(backend: AzureBackend) -> None:
    signed = backend.sign("upload", NAME, SignOptions(duration=60, if_absent=True))
    assert fetch(signed, data=b"first").status_code == 201
    assert fetch(signed, data=b"second").status_code in (403, 409, 412)
    # Who leaves the condition out gains nothing: the link itself does not allow it.
    bare = requests.put(signed.url, data=b"third", headers={"x-ms-blob-type": "BlockBlob"}, timeout=10)
    assert bare.status_code == 403
    assert read_all(backend, NAME) == b"first"


def test_delete(backend: AzureBackend) -> None:
    backend.put(NAME, b"content", WriteOptions())
    signed = backend.sign("delete", NAME, MINUTE)
    assert requests.get(signed.url, timeout=10).status_code == 403
    assert fetch(signed).status_code == 202
    assert not backend.delete(NAME)


def test_parts(backend: AzureBackend) -> None:
    upload = MultipartRef(NAME, backend.multipart_create(NAME, WriteOptions()))
    for number, content in enumerate((b"one", b"two")):
        signed = backend.sign("part", NAME, SignOptions(duration=60, upload=upload, part=number))
        assert fetch(signed, data=content).status_code == 201
    parts = list(backend.multipart_parts(upload))
    backend.multipart_complete(upload, parts, WriteOptions())
    assert read_all(backend, NAME) == b"onetwo"


def test_an_expired_link(backend: AzureBackend) -> None:
    backend.put("x", b"", WriteOptions())
    assert fetch(backend.sign("download", "x", SignOptions(duration=-5))).status_code == 403


def test_nothing_is_requested(proxied: AzureBackend, proxy: FaultProxy) -> None:
    for action in ("upload", "download", "delete"):
        proxied.sign(action, "x", MINUTE)
    proxied.url("x")
    assert proxy.count() == 0


@pytest.mark.parametrize("key", ["a\\b", "a."])
def test_names_that_cannot_be_written_are_not_signed_for_it(backend: AzureBackend, key: str) -> None:
    with pytest.raises(exc.LocationError):
        backend.sign("upload", key, MINUTE)
    backend.sign("download", key, MINUTE)


def test_behind_a_reverse_proxy(
    make_backend: Make, account: dict[str, Any], azurite_server: AzuriteServer, fault_proxy: Callable[..., FaultProxy]
) -> None:
    front = fault_proxy(azurite_server, prefix="/files", keep_host=False)
    backend = make_backend(**account, public_endpoint=front.url)
    backend.put(NAME, b"content", WriteOptions())
    signed = backend.sign("download", NAME, MINUTE)
    assert signed.url.startswith(front.url + "/")
    assert fetch(signed).content == b"content"
    assert backend.url("a b") == f"{front.url}/{account['bucket']}/a%20b"
    assert front.count() == 1


@pytest.fixture
def sas(account: dict[str, Any]) -> str:
    """A signature for all of the container."""
    expiry = datetime.now(UTC) + timedelta(hours=1)
    return generate_container_sas(
        account["account_name"], account["bucket"], account["account_key"], permission="racwdl", expiry=expiry
    )


@pytest.fixture(params=["sas_token", "connection_string", "credential", "client"])
def by_signature(
    request: pytest.FixtureRequest,
    make_backend: Make,
    account: dict[str, Any],
    proxy: FaultProxy,
    sas: str,
    transport: str,
) -> Iterator[AzureBackend]:
    """A backend by a signature, in each way that one can be given."""
    place = {"bucket": account["bucket"], "account_url": proxy.url, "transport": transport}
    if request.param == "sas_token":
        yield make_backend(**place, sas_token=sas)
    elif request.param == "credential":
        yield make_backend(**place, credential=AzureSasCredential(sas))
    elif request.param == "connection_string":
        yield make_backend(
            bucket=account["bucket"],
            connection_string=f"BlobEndpoint={proxy.url};SharedAccessSignature={sas}",
            transport=transport,
        )
    else:
        with BlobServiceClient(proxy.url, credential=sas) as client:
            yield make_backend(client=client, bucket=account["bucket"])


def test_a_signature_is_right_enough_for_every_verb(by_signature: AzureBackend) -> None:
    backend = by_signature
    backend.copy_in_one, backend.copy_piece = 3, 3
    info = backend.put(NAME, b"content", WriteOptions(metadata={"a": "1"}))
    assert read_all(backend, NAME) == b"content"
    backend.copy(info, "by blocks", WriteOptions())
    backend.copy_in_one = 1000
    backend.copy(info, "in one", WriteOptions())
    backend.compose([info, info], "composed", WriteOptions())
    backend.append(info, b"!", WriteOptions())
    upload = MultipartRef("parts", backend.multipart_create("parts", WriteOptions()))
    backend.multipart_complete(upload, [backend.multipart_put(upload, 0, b"1")], WriteOptions())
    assert len(list(entries_of(backend.list("")))) == 5
    assert list(backend.delete_many(["by blocks", "in one"])) == []
    assert backend.delete("composed")
    backend.check()


def test_a_signature_signs_nothing(by_signature: AzureBackend) -> None:
    assert "sign" not in by_signature.verbs
    with pytest.raises(exc.UnsupportedOperationError, match="nothing to sign with"):
        by_signature.sign("download", "x", MINUTE)
    assert "sig=" not in by_signature.url("x")


def test_anonymous(make_backend: Make, account: dict[str, Any], backend: AzureBackend) -> None:
    backend.put("x", b"public", WriteOptions())
    place = {name: account[name] for name in ("bucket", "account_url", "transport")}
    anonymous = make_backend(**place, anonymous=True)
    with pytest.raises((exc.PermissionError, exc.InvalidStorageConfigurationError)), as_ours(anonymous):
        anonymous.head("x")
    backend.client.get_container_client(account["bucket"]).set_container_access_policy({}, public_access="container")
    assert read_all(anonymous, "x") == b"public"
    with pytest.raises((exc.PermissionError, exc.InvalidStorageConfigurationError)), as_ours(anonymous):
        anonymous.put("x", b"", WriteOptions())


class Token:
    """A token credential; Azurite takes any token that has not expired and is meant for it."""

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        expires = int(time.time()) + 3600
        claims = {
            "aud": "https://storage.azure.com",
            "iss": "https://sts.windows.net/00000000-0000-0000-0000-000000000000/",
            "iat": expires - 7200,
            "nbf": expires - 7200,
            "exp": expires,
            "oid": "00000000-0000-0000-0000-000000000001",
            "tid": "00000000-0000-0000-0000-000000000002",
        }
        parts = [{"alg": "none", "typ": "JWT"}, claims]
        text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
        return AccessToken(text + ".", expires)


@pytest.fixture
def by_token(
    azurite_tls_server: AzuriteServer, make_backend: Make, transport: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[AzureBackend]:
    server = azurite_tls_server
    if transport == "http":
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", server.ca_file)
        yield make_backend(account_url=server.url, credential=Token(), bucket=server.new_bucket())
        return
    with BlobServiceClient(server.url, credential=Token(), connection_verify=server.ca_file) as client:
        yield make_backend(client=client, bucket=server.new_bucket())


def test_a_token_is_right_enough(by_token: AzureBackend) -> None:
    info = by_token.put("x", b"content", WriteOptions())
    assert read_all(by_token, "x") == b"content"
    by_token.copy(info, "y", WriteOptions())
    assert [entry.key for entry in entries_of(by_token.list(""))] == ["x", "y"]
    headers = by_token._copier._source(ObjectInfo(key="x", size=1, etag="0x1"))
    assert headers["x-ms-copy-source-authorization"].startswith("Bearer ey")
    assert "?" not in headers["x-ms-copy-source"]


def test_links_by_a_delegation_key(
    by_token: AzureBackend, azurite_tls_server: AzuriteServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    by_token.put(NAME, b"content", WriteOptions())
    sender = by_token._wire.sender
    send = sender.send
    monkeypatch.setattr(sender, "send", lambda *args: asked.append(args) or send(*args))
    for _ in range(3):
        signed = by_token.sign("download", NAME, MINUTE)
        assert fetch(signed, verify=azurite_tls_server.ca_file).content == b"content"
        assert parse_qs(urlsplit(signed.url).query)["skoid"]
    assert len(asked) == 1, "the key is kept"
    by_token.sign("download", NAME, SignOptions(duration=6 * 86400))
    assert len(asked) == 1
    with pytest.raises(exc.UnsupportedOperationError, match="7 days"):
        by_token.sign("download", NAME, SignOptions(duration=7 * 86400))


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ({"account_url": "https://files.example.com", "account_name": "mine"}, "mine"),
        ({"account_url": "https://azurite:10000/devstore"}, "devstore"),
        ({"account_url": "https://mine.z01.blob.storage.azure.net"}, "mine"),
    ],
)
def test_the_account_of_a_link_at_another_address(
    make_backend: Make, raw: dict[str, Any], name: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK knows the name by Azure's usual hosts only; it is part of what is signed."""
    accounts: list[object] = []
    monkeypatch.setattr(signing, "shared_access", lambda account, *rest, **more: accounts.append(account) or "sig=x")
    monkeypatch.setattr(signing.Signer, "_delegation_key", lambda *_: signing.DelegationKey({}, b""))
    make_backend(bucket="b", credential=Token(), transport=transport, **raw).sign("download", "x", MINUTE)
    assert accounts == [name]


def test_a_link_of_an_account_that_nothing_names(make_backend: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing.Signer, "_delegation_key", lambda *_: signing.DelegationKey({}, b""))
    backend = make_backend(bucket="b", credential=Token(), account_url="https://files.example.com")
    with pytest.raises(exc.UnsupportedOperationError, match="account_name"):
        backend.sign("download", "x", MINUTE)
