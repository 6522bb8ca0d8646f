"""Several calls that resume one upload from one state, and states that are older than the last update."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import file_keeper as fk
import pytest
from emulators.gcs_double import GcsDouble
from file_keeper import exc

Storages = Callable[..., fk.Storage]
QUANTUM = 256 << 10
PNG = b"\x89PNG\r\n\x1a\n" + bytes(QUANTUM)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("at_once", [False, True])
def test_of_several_that_resume_one_state_one_goes_on(
    last: bool, at_once: bool, storage: Storages, double: GcsDouble
) -> None:
    makers = [storage() for _ in range(4)]
    data = makers[0].resumable_start("a", 2 * QUANTUM)
    if last:
        data = makers[0].resumable_resume(data, b"0" * QUANTUM)
    text = json.dumps(data.as_dict())
    pieces = [bytes([65 + i]) * QUANTUM for i in range(4)]
    results: list[object] = [None] * 4

    def resume(i: int) -> None:
        try:
            results[i] = makers[i].resumable_resume(fk.FileData.from_dict(json.loads(text)), pieces[i])
        except exc.FilesError as error:
            results[i] = error

    if at_once:
        threads = [threading.Thread(target=resume, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    else:
        for i in range(4):
            resume(i)
    won = [i for i in range(4) if isinstance(results[i], fk.FileData)]
    assert len(won) == 1, results
    assert all(isinstance(r, exc.ResumableUploadError) for i, r in enumerate(results) if i not in won), results
    if not last:
        makers[0].resumable_resume(results[won[0]], b"z" * QUANTUM)
        assert makers[0].content("a") == pieces[won[0]] + b"z" * QUANTUM
    else:
        assert makers[0].content("a") == b"0" * QUANTUM + pieces[won[0]]


def test_a_refresh_of_any_state_equals_the_last_update(storage: Storages, double: GcsDouble) -> None:
    media = storage()
    begun = media.resumable_start("a", 3 * QUANTUM, content_type="text/plain")
    assert media.resumable_refresh(begun) == begun
    assert media.resumable_refresh(begun).as_dict() == begun.as_dict()
    updated = media.resumable_resume(begun, PNG[:QUANTUM])
    assert storage().resumable_refresh(begun).as_dict() == updated.as_dict()
    assert storage().resumable_refresh(updated).as_dict() == updated.as_dict()
    again = storage().resumable_refresh(begun)
    with pytest.raises(exc.UploadTypeMismatchError):
        media.resumable_resume(again, bytes(2 * QUANTUM))
    assert not media.exists("a")


def test_a_refresh_of_parts(storage: Storages, double: GcsDouble) -> None:
    media = storage()
    begun = media.multipart_start("a", 2 * QUANTUM, content_type="text/plain")
    assert media.multipart_refresh(begun).as_dict() == begun.as_dict()
    updated = media.multipart_update(begun, PNG[:QUANTUM], 0)
    updated = media.multipart_update(updated, bytes(QUANTUM), 1)
    assert storage().multipart_refresh(begun).as_dict() == updated.as_dict()
    with pytest.raises(exc.UploadTypeMismatchError):
        media.multipart_complete(storage().multipart_refresh(begun))
