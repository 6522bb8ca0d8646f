"""Answers that are lost, and what the last error then means: done by us is a success, else nobody knows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import pytest
from faults.answers import Answer, azure_error
from faults.hooked import HookedProxy
from faults.http1 import Headers, Request
from file_keeper import FileData, Storage, exc

OnStorage = Callable[..., Storage]
KiB = 1 << 10
CONTENT = hashlib.shake_128(b"lost").digest(700 * KiB)


def chunks(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]


VERBS: dict[str, tuple[Callable[[Storage], FileData], bytes]] = {
    "put": (lambda s: s.upload("y", b"new"), b"new"),
    "put over": (lambda s: s.upload("x", b"new", overwrite=True), b"new"),
    "complete": (lambda s: s.upload("y", chunks(CONTENT)), CONTENT),
    "complete over": (lambda s: s.upload("x", chunks(CONTENT), overwrite=True), CONTENT),
    "complete a version": (lambda s: s.upload("x", chunks(CONTENT), overwrite=s.analyze("x")), CONTENT),
    "copy": (lambda s: s.copy("y", "x"), b"old"),
    "copy over": (lambda s: s.copy("z", "x", overwrite=True), b"old"),
    "compose": (lambda s: s.compose("y", "x", "z"), b"oldother"),
    "compose over": (lambda s: s.compose("x", "x", "z", overwrite=True), b"oldother"),
    "append": (lambda s: s.append("x", b"once"), b"oldonce"),
    "session": (
        lambda s: s.multipart_complete(s.multipart_update(s.multipart_start("y", 5), b"parts", 0)),
        b"parts",
    ),
    "pieces": (lambda s: s.resumable_resume(s.resumable_start("y", 5), b"parts"), b"parts"),
}
LAST: dict[str, Answer | None] = {
    "lost again": None,
    "403": azure_error(403, "AuthorizationFailure"),
    "400": azure_error(400, "InvalidBlockList"),
    "401": azure_error(401, "InvalidAuthenticationInfo"),
    "409": azure_error(409, "LeaseAlreadyPresent"),
    "412": azure_error(412, "ConditionNotMet"),
    "500": azure_error(500, "InternalError"),
    "503": azure_error(503, "ServerBusy"),
    "a portal": (200, "<html>", {"Content-Type": "text/html"}),
}


def is_last(request: Request) -> bool:
    """Whether this is the request that shows what a verb made: no block, and nothing under the reserved name."""
    hidden = "comp=block&" in request.query or "/.file-keeper/" in request.path
    return request.method == "PUT" and not hidden


@pytest.fixture
def storage(storage_behind: OnStorage) -> Storage:
    storage = storage_behind()
    storage.upload("x", b"old")
    storage.upload("z", b"other")
    return storage


@pytest.mark.full
@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize("verb", VERBS)
def test_what_was_done_is_a_success(verb: str, last: str, storage: Storage, hooked: HookedProxy) -> None:
    call, expected = VERBS[verb]
    hooked.on(where=is_last).lose_answer()
    answer = LAST[last]
    rule = hooked.on(where=is_last, nth=2, times=None)
    rule.answer(*answer) if answer else rule.reset()
    made = call(storage)
    hooked.clear()
    assert storage.content(made) == expected
    assert storage.analyze(made.location).etag == made.etag
    assert storage.analyze(made.location).hash == made.hash
    assert storage.cleanup_uploads(0) == 0


@pytest.mark.full
@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize("verb", VERBS)
def test_what_nobody_can_tell_is_uncertain(verb: str, last: str, storage: Storage, hooked: HookedProxy) -> None:
    call, _ = VERBS[verb]
    before = {name: storage.content(name) for name in storage.scan()}
    answer = LAST[last]
    hooked.on(where=is_last).answer(502, "")
    rule = hooked.on(where=is_last, nth=2, times=None)
    rule.answer(*answer) if answer else rule.reset()
    with pytest.raises(exc.FilesError) as caught:
        call(storage)
    error = caught.value
    # A conflict is one with something that is there, and then an answer.
    conflict = isinstance(error, exc.ExistingFileError | exc.ChangedFileError) and storage.exists(str(error.location))
    assert error.uncertain or conflict
    hooked.clear()
    assert {name: storage.content(name) for name in storage.scan()} == before


def test_the_etag_of_a_commit_is_not_that_of_head(storage: Storage, hooked: HookedProxy) -> None:
    """The hash of a streamed upload is set with its commit, whatever etag that is answered with."""

    def other(request: Request, headers: Headers) -> Headers:
        return Headers((*headers.without("ETag"), ("ETag", '"0xANOTHER"')))

    hooked.headers(other, method="PUT", query="comp=blocklist")
    made = storage.upload("y", chunks(CONTENT))
    assert made.hash == hashlib.md5(CONTENT).hexdigest()
    hooked.unhook()
    assert storage.analyze("y").hash == made.hash


def test_a_delete_whose_answer_is_lost(storage: Storage, hooked: HookedProxy) -> None:
    for last in LAST.values():
        storage.upload("y", b"1", overwrite=True)
        hooked.on("DELETE").lose_answer()
        rule = hooked.on("DELETE", nth=2, times=None)
        rule.answer(*last) if last else rule.reset()
        assert storage.remove("y") is True
        hooked.clear()
        assert not storage.exists("y")


def test_removals_in_a_batch_that_is_lost_and_then_refused(storage: Storage, hooked: HookedProxy) -> None:
    hooked.on("POST", query="comp=batch").lose_answer()
    hooked.on("POST", query="comp=batch", nth=2).answer(*azure_error(403, "AuthorizationFailure"))
    failures = storage.remove_many(["x", "z"])
    assert [(failure.location, failure.uncertain) for failure in failures] == [("x", True), ("z", True)]
    assert list(storage.scan()) == []


@pytest.mark.parametrize("last", LAST)
def test_a_move_whose_removal_is_lost(last: str, storage: Storage, hooked: HookedProxy) -> None:
    """Of the source and the copy one stands, whatever the last answer was."""
    answer = LAST[last]
    hooked.on("DELETE").lose_answer()
    rule = hooked.on("DELETE", nth=2, times=None)
    rule.answer(*answer) if answer else rule.reset()
    try:
        storage.move("y", "x")
    except exc.FilesError as error:
        raise AssertionError(f"the file is at its new place alone: {error!r}") from error
    hooked.clear()
    assert storage.content("y") == b"old"
    assert not storage.exists("x")


@pytest.mark.parametrize("last", [name for name in LAST if name != "lost again"])
def test_a_move_whose_removal_is_refused(last: str, storage: Storage, hooked: HookedProxy) -> None:
    answer = LAST[last]
    assert answer
    hooked.on("DELETE", path="/x$", times=None).answer(*answer)
    with pytest.raises(exc.FilesError):
        storage.move("y", "x")
    hooked.clear()
    assert storage.content("x") == b"old", "the source is there"


def test_a_page_that_leads_nowhere(storage: Storage, hooked: HookedProxy) -> None:
    def again(request: Request, text: str) -> str:
        return text.replace("<NextMarker/>", "<NextMarker>again</NextMarker>").replace(
            "<NextMarker></NextMarker>", "<NextMarker>again</NextMarker>"
        )

    hooked.text(again, method="GET", query="comp=list")

    hooked.clear()
    with pytest.raises(exc.ConnectionError, match="does not advance"):
        list(storage.scan())
    assert hooked.count("GET", query="comp=list") <= 2
    hooked.clear()
    with pytest.raises(exc.ConnectionError, match="does not advance"):
        storage.cleanup_uploads(0)
    assert hooked.count("GET", query="comp=list") <= 2
