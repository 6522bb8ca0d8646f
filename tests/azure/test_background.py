"""A service, or a gateway before it, that copies in the background although it was asked to do so at once.

Its copy stands at the target before it has a byte, and may fail: it is no copy before it is said to be done.
https://learn.microsoft.com/rest/api/storageservices/copy-blob and .../abort-copy-blob
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable

import pytest
from faults.answers import azure_error
from faults.hooked import Forward, HookedProxy
from faults.http1 import Body, Headers, Request, Response
from file_keeper import Storage, exc

OnStorage = Callable[..., Storage]
CONTENT = b"content" * 1000


class Background:
    """Makes a copy as Copy Blob does: the target has the metadata and no content while it is pending.

    :param ends: what the copy becomes, ``"pending"`` for ever
    :param looks: how often it is pending before that
    """

    def __init__(self, hooked: HookedProxy, ends: str, looks: int = 2):
        self.ends, self.left = ends, looks
        self.aborted = False
        hooked.headers(self._begin, method="PUT", query="^$")
        hooked.hook(self._look, method="HEAD", path="/b$")
        hooked.hook(self._abort, method="PUT", query="comp=copy&copyid=")

    @property
    def status(self) -> str:
        return "aborted" if self.aborted else self.ends if self.left <= 0 else "pending"

    def _begin(self, request: Request, headers: Headers) -> Headers:
        if not request.headers.has("x-ms-copy-source"):
            return headers
        return Headers((*headers.without("x-ms-copy-status"), ("x-ms-copy-status", "pending")))

    def _look(self, request: Request, body: Body, forward: Forward) -> Response:
        response = forward(request, body)
        if response.status != 200 or not response.headers.has("x-ms-copy-id"):
            return response
        self.left -= 1
        headers = response.headers.without("x-ms-copy-status")
        headers.append(("x-ms-copy-status", self.status))
        if self.status == "failed":
            headers.append(("x-ms-copy-status-description", "404 NotFound https://acc/b/x?sig=secret"))
        if self.status != "success":
            headers = Headers((*headers.without("Content-Length", "Content-MD5"), ("Content-Length", "0")))
        return dataclasses.replace(response, headers=headers)

    def _abort(self, request: Request, body: Body, forward: Forward) -> Response:
        if self.status != "pending":
            status, text, headers = azure_error(409, "NoPendingCopyOperation")
            return Response.of(status, text, headers.items())
        self.aborted = True
        return Response.of(204, "", [("x-ms-request-id", "1"), ("x-ms-version", "2026-01-01")])


def test_a_pending_copy_is_waited_for(hooked: HookedProxy, storage_behind: OnStorage) -> None:
    storage = storage_behind()
    made = storage.upload("a", CONTENT)
    Background(hooked, "success", looks=3)
    assert storage.copy("b", "a").hash == made.hash == hashlib.md5(CONTENT).hexdigest()
    assert storage.content("b") == CONTENT
    # From then on nothing is asked for that replaces a target before it is copied.
    hooked.clear()
    assert storage.content(storage.copy("c", "a")) == CONTENT
    assert hooked.count("PUT", query="comp=blocklist") == 1
    assert not [r for r in hooked.matching("PUT", query="^$") if r.headers.has("x-ms-copy-source")]


@pytest.mark.parametrize("ends", ["failed", "aborted", "something new"])
def test_a_copy_that_fails_is_none(ends: str, hooked: HookedProxy, storage_behind: OnStorage) -> None:
    storage = storage_behind()
    storage.upload("a", CONTENT)
    Background(hooked, ends)
    with pytest.raises(exc.StorageError, match="could not copy") as caught:
        storage.copy("b", "a")
    assert "secret" not in str(caught.value)
    hooked.unhook()
    assert list(storage.scan()) == ["a"], "nothing is left at the target"
    assert storage.content(storage.copy("b", "a")) == CONTENT


def test_a_copy_that_takes_too_long_is_aborted(hooked: HookedProxy, storage_behind: OnStorage) -> None:
    storage = storage_behind(timeout=0.3)
    storage.upload("a", CONTENT)
    background = Background(hooked, "pending")
    with pytest.raises(exc.TimeoutError, match="the copy is aborted"):
        storage.copy("b", "a")
    assert background.aborted
    hooked.unhook()
    assert list(storage.scan()) == ["a"]


def test_a_copy_that_is_done_when_it_is_to_be_aborted(hooked: HookedProxy, storage_behind: OnStorage) -> None:
    storage = storage_behind(timeout=0.3)
    storage.upload("a", CONTENT)
    background = Background(hooked, "pending", looks=1000)

    def late(request: Request, body: Body, forward: Forward) -> Response:
        background.ends, background.left = "success", 0
        return forward(request, body)

    hooked.hook(late, method="PUT", query="comp=copy&copyid=")
    assert storage.content(storage.copy("b", "a")) == CONTENT


def test_a_move_by_a_copy_that_fails_loses_nothing(hooked: HookedProxy, storage_behind: OnStorage) -> None:
    storage = storage_behind()
    storage.upload("a", CONTENT)
    Background(hooked, "failed")
    with pytest.raises(exc.StorageError, match="could not copy"):
        storage.move("b", "a")
    hooked.unhook()
    assert list(storage.scan()) == ["a"]
    assert storage.content("a") == CONTENT


def test_who_replaced_the_target_meanwhile_keeps_it(hooked: HookedProxy, storage_behind: OnStorage) -> None:
    storage, other = storage_behind(), storage_behind()
    storage.upload("a", CONTENT)
    background = Background(hooked, "pending", looks=1000)

    def replace(request: Request, body: Body, forward: Forward) -> Response:
        if background.left == 1000:
            background.left -= 1
            other.upload("b", b"another's", overwrite=True)
        return forward(request, body)

    hooked.hook(replace, method="HEAD", path="/b$")
    with pytest.raises(exc.ChangedFileError):
        storage.copy("b", "a")
    assert other.content("b") == b"another's"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_lost_answer_is_waited_for_all_the_same(
    overwrite: bool, hooked: HookedProxy, storage_behind: OnStorage
) -> None:
    storage = storage_behind()
    storage.upload("a", CONTENT)
    Background(hooked, "success", looks=3)
    hooked.on("PUT", query="^$").lose_answer()
    assert storage.content(storage.copy("b", "a", overwrite=overwrite)) == CONTENT


@pytest.mark.parametrize("ends", ["pending", "failed"])
def test_a_lost_answer_does_not_make_it_a_copy(ends: str, hooked: HookedProxy, storage_behind: OnStorage) -> None:
    """The token is there, and the content is not: that is no success."""
    storage = storage_behind(timeout=0.3)
    storage.upload("a", CONTENT)
    Background(hooked, ends, looks=0)
    hooked.on("PUT", query="^$").lose_answer()
    with pytest.raises(exc.StorageError, match="could not copy" if ends == "failed" else "the copy is aborted"):
        storage.copy("b", "a")
    hooked.unhook()
    assert list(storage.scan()) == ["a"]


def test_nobody_can_tell_what_became_of_a_copy(hooked: HookedProxy, storage_behind: OnStorage) -> None:
    storage = storage_behind(timeout=0.3)
    storage.upload("a", CONTENT)
    Background(hooked, "pending", looks=0)
    hooked.on("PUT", query="^$", times=None).lose_answer()
    with pytest.raises(exc.ConnectionError) as caught:
        storage.copy("b", "a")
    assert caught.value.uncertain


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, exc.TimeoutError])
def test_who_stops_waiting_leaves_nothing(
    interrupt: type[BaseException], hooked: HookedProxy, storage_behind: OnStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from file_keeper_azure import copies

    storage = storage_behind()
    storage.upload("a", CONTENT)
    background = Background(hooked, "pending")

    def stop(_: float) -> None:
        raise interrupt

    monkeypatch.setattr(copies.time, "sleep", stop)
    with pytest.raises(interrupt):
        storage.copy("b", "a")
    monkeypatch.undo()
    assert background.aborted
    hooked.unhook()
    assert list(storage.scan()) == ["a"]
