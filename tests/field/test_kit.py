"""The conformance kit on servers as people run them. What each of them cannot do stands here, case by case."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import pytest
from emulators.real_s3 import RealS3
from field.conftest import settings_of
from file_keeper_testing import Conformance
from file_keeper_testing.conformance.create import Create
from file_keeper_testing.conformance.links import Links
from file_keeper_testing.conformance.listing import Listing
from file_keeper_testing.conformance.read import Read

MiB = 1 << 20


class Short:
    """The same cases with less data: what differs is the server, not the amount."""

    many = 1100
    content_size = 8 * MiB
    stream_size = 48 * MiB
    race_bytes = 8 * MiB


SEAWEEDFS = {
    "case_01_names_are_kept_verbatim[back\\\\slash]": "a backslash becomes a slash",
    "case_02_names_come_back_from_scan": "a backslash becomes a slash",
    "found_in_a_bucket": "a//b becomes a/b, and /y becomes y",
    "case_58_remove": "an upload that was aborted is aborted again with a 204",
    "case_67_a_place_that_is_not_there": "the first write creates a bucket that is missing",
}
RCLONE = {
    "case_07_permanent_links": "a request without a signature is a 400, not a 403",
    "case_08_longest_names": "a segment of 256 bytes is a 500: its file system takes 255",
    "case_30_a_file_where_a_directory_is": "a file where a directory is, is a 500, and hides the directory until the "
    "server is restarted",
    "case_50_attributes_are_kept[small-native]": "a copy has a metadata field more, mtime",
    "case_50_attributes_are_kept[in parts-native]": "a copy has a metadata field more, mtime",
    "case_64_an_upload_of_a_bound_size_and_type": "a form is a 400: it takes none",
    "case_56_any_order_and_twice": "a part that has been sent cannot be sent again with other bytes",
    "case_61_result_equals_analyze": "a copy has a metadata field more, mtime",
    "case_62_what_makes_no_sense": "parts of any size are taken",
}


LATE_TYPE = "the type of a file is written after the file: a reader between the two sees none"


def test_the_docs_name_each_gap() -> None:
    with open(os.path.join(os.path.dirname(__file__), "../../docs/backends/s3.md"), encoding="utf-8") as file:
        told = file.read()
    for reason in {
        *SEAWEEDFS.values(),
        *RCLONE.values(),
        *TestSeaweedFS.gaps.values(),
        *TestRclone.gaps.values(),
        LATE_TYPE,
    }:
        assert reason in told


class TestSeaweedFS(Short, Conformance):
    gaps: ClassVar[dict[str, str]] = {
        "atomic_complete": "it looks at If-None-Match before it writes the end of an upload in parts"
    }
    server_gaps: ClassVar[dict[str, str]] = SEAWEEDFS

    @pytest.fixture
    def storage_settings(self, seaweedfs_server: RealS3) -> dict[str, Any]:
        return settings_of(seaweedfs_server)


class TestRclone(Short, Conformance):
    gaps: ClassVar[dict[str, str]] = {
        "atomic_create": "it ignores If-None-Match",
        "one_hash": "it takes a tag for the content",
    }
    server_gaps: ClassVar[dict[str, str]] = RCLONE
    # Seen in two of eight runs, so neither a pass nor a failure tells anything.
    emulator_gaps: ClassVar[dict[str, str]] = {"case_25_readers_see_the_old_or_the_new": LATE_TYPE}
    normal_forms = False

    @pytest.fixture
    def storage_settings(self, rclone_server: RealS3) -> dict[str, Any]:
        # Without the option the same is found out, but then it is too late to refuse what needs conditions.
        return settings_of(rclone_server, conditional_writes="no")


class TestBehindNginx(Short, Create, Read, Listing, Links):
    """SeaweedFS, seen through nginx: what sends, reads, lists and signs."""

    @pytest.fixture
    def storage_settings(self, nginx_server: RealS3) -> dict[str, Any]:
        return settings_of(nginx_server)
