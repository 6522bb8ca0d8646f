"""Who may say that something was done: what a driver would believe of anybody."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from emulators.azure import AzuriteServer
from emulators.s3 import S3Server
from faults.hooked import Forward, HookedProxy
from faults.http1 import Body, Headers, Request, Response
from faults.proxy import FaultProxy
from file_keeper import Storage, exc
from libcloud_drivers.places import Make, at

MiB = 1 << 20
PORTAL = "<!DOCTYPE html><html><head><title>Welcome</title></head><body>Log in<br></body></html>"
XHTML = '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body><p>Log in</p></body></html>'
HTML = (("Content-Type", "text/html; charset=utf-8"), ("Server", "portal/1.0"))
STRANGERS: dict[str, tuple[int, str, tuple[tuple[str, str], ...]]] = {
    "a portal": (200, PORTAL, HTML),
    "a portal in XML": (200, XHTML, HTML),
    "a console": (200, json.dumps({"status": "ok"}), (("Content-Type", "application/json"),)),
    "nothing": (200, "", ()),
    "no content": (204, "", ()),
    "another root": (200, "<Result/>", (("Content-Type", "application/xml"),)),
}


def generated(size: int) -> Iterator[bytes]:
    for _ in range(size // MiB):
        yield b"x" * MiB


VERBS: dict[str, Callable[[Storage], Any]] = {
    "upload": lambda storage: storage.upload("new", b"1"),
    "upload over": lambda storage: storage.upload("a", b"2", overwrite=True),
    "upload of much": lambda storage: storage.upload("new", generated(11 * MiB), overwrite=True),
    "exists": lambda storage: storage.exists("a"),
    "analyze": lambda storage: storage.analyze("a"),
    "content": lambda storage: storage.content("a"),
    "range": lambda storage: storage.range("a", 1, 2),
    "remove": lambda storage: storage.remove("a"),
    "scan": lambda storage: list(storage.scan()),
    "copy": lambda storage: storage.copy("b", "a"),
    "move": lambda storage: storage.move("b", "a"),
    "check": lambda storage: storage.check(),
}


class Place:
    """A storage behind a front that changes what passes."""

    def __init__(self, server: S3Server | AzuriteServer, settings: dict[str, Any], make: Make, front: HookedProxy):
        self.front = front
        self.kind = "s3" if settings["provider"] == "S3" else "azure"
        self.url = server.url
        self._settings = {**settings, "params": at(front.url)}
        self._make = make

    def storage(self, **options: Any) -> Storage:
        return self._make(**{**self._settings, **options})


@pytest.fixture(params=["s3", "azure"])
def place(request: pytest.FixtureRequest, make: Make) -> Iterator[Place]:
    server = request.getfixturevalue("moto_server" if request.param == "s3" else "azurite_server")
    with HookedProxy(server.url) as front:
        yield Place(server, request.getfixturevalue(request.param), make, front)


@pytest.mark.parametrize("known", [False, True], ids=["first", "known"])
@pytest.mark.parametrize("stranger", STRANGERS)
def test_no_operation_takes_a_strangers_answer_for_a_success(stranger: str, known: bool, place: Place) -> None:
    for verb, call in VERBS.items():
        place.front.unhook()
        storage = place.storage()
        if known:
            storage.upload("a", b"123", overwrite=True)
        place.front.answer(*STRANGERS[stranger])
        with pytest.raises(exc.ConnectionError, match="did not answer") as caught:
            call(storage)
        assert type(caught.value) is exc.ConnectionError
        if stranger == "a portal" and verb not in ("exists", "analyze"):
            assert "portal/1.0" in str(caught.value)


@pytest.mark.parametrize("status", [404, 412, 416])
@pytest.mark.parametrize("known", [False, True], ids=["first", "known"])
def test_a_strangers_refusal_tells_nothing_of_a_file(status: int, known: bool, place: Place) -> None:
    storage = place.storage()
    if known:
        storage.upload("a", b"123")
    place.front.answer(status, PORTAL, HTML)
    for name in ("exists", "remove", "content", "range", "upload", "scan"):
        # S3 is spoken by services without ids, whose HEAD of a bucket that is missing is no other than a stranger's.
        first = place.kind == "s3" and not known and name in ("exists", "remove", "upload")
        expected = exc.StorageError if first else exc.ConnectionError
        with pytest.raises(expected, match="." if first else "did not answer"):
            VERBS[name](storage)
    place.front.unhook()
    if known:
        assert storage.content("a") == b"123"


def test_a_service_of_s3_without_ids_is_believed(s3: dict[str, Any], moto_server: S3Server, make: Make) -> None:
    with HookedProxy(moto_server.url) as front:
        front.headers(lambda request, headers: Headers((k, v) for k, v in headers if "request" not in k.lower()))
        storage = make(**{**s3, "params": at(front.url)})
        storage.upload("a", b"123")
        storage.upload("large", generated(11 * MiB))
        assert storage.content("a") == b"123"
        assert list(storage.scan()) == ["a", "large"]
        assert not storage.exists("none")
        assert storage.remove("a")
        assert not storage.remove("a")
        with pytest.raises(exc.InvalidStorageConfigurationError):
            make(**{**s3, "params": at(front.url), "bucket": "nowhere"}).content("a")


# -- redirects ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["other", "itself", ""])
def test_a_redirect_is_not_followed(
    status: int, target: str, place: Place, fault_proxy: Callable[..., FaultProxy]
) -> None:
    other = fault_proxy(place.url)
    where = {"other": other.url, "itself": place.front.url, "": ""}[target]
    storage = place.storage()
    storage.upload("a", b"123")

    def elsewhere(request: Request, body: Body, forward: Forward) -> Response:
        for _ in body:
            pass
        return Response.of(status, "", [("Location", f"{where}{request.path}?secret=1")] if where else [])

    place.front.hook(elsewhere)
    for call in VERBS.values():
        before = len(place.front.requests)
        with pytest.raises(exc.ConnectionError, match="redirects to") as caught:
            call(storage)
        assert "'params'" in str(caught.value)
        assert "secret" not in str(caught.value)
        assert len(place.front.requests) - before <= 3
    assert not other.requests


# -- listings -------------------------------------------------------------------------------------------------------


def test_a_listing_that_does_not_advance_ends(place: Place) -> None:
    storage = place.storage()
    for name in ("a", "b", "c"):
        storage.upload(name, b"1")

    def endless(request: Request, text: str) -> str:
        return (
            text.replace("<IsTruncated>false", "<IsTruncated>true")
            .replace("<NextMarker/>", "<NextMarker>again</NextMarker>")
            .replace("<NextMarker></NextMarker>", "<NextMarker>again</NextMarker>")
        )

    place.front.text(endless, method="GET")
    place.front.headers(lambda request, headers: headers.without("Content-MD5"))
    before = len(place.front.requests)
    with pytest.raises(exc.ConnectionError, match="does not advance"):
        list(storage.scan())
    assert len(place.front.requests) - before <= 3


# -- answers that did not come --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("then", [503, 403, 400, 0], ids=["503", "403", "400", "lost"])
@pytest.mark.parametrize("verb", ["upload", "upload of much", "copy"])
def test_what_was_done_is_told_as_done(verb: str, then: int, place: Place) -> None:
    storage = place.storage()
    storage.upload("a", b"123")
    # The request that publishes: the only PUT, the completion, the list of blocks.
    publishes = {"query": "comp=blocklist|uploadId=.*"} if verb == "upload of much" else {}
    method = "POST" if verb == "upload of much" and place.kind == "s3" else "PUT"
    where = {"method": method, "path": "/(new|b)$", **publishes}
    lost = place.front.on(**where).lose_answer()
    rest = place.front.on(**where, nth=2, times=None)
    rest.answer(then, "") if then else rest.lose_answer()
    made = VERBS[verb](storage)
    assert lost.hits == 1
    place.front.clear()
    assert storage.analyze(made).size == made.size


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("verb", ["upload", "copy"])
def test_what_nobody_knows_is_uncertain(verb: str, place: Place) -> None:
    storage = place.storage()
    storage.upload("a", b"123")
    place.front.on("PUT", "/(new|b)$", times=None).reset()
    with pytest.raises(exc.ConnectionError) as caught:
        VERBS[verb](storage)
    assert caught.value.uncertain
    assert not storage.exists("new")
