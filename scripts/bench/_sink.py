"""A server that costs nearly nothing: what is measured against it is the client.

`sink.c` beside this file is compiled once (gcc, zlib and OpenSSL with their headers are needed). It throws bodies away
in the kernel and serves three files; it checks neither signatures nor checksums and listens on the loopback only.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SIZES = {"1g.bin": 1 << 30, "256m.bin": 256 << 20, "4k.bin": 4096}
CLIENT = {"key": "bench-key", "secret": "bench-secret", "region": "us-east-1"}


@dataclass(frozen=True)
class Sink:
    """`data` is where its files are; `secure` is its address with TLS, `ca_file` what that is verified with."""

    url: str
    secure: str
    ca_file: str
    data: Path

    def storage(self, *, tls: bool = False, **more: object) -> dict[str, object]:
        """The settings of a storage on it."""
        where = {"endpoint": self.secure, "verify": self.ca_file} if tls else {"endpoint": self.url}
        return {"type": "s3", "bucket": "bench", "overwrite_existing": True, **CLIENT, **where, **more}

    def boto3(self, *, tls: bool = False) -> object:
        """A plain client of it, with boto3's defaults."""
        import boto3
        from botocore.config import Config

        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.secure if tls else self.url,
            aws_access_key_id=CLIENT["key"],
            aws_secret_access_key=CLIENT["secret"],
            region_name=CLIENT["region"],
            verify=self.ca_file if tls else None,
            config=Config(s3={"addressing_style": "path"}),
        )


def _crc32c(size: int) -> str:
    """Return the checksum of so many zeros, in base64: some clients compare it."""
    from file_keeper import hashing

    block = bytes(min(size, 1 << 20))
    crc = hashing.new("crc32c")
    for _ in range(size // len(block)):
        crc.update(block)
    return hashing.to_base64(crc.hexdigest())


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextlib.contextmanager
def started() -> Iterator[Sink]:
    """Compile and start it; it ends with the block."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        sys.exit("the sink needs a C compiler, and the headers of zlib and OpenSSL")
    with tempfile.TemporaryDirectory(prefix="file-keeper-sink-") as folder:
        place = Path(folder)
        command = [compiler, "-O2", "-pthread", "-w", "-o", str(place / "sink"), str(HERE / "sink.c")]
        subprocess.run([*command, "-lz", "-lssl", "-lcrypto"], check=True)
        for name, size in SIZES.items():
            with open(place / name, "wb") as file:
                file.truncate(size)
        sys.path.insert(0, str(HERE.parent.parent / "tests"))
        from emulators.tls import make_certificates

        certificates = make_certificates(folder)
        pem = place / "sink.pem"
        pem.write_text(Path(certificates.key_file).read_text() + Path(certificates.cert_file).read_text())
        port, tls_port = _free_port(), _free_port()
        process = subprocess.Popen(
            [str(place / "sink"), str(port), folder, *map(_crc32c, SIZES.values())],
            env={**os.environ, "SINK_TLS_PORT": str(tls_port), "SINK_CERT": str(pem)},
            stderr=subprocess.DEVNULL,
        )
        try:
            for one in (port, tls_port):
                _wait(one)
            url, secure = f"http://127.0.0.1:{port}", f"https://127.0.0.1:{tls_port}"
            yield Sink(url, secure, certificates.ca_file, place)
        finally:
            process.terminate()
            process.wait()


def _wait(port: int) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    sys.exit("the sink does not answer")
