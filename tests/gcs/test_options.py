"""What each option does on the wire, by both senders."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import file_keeper as fk
import pytest
from emulators.gcs_double import GcsDouble
from faults.hooked import HookedProxy
from file_keeper import Capability, exc, make_storage
from file_keeper_gcs import GcsBackend

Make = Callable[..., GcsBackend]
KEY = base64.b64encode(bytes(range(32))).decode()
SHA = base64.b64encode(hashlib.sha256(bytes(range(32))).digest()).decode()
ENCRYPTION, SOURCE = "x-goog-encryption-", "x-goog-copy-source-encryption-"


@pytest.fixture(params=["http", "sdk"])
def sender(request: pytest.FixtureRequest) -> str:
    return request.param


def _storage(front: HookedProxy, double: GcsDouble, sender: str, **more: Any) -> fk.Storage:
    return make_storage(
        "s",
        {
            "type": "gcs", "bucket": "media", "endpoint": front.url, "credentials": double.credentials_info(),
            "transport": sender, "part_size": "256KiB", "path": "area", **more,
        },
    )  # fmt: skip


def _work(storage: fk.Storage) -> None:
    storage.upload("put", b"1")
    storage.upload("session", bytes(600_000))
    storage.content("put")
    storage.copy("copy", "put")
    storage.append("copy", b"more")
    made = storage.multipart_start("parts", 300_000)
    made = storage.multipart_update(made, bytes(300_000), 0)
    storage.multipart_complete(made)
    list(storage.scan())
    storage.remove("session")
    assert storage.remove_many(["put", "copy", "parts"]) == []


def _matching(front: HookedProxy, query: str, path: str = "", method: str = "") -> list[Any]:
    return [r for r in front.requests if query in r.query and path in r.path and method in r.method]


def test_who_is_charged(hooked: HookedProxy, double: GcsDouble, sender: str) -> None:
    with _storage(hooked, double, sender, requester_pays=True, project_id="payer") as storage:
        _work(storage)
        assert not storage.supports(Capability.LINK_PERMANENT)
        assert "userProject=payer" in storage.signed("download", 60, "x")
    assert len(hooked.requests) > 10
    for seen in hooked.requests:
        assert seen.headers.get("x-goog-user-project") == "payer", seen.path
        own = "upload_id=" in seen.query or seen.path.startswith("/batch")
        assert ("userProject=payer" in seen.query) is not own, seen.path + seen.query
    hooked.requests.clear()
    with _storage(hooked, double, sender, requester_pays=True, project_id="own", user_project="payer") as storage:
        storage.exists("x")
    assert hooked.requests[-1].headers.get("x-goog-user-project") == "payer"


def test_a_key_of_the_customer(hooked: HookedProxy, double: GcsDouble, sender: str) -> None:
    with _storage(hooked, double, sender, sse_customer_key=KEY) as storage:
        _work(storage)
        assert not storage.capabilities & (Capability.SIGNED | Capability.LINK_PERMANENT)
        assert KEY not in repr(storage.settings)
    for seen in hooked.requests:
        told = {name: seen.headers.get(ENCRYPTION + name) for name in ("algorithm", "key", "key-sha256")}
        without = seen.method == "DELETE" or (seen.path.endswith(("/o", "/b")) and seen.method == "GET")
        expected = ("", "", "") if without or seen.path.startswith("/batch") else ("AES256", KEY, SHA)
        assert tuple(told.values()) == expected, f"{seen.method} {seen.path} {seen.query}"
        assert (seen.headers.get(SOURCE + "key") == KEY) is ("rewriteTo" in seen.path)


def test_kms_key_and_acl(hooked: HookedProxy, double: GcsDouble, sender: str) -> None:
    name = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
    with _storage(hooked, double, sender, kms_key=name, acl="bucket-owner-full-control") as storage:
        _work(storage)
        link = storage.signed("upload", 60, "x")
        assert link.headers == {"x-goog-acl": "bucket-owner-full-control", "x-goog-encryption-kms-key-name": name}
    encoded = name.replace("/", "%2F")
    begun = [r for r in hooked.requests if r.method == "POST" and "upload_id" not in r.query and "/upload/" in r.path]
    assert begun
    for seen in begun:
        assert f"kmsKeyName={encoded}" in seen.query
        assert "predefinedAcl=bucketOwnerFullControl" in seen.query
    for path, kms in (("rewriteTo", "destinationKmsKeyName"), ("/compose", "kmsKeyName")):
        found = _matching(hooked, "", path)
        assert found
        for seen in found:
            assert f"{kms}={encoded}" in seen.query
            assert "destinationPredefinedAcl=bucketOwnerFullControl" in seen.query


def test_user_agent_and_proxies(double: GcsDouble, sender: str) -> None:
    with (
        HookedProxy(double.url) as proxy,
        make_storage(
            "s",
            {"type": "gcs", "bucket": "media", "endpoint": "http://gcs.example", "anonymous": True,
             "transport": sender, "proxies": {"http": proxy.url}, "user_agent": "shop/1.2"},
        ) as storage,
    ):  # fmt: skip
        from faults.http1 import Body, Request, Response

        def strip(request: Request, body: Body, forward: Any) -> Response:
            import dataclasses

            return forward(dataclasses.replace(request, path=request.path.removeprefix("http://gcs.example")), body)

        proxy.hook(strip)
        storage.upload("a", b"1", overwrite=True)
        assert storage.content("a") == b"1"
        assert all(seen.headers.get("User-Agent").endswith("shop/1.2") for seen in proxy.requests)
        assert "file-keeper" in proxy.requests[-1].headers.get("User-Agent")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sse_customer_key": "short"}, "32 bytes in base64"),
        ({"sse_customer_key": KEY, "kms_key": "k"}, "exclude"),
        ({"sse_customer_key": KEY, "endpoint": "http://gcs.example"}, "plain HTTP"),
        ({"requester_pays": True}, "user_project"),
        ({"user_project": "p", "anonymous": True}, "anonymous"),
        ({"acl": "everyone"}, "public-read"),
        ({"user_agent": "a\nb"}, "printable"),
        ({"verify": 3}, "CA bundle"),
        ({"proxies": {"https": "://"}}, "proxies"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(exc.InvalidStorageConfigurationError, match=message):
        make_storage("s", {"type": "gcs", "bucket": "media", **options})
