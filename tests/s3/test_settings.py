"""What a dictionary becomes: a client, or an error that says what is wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from emulators.s3 import S3Server
from faults.proxy import FaultProxy
from file_keeper import Storage, exc, make_storage
from file_keeper.backend import WriteOptions, entries_of
from file_keeper_s3 import S3Backend

OnServer = Callable[..., Storage]
Make = Callable[..., S3Backend]
ID = {"x-amz-request-id": "1"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "'bucket' is required"),
        ({"bucket": "b", "endpoint": "minio:9000"}, "'endpoint' must be an address"),
        ({"bucket": "b", "endpoint": "https://a:b@minio"}, "no credentials"),
        ({"bucket": "b", "endpoint": "http://[::1"}, "'endpoint' is no address"),
        ({"bucket": "b", "config": {"s3": "virtual"}}, "'s3' must be a mapping"),
        ({"bucket": "b", "public_endpoint": "https://"}, "'public_endpoint' must be an address"),
        ({"bucket": "b", "key": "k"}, "belong together"),
        ({"bucket": "b", "session_token": "t"}, "belongs to"),
        ({"bucket": "b", "anonymous": True, "key": "k", "secret": "s"}, "excludes"),
        ({"bucket": "b", "kms_key": "k"}, "needs 'sse'"),
        ({"bucket": "b", "checksums": "never"}, "auto, required, always"),
        ({"bucket": "b", "conditional_writes": "maybe"}, "auto, yes, no"),
        ({"bucket": "b", "addressing": "dns"}, "auto, path, virtual"),
        ({"bucket": "b", "client": "s3"}, "boto3 client"),
        ({"bucket": "b", "verify": 3}, "CA bundle"),
        ({"buket": "b"}, "did you mean 'bucket'"),
    ],
)
def test_what_is_wrong_is_said(options: dict[str, Any], message: str) -> None:
    with pytest.raises(exc.InvalidStorageConfigurationError, match=message):
        make_storage("media", {"type": "s3", **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"config": {"no_such_option": 1}}, "no_such_option"),
        ({"config": {"retries": "none"}}, "option 'config'"),
        ({"profile": "no-such-profile", "key": "", "secret": ""}, "no-such-profile"),
        ({"secret": {"env": "NO_SUCH_SECRET"}}, "NO_SUCH_SECRET"),
    ],
)
def test_what_is_wrong_when_the_client_is_made(
    options: dict[str, Any], message: str, moto_server: S3Server, storage_on: OnServer
) -> None:
    storage = storage_on(moto_server, bucket="b", **options)
    with pytest.raises(exc.InvalidStorageConfigurationError, match=message):
        storage.exists("a")


def test_the_client_is_as_it_should_be(moto_server: S3Server, make_backend: Make) -> None:
    backend = make_backend(moto_server, bucket="b", max_concurrency=32, timeout=7)
    config = backend.client.meta.config
    assert config.retries["total_max_attempts"] == 1
    assert config.max_pool_connections >= 32
    assert (config.connect_timeout, config.read_timeout, config.tcp_keepalive) == (7, 7, True)
    assert config.request_checksum_calculation == config.response_checksum_validation == "when_required"
    assert config.s3["addressing_style"] == "path"
    assert config.signature_version == "s3v4"


def test_config_is_laid_over(moto_server: S3Server, make_backend: Make) -> None:
    backend = make_backend(
        moto_server,
        bucket="b",
        addressing="virtual",
        config={"read_timeout": 99, "s3": {"use_accelerate_endpoint": False}, "user_agent_extra": "mine"},
        proxies={"https": "http://proxy.example:3128"},
    )
    config = backend.client.meta.config
    assert config.read_timeout == 99
    assert config.connect_timeout == 60
    assert config.s3["addressing_style"] == "virtual"
    assert config.s3["use_accelerate_endpoint"] is False
    assert config.proxies == {"https": "http://proxy.example:3128"}


def test_virtual_addressing_reaches_the_bucket_by_its_host(
    moto_server: S3Server, fault_proxy: Callable[..., FaultProxy], storage_on: OnServer
) -> None:
    proxy = fault_proxy(moto_server, keep_host=False)
    bucket = moto_server.new_bucket()
    port = proxy.url.rpartition(":")[2]
    server = dataclasses.replace(moto_server, url=f"http://localhost:{port}")
    storage = storage_on(server, bucket=bucket, addressing="virtual")
    assert storage.permanent_link("a") == f"http://{bucket}.localhost:{port}/area/a"
    assert storage.signed("download", 60, "a").startswith(f"http://{bucket}.localhost:{port}/area/a?")


def test_a_proxy_is_used(moto_server: S3Server, fault_proxy: Callable[..., FaultProxy], storage_on: OnServer) -> None:
    proxy = fault_proxy(moto_server)
    storage = storage_on(
        dataclasses.replace(moto_server, url="http://s3.example.test"), bucket="b", proxies={"http": proxy.url}
    )
    proxy.on(times=None).answer(403)
    with pytest.raises(exc.PermissionError):
        storage.content("a")
    assert proxy.requests[0].target == "http://s3.example.test/b/area/a"


def test_a_ready_client_is_used_as_it_is(moto_server: S3Server, storage_on: OnServer) -> None:
    bucket = moto_server.new_bucket()
    client = moto_server.client(user_agent_extra="of-the-user")
    with contextlib.closing(client):
        storage = make_storage("media", {"type": "s3", "bucket": bucket, "client": client, "part_size": "5MiB"})
        content = bytes(range(256)) * (6 * 4096)
        storage.upload("a", b"1")
        storage.upload("b", content)
        assert (storage.content("a"), storage.content("b")) == (b"1", content)
        assert storage.remove_many(["a"]) == []
        assert storage.backend.client is client
        assert storage.permanent_link("b") == f"{moto_server.url}/{bucket}/b"
        with pytest.raises(TypeError, match="client"):
            pickle.dumps(storage)
        storage.close()
        assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 1, "it is its giver's to close"


def test_an_address_that_is_a_reference_is_looked_at(
    moto_server: S3Server, storage_on: OnServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in ("https://user:hidden@minio", "ftp://user:hidden@minio", "user:hidden@minio"):
        monkeypatch.setenv("MINIO", value)
        storage = storage_on(moto_server, bucket="b", endpoint={"env": "MINIO"})
        with pytest.raises(exc.InvalidStorageConfigurationError) as caught:
            storage.permanent_link("a")
        assert "hidden" not in str(caught.value)


def test_links_of_a_ready_client_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    server = S3Server(url="http://minio.test:9000", access_key="of-the-client", secret_key="s", region="eu-west-3")
    with contextlib.closing(server.client()) as client:
        for public in ("", "https://files.example.com/s3"):
            raw = {"type": "s3", "bucket": "b", "client": client, "public_endpoint": public}
            with make_storage("media", raw) as storage:
                link = storage.signed("upload", 60, "a", overwrite=False)
                assert link.startswith(f"{public or server.url}/b/a?X-Amz-Algorithm=AWS4-HMAC-SHA256")
                assert "=of-the-client%2F" in link
                assert "%2Feu-west-3%2Fs3%2F" in link
                assert "if-none-match" in link


def test_credentials_of_the_standard_chain(
    moto_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, make_backend: Make
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "credentials"
    path.write_text("[other]\naws_access_key_id = of-the-profile\naws_secret_access_key = s\nregion = eu-west-3\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    profile = make_backend(moto_server, bucket="b", key="", secret="", profile="other", region="")
    assert profile.client._request_signer._credentials.access_key == "of-the-profile"
    assert profile.client.meta.region_name == "eu-west-3"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    environment = make_backend(moto_server, bucket="b", key="", secret="")
    assert environment.client._request_signer._credentials.access_key == "of-the-environment"


def test_references_are_read_when_the_client_is_made(
    moto_server: S3Server, tmp_path: Any, make_backend: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("first\n")
    monkeypatch.setenv("FK_KEY", "of-a-reference")
    backend = make_backend(moto_server, bucket="b", key={"env": "FK_KEY"}, secret={"file": str(secret)})
    assert backend.client._request_signer._credentials.access_key == "of-a-reference"
    assert backend.client._request_signer._credentials.secret_key == "first"
    secret.write_text("rotated\n")
    backend.close()
    assert backend.client._request_signer._credentials.secret_key == "rotated"
    assert "rotated" not in repr(backend.settings)


@pytest.mark.parametrize(
    ("region", "sent"), [("us-east-1", ""), ("eu-west-3", "eu-west-3"), ("", ""), ("ap-southeast-5", "ap-southeast-5")]
)
def test_a_bucket_is_created_in_its_region(
    region: str, sent: str, moto_server: S3Server, fault_proxy: Callable[..., FaultProxy], storage_on: OnServer
) -> None:
    proxy = fault_proxy(moto_server)
    server = dataclasses.replace(moto_server, url=proxy.url)
    bucket = f"new-{region or 'none'}-{os.getpid()}-{id(proxy)}"
    storage = storage_on(server, bucket=bucket, region=region, initialize=True)
    storage.upload("a", b"1")
    assert [r.method for r in proxy.matching(path=f"^/{bucket}$")] == ["HEAD", "PUT"]
    found = storage.backend.client.get_bucket_location(Bucket=bucket)["LocationConstraint"]
    assert (found or "") == sent
    # What is there is fine.
    proxy.clear()
    again = storage_on(server, bucket=bucket, region=region, initialize=True)
    again.check()
    assert {r.method for r in proxy.requests} == {"HEAD"}


def test_a_bucket_of_someone_else(moto_server: S3Server, fault_proxy: Any, make_backend: Make) -> None:
    from faults.answers import s3_error

    proxy = fault_proxy(moto_server)
    backend = make_backend(dataclasses.replace(moto_server, url=proxy.url), bucket="theirs")
    proxy.on("HEAD").answer(404, headers=ID)
    proxy.on("PUT").answer(*s3_error(409, "BucketAlreadyExists"))
    with pytest.raises(exc.InvalidStorageConfigurationError, match="someone else"):
        backend.prepare()
    proxy.on("HEAD").answer(404, headers=ID)
    proxy.on("PUT").answer(*s3_error(409, "BucketAlreadyOwnedByYou"))
    backend.prepare()
    proxy.on("HEAD").answer(403)
    with pytest.raises(Exception, match="403") as caught:
        backend.prepare()
    assert isinstance(backend.translate(caught.value), exc.PermissionError)


def test_a_service_without_regions(moto_server: S3Server, fault_proxy: Any, make_backend: Make) -> None:
    from faults.answers import s3_error

    proxy = fault_proxy(moto_server)
    bucket = f"no-region-{id(proxy)}"
    backend = make_backend(dataclasses.replace(moto_server, url=proxy.url), bucket=bucket, region="here")
    proxy.on("PUT").answer(*s3_error(400, "InvalidLocationConstraint"))
    proxy.on("PUT", nth=2).answer(200, headers=ID)
    backend.prepare()
    assert [request.headers.get("Content-Length") != "0" for request in proxy.matching("PUT")] == [True, False]


def test_encryption_and_class_of_everything_written(
    moto_server: S3Server, fault_proxy: Any, make_backend: Make
) -> None:
    proxy = fault_proxy(moto_server)
    server = dataclasses.replace(moto_server, url=proxy.url)
    backend = make_backend(server, sse="aws:kms", kms_key="key-1", storage_class="STANDARD_IA")
    made = backend.put("area/a", b"1", WriteOptions())
    backend.copy(made, "area/b", WriteOptions())
    backend.multipart_create("area/c", WriteOptions())
    for request in (*proxy.matching("PUT", "/area/[abc]$"), *proxy.matching("POST", "/area/[abc]$")):
        assert request.headers.get("x-amz-server-side-encryption") == "aws:kms"
        assert request.headers.get("x-amz-server-side-encryption-aws-kms-key-id") == "key-1"
        assert request.headers.get("x-amz-storage-class") == "STANDARD_IA"
    # An ETag of what is encrypted with such a key is no MD5.
    assert "md5" not in backend.head("area/a").digests


def test_limits_follow_the_service(moto_server: S3Server, make_backend: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    aws = dataclasses.replace(moto_server, url="")
    assert make_backend(aws, bucket="b").limits.put_digests == {"crc32c", "crc64nvme"}
    assert make_backend(aws, bucket="b", checksums="required").limits.put_digests == frozenset()
    assert make_backend(moto_server, bucket="b").limits.multipart_digests == frozenset()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://minio.example")
    assert make_backend(aws, bucket="b").limits.put_digests == frozenset()
    r2 = dataclasses.replace(moto_server, url="https://account.r2.cloudflarestorage.com")
    assert make_backend(r2, bucket="b").limits.equal_parts
    limits = make_backend(moto_server, bucket="b").limits
    assert limits.object_max == 10_000 * 5 * 1024**3
    assert limits.part_min == 5 * 1024**2


def test_many_threads_use_a_storage_first(moto_server: S3Server, make_backend: Make) -> None:
    for _ in range(3):
        backend = make_backend(moto_server)
        barrier = threading.Barrier(32)

        def use(number: int, backend: S3Backend = backend, barrier: threading.Barrier = barrier) -> int:
            barrier.wait()
            backend.put(f"area/{number}", b"1", WriteOptions())
            return id(backend.client)

        with ThreadPoolExecutor(32) as pool:
            assert len(set(pool.map(use, range(32)))) == 1
        assert len(list(entries_of(backend.list("area/")))) == 32


def _in_child(storage: Storage, name: str, results: Any) -> None:
    storage.upload(name, b"1", overwrite=True)
    results.put((name, storage.content("parent") == b"1"))


def test_children_of_a_fork_have_connections_of_their_own(
    moto_server: S3Server, fault_proxy: Callable[..., FaultProxy], storage_on: OnServer
) -> None:
    proxy = fault_proxy(moto_server)
    storage = storage_on(dataclasses.replace(moto_server, url=proxy.url))
    storage.upload("parent", b"1")
    client = storage.backend.client
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    children = [context.Process(target=_in_child, args=(storage, f"child-{n}", results)) for n in range(4)]
    for child in children:
        child.start()
    found = {results.get(timeout=60) for _ in children}
    for child in children:
        child.join(20)
        assert child.exitcode == 0
    assert found == {(f"child-{n}", True) for n in range(4)}
    assert storage.backend.client is client
    assert len(list(storage.scan())) == 5


def test_a_storage_travels(moto_server: S3Server, storage_on: OnServer) -> None:
    storage = storage_on(moto_server)
    storage.upload("a", b"1")
    with pickle.loads(pickle.dumps(storage)) as twin:
        assert twin.content("a") == b"1"


MANY = """
import resource
import file_keeper as fk

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def make(number):
    storage = fk.make_storage(f"s{number}", {"type": "file_keeper:s3", "bucket": "b", "key": "k", "secret": "s",
                                             "region": "us-east-1", "public_endpoint": "https://cdn.example"})
    storage.permanent_link("a"), storage.signed("download", 60, "a")
    return storage

kept = [make(0)]
before = peak()
kept += [make(number) for number in range(1, 101)]
print(peak() - before)
"""


def test_a_hundred_storages_share_what_describes_the_service() -> None:
    ran = subprocess.run([sys.executable, "-c", MANY], check=True, capture_output=True, text=True)
    assert float(ran.stdout) < 100  # MiB, of 300 clients; each read it for itself once, 12 MiB every time
