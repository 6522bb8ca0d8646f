"""Storages on the double of Google Cloud Storage, without what the machine knows of Google."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import file_keeper as fk
import pytest
from emulators.gcs_double import GcsDouble
from emulators.gcs_double.fixtures import gcs_double, gcs_double_server  # noqa: F401 - fixtures
from faults.hooked import HookedProxy
from file_keeper.settings import parse
from file_keeper_gcs import GcsBackend, GcsSettings
from google.oauth2 import service_account

Backends = Callable[..., GcsBackend]
Storages = Callable[..., fk.Storage]


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials, project or emulator but those that a test names."""
    for name in (
        "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "STORAGE_EMULATOR_HOST",
        "API_ENDPOINT_OVERRIDE",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    # Google's credentials look up at IAM, in a thread of their own, where an account may be used from: not in tests.
    monkeypatch.setattr(
        service_account.Credentials, "_is_regional_access_boundary_lookup_required", lambda _: False, raising=False
    )


@pytest.fixture
def double(gcs_double: GcsDouble) -> GcsDouble:  # noqa: F811
    return gcs_double


@pytest.fixture
def hooked(double: GcsDouble) -> Iterator[HookedProxy]:
    """A front before the double that changes what passes."""
    with HookedProxy(double.url) as front:
        yield front


BY_SDK = ("test_verbs", "test_client", "test_transport")
"""The files whose tests are tried with both senders: requests and answers, credentials, faults."""


@pytest.fixture(params=["auto", pytest.param("sdk", marks=pytest.mark.full)])
def transport(request: pytest.FixtureRequest) -> str:
    """What storages and backends are made with: our own client, which "auto" means here, or the SDK's session."""
    if request.param == "sdk" and request.module.__name__.rpartition(".")[2] not in BY_SDK:
        pytest.skip("what differs by the SDK is tried in other files")
    return request.param


@pytest.fixture
def backend(double: GcsDouble, transport: str) -> Iterator[Backends]:
    """`backend(path="up", ...)` gives a backend on the bucket "media" of the double."""
    made: list[GcsBackend] = []

    def make(url: str = "", **options: Any) -> GcsBackend:
        raw = {
            "bucket": "media", "endpoint": url or double.url, "anonymous": True, "timeout": 5, "transport": transport,
            **options,
        }  # fmt: skip
        one = GcsBackend(parse(GcsSettings, "test", raw, "file_keeper:gcs"))
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


@pytest.fixture
def storage(double: GcsDouble, transport: str) -> Iterator[Storages]:
    """`storage(path="up", ...)` gives a storage on the bucket "media" of the double."""
    made: list[fk.Storage] = []

    def make(url: str = "", **options: Any) -> fk.Storage:
        raw: dict[str, Any] = {"type": "gcs", "bucket": "media", "endpoint": url or double.url, "timeout": 5}
        raw["transport"] = transport
        if not {"credentials", "credentials_file", "client"} & options.keys():
            raw["anonymous"] = True
        raw |= options
        one = fk.make_storage("test", {name: value for name, value in raw.items() if value is not None})
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()
