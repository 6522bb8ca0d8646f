"""Answers that did not come: what was done is told as done, and nothing is left over."""

from __future__ import annotations

import hashlib
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import file_keeper as fk
import pytest
from emulators.gcs_double import AnswerStatus, Delay, GcsDouble, LoseAnswer, Reset, Status
from faults.hooked import Forward, HookedProxy
from faults.http1 import Body, Request, Response
from file_keeper import exc
from file_keeper.resilience import retry

Storages = Callable[..., fk.Storage]


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DEFAULT", retry.Policy(attempts=3, base=0.001))


QUANTUM = 256 << 10
LARGE = bytes(range(256)) * 4096  # 1 MiB


def is_last(request: Any) -> bool:
    """The last request of a session, which names the total."""
    return not request.headers.get("content-range", "*").endswith("/*")


def in_parts(media: fk.Storage, **options: Any) -> fk.FileData:
    data = media.multipart_start("new", len(LARGE), **options)
    for part in range(2):
        data = media.multipart_update(data, LARGE[part << 19 : (part + 1) << 19], part)
    return media.multipart_complete(data)


def in_pieces(media: fk.Storage) -> fk.FileData:
    data = media.resumable_start("new", len(LARGE))
    data = media.resumable_resume(data, LARGE[: 2 * QUANTUM])
    return media.resumable_resume(data, LARGE[2 * QUANTUM :])


LAST: dict[str, tuple[Callable[[fk.Storage], fk.FileData], dict[str, Any]]] = {
    "put": (lambda media: media.upload("new", b"x"), {"path": "/upload/"}),
    "session": (lambda media: media.upload("new", iter([LARGE])), {"method": "PUT", "when": is_last}),
    "parts": (lambda media: media.upload("new", iter([LARGE])), {"path": "/new/compose"}),
    "multipart": (in_parts, {"path": "/new/compose"}),
    "multipart, verified": (
        lambda media: in_parts(media, hash=hashlib.sha256(LARGE).hexdigest(), algorithm="sha256"),
        {"path": "rewriteTo.*/new$"},
    ),
    "resumable": (in_pieces, {"method": "PUT", "when": is_last}),
    "copy": (lambda media: media.copy("new", "a"), {"path": "rewriteTo"}),
    "move": (lambda media: media.move("new", "a"), {"path": "rewriteTo"}),
    "compose": (lambda media: media.compose("new", "a", "b"), {"path": "/new/compose"}),
    "compose of many": (lambda media: media.compose("new", *["a"] * 40), {"path": "/new/compose"}),
    "append": (lambda media: media.append("a", b"x"), {"path": "/a/compose"}),
    "append of much": (lambda media: media.append("a", iter([LARGE])), {"path": "/a/compose"}),
}
THEN: dict[str, Any] = {
    "503": Status(503),
    "403": Status(403, "forbidden", "no"),
    "400": Status(400, "invalid", "what?"),
    "410": Status(410, "gone", "gone"),
    "412": Status(412, "conditionNotMet", "no"),
    "lost again": LoseAnswer(),
    "nothing any more": Reset(),
}


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("then", THEN)
@pytest.mark.parametrize("verb", LAST)
def test_what_was_done_is_told_as_done(verb: str, then: str, storage: Storages, double: GcsDouble) -> None:
    call, where = LAST[verb]
    media = storage(part_size=QUANTUM, max_concurrency=2 if verb == "parts" else None)
    media.upload("a", b"abc")
    media.upload("b", b"de")
    lost = double.fault(LoseAnswer(), **where)
    if "when" in where:  # the questions after it as well
        where = {"method": "PUT", "when": lambda request: bool(lost.hits)}
    double.fault(THEN[then], nth=2, times=None, **where)
    made = call(media)
    assert lost.hits == 1
    double.clear_faults()
    assert media.analyze(made) == made
    assert [name for name in double.names("media") if ".file-keeper" in name] == []
    assert double.sessions == []


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("blind", [False, True], ids=["not there", "nobody looks"])
@pytest.mark.parametrize("verb", LAST)
def test_what_nobody_knows_is_uncertain(verb: str, blind: bool, storage: Storages, double: GcsDouble) -> None:
    call, where = LAST[verb]
    media = storage(part_size=QUANTUM, max_concurrency=2 if verb == "parts" else None)
    media.upload("a", b"abc")
    media.upload("b", b"de")
    double.fault(LoseAnswer() if blind else Reset(), times=None, **where)
    if blind:
        # The looks before the last request come through, those after it do not.
        seen = double.fault(Delay(0), times=None, **where)
        double.fault(Status(503), method="GET", path="/o/(new|a)$", times=None, when=lambda request: bool(seen.hits))
        if "when" in where:
            double.fault(Status(503), method="PUT", times=None, when=lambda request: bool(seen.hits), nth=2)
    with pytest.raises(exc.ConnectionError) as caught:
        call(media)
    assert caught.value.uncertain
    assert "may have happened" in str(caught.value)
    double.clear_faults()
    assert media.exists("new") is (blind and not verb.startswith("append"))
    assert media.content("b") == b"de"


# -- what is left over ----------------------------------------------------------------------------------------------


def begin_of_parts(media: fk.Storage) -> Any:
    return media.multipart_start("new", 3)


def tail_of_append(media: fk.Storage) -> Any:
    return media.append("a", b"def")


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("fault", [LoseAnswer(), AnswerStatus(503)], ids=repr)
@pytest.mark.parametrize("call", [begin_of_parts, tail_of_append])
def test_a_lost_answer_leaves_nothing_in_the_scaffolding(
    call: Callable[[fk.Storage], Any], fault: Any, storage: Storages, double: GcsDouble
) -> None:
    media = storage()
    media.upload("a", b"abc")
    double.fault(fault, path="/upload/", times=None)
    with pytest.raises(exc.ConnectionError):
        call(media)
    assert double.names("media") == ["a"]
    # Nor where the repeat comes through: all that is there is in use.
    double.clear_faults()
    double.fault(fault, path="/upload/")
    made = call(media)
    if call is begin_of_parts:
        assert media.multipart_remove(made)
    assert double.names("media") == ["a"]
    # What could not be deleted is found later.
    double.clear_faults()
    double.fault(fault, path="/upload/", times=None)
    double.fault(Status(503), method="DELETE", times=None)
    with pytest.raises(exc.ConnectionError):
        call(media)
    assert len(double.names("media")) == 1 + retry.DEFAULT.attempts
    double.clear_faults()
    assert media.cleanup_uploads(3600) == 0
    # Of a tail nothing tells that it was begun, so it does not count.
    assert media.cleanup_uploads(0) == (retry.DEFAULT.attempts if call is begin_of_parts else 0)
    assert double.names("media") == ["a"]


@pytest.mark.parametrize("fault", [Reset(), Status(503)], ids=repr)
def test_one_lost_request_leaves_nothing_of_what_has_served(fault: Any, storage: Storages, double: GcsDouble) -> None:
    media = storage()
    media.upload("a", b"abc")
    double.fault(fault, method="DELETE")
    assert media.append("a", b"def").size == 6
    double.clear_faults()
    data = media.multipart_update(media.multipart_start("new", 3), b"abc", 0)
    double.fault(fault, path="/batch")
    media.multipart_complete(data)
    assert double.names("media") == ["a", "new"]


@pytest.mark.parametrize("call", [begin_of_parts, tail_of_append])
def test_an_interrupt_leaves_nothing_in_the_scaffolding(
    call: Callable[[fk.Storage], Any], hooked: HookedProxy, storage: Storages, double: GcsDouble
) -> None:
    media = storage(hooked.url)
    media.upload("a", b"abc")

    def interrupted(request: Request, body: Body, forward: Forward) -> Response:
        response = forward(request, body)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        time.sleep(0.5)
        return response

    hooked.hook(interrupted, path="/upload/")
    with pytest.raises(KeyboardInterrupt):
        call(media)
    assert double.names("media") == ["a"]


# -- moves ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("then", THEN)
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("done", [False, True], ids=["not removed", "removed"])
def test_a_move_loses_nothing(done: bool, overwrite: bool, then: str, storage: Storages, double: GcsDouble) -> None:
    """The answer to the removal is lost, and nothing sensible comes after it."""
    media = storage()
    media.upload("a", b"abc")
    where = {"method": "DELETE", "path": "/o/a$"}
    double.fault(LoseAnswer() if done else Reset(), **where)
    double.fault(Reset() if then == "lost again" and not done else THEN[then], nth=2, times=None, **where)
    if done:
        assert media.move("b", "a", overwrite=overwrite).size == 3
    else:
        with pytest.raises(exc.FilesError):
            media.move("b", "a", overwrite=overwrite)
        assert media.content("a") == b"abc"
    if done or overwrite:
        assert media.content("b") == b"abc"
