"""Real S3 services, as people run them: SeaweedFS and `rclone serve s3`, each one file from PyPI.

Run as a program it starts one of them, tells its port, and ends it when standard input is closed.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from .process import ServerProcess, end_with_input, free_ports
from .s3 import S3Server

PREFIX = "serving "
KEY, SECRET = "test-key", "test-secret"
_PATIENCE = 60.0


class RealS3(S3Server):
    """A server whose buckets are dear: SeaweedFS sets seven volumes aside for each."""

    @functools.cached_property
    def bucket(self) -> str:
        """The one bucket of a run; tests have a `path` of their own in it."""
        return self.new_bucket("shared")


def start(kind: str) -> RealS3:
    """Start `seaweedfs` or `rclone`; its data is in a temporary folder that goes with it."""
    process = ServerProcess(
        [sys.executable, "-m", "emulators.real_s3", kind],
        lambda line: line.removeprefix(PREFIX).strip() if line.startswith(PREFIX) else None,
        env={"PYTHONPATH": os.path.dirname(os.path.dirname(os.path.abspath(__file__)))},
    )
    return RealS3(f"http://127.0.0.1:{process.address}", KEY, SECRET, process=process)


def is_installed(kind: str) -> bool:
    """Return whether the program is there; it is on Linux."""
    return _program(kind) is not None


def _program(kind: str) -> str | None:
    name = {"seaweedfs": "weed", "rclone": "rclone"}[kind]
    beside = os.path.join(os.path.dirname(sys.executable), name)
    return beside if os.path.exists(beside) else shutil.which(name)


def _command(kind: str, folder: str) -> tuple[list[str], int]:
    program = _program(kind)
    assert program, f"{kind} is not installed"
    if kind == "rclone":
        (port,) = free_ports(1)
        data = os.path.join(folder, "data")
        os.mkdir(data)
        arguments = ["serve", "s3", "--config", "", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}"]
        return [program, *arguments, data], port
    master, volume, filer, port = free_ports(4)
    keys = os.path.join(folder, "keys.json")
    identity = {
        "name": "test",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    with open(keys, "w", encoding="utf-8") as file:
        json.dump({"identities": [identity]}, file)
    data = os.path.join(folder, "data")
    os.mkdir(data)
    return [
        program, "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-master.port={master}",
        f"-volume.port={volume}", "-filer", f"-filer.port={filer}", "-s3", f"-s3.port={port}", f"-s3.config={keys}",
        "-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=400", "-master.volumeSizeLimitMB=64",
    ], port  # fmt: skip


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).close()
        except urllib.error.HTTPError as error:
            error.close()
            return  # it refuses what is not signed: it is there
        except OSError:
            time.sleep(0.1)
    raise SystemExit("it did not start")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["seaweedfs", "rclone"])
    kind = parser.parse_args().kind
    with tempfile.TemporaryDirectory(prefix=f"{kind}-") as folder:
        command, port = _command(kind, folder)
        with open(os.path.join(folder, "log"), "wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        with end_with_input(process):
            _wait(port, process)
            print(f"{PREFIX}{port}", flush=True)


if __name__ == "__main__":
    main()
