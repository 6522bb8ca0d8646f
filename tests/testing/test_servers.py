"""The servers of file-keeper-testing, as tests of an application use them: with our storages, and without them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import file_keeper as fk
import pytest
from azure.storage.blob import BlobServiceClient
from emulators import azure, npm
from file_keeper_testing import servers

APPLICATION = """
import boto3
import file_keeper as fk
import pytest


@pytest.mark.parametrize("kind", ["s3_server", "gcs_server"])
def test_a_storage_on_it_keeps_files(kind, request):
    server = request.getfixturevalue(kind)
    with fk.make_storage("app", server.settings(path="uploads")) as storage:
        file = storage.upload("a/b.txt", b"content")
        assert storage.content(file) == b"content"
        assert list(storage.scan()) == ["a/b.txt"]


def test_two_storages_on_it_do_not_meet(s3_server):
    with fk.make_storage("a", s3_server.settings()) as a, fk.make_storage("b", s3_server.settings()) as b:
        a.upload("x", b"")
        assert not b.exists("x")


def test_it_is_used_without_our_library(s3_server):
    client = boto3.client(
        "s3", endpoint_url=s3_server.url, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1"
    )
    client.create_bucket(Bucket="plain")
    client.put_object(Bucket="plain", Key="k", Body=b"body")
    assert client.get_object(Bucket="plain", Key="k")["Body"].read() == b"body"
    client.close()


def test_a_server_that_is_not_here_is_no_failure(azure_server):
    with fk.make_storage("app", azure_server.settings()) as storage:
        storage.upload("a", b"a")
"""


FIELD = """
import boto3
import file_keeper as fk
import pytest


@pytest.mark.parametrize("kind", ["seaweedfs_server", "rclone_server"])
def test_with_our_library_and_without(kind, request):
    server = request.getfixturevalue(kind)
    with fk.make_storage("app", server.settings(path="uploads")) as storage:
        storage.upload("a/b.txt", b"content")
        assert storage.content("a/b.txt") == b"content"
    client = boto3.client(
        "s3",
        endpoint_url=server.url,
        aws_access_key_id=server.options["key"],
        aws_secret_access_key=server.options["secret"],
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="plain")
    client.put_object(Bucket="plain", Key="k", Body=b"body")
    assert client.get_object(Bucket="plain", Key="k")["Body"].read() == b"body"
    client.close()
"""


@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="their programs are there on Linux")
def test_the_servers_of_the_field(tmp_path: Path) -> None:
    (tmp_path / "test_app.py").write_text(FIELD)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_app.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
        env={"PATH": "/nowhere"},  # the programs are beside Python
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_an_application_uses_the_fixtures(tmp_path: Path) -> None:
    # In a folder of its own: our own tests have fixtures of the same names.
    (tmp_path / "test_app.py").write_text(APPLICATION)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_app.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
        env={"PATH": "/nowhere"},  # so there is no Azurite
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed, 1 skipped" in done.stdout


@pytest.mark.full
@pytest.mark.skipif(sys.platform == "win32", reason="the command is a script of a shell here")
def test_azurite_where_its_command_is_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main = Path(npm.install(azure.HERE), "node_modules", "azurite", "dist", "src", "blob", "main.js")
    command = tmp_path / "azurite-blob"
    command.write_text(f"#!/bin/sh\nexec '{npm.node()}' '{main}' \"$@\"\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with servers.azure() as server:
        with fk.make_storage("app", server.settings(path="uploads")) as storage:
            for number in range(300):  # more than a pipe would hold of what it could tell of them
                storage.upload(f"a/{number}", b"content")
            assert len(list(storage.scan())) == 300
            assert storage.content("a/7") == b"content"
        # And without our library.
        credential = {"account_name": "devstoreaccount1", "account_key": servers.AZURITE_KEY}
        with BlobServiceClient(server.url, credential=credential) as client:
            client.create_container("plain").upload_blob("k", b"body")
            assert client.get_blob_client("plain", "k").download_blob().readall() == b"body"
