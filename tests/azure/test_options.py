"""What each option does on the wire, by both senders."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import sys
import types
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from emulators.azure import AzuriteServer
from faults.hooked import HookedProxy
from faults.http1 import Body, Request, Response
from file_keeper import Capability, Storage, exc, make_storage
from file_keeper.settings import parse
from file_keeper_azure.settings import AzureSettings, default_credential

KEY = base64.b64encode(bytes(range(32))).decode()
SHA = base64.b64encode(hashlib.sha256(bytes(range(32))).digest()).decode()
ADDED = ("x-ms-access-tier", "x-ms-tags", "x-ms-encryption-scope", "x-ms-encryption-key", "x-ms-encryption-key-sha256",
         "x-ms-encryption-algorithm")  # fmt: skip


@pytest.fixture(params=["http", "sdk"])
def sender(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def front(azurite_server: AzuriteServer) -> Iterator[HookedProxy]:
    """A front before Azurite, which knows nothing of scopes and keys: the headers go no further."""
    with HookedProxy(azurite_server.url) as front:

        def hook(request: Request, body: Body, forward: Any) -> Response:
            return forward(dataclasses.replace(request, headers=request.headers.without(*ADDED)), body)

        front.hook(hook)
        yield front


def _storage(front: HookedProxy, server: AzuriteServer, sender: str, **more: Any) -> Storage:
    """By a signature, which covers no headers: what the front takes away is not missed."""
    from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

    sas = generate_account_sas(
        server.account_name, server.account_key, ResourceTypes(service=True, container=True, object=True),
        AccountSasPermissions.from_string("rwdlacupit"), datetime.now(UTC) + timedelta(hours=1),
    )  # fmt: skip
    return make_storage(
        "s",
        {"type": "azure", "bucket": server.new_bucket(), "account_url": front.url, "sas_token": sas,
         "transport": sender, "part_size": "256KiB", **more},
    )  # fmt: skip


def _work(storage: Storage) -> None:
    storage.upload("put", b"1")
    storage.upload("parts", bytes(600_000))
    storage.content("put")
    storage.analyze("parts")
    list(storage.scan())


def _sent(front: HookedProxy, name: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for seen in front.requests:
        comp = seen.parameters.get("comp", "")
        kind = f"{seen.method} {comp}".strip() + (" from" if seen.headers.has("x-ms-copy-source") else "")
        if "restype" not in seen.query:
            found.setdefault(kind, set()).add(seen.headers.get(name))
    return found


def test_tier_tags_and_scope(front: HookedProxy, azurite_server: AzuriteServer, sender: str) -> None:
    with _storage(
        front, azurite_server, sender, storage_class="Cool", tags={"team": "a b", "x": "1"}, encryption_scope="scope"
    ) as storage:
        _work(storage)
        storage.copy("copy", "put")
    for name, value in (("x-ms-access-tier", "Cool"), ("x-ms-tags", "team=a+b&x=1")):
        found = _sent(front, name)
        assert {kind for kind, told in found.items() if told == {value}} == {"PUT", "PUT blocklist", "PUT from"}
        assert all(told == {""} for kind, told in found.items() if kind not in ("PUT", "PUT blocklist", "PUT from"))
    scoped = _sent(front, "x-ms-encryption-scope")
    assert {kind for kind, told in scoped.items() if told == {"scope"}} >= {
        "PUT", "PUT block", "PUT blocklist", "PUT from",
    }  # fmt: skip
    assert scoped["GET"] == {""}


def test_a_link_has_tier_and_scope(front: HookedProxy, azurite_server: AzuriteServer) -> None:
    raw = {
        "type": "azure", "bucket": "media", "account_url": front.url, "account_name": azurite_server.account_name,
        "account_key": azurite_server.account_key, "access_tier": "Cold", "encryption_scope": "scope",
    }  # fmt: skip
    with make_storage("s", raw) as storage:
        assert storage.settings.storage_class == "Cold"
        link = storage.signed("upload", 60, "a")
        assert link.headers["x-ms-access-tier"] == "Cold"
        assert link.headers["x-ms-encryption-scope"] == "scope"


def test_a_key_of_the_customer(front: HookedProxy, azurite_server: AzuriteServer, sender: str) -> None:
    with _storage(front, azurite_server, sender, sse_customer_key=KEY) as storage:
        _work(storage)
        storage.copy("copy", "put")
        storage.append("copy", b"more")
        assert storage.content("copy") == b"1more"
        assert not storage.capabilities & (Capability.SIGNED | Capability.LINK_PERMANENT)
        assert KEY not in repr(storage.settings)
    found = {name: _sent(front, name) for name in ADDED[3:]}
    for kind in ("PUT", "PUT block", "PUT blocklist", "GET", "HEAD"):
        assert [found[name][kind] for name in ADDED[3:]] == [{KEY}, {SHA}, {"AES256"}], kind
    assert not [kind for kind in found[ADDED[3]] if "from" in kind], "what is copied is read and written"


def test_version_agent_and_proxies(azurite_server: AzuriteServer, sender: str) -> None:
    with HookedProxy(azurite_server.url.rpartition("/")[0], keep_host=False) as proxy:

        def strip(request: Request, body: Body, forward: Any) -> Response:
            return forward(dataclasses.replace(request, path=request.path.removeprefix("http://azure.example")), body)

        proxy.hook(strip)
        with make_storage(
            "s",
            {"type": "azure", "bucket": azurite_server.new_bucket(), "transport": sender,
             "account_url": f"http://azure.example/{azurite_server.account_name}",
             "account_name": azurite_server.account_name, "account_key": azurite_server.account_key,
             "proxies": {"http": proxy.url}, "user_agent": "shop/1.2", "api_version": "2021-12-02"},
        ) as storage:  # fmt: skip
            storage.upload("a", b"1")
            assert storage.content("a") == b"1"
        for seen in proxy.requests:
            assert "shop/1.2" in seen.headers.get("User-Agent")
            assert seen.headers.get("x-ms-version") == "2021-12-02"


def test_verify(azurite_tls_server: AzuriteServer, sender: str) -> None:
    server = azurite_tls_server
    raw = {
        "type": "azure", "bucket": server.new_bucket(), "transport": sender, "account_url": server.url,
        "account_name": server.account_name, "account_key": server.account_key, "retry": 1,
    }  # fmt: skip
    for verify in (server.ca_file, False):
        with make_storage("s", {**raw, "verify": verify}) as storage:
            storage.upload("a", b"1", overwrite=True)
            assert storage.content("a") == b"1"
    with make_storage("s", raw) as storage, pytest.raises(exc.ConnectionError) as caught:
        storage.content("a")
    assert not caught.value.retryable


def test_who_the_default_credential_is(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    asked: list[Any] = []

    class Default:
        def __init__(self, **options: Any):
            given.update(options)

        def get_token(self, *scopes: str, **more: Any) -> str:
            asked.append((scopes, more))
            return "token"

        def close(self) -> None:
            asked.append("closed")

    module: Any = types.ModuleType("azure.identity")
    module.DefaultAzureCredential = Default
    monkeypatch.setitem(sys.modules, "azure.identity", module)
    raw = {"bucket": "b", "account_name": "a", "tenant_id": "t-1", "client_id": "c-1"}
    credential = default_credential(parse(AzureSettings, "s", raw, "file_keeper:azure"))
    assert given == {
        "managed_identity_client_id": "c-1",
        "workload_identity_client_id": "c-1",
        "additionally_allowed_tenants": ["t-1"],
    }
    assert credential.get_token("scope") == "token"
    credential.close()
    assert asked == [(("scope",), {"tenant_id": "t-1"}), "closed"]
    given.clear()
    default_credential(parse(AzureSettings, "s", {"bucket": "b", "account_name": "a"}, "file_keeper:azure"))
    assert given == {}


def test_initialize_with_a_signature_of_the_container(azurite_server: AzuriteServer, sender: str) -> None:
    from azure.storage.blob import generate_container_sas

    server, bucket = azurite_server, azurite_server.new_bucket()
    sas = generate_container_sas(
        server.account_name, bucket, account_key=server.account_key, permission="rwdl",
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )  # fmt: skip
    raw = {"type": "azure", "account_url": server.url, "sas_token": sas, "initialize": True, "transport": sender}
    with make_storage("s", {**raw, "bucket": bucket}) as storage:
        storage.upload("a", b"1")
        assert storage.content("a") == b"1"
    with pytest.raises(exc.PermissionError):
        make_storage("s", {**raw, "bucket": "another"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sse_customer_key": "short"}, "32 bytes in base64"),
        ({"sse_customer_key": KEY, "encryption_scope": "s"}, "exclude"),
        ({"sse_customer_key": KEY, "account_url": "http://a.example"}, "plain HTTP"),
        ({"tags": {str(n): "" for n in range(11)}}, "at most 10"),
        ({"api_version": "latest"}, "a date"),
        ({"tenant_id": "t", "account_key": "aw=="}, "default credential"),
        ({"user_agent": "a\nb"}, "printable"),
        ({"verify": 3}, "CA bundle"),
        ({"proxies": {"https": "://"}}, "proxies"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(exc.InvalidStorageConfigurationError, match=message):
        make_storage("s", {"type": "azure", "bucket": "media", "account_name": "a", **options})
