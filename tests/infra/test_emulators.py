"""The servers start, serve their own SDK, are emptied, and never outlive the process that started them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from emulators import azure, gcs, s3

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_moto(tls: bool, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("moto_tls_server" if tls else "moto_server")
    bucket = server.new_bucket()
    client = server.client()
    try:
        client.put_object(Bucket=bucket, Key="a b/☺", Body=b"hello")
        body = client.get_object(Bucket=bucket, Key="a b/☺")["Body"]
        assert body.read() == b"hello"
        body.close()
    finally:
        client.close()


def test_gcs(gcs_server: gcs.GcsServer) -> None:
    bucket = gcs_server.new_bucket()
    client = gcs_server.client()
    try:
        client.bucket(bucket).blob("a b/☺").upload_from_string(b"hello")
        assert client.bucket(bucket).blob("a b/☺").download_as_bytes() == b"hello"
    finally:
        client.close()


def test_gcs_service_account_can_sign(gcs_service_account: dict[str, str]) -> None:
    from google.cloud import storage

    client = storage.Client.from_service_account_info(json.loads(json.dumps(gcs_service_account)))
    try:
        url = client.bucket("b").blob("o").generate_signed_url(60, version="v4")
    finally:
        client.close()
    assert "X-Goog-Signature=" in url


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_azurite(tls: bool, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("azurite_tls_server" if tls else "azurite_server")
    container = server.new_bucket()
    with server.client() as client:
        blob = client.get_blob_client(container, "a b/☺")
        blob.upload_blob(b"hello")
        assert blob.download_blob().readall() == b"hello"


def test_azurite_takes_its_connection_string(azurite_server: azure.AzuriteServer) -> None:
    with azure.BlobServiceClient.from_connection_string(azurite_server.connection_string) as client:
        client.get_service_properties()


@pytest.mark.parametrize("start", [s3.start, gcs.start, azure.start], ids=["s3", "gcs", "azure"])
def test_reset_and_stop(start) -> None:
    server = start()
    try:
        bucket = server.new_bucket()
        server.reset()
        assert bucket not in names_of_buckets(server)
    finally:
        server.stop()
    assert not server.process.running
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(server.url, timeout=5)


def names_of_buckets(server) -> list[str]:
    client = server.client()
    try:
        if isinstance(server, s3.S3Server):
            return [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]
        if isinstance(server, gcs.GcsServer):
            return [bucket.name for bucket in client.list_buckets()]
        return [container.name for container in client.list_containers()]
    finally:
        client.close()


@pytest.mark.parametrize("module", ["s3", "gcs", "azure"])
def test_a_server_ends_with_a_killed_owner(module: str) -> None:
    program = (
        f"import time\nfrom emulators import {module}\nserver = {module}.start()\n"
        "print(server.process.pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": TESTS}, stdout=subprocess.PIPE, text=True
    ) as owner:
        pid = int(owner.stdout.readline())
        assert alive(pid)
        owner.kill()
    deadline = time.monotonic() + 10
    while alive(pid):
        assert time.monotonic() < deadline, "the server outlived its owner"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # An orphan that ended may wait for its new parent to collect it: that is not a running server.
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_server_that_cannot_start_says_why() -> None:
    from emulators.process import ServerProcess

    with pytest.raises(RuntimeError, match="no such thing"):
        ServerProcess([sys.executable, "-c", "raise SystemExit('no such thing')"], lambda line: None)


def test_the_lock_file_names_no_registry_and_pins_every_package() -> None:
    with open(os.path.join(azure.HERE, "package-lock.json"), encoding="utf-8") as file:
        packages = json.load(file)["packages"]
    del packages[""]
    assert packages["node_modules/azurite"]["version"] == "3.37.0"
    assert all("integrity" in package and "resolved" not in package for package in packages.values())
