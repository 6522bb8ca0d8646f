"""The conformance suite on Google Cloud Storage: the double, the same by parts, and gcp-storage-emulator as it is."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

import pytest
from emulators.gcs import GcsServer, service_account
from emulators.gcs_double import GcsDouble
from emulators.gcs_double.fixtures import gcs_double_server  # noqa: F401 - a fixture
from file_keeper_testing import Conformance
from file_keeper_testing.conformance.listing import Listing
from file_keeper_testing.conformance.read import Read


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
        return {**settings_on(gcs_double_server), "transport": "http"}


@pytest.mark.full
class TestDoubleBySdk(Read, Listing):
    """By the session of the SDK: what differs is who sends, and what its answers are."""

    @pytest.fixture
    def storage_settings(self, gcs_double_server: GcsDouble) -> dict[str, Any]:  # noqa: F811
        gcs_double_server.require_auth = True
        return {**settings_on(gcs_double_server), "transport": "sdk"}


@pytest.mark.full
class TestDoubleInParts(Conformance):
    """With concurrency asked for: what is large goes in parts that are composed, not in a session."""

    stream_size = 256 << 20
    content_size = 8 << 20
    many = 1100

    @pytest.fixture
    def storage_settings(self, gcs_double_server: GcsDouble) -> dict[str, Any]:  # noqa: F811
        gcs_double_server.require_auth = True
        return {**settings_on(gcs_double_server), "max_concurrency": 4}


@pytest.mark.full
class TestEmulator(Conformance):
    """A server that is not ours, and forgives much."""

    content_size = 8 << 20
    stream_size = 64 << 20
    emulator_gaps: ClassVar[dict[str, str]] = {
        **dict.fromkeys(
            (
                "case_14_compose", "case_23", "case_24", "case_34_replaced_meanwhile", "case_49", "case_51",
                "case_61_size_type_and_overwrite", "case_75_anothers_write_is_a_conflict",
                "case_75_lost_answers_of_the_rest", "append_nothing_is_lost_or_applied_twice",
                "resumable_conditions_and_hash", "resumable_what_makes_no_sense", "writers_are_files",
                "a_change_meanwhile_is_told", "sessions_of_calls", "sessions_of_processes", "sessions_an_old_state",
                "between_two_storages",
            ),
            "it ignores every precondition",
        ),
        **dict.fromkeys(
            ("case_07_names_through_signed_links", "case_64"), "it checks no signature, and deletes by no link"
        ),
        "case_75_what_was_written_is_a_success": "its rewrite ignores metadata: a copy has no token of its own",
        **dict.fromkeys(
            ("sessions_pieces_are_not_changed", "sessions_pieces_and_their_type"), "it cancels no session"
        ),
        "case_67_a_place_that_is_not_there": "its 404 does not tell a missing bucket from a missing file",
        **dict.fromkeys(
            ("case_38_many", "case_60_more_than_a_thousand_parts"),
            "it never pages, and slows down as it fills: minutes for what the double does in seconds",
        ),
    }  # fmt: skip

    def test_compose(self) -> None:
        """Skipped alone: a gap by this name would take "compose_of_many_and_large" with it, which it can show."""
        pytest.skip("emulator gap compose: it ignores every precondition")

    @pytest.fixture
    def storage_settings(self, gcs_server: GcsServer) -> dict[str, Any]:
        return {
            "type": "file_keeper:gcs",
            "bucket": gcs_server.new_bucket(),
            "endpoint": gcs_server.url,
            **elsewhere(service_account()),
        }
