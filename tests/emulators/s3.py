"""S3: moto's server, plain or over TLS."""

from __future__ import annotations

import functools
import os
import ssl
import sys
import tempfile
import threading
import urllib.request
import uuid
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from . import child
from .process import ServerProcess
from .tls import make_certificates

# One session has read botocore's description of S3 once; making clients of it is not safe from several threads.
_session = functools.cache(boto3.session.Session)
_LOCK = threading.Lock()


@dataclass(frozen=True)
class S3Server:
    """`ca_file` is `""` for plain HTTP; `options()` are the keyword arguments of `boto3.client("s3", ...)`."""

    url: str
    access_key: str = "test-key"
    secret_key: str = "test-secret"
    region: str = "us-east-1"
    ca_file: str = ""
    process: ServerProcess | None = field(default=None, repr=False, compare=False)
    folder: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False, compare=False)

    def options(self, **config: Any) -> dict[str, Any]:
        return {
            "endpoint_url": self.url,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "region_name": self.region,
            "verify": self.ca_file or None,
            "config": Config(**{"s3": {"addressing_style": "path"}, **config}),
        }

    def client(self, **config: Any) -> Any:
        """A new boto3 client with `config` as botocore's `Config`; the caller closes it."""
        with _LOCK:
            return _session().client("s3", **self.options(**config))

    def new_bucket(self, prefix: str = "bucket") -> str:
        name = f"{prefix}-{uuid.uuid4().hex[:12]}"
        client = self.client()
        try:
            client.create_bucket(Bucket=name)
        finally:
            client.close()
        return name

    def reset(self) -> None:
        """Drop every bucket, key and user; only on the server itself, not through a proxy."""
        context = ssl.create_default_context(cafile=self.ca_file) if self.ca_file else None
        request = urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")
        with urllib.request.urlopen(request, timeout=30, context=context) as response:
            response.read()

    def stop(self) -> None:
        if self.process:
            self.process.stop()
        if self.folder:
            self.folder.cleanup()


def start(*, tls: bool = False) -> S3Server:
    """Start moto; with `tls` it is https with a certificate whose authority is `ca_file`."""
    folder = tempfile.TemporaryDirectory(prefix="moto-tls-") if tls else None
    arguments: list[str] = []
    ca_file = ""
    if folder:
        certificates = make_certificates(folder.name)
        ca_file = certificates.ca_file
        arguments = ["--cert", certificates.cert_file, "--key", certificates.key_file]
    process = ServerProcess(
        [sys.executable, os.path.abspath(child.__file__), "moto", *arguments],
        lambda line: line.removeprefix(child.PREFIX).strip() if line.startswith(child.PREFIX) else None,
    )
    scheme = "https" if tls else "http"
    return S3Server(f"{scheme}://127.0.0.1:{process.address}", ca_file=ca_file, process=process, folder=folder)
