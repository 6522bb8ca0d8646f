"""What is compared: each peer in a module of its own, with the same few methods, run in a process of its own.

A peer is a class with a ``name`` and any of the methods that :mod:`tasks` lists; one that it lacks is left out of the
table. Its module imports the peer and the standard library alone, since it runs where only these are installed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MIB = 1 << 20
SMALL = bytes(4096)
KEYS = 100_000
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "YSBrZXkgZm9yIHRlc3RzIG9ubHk="
CLIENT = {"key": "bench-key", "secret": "bench-secret", "region": "us-east-1"}


@dataclass(frozen=True)
class Place:
    """Where a peer works.

    :param url: of the server
    :param ca_file: what its certificate is verified with, when the address has TLS
    :param folder: of the files to send; the one for local tasks has room for copies
    :param mib: size of a large file, 1024 or 256
    :param count: number of small files
    """

    url: str
    ca_file: str
    folder: str
    mib: int
    count: int

    @property
    def large(self) -> str:
        """Name of the large file, here and on the server."""
        return "1g.bin" if self.mib == 1024 else "256m.bin"

    @property
    def tls(self) -> bool:
        return self.url.startswith("https:")


@dataclass(frozen=True)
class Entry:
    """A peer: its module and class, what it needs besides the standard library, the services that it is tried on."""

    module: str
    name: str
    services: tuple[str, ...]
    needs: tuple[str, ...] = field(default=())


PEERS = {
    "file-keeper": Entry("ours", "Ours", ("s3", "gcs", "azure", "fs", "start")),
    "file-keeper, crc32c": Entry("ours", "OursCRC", ("s3", "gcs", "azure", "fs")),
    "floor": Entry("floor", "Floor", ("s3", "fs")),
    "floor, md5": Entry("floor", "FloorMD5", ("s3", "fs")),
    "boto3": Entry("boto", "Boto3", ("s3", "start"), ("boto3",)),
    "google-cloud-storage": Entry("sdks", "GoogleSDK", ("gcs", "start"), ("google-cloud-storage",)),
    "azure-storage-blob": Entry("sdks", "AzureSDK", ("azure", "start"), ("azure-storage-blob",)),
    "obstore": Entry("rust", "Obstore", ("s3", "gcs", "azure", "fs", "start"), ("obstore",)),
    "opendal": Entry("rust", "OpenDAL", ("s3", "gcs", "azure", "fs", "start"), ("opendal",)),
    "s3fs": Entry("fsspecs", "S3FS", ("s3", "start"), ("s3fs>=2025",)),
    "gcsfs": Entry("fsspecs", "GCSFS", ("gcs", "start"), ("gcsfs",)),
    "adlfs": Entry("fsspecs", "ADLFS", ("azure", "start"), ("adlfs",)),
    "pyarrow": Entry("others", "PyArrow", ("s3", "fs", "start"), ("pyarrow",)),
    "smart_open": Entry("others", "SmartOpen", ("s3", "start"), ("smart-open[s3]",)),
    "shutil": Entry("others", "Shutil", ("fs",)),
}
