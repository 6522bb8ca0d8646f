"""What a user writes: providers, drivers, parameters, and what is said when they are wrong."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from file_keeper import Capability, exc, make_storage
from libcloud.storage.base import StorageDriver
from libcloud.storage.drivers.s3 import S3StorageDriver
from libcloud_drivers.places import Make

C = exc.InvalidStorageConfigurationError


@pytest.mark.parametrize(
    ("settings", "error", "told"),
    [
        ({"provider": "azure_blob"}, C, "no storage provider 'azure_blob', did you mean 'azure_blobs'"),
        ({"provider": "zzz"}, C, "known are aliyun_oss, .* s3, "),
        ({}, exc.MissingStorageConfigurationError, "option 'provider' is required"),
        ({"provider": "LOCAL", "bucket": None}, exc.MissingStorageConfigurationError, "option 'bucket' is required"),
        ({"provider": "dummy"}, C, "it stores nothing: for files in memory use the type 'memory'"),
        ({"provider": "BACKBLAZE_B2"}, C, "first page of a bucket only.*use the type 's3'"),
        ({"provider": "nimbus"}, C, "lists containers and nothing else"),
        ({"driver": "S3"}, C, "must be a storage driver of Libcloud, not str"),
        ({"driver": S3StorageDriver("k", "s"), "key": "k"}, C, "'key' is not used beside a ready 'driver'"),
        ({"provider": "S3", "prams": {}}, C, "unknown option 'prams', did you mean 'params'"),
        ({"provider": "S3", "region": "eu-west-1"}, C, "'region' is an option of file_keeper:s3"),
    ],
)
def test_what_is_wrong_is_told(settings: dict[str, Any], error: type[exc.FilesError], told: str) -> None:
    with pytest.raises(error, match=told) as caught:
        make_storage("media", {"type": "libcloud", "bucket": "b", **settings})
    assert caught.value.storage == "media"


@pytest.mark.parametrize("provider", ["S3", "minio", "AZURE_BLOBS"])
def test_what_a_driver_cannot_do_without_is_told(provider: str, make: Make) -> None:
    for given, lacking in (({}, "key"), ({"key": "k"}, "secret")):
        storage = make(provider=provider, bucket="b", **given)
        with pytest.raises(exc.MissingStorageConfigurationError, match=f"option '{lacking}' is required by Libcloud"):
            storage.exists("x")


def test_parameters_that_the_driver_does_not_take_are_told_at_first_use(make: Make) -> None:
    storage = make(provider="S3", bucket="b", key="k", secret="hidden", params={"region": "nowhere-1"})
    with pytest.raises(C, match="nowhere-1") as caught:
        storage.exists("x")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("provider", ["S3", "s3", "AZURE_BLOBS", "azure_blobs", "minio", "S3_EU_WEST2", "s3_eu_west_2"])
def test_providers_by_constant_or_value_in_any_case(provider: str, make: Make) -> None:
    assert make(provider=provider, container_name="b", key="k", secret="c2VjcmV0").settings.bucket == "b"


def test_capabilities_follow_from_the_driver(make: Make) -> None:
    linked = Capability.SIGNED | Capability.LINK_TEMPORARY
    never = Capability.MULTIPART | Capability.RESUMABLE | Capability.APPEND | Capability.COMPOSE
    expected = {
        "S3": Capability.METADATA | linked,
        "AZURE_BLOBS": Capability.METADATA | linked,
        "MINIO": Capability.METADATA,
        "LOCAL": Capability.NONE,
        "OPENSTACK_SWIFT": Capability.METADATA,
        "ALIYUN_OSS": Capability.METADATA,
    }
    for provider, more in expected.items():
        found = make(provider=provider, bucket="b", key="k", secret="c2VjcmV0").capabilities
        assert found & (linked | Capability.METADATA) == more, provider
        assert not found & never
        assert Capability.CREATE | Capability.RANGE | Capability.SCAN in found


def test_a_driver_that_lacks_what_a_storage_needs_is_refused() -> None:
    class Half(StorageDriver):
        name = "Half"

        def __init__(self) -> None:
            pass

        def get_object(self, container_name: str, object_name: str) -> Any: ...

    with pytest.raises(C, match=r"Half cannot be a storage: it has no get_container, no iterate_container_objects"):
        make_storage("media", {"type": "libcloud", "bucket": "b", "driver": Half()})


def test_a_ready_driver_is_a_pattern_and_stays_the_callers(s3: dict[str, Any], make: Make) -> None:
    driver = S3StorageDriver(s3["key"], s3["secret"], **s3["params"])
    before = driver.connection.connection
    storage = make(driver=driver, bucket=s3["bucket"])
    assert storage.backend.client is driver
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: storage.upload(f"{n}", bytes([n]) * 1000), range(24)))
        contents = pool.map(lambda n: storage.content(f"{n}"), range(24))
        assert list(contents) == [bytes([n]) * 1000 for n in range(24)]
    assert driver.connection.connection is before
    assert driver.get_object(s3["bucket"], "3").size == 1000
    with pytest.raises(TypeError, match="'driver'"):
        pickle.dumps(storage)


def test_permanent_links(make: Make) -> None:
    storage = make(provider="LOCAL", bucket="b", path="p", key="/nowhere", public_prefix="https://cdn.example/media/")
    assert storage.permanent_link("a b/ü#?%.txt") == "https://cdn.example/media/p/a%20b/%C3%BC%23%3F%25.txt"
    with pytest.raises(exc.UnsupportedOperationError):
        make(provider="LOCAL", bucket="b", key="/nowhere").permanent_link("x")


def test_references_are_read_when_a_driver_is_made(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_PROVIDER", "S3")
    monkeypatch.delenv("THE_SECRET", raising=False)
    options = {"params": {"host": "127.0.0.1", "port": 9, "secure": False}, "bucket": "b", "key": "k"}
    storage = make(provider={"env": "THE_PROVIDER"}, secret={"env": "THE_SECRET"}, **options)
    assert storage.supports(Capability.SIGNED)
    with pytest.raises(exc.MissingStorageConfigurationError, match="THE_SECRET is not set"):
        storage.temporary_link("x", 60)
    monkeypatch.setenv("THE_SECRET", "now it is")
    assert storage.temporary_link("x", 60)


def test_no_network_before_the_first_call(make: Make) -> None:
    storage = make(
        provider="S3", bucket="b", key="k", secret="s", params={"host": "127.0.0.1", "port": 9, "secure": False}
    )
    assert storage.supports(Capability.SIGNED)
    assert "127.0.0.1:9/b/x" in storage.temporary_link("x", 60)
    assert "s3cret" not in repr(make(provider="S3", bucket="b", key="k", secret="s3cret"))
