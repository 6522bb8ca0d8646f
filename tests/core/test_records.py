"""A recorded hash that no longer fits: what another tool wrote under the old metadata is never read as good."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import file_keeper as fk
import pytest
from emulators.gcs_double.fixtures import gcs_double_server  # noqa: F401 - a fixture
from file_keeper import exc
from file_keeper.backend import ObjectInfo, WriteOptions
from file_keeper.reading import Verification

MD5 = {"metadata": {"fk-hash": f"md5:{'a' * 32}"}}


def _told(size: int = 5, **more: Any) -> ObjectInfo:
    return ObjectInfo(key="x", size=size, **more)


@pytest.mark.parametrize(
    ("mode", "info", "expected"),
    [
        ("auto", _told(digests={"crc32c": "c"}), {"crc32c": "c"}),
        ("auto", _told(digests={"crc32c": "c", "md5": "a" * 32}, **MD5), {"crc32c": "c"}),
        ("auto", _told(digests={"crc32c": "c"}, **MD5), {"crc32c": "c", "md5": "a" * 32}),
        ("auto", _told(digests={"crc32c": "c", "md5": "b" * 32}, **MD5), {"crc32c": "c", "md5": "a" * 32}),
        ("auto", _told(99, digests={"crc32c": "c"}, **MD5), {"crc32c": "c"}),
        ("always", _told(99, digests={"crc32c": "c"}, **MD5), {"crc32c": "c", "md5": "a" * 32}),
        ("auto", _told(99, digests={"md5": "b" * 32}, **MD5), {"md5": "a" * 32}),
        ("auto", _told(99, **MD5), {}),
        ("auto", _told(99, sealed={"md5": "d" * 32}), {"md5": "d" * 32}),
        ("records", _told(digests={"crc32c": "c", "md5": "a" * 32}, **MD5), {}),
        ("records", _told(sealed={"md5": "d" * 32}), {"md5": "d" * 32}),
        ("never", _told(sealed={"md5": "d" * 32}), {}),
    ],
)
def test_what_is_compared(mode: str, info: ObjectInfo, expected: dict[str, str]) -> None:
    assert Verification(mode, 10).choose(info) == expected


@pytest.mark.parametrize("kind", ["s3", "gcs", "azure"])
@pytest.mark.parametrize("recorded", ["when it was sent", "by verify"])
def test_new_bytes_under_old_metadata(
    recorded: str, kind: str, fresh_settings: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    target = tmp_path / "target"
    with fk.make_storage("s", fresh_settings(kind, hashing_algorithm="sha256")) as storage:
        if recorded == "by verify":
            storage.backend.put(storage.full_path("a"), b"content", WriteOptions(content_type="text/plain"))
            if kind == "s3":
                pytest.skip("a tag goes with the object that it was put on")
            assert storage.verify("a", record=True).hash
        else:
            storage.upload("a", b"content")
        before = storage.backend.head(storage.full_path("a"))
        assert storage.content("a") == b"content"
        # As tools do that change an object and keep what it is kept with.
        storage.backend.put(before.key, b"CONTENT", WriteOptions(content_type="text/plain", metadata=before.metadata))
        with pytest.raises(exc.CorruptedFileError, match="sha256"):
            storage.download("a", target)
        if kind != "gcs":  # whose answer to a read does not carry the metadata
            with pytest.raises(exc.CorruptedFileError, match="sha256"):
                storage.content("a")
        assert not target.exists()
        assert storage.with_options(verify_reads="never").content("a") == b"CONTENT"


@pytest.mark.parametrize("name", ["n" * 252, "é" * 126, "😀" * 63])
def test_a_long_name_is_downloaded(name: str, tmp_path: Path) -> None:
    """The staged file beside it must not have a longer name than the file system takes."""
    with fk.make_storage("s", {"type": "memory"}) as storage:
        storage.upload("a", b"content")
        storage.download("a", tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"content"
