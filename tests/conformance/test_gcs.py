"""The conformance suite on Google Cloud Storage: the double, the same by parts, and gcp-storage-emulator as it is."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

import pytest
from emulators.gcs import GcsServer, service_account
from emulators.gcs_double import GcsDouble
from emulators.gcs_double.fixtures import gcs_double_server  # noqa: F401 - a fixture
from file_keeper_testing import Conformance


def settings_on(double: GcsDouble) -> dict[str, Any]:
    bucket = f"media-{uuid.uuid4().hex[:8]}"
    double.create_bucket(bucket)
    return {
        "type": "file_keeper:gcs",
        "bucket": bucket,
        "path": "a/path",
        "endpoint": double.url,
        **elsewhere(double.credentials_info()),
    }


def elsewhere(key: dict[str, str]) -> dict[str, Any]:
    """Credentials of a universe of their own: those of Google's ask IAM where they may be used from, over the net."""
    universe = "universe.invalid"
    return {"credentials": {**key, "universe_domain": universe}, "client_options": {"universe_domain": universe}}


class TestDouble(Conformance):
    """Everything that Google's reference promises; signatures are verified."""

    @pytest.fixture
    def storage_settings(self, gcs_double_server: GcsDouble) -> dict[str, Any]:  # noqa: F811
        gcs_double_server.require_auth = True
        return settings_on(gcs_double_server)


class TestDoubleInParts(Conformance):
    """With concurrency asked for: what is large goes in parts that are composed, not in a session."""

    stream_size = 256 << 20
    content_size = 8 << 20
    many = 1100

    @pytest.fixture
    def storage_settings(self, gcs_double_server: GcsDouble) -> dict[str, Any]:  # noqa: F811
        return {**settings_on(gcs_double_server), "max_concurrency": 4}


class TestEmulator(Conformance):
    """A server that is not ours, and forgives much."""

    many = 300
    content_size = 8 << 20
    stream_size = 64 << 20
    emulator_gaps: ClassVar[dict[str, str]] = {}

    @pytest.fixture
    def storage_settings(self, gcs_server: GcsServer) -> dict[str, Any]:
        return {
            "type": "file_keeper:gcs",
            "bucket": gcs_server.new_bucket(),
            "endpoint": gcs_server.url,
            **elsewhere(service_account()),
        }
