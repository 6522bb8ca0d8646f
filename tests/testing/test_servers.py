"""The servers of file-keeper-testing, as tests of an application use them: with our storages, and without them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
