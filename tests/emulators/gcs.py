"""Google Cloud Storage: gcp-storage-emulator as it is, which forgives much (it ignores every precondition)."""

from __future__ import annotations

import functools
import os
import sys
import urllib.request
import uuid
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from . import child
from .process import ServerProcess


@dataclass(frozen=True)
class GcsServer:
    url: str
    project: str = "test-project"
    process: ServerProcess | None = field(default=None, repr=False, compare=False)

    def client(self) -> storage.Client:
        """A new client without credentials; the caller closes it."""
        return storage.Client(
            project=self.project, credentials=AnonymousCredentials(), client_options={"api_endpoint": self.url}
        )

    def new_bucket(self, prefix: str = "bucket") -> str:
        name = f"{prefix}-{uuid.uuid4().hex[:12]}"
        client = self.client()
        try:
            client.create_bucket(name)
        finally:
            client.close()
        return name

    def reset(self) -> None:
        """Drop every bucket and object; it slows down as it fills, so a long run does this now and then."""
        with urllib.request.urlopen(f"{self.url}/wipe", timeout=30) as response:
            response.read()

    def stop(self) -> None:
        if self.process:
            self.process.stop()


def start() -> GcsServer:
    process = ServerProcess(
        [sys.executable, os.path.abspath(child.__file__), "gcs"],
        lambda line: line.removeprefix(child.PREFIX).strip() if line.startswith(child.PREFIX) else None,
    )
    return GcsServer(f"http://127.0.0.1:{process.address}", process=process)


@functools.cache
def service_account() -> dict[str, str]:
    """The content of a service account's key file, with a key made for this run: enough to sign links."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return {
        "type": "service_account",
        "project_id": "test-project",
        "private_key_id": "test",
        "private_key": key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        "client_email": "tests@test-project.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": "http://127.0.0.1:9/token",  # nobody listens there: signing asks nobody
    }
