"""Servers on loopback for tests: of S3, of Google Cloud Storage, of Azure, each as lenient as its page says.

They know nothing of file-keeper: a test may talk to them with any client. The fixtures `s3_server`, `gcs_server` and
`azure_server` start each once a run (once a worker under xdist), when a test first asks for it.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The key of the account `devstoreaccount1` that every Azurite has; it is no secret."""


@dataclass(frozen=True)
class Server:
    """A server that runs.

    :param kind: the `type` of a storage on it
    :param url: its address
    :param options: what else a storage on it needs
    """

    kind: str
    url: str
    options: dict[str, Any] = field(default_factory=dict[str, Any])

    def settings(self, bucket: str = "", **more: Any) -> dict[str, Any]:
        """Return the dictionary of a storage on this server: in a bucket of its own, unless one is named."""
        place = {"type": self.kind, "bucket": bucket or f"b-{uuid.uuid4().hex[:12]}", "initialize": True}
        return {**place, **self.options, **more}


@contextlib.contextmanager
def s3() -> Generator[Server]:
    """Start moto's server of S3; needs ``file-keeper-testing[s3]``.

    It forgives: any credentials and signature, checksums it does not know, part sizes when completing. Conditions of
    writes are kept.
    """
    server = importlib.import_module("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        yield Server("file_keeper:s3", url, {"endpoint": url, "key": "k", "secret": "s", "region": "us-east-1"})
    finally:
        server.stop()


@contextlib.contextmanager
def gcs() -> Generator[Server]:
    """Start gcp-storage-emulator; needs ``file-keeper-testing[gcs]``.

    It forgives much: **every precondition is ignored**, so that two writers both win here as they never do on the
    service; credentials, ranges behind the end and checksums are not looked at. It shows the way of the data only.
    """
    server = importlib.import_module("gcp_storage_emulator.server").create_server("127.0.0.1", 0, in_memory=True)
    server.start()
    try:
        while server._api._httpd is None:  # its own flag is set just before this
            server._api.is_running.wait(0.01)
        url = f"http://127.0.0.1:{server._api._httpd.server_port}"
        yield Server("file_keeper:gcs", url, {"endpoint": url, "anonymous": True, "project_id": "test"})
    finally:
        server.stop()


@contextlib.contextmanager
def azure() -> Generator[Server]:
    """Start Azurite, whose command `azurite-blob` must be on the path (``npm install -g azurite``).

    It forgives: names of containers and tiers, some combinations of headers. Conditions are kept.

    :raises FileNotFoundError: when there is no such command
    """
    command = shutil.which("azurite-blob")
    if command is None:
        raise FileNotFoundError("azurite-blob is not on the path: npm install -g azurite")
    with tempfile.TemporaryDirectory() as folder:
        options = ["--blobHost", "127.0.0.1", "--blobPort", "0", "--location", folder, "--skipApiVersionCheck"]
        # Silent but for its address: nobody reads what it would tell of each request, and a full pipe stops it.
        options += ["--silent", "--disableTelemetry"]
        process = subprocess.Popen([command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            url = ""
            for line in process.stdout or ():
                if found := re.search(r"listens? on (http://[\d.:]+)", line):
                    url = f"{found[1]}/devstoreaccount1"
                    break
            if not url:
                raise RuntimeError(f"azurite-blob ended with {process.wait()}")
            yield Server("file_keeper:azure", url, {"account_url": url, "account_key": AZURITE_KEY})
        finally:
            process.terminate()
            process.wait(10)
            if process.stdout:
                process.stdout.close()
