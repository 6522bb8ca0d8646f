"""A listing by rows tells the same as one by records."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import file_keeper as fk
import pytest
from file_keeper.backend import Backend, ObjectInfo, Page, Wrapper, cut_pages, entries_of
from file_keeper.data import listed


class ByRecords(Wrapper):
    """A backend that lists by records."""

    def list(
        self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
    ) -> Iterator[Page]:
        pages = super().list(prefix, start_after=start_after)
        infos = [entry for entry in entries_of(pages) if isinstance(entry, ObjectInfo)]
        return cut_pages(infos, prefix, delimiter=delimiter)


def by_records(inner: Backend) -> Backend:
    return ByRecords(inner)


def test_data_of_a_row_is_data_like_any_other() -> None:
    made = listed("a/b", 7, "etag", None)
    usual = fk.FileData("a/b", size=7, content_type="", etag="etag")
    assert made == usual
    assert vars(made) == vars(usual)
    assert set(vars(made)) == {field.name for field in dataclasses.fields(fk.FileData)}
    assert repr(made) == repr(usual)
    assert made.as_dict() == usual.as_dict()
    assert dataclasses.replace(made, size=8).size == 8
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.size = 8  # type: ignore[misc]


@pytest.mark.parametrize("path", ["", "p/q"])
def test_both_list_the_same(path: str, tmp_path: Path) -> None:
    storage = fk.make_storage("s", {"type": "fs", "root": str(tmp_path), "path": path, "initialize": True})
    for name in ("a", "a b", "b/c", "b/d/e", "b-", "z.txt", "☺/x", ".hidden"):
        storage.upload(name, name.encode())
    (tmp_path / path / "bad\x01name").write_text("x")
    other = storage.wrapped(by_records)
    for arguments in ({}, {"prefix": "b"}, {"glob": "*e"}, {"start_after": "b-"}, {"prefix": "b/", "glob": "*d*"}):
        rows = list(storage.files(**arguments))
        assert rows == list(other.files(**arguments))
        assert [(f.etag, f.modified) for f in rows] == [(f.etag, f.modified) for f in other.files(**arguments)]
        assert [f.location for f in rows] == list(storage.scan(**arguments)) == list(other.scan(**arguments))
    assert len(list(storage.files())) == 8
