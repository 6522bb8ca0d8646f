"""Who may say that something was done, and what an answer that did not come means."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import file_keeper as fk
import pytest
from emulators.gcs_double import Flip, GcsDouble, LoseAnswer, Status
from faults.hooked import Forward, Hook, HookedProxy
from faults.http1 import Body, Request, Response
from faults.proxy import FaultProxy
from faults.rules import Dropped
from file_keeper import exc, hashing
from file_keeper.backend import MultipartRef, ObjectInfo, Part, WriteOptions
from file_keeper.resilience import retry
from file_keeper_gcs import GcsBackend

Storages = Callable[..., fk.Storage]
Backends = Callable[..., GcsBackend]
REWRITE = "rewriteTo"
QUANTUM = 256 << 10


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DEFAULT", retry.Policy(attempts=3, base=0.001))


# -- two winners ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("named", [False, True], ids=["not over", "a version"])
@pytest.mark.parametrize("verb", ["copy", "move"])
@pytest.mark.parametrize("size", [3, 3 << 20], ids=["one call", "several calls"])
def test_of_two_racing_copies_one_wins(
    verb: str, named: bool, size: int, storage: Storages, double: GcsDouble, hooked: HookedProxy
) -> None:
    """The one whose request was lost on its way must not take the other's copy of the same source for its own."""
    media, other = storage(hooked.url), storage()
    double.rewrite_limit = 1 << 20
    media.upload("a", bytes(size), metadata={"who": "Ann"}, headers={"Cache-Control": "no-store"})
    overwrite: Any = media.upload("b", b"before") if named else False

    def overtaken(request: Request, body: Body, forward: Forward) -> Response:
        hooked.unhook()
        other.copy("b", "a", overwrite=overwrite)
        raise Dropped

    hooked.hook(overtaken, path=REWRITE)
    with pytest.raises(exc.ChangedFileError if named else exc.ExistingFileError) as caught:
        getattr(media, verb)("b", "a", overwrite=overwrite)
    assert not caught.value.uncertain
    assert (media.size("a"), media.size("b")) == (size, size)


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("fault", [LoseAnswer(), Status(503)], ids=repr)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_copy_knows_itself_and_keeps_everything(
    overwrite: bool, fault: Any, storage: Storages, double: GcsDouble
) -> None:
    media = storage(hashing_algorithm="sha256")
    headers = {"Cache-Control": "no-store", "Content-Language": "de"}
    made = media.upload("a", b"abc", content_type="text/x-a", metadata={"Who": "Änne"}, headers=headers)
    rule = double.fault(fault, path=REWRITE)
    copied = media.copy("b", "a", overwrite=overwrite)
    assert rule.hits == 1
    found = media.analyze("b")
    assert found == copied
    assert (found.metadata, found.headers) == (made.metadata, made.headers) == (copied.metadata, copied.headers)
    assert (found.hash, found.content_type, found.etag) == (made.hash, made.content_type, copied.etag)
    tokens = [double.object("media", name).fields["metadata"]["fk-token"] for name in ("a", "b")]
    assert (tokens[0] == tokens[1]) is overwrite


# -- strangers ------------------------------------------------------------------------------------------------------

PORTAL = "<!DOCTYPE html><html><head><title>Welcome</title></head><body>Log in<br></body></html>"
HTML = (("Content-Type", "text/html; charset=utf-8"), ("Server", "portal/1.0"))
JSON = (("Content-Type", "application/json"),)
STRANGERS: dict[str, tuple[int, str, tuple[tuple[str, str], ...]]] = {
    "a portal": (200, PORTAL, HTML),
    "a console": (200, '{"status": "ok", "items": [], "done": true}', JSON),
    "a list": (200, "[]", JSON),
    "another kind": (200, '{"kind": "drive#file", "name": "a", "generation": "1", "size": "1"}', JSON),
    "nothing": (200, "", ()),
    "no content": (204, "", ()),
    "accepted": (202, "", ()),
}
ID = "0123456789abcdef" * 2
INFO = ObjectInfo(key="a", size=1, etag="1")
SESSION = MultipartRef("a", "/upload/storage/v1/b/media/o?upload_id=1")
PARTS = MultipartRef("a", ID)
OPTIONS = WriteOptions()
VERBS: dict[str, Callable[[GcsBackend], Any]] = {
    "head": lambda gcs: gcs.head("a"),
    "read": lambda gcs: gcs.read("a"),
    "read a range": lambda gcs: gcs.read("a", 1, 2, etag="1"),
    "list": lambda gcs: list(gcs.list("")),
    "list keys": lambda gcs: list(gcs.list("", start_after="a", delimiter="/", keys_only=True)),
    "put": lambda gcs: gcs.put("a", b"x", OPTIONS),
    "put, not over": lambda gcs: gcs.put("a", b"x", WriteOptions(if_absent=True)),
    "delete": lambda gcs: gcs.delete("a"),
    "delete a version": lambda gcs: gcs.delete("a", etag="1"),
    "delete_many": lambda gcs: list(gcs.delete_many(["a", "b"])),
    "multipart_create": lambda gcs: gcs.multipart_create("a", OPTIONS),
    "multipart_put": lambda gcs: gcs.multipart_put(PARTS, 0, b"x"),
    "multipart_parts": lambda gcs: list(gcs.multipart_parts(PARTS)),
    "multipart_complete": lambda gcs: gcs.multipart_complete(PARTS, [Part(number=0, size=1, etag="1")], OPTIONS),
    "multipart_complete of none": lambda gcs: gcs.multipart_complete(PARTS, [], OPTIONS),
    "multipart_abort": lambda gcs: gcs.multipart_abort(PARTS),
    "multipart_list": lambda gcs: list(gcs.multipart_list("")),
    "resumable_start": lambda gcs: gcs.resumable_start("a", OPTIONS),
    "resumable_send": lambda gcs: gcs.resumable_send(SESSION, 0, b"x", 1, OPTIONS),
    "resumable_offset": lambda gcs: gcs.resumable_offset(SESSION, None),
    "resumable_cancel": lambda gcs: gcs.resumable_cancel(SESSION),
    "copy": lambda gcs: gcs.copy(INFO, "b", OPTIONS),
    "compose": lambda gcs: gcs.compose([INFO, INFO], "b", OPTIONS),
    "append": lambda gcs: gcs.append(INFO, b"x", OPTIONS),
    "store_digests": lambda gcs: gcs.store_digests(INFO, {"sha256": "00"}),
    "prepare": lambda gcs: gcs.prepare(),
    "check": lambda gcs: gcs.check(),
}


@pytest.mark.full
@pytest.mark.parametrize("known", [False, True], ids=["first", "known"])
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("stranger", STRANGERS)
def test_no_verb_takes_a_strangers_answer_for_a_success(
    stranger: str, verb: str, known: bool, hooked: HookedProxy, backend: Backends
) -> None:
    gcs = backend(hooked.url, project_id="p")
    if known:
        gcs.check()
        gcs.delete("none")
    hooked.answer(*STRANGERS[stranger])
    with pytest.raises(exc.ConnectionError, match="did not answer") as caught:
        VERBS[verb](gcs)
    assert type(caught.value) is exc.ConnectionError
    assert "'endpoint'" in str(caught.value)
    if stranger == "a portal":
        assert "portal/1.0" in str(caught.value)
        assert "text/html" in str(caught.value)


@pytest.mark.parametrize("known", [False, True], ids=["first", "known"])
@pytest.mark.parametrize("status", [404, 410, 412, 416])
def test_a_strangers_refusal_tells_nothing_of_a_file(
    status: int, known: bool, hooked: HookedProxy, storage: Storages, backend: Backends
) -> None:
    media, gcs = storage(hooked.url), backend(hooked.url)
    if known:
        media.upload("a", b"1")
        media.exists("none")
        gcs.check()
    for text, headers in ((PORTAL, HTML), ("", ()), ('{"error": "not found"}', JSON)):
        hooked.unhook()
        hooked.answer(status, text, headers)
        for call in (
            lambda: media.exists("a"), lambda: media.remove("a"), lambda: media.content("a"),
            lambda: media.upload("a", b"2"), lambda: media.range("a", 5, 6), lambda: list(media.scan()),
            lambda: gcs.multipart_abort(PARTS), lambda: gcs.resumable_offset(SESSION, None),
            lambda: gcs.resumable_cancel(SESSION),
        ):  # fmt: skip
            with pytest.raises(exc.ConnectionError, match="did not answer"):
                call()
    hooked.unhook()
    if known:
        assert media.content("a") == b"1"


def test_a_service_without_ids_is_shown_to_speak_this_api(hooked: HookedProxy, storage: Storages) -> None:
    hooked.headers(lambda request, headers: headers.without("X-GUploader-UploadID"))
    media = storage(hooked.url)
    media.check()
    media.upload("a", b"1")
    assert not media.exists("none")
    assert media.remove("a")
    assert not media.remove("a")
    assert hooked.count("GET", "/b$") <= 1
    hooked.answer(404, PORTAL, HTML)
    with pytest.raises(exc.ConnectionError, match="did not answer"):
        media.exists("none")


@pytest.mark.parametrize("what", ["name", "size", "generation", "resource", "rewriteToken", "items"])
def test_a_resource_without_what_it_always_has(
    what: str, hooked: HookedProxy, storage: Storages, backend: Backends, double: GcsDouble
) -> None:
    media, gcs = storage(hooked.url, overwrite_existing=True), backend(hooked.url)
    media.upload("a", b"1")
    double.rewrite_limit = 1 << 20
    double.put("media", "large", bytes(2 << 20))

    def change(request: Request, text: str) -> str:
        found = json.loads(text)
        found.pop(what, None)
        for item in found.get("items", ()):
            item.pop(what, None)
        if what == "items":
            found["items"] = [{"size": "1"}]
        return json.dumps(found)

    hooked.text(change)
    calls: dict[str, list[Callable[[], Any]]] = {
        "resource": [lambda: gcs.copy(ObjectInfo(key="a", size=1), "b", OPTIONS)],
        "rewriteToken": [lambda: gcs.copy(ObjectInfo(key="large", size=2 << 20), "b", OPTIONS)],
        "items": [lambda: list(media.scan()), lambda: list(media.files())],
    }
    for call in calls.get(what, [lambda: media.analyze("a"), lambda: media.upload("a", b"2")]):
        with pytest.raises(exc.ConnectionError):
            call()


def test_an_item_with_an_odd_date_is_listed_without_one(
    hooked: HookedProxy, storage: Storages, double: GcsDouble
) -> None:
    for name in ("a", "b"):
        double.put("media", name)
    hooked.text(lambda request, text: text.replace('"timeCreated": "2', '"timeCreated": "the 2'), path="/o$")
    assert [(file.location, file.modified) for file in storage(hooked.url).files()] == [("a", None), ("b", None)]


# -- redirects ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["other", "itself", ""])
def test_a_redirect_is_not_followed(
    status: int, target: str, hooked: HookedProxy, backend: Backends, fault_proxy: Callable[..., FaultProxy]
) -> None:
    other = fault_proxy("http://127.0.0.1:9")
    where = {"other": other.url, "itself": hooked.url, "": ""}[target]
    gcs = backend(hooked.url, project_id="p")
    gcs.check()
    hooked.hook(
        lambda request, body, forward: Response.of(
            status, PORTAL, [("Location", f"{where}{request.path}?secret=1")] if where else []
        )
    )
    for verb, call in VERBS.items():
        before = len(hooked.requests)
        # 308 without a target is what a session says; then it must be the service that says it.
        text = "did not answer" if status == 308 and not where and "resumable_" in verb else "redirects to"
        with pytest.raises(exc.ConnectionError, match=text if verb != "resumable_start" else "redirects to") as caught:
            call(gcs)
        assert "'endpoint'" in str(caught.value)
        assert "secret" not in str(caught.value)
        assert len(hooked.requests) - before <= 2
    assert not other.requests


# -- what is read ---------------------------------------------------------------------------------------------------

CONTENT = hashlib.shake_128(b"answers").digest(100_000)


def ranged(double: GcsDouble, change: Callable[[int, int], tuple[int, int, str]]) -> Hook:
    """Answer ranges with other bytes: `change` gives first, last, and the form of Content-Range."""

    def hook(request: Request, body: Body, forward: Forward) -> Response:
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range"))
        if not found:
            return forward(request, body)
        first, last, form = change(int(found[1]), min(int(found[2] or len(CONTENT)), len(CONTENT) - 1))
        data = CONTENT[first : last + 1]
        text = form.format(first=first, last=first + len(data) - 1, size=len(CONTENT))
        kept = [("X-Goog-Generation", str(double.object("media", "a").generation)), ("X-GUploader-UploadID", "1")]
        return Response.of(206, data, [*kept, *([("Content-Range", text)] if text else [])])

    return hook


FORM = "bytes {first}-{last}/{size}"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda first, last: (first, min(last, first + 999), FORM), id="shorter"),
        pytest.param(lambda first, last: (first, last + 50, FORM), id="longer"),
        pytest.param(lambda first, last: (first, last, "bytes {first}-{last}/*"), id="of no known size"),
    ],
)
def test_an_odd_range_gives_the_right_bytes(
    change: Any, hooked: HookedProxy, storage: Storages, double: GcsDouble, tmp_path: Path
) -> None:
    media = storage(hooked.url, part_size=QUANTUM)
    media.upload("a", CONTENT)
    hooked.hook(ranged(double, change), path="/download/")
    assert media.range("a", 10, 5000) == CONTENT[10:5000]
    with media.open("a") as file:
        file.seek(50_000)
        assert file.read() == CONTENT[50_000:]
    media.download("a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda first, last: (first + 5, last, FORM), id="shifted"),
        pytest.param(lambda first, last: (0, last - first, FORM), id="from the beginning"),
        pytest.param(lambda first, last: (first + 5, last, "bytes {first}-{last}/*"), id="shifted, of no known size"),
    ],
)
def test_a_shifted_range_is_refused(change: Any, hooked: HookedProxy, storage: Storages, double: GcsDouble) -> None:
    media = storage(hooked.url)
    media.upload("a", CONTENT)
    hooked.hook(ranged(double, change), path="/download/")
    with pytest.raises(exc.ConnectionError, match="does not honour ranges"):
        media.range("a", 10, 5000)


def test_what_an_answer_says_is_reported(hooked: HookedProxy, backend: Backends, double: GcsDouble) -> None:
    gcs = backend(hooked.url)
    generation = gcs.put("a", CONTENT, OPTIONS).etag
    crc = hashing.new("crc32c")
    crc.update(CONTENT)
    bodies = [gcs.read("a"), gcs.read("a", 7), gcs.read("a", 7, 9, etag=generation), gcs.read("a", 7, 7, etag="1")]
    bodies.append(gcs.read("a", 200_000))
    facts = [(body.start, body.length, body.info.size, body.info.etag) for body in bodies]
    lengths = [(0, 100_000), (7, 99_993), (7, 2), (7, 0), (200_000, 0)]
    assert facts == [(*each, 100_000, generation) for each in lengths]
    assert bodies[1].info.digests["crc32c"] == crc.hexdigest()
    hooked.hook(ranged(double, lambda first, last: (first, last, "")), path="/download/")
    bare = gcs.read("a", 7, 9)
    assert (bare.start, bare.length, bare.info.size) == (None, 2, -1)
    hooked.headers(lambda request, headers: [*headers.without("X-Goog-Generation"), ("Content-Range", "bytes x-y/z")])
    odd = gcs.read("a", 7, 9)
    assert (odd.start, odd.info.size) == (None, -1)


def test_content_changed_on_its_way_is_told(storage: Storages, double: GcsDouble) -> None:
    media = storage()
    media.upload("a", CONTENT)
    double.fault(Flip(50_000), path="/download/", times=None)
    for read in (lambda: media.content("a"), lambda: b"".join(media.stream("a"))):
        with pytest.raises(exc.CorruptedFileError):
            read()


# -- credentials ----------------------------------------------------------------------------------------------------


def test_credentials_of_the_machine_do_not_go_over_plain_http(
    storage: Storages, double: GcsDouble, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = double.write_credentials(tmp_path / "key.json")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    far = "http://storage.invalid:9000"
    for refused in (
        {"endpoint": far},
        {"iam_endpoint": far},
        {"endpoint": None, "client_options": {"api_endpoint": far}},
    ):
        media = storage(anonymous=None, **refused)
        with pytest.raises(exc.InvalidStorageConfigurationError, match="plain HTTP") as caught:
            media.exists("a")
        assert double.credentials_info()["private_key_id"] not in str(caught.value)
    assert double.count() == 0
    for allowed in ({"insecure": True, "anonymous": None}, {"anonymous": True}, {"credentials_file": str(file)}):
        with pytest.raises(exc.ConnectionError, match=r"(?i)name"):
            storage(far, **allowed).exists("a")
    double.require_auth = True
    near = storage(anonymous=None)
    assert near.upload("a", b"1").size == 1
