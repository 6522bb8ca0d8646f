"""What is written is a success, although its description asks the service once more and that fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from file_keeper import FileData, Storage, exc, make_storage
from file_keeper.backend import ObjectInfo
from file_keeper_testing import faulty


def sent(storage: Storage, location: str) -> FileData:
    return storage.multipart_update(storage.multipart_start(location, 4), b"data", 0)


DONE: dict[str, Callable[[Storage, Any], FileData]] = {
    "append": lambda storage, _: storage.append("old", b"+"),
    "compose": lambda storage, _: storage.compose("new", "old", "old"),
    "copy": lambda storage, _: storage.copy("new", "old"),
    "move": lambda storage, _: storage.move("new", "old"),
    "multipart_complete": lambda storage, data: storage.multipart_complete(data),
}


@pytest.mark.parametrize("error", [exc.ConnectionError("gone"), exc.TimeoutError("late"), exc.PermissionError("no")])
@pytest.mark.parametrize("operation", DONE)
def test_what_is_done_is_a_success(operation: str, error: exc.FilesError) -> None:
    # It was an error without a doubt: the caller was told that nothing was written.
    storage = make_storage("media", {"type": "memory"})
    storage.backend.put(
        "old", b"content", storage._attributes_of(ObjectInfo(key="old", size=7))
    )  # as another program writes: no hash
    data = sent(storage, "new") if operation == "multipart_complete" else None
    broken, faults = faulty(storage)
    faults.on("read", times=None, error=error)
    made = DONE[operation](broken, data)
    assert storage.content(made.location) == {
        "append": b"content+", "compose": b"content" * 2, "multipart_complete": b"data",
    }.get(operation, b"content")  # fmt: skip
    assert made.size == len(storage.content(made.location))
    assert storage.exists("old") == (operation != "move")
