"""The conformance suite on S3: moto, moto over TLS, and the strict front as today's S3 and as an old service."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from emulators.s3 import S3Server
from faults.strict_s3 import StrictS3
from file_keeper_testing import Conformance
from file_keeper_testing.conformance.copying import Copying
from file_keeper_testing.conformance.create import Create
from file_keeper_testing.conformance.listing import Listing
from file_keeper_testing.conformance.multipart import Multipart
from file_keeper_testing.conformance.read import Read

MiB = 1 << 20
BEGAN = {"cleanup_uploads": "moto says of each upload that it began in 2010"}
FORGIVES = {
    "case_24_threads_race": "moto looks and then completes: two of many may win",
    "case_24_processes_race": "moto looks and then completes: two of many may win",
    "case_35_a_bit_flipped_while_sending": "moto takes a wrong Content-MD5",
    "case_62": "moto answers an unknown upload with a 500",
    "case_64_refused": "moto does not look at signatures",
    "case_64_an_upload_of_a_bound_size_and_type": "moto does not look at policies",
}
GAPS = {"atomic_create": "it does not know If-None-Match", "one_hash": "it has no tags for what is known late"}
FRONT = {"case_62": "moto, behind the front, answers an unknown upload with a 500"}


def settings_of(server: S3Server, **more: Any) -> dict[str, Any]:
    """The settings of a fresh place on a server."""
    options = {"verify": server.ca_file} if server.ca_file else {}
    return {
        "type": "file_keeper:s3",
        "bucket": server.new_bucket(),
        "path": f"area-{uuid.uuid4().hex[:8]}",
        "endpoint": server.url,
        "key": server.access_key,
        "secret": server.secret_key,
        "region": server.region,
        **options,
        **more,
    }


class Short:
    """The same cases with less data: what differs is the wire, not the amount."""

    many = 1100
    content_size = 16 * MiB
    stream_size = 64 * MiB
    race_bytes = 12 * MiB


class TestMoto(Short, Conformance):
    stream_size = 256 * MiB
    emulator_gaps: ClassVar[dict[str, str]] = BEGAN | FORGIVES

    @pytest.fixture
    def storage_settings(self, moto_server: S3Server) -> dict[str, Any]:
        return settings_of(moto_server)


@pytest.mark.full
class TestMotoOverTls(Short, Create, Read):
    """What sends and reads bodies; the rest is the same over HTTP."""

    emulator_gaps: ClassVar[dict[str, str]] = BEGAN | FORGIVES

    @pytest.fixture
    def storage_settings(self, moto_tls_server: S3Server) -> dict[str, Any]:
        return settings_of(moto_tls_server)


@pytest.mark.full
class TestMotoBySDK(Short, Read, Listing):
    """By botocore's client, which ``transport: sdk`` asks for: what differs is who sends, and what its answers are."""

    emulator_gaps: ClassVar[dict[str, str]] = BEGAN | FORGIVES

    @pytest.fixture
    def storage_settings(self, moto_server: S3Server) -> dict[str, Any]:
        return settings_of(moto_server, transport="sdk")


@pytest.fixture(scope="module")
def today(moto_server: S3Server) -> Iterator[StrictS3]:
    with StrictS3(moto_server) as front:
        yield front


@pytest.fixture(scope="module")
def old(moto_server: S3Server) -> Iterator[StrictS3]:
    with StrictS3(moto_server, mode="legacy") as front:
        yield front


@pytest.mark.full
class TestStrict(Short, Conformance):
    """Today's S3: signatures, checksums and conditions are decided."""

    emulator_gaps: ClassVar[dict[str, str]] = BEGAN | FRONT

    @pytest.fixture
    def storage_settings(self, today: StrictS3) -> dict[str, Any]:
        return settings_of(today.server())


@pytest.mark.full
class TestLegacy(Short, Create, Read, Listing, Copying, Multipart):
    """An old service: no checksum headers, no conditions, no tags, version 1 of the listing."""

    gaps: ClassVar[dict[str, str]] = GAPS
    emulator_gaps: ClassVar[dict[str, str]] = BEGAN | FRONT

    @pytest.fixture
    def storage_settings(self, old: StrictS3) -> dict[str, Any]:
        # Without the option the same is found out, but then it is too late to refuse what needs conditions.
        return settings_of(old.server(), conditional_writes="no")
