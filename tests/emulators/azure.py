"""Azure Blob Storage: Azurite, run by the Node that comes from PyPI, so none is needed on the machine."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import tempfile
import uuid
from dataclasses import dataclass, field
from typing import Any

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobLeaseClient, BlobServiceClient

from . import npm
from .process import ServerProcess
from .tls import make_certificates

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "azurite")
ACCOUNT = "filekeeper"
KEY = base64.b64encode(b"a key for tests only").decode()


@dataclass(frozen=True)
class AzuriteServer:
    """`url` is the account's URL (`account_url` of the SDK); `ca_file` is `""` for plain HTTP."""

    url: str
    account_name: str = ACCOUNT
    account_key: str = KEY
    ca_file: str = ""
    process: ServerProcess | None = field(default=None, repr=False, compare=False)
    folder: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False, compare=False)

    @property
    def connection_string(self) -> str:
        return (
            f"DefaultEndpointsProtocol={self.url.partition(':')[0]};AccountName={self.account_name};"
            f"AccountKey={self.account_key};BlobEndpoint={self.url};"
        )

    def client(self, **options: Any) -> BlobServiceClient:
        """A new `BlobServiceClient`; the caller closes it."""
        if self.ca_file:
            options.setdefault("connection_verify", self.ca_file)
        return BlobServiceClient(
            self.url,
            credential={"account_name": self.account_name, "account_key": self.account_key},
            **options,
        )

    def new_bucket(self, prefix: str = "container") -> str:
        name = f"{prefix}-{uuid.uuid4().hex[:12]}"
        with self.client() as client, contextlib.suppress(ResourceExistsError):
            client.create_container(name)  # the SDK repeats it where the answer was slow; the name is nobody else's
        return name

    def reset(self) -> None:
        """Drop every container; Azurite has no command for it, so they are deleted one by one, leases broken."""
        with self.client() as client:
            for container in client.list_containers():
                one = client.get_container_client(container.name)
                if container.lease.state == "leased":
                    BlobLeaseClient(one).break_lease(lease_break_period=0)
                one.delete_container()

    def stop(self) -> None:
        if self.process:
            self.process.stop()
        if self.folder:
            self.folder.cleanup()


def start(*, tls: bool = False) -> AzuriteServer:
    """Start Azurite; with `tls` it is https and takes any unexpired bearer token (`--oauth basic`)."""
    modules = npm.install(HERE)
    folder = tempfile.TemporaryDirectory(prefix="azurite-tls-") if tls else None
    arguments: list[str] = []
    ca_file = ""
    if folder:
        certificates = make_certificates(folder.name)
        ca_file = certificates.ca_file
        arguments = ["--cert", certificates.cert_file, "--key", certificates.key_file, "--oauth", "basic"]
    process = ServerProcess(
        [
            npm.node(),
            "--require",
            os.path.join(HERE, "end_with_parent.cjs"),
            os.path.join(modules, "node_modules", "azurite", "dist", "src", "blob", "main.js"),
            *("--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence"),
            *("--skipApiVersionCheck", "--silent", "--disableTelemetry"),
            *arguments,
        ],
        _address,
        env={"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
    )
    return AzuriteServer(f"{process.address}/{ACCOUNT}", ca_file=ca_file, process=process, folder=folder)


def _address(line: str) -> str | None:
    match = re.search(r"successfully listens on (https?://\S+)", line)
    return match[1] if match else None
