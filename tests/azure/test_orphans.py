"""What is left of uploads that ended badly, and what finds it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from emulators.azure import AzuriteServer
from faults.answers import azure_error
from faults.hooked import HookedProxy
from file_keeper import Storage, exc

OnStorage = Callable[..., Storage]
KiB = 1 << 10


def blobs(server: AzuriteServer, bucket: str) -> list[str]:
    """All that is in the container, names with nothing but open blocks included."""
    with server.client() as client:
        container = client.get_container_client(bucket)
        return [blob.name for blob in container.list_blobs(include=["uncommittedblobs"])]


@pytest.mark.parametrize("ends", ["403", "interrupt", "killed"])
def test_blocks_whose_answer_was_lost_are_found(
    ends: str,
    hooked: HookedProxy,
    storage_behind: OnStorage,
    account: dict[str, Any],
    azurite_server: AzuriteServer,
) -> None:
    storage = storage_behind()
    hooked.on("PUT", query="comp=block&").lose_answer()
    if ends == "403":
        hooked.on("PUT", query="comp=block&", nth=2, times=None).answer(*azure_error(403, "AuthorizationFailure"))
        with pytest.raises(exc.PermissionError):
            storage.upload("x", bytes(600 * KiB))
    elif ends == "interrupt":

        def stop(done: int, total: int | None) -> None:
            if done:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            storage.upload("x", bytes(600 * KiB), progress=stop)
    else:
        storage.multipart_update(storage.multipart_start("x", 10), b"12345", 0)
    hooked.clear()
    assert list(storage.scan()) == []
    other = storage_behind()
    found = "area/x" in blobs(azurite_server, account["bucket"])
    assert found, "the service has the block whose answer was lost"
    assert other.cleanup_uploads(3600) == 0, "not old enough"
    assert other.cleanup_uploads(0) == 1
    assert other.cleanup_uploads(0) == 0
    assert storage_behind().upload("x", bytes(300 * KiB), overwrite=True).size == 300 * KiB
    assert storage_behind().cleanup_uploads(0) == 0, "a commit drops what was open"


def test_a_page_of_open_uploads_that_fails_is_asked_for_again(hooked: HookedProxy, storage_behind: OnStorage) -> None:
    storage = storage_behind()
    for name in ("x", "y", "z"):
        storage.multipart_update(storage.multipart_start(name, 10), b"12345", 0)
    hooked.on("GET", query="comp=blocklist", nth=2).answer(*azure_error(503, "ServerBusy"))
    assert storage_behind().cleanup_uploads(0) == 3


@pytest.mark.parametrize("verb", ["copy", "compose", "append"])
def test_what_is_assembled_and_refused_shows_nowhere(verb: str, hooked: HookedProxy, storage_behind: OnStorage) -> None:
    storage = storage_behind()
    storage.upload("x", b"old")
    storage.upload("z", b"other")
    hooked.on("PUT", query="comp=blocklist", times=None).answer(*azure_error(403, "AuthorizationFailure"))
    calls = {
        "copy": lambda: storage.copy("x", "z", overwrite=True),
        "compose": lambda: storage.compose("x", "x", "z", overwrite=True),
        "append": lambda: storage.append("x", b"more"),
    }
    if verb == "copy":
        hooked.on("PUT", where=lambda r: r.headers.has("x-ms-requires-sync"), times=None).answer(
            *azure_error(403, "AuthorizationFailure")
        )
    with pytest.raises(exc.PermissionError):
        calls[verb]()
    hooked.clear()
    assert {name: storage.content(name) for name in storage.scan()} == {"x": b"old", "z": b"other"}


def test_many_are_removed_when_the_interpreter_ends(account: dict[str, Any], storage_behind: OnStorage) -> None:
    """The SDK starts threads for a batch, which an interpreter that ends has no more."""
    storage = storage_behind(path=None)
    for name in ("x", "y", "z"):
        storage.upload(name, b"1")
    code = """
        import atexit, json, sys, file_keeper
        storage = file_keeper.make_storage("media", {"type": "azure", **json.loads(sys.argv[1])})
        atexit.register(lambda: print(storage.remove_many(["x", "y", "none"])))
        """
    command = [sys.executable, "-c", textwrap.dedent(code), json.dumps(account)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
    assert list(storage.scan()) == ["z"]
