"""Cases 1 to 14: what a location is, on every operation."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from file_keeper import Capability, Storage, exc
from file_keeper.backend import WriteOptions

from ..counting import counted
from .base import WRITING, Base, Make, in_order, needs, operations, store

NAMES = [
    "plain.txt",
    "a/nested/three deep/name.txt",
    'it\'s "quoted".txt',
    "with some  spaces.txt",
    "1digit",
    "☺☺☺",
    "日本/中文.txt",
    "🚀/emoji.bin",
    "x!\"#$%&'x",
    "x()*+,-.x",
    "xy:;<=>?@x",
    "x[]^_`x",
    "x{|}~x",
    "back\\slash",
    "%48%45",
    "a%Qb",
    "[name]",
    "{0}",
    "*",
    "?",
    ".env",
    ".config/.hidden/file",
    "...",
    "..two",
    "two..",
    "a+b c&d=e?f#g%20h",
    "nul.txt.d/con.d/file",
    "e\u0301-é",
    "\u202eright-to-left",
]

REFUSED = {
    "empty": "",
    "dot": ".",
    "dots": "..",
    "absolute": "/x",
    "leaving": "a/../b",
    "leaving at the end": "a/..",
    "leaving at once": "../x",
    "here": "./x",
    "here inside": "a/./b",
    "drive": "C:\\x",
    "drive and name": "C:x",
    "NUL": "a\0b",
    "CR LF": "a\r\nb",
    "LF": "a\nb",
    "DEL": "a\x7fb",
    "C1": "a\x85b",
    "lone surrogate": "a\ud800",
    "noncharacter": "a\ufffe",
    "noncharacter of a later plane": "a\U0001ffff",
    "reserved": ".file-keeper",
    "reserved inside": "a/.file-keeper/b",
    "1,025 bytes": "x/" * 512 + "x",
    "1,026 bytes of two each": "é/" * 342,
}

NOT_FOR_WRITING = ["a//b", "a/", "a/b//", "//"[1:] + "a"]


class Locations(Base):
    """A location is kept verbatim, or refused by every operation."""

    @pytest.mark.parametrize("name", NAMES)
    @needs(Capability.CREATE, Capability.STREAM, Capability.ANALYZE)
    def test_case_01_names_are_kept_verbatim(self, name: str, storage: Storage) -> None:
        if not self.takes(name):
            with pytest.raises(exc.LocationError):
                storage.upload(name, b"x")
            return
        content = name.encode()
        made = storage.upload(name, content)
        assert made.location == name
        assert storage.content(name) == content
        assert storage.range(name, 0, 2) == content[:2]
        assert storage.exists(name)
        self.assert_same(storage.analyze(name), made)
        copied = storage.copy(f"copies/{name}", name)
        assert storage.content(copied) == content
        moved = storage.move(f"{name}-moved", copied)
        assert storage.content(moved) == content
        assert in_order(list(storage.scan())) == in_order([name, f"{name}-moved"])
        assert storage.remove(name)
        assert storage.remove_many([moved]) == []
        assert list(storage.scan()) == []

    @needs(Capability.SCAN)
    def test_case_02_names_come_back_from_scan(self, storage: Storage) -> None:
        names = [name for name in NAMES if self.takes(name)]
        store(storage, names)
        assert list(storage.scan()) == in_order(names)
        for name in storage.scan():
            assert storage.content(name) == name.encode()

    @pytest.mark.parametrize("kind", REFUSED)
    def test_case_03_refused_by_every_operation(self, kind: str, storage: Storage, tmp_path: Path) -> None:
        storage.upload("there.txt", b"there")
        watched, counter = counted(storage)
        for name, (capability, operate) in operations(watched, REFUSED[kind], str(tmp_path)).items():
            expected = exc.LocationError if storage.supports(capability) else exc.UnsupportedOperationError
            with pytest.raises(expected) as caught:
                operate()
            assert not isinstance(caught.value, exc.MissingFileError), f"{name}: looked for instead of refused"
        # What only reads "there.txt" on the way is no harm; nothing may be written or removed.
        assert not counter.counts.keys() - {"head", "read"}
        assert list(storage.scan()) == ["there.txt"]
        assert list(tmp_path.iterdir()) == []

    @needs(Capability.MULTIPART)
    def test_case_03_refused_in_the_state_of_parts(self, storage: Storage) -> None:
        parts = storage.multipart_start("parts", 1)
        for name in [*REFUSED.values(), *NOT_FOR_WRITING]:
            state = dataclasses.replace(parts, location=name)
            calls: list[Callable[[], Any]] = [
                lambda state=state: storage.multipart_update(state, b"x", 0),
                lambda state=state: storage.multipart_refresh(state),
                lambda state=state: storage.multipart_complete(state),
                lambda state=state: storage.multipart_remove(state),
            ]
            for call in calls:
                with pytest.raises(exc.LocationError) as caught:
                    call()
                assert not isinstance(caught.value, exc.MissingFileError)
        assert storage.multipart_remove(parts)
        assert list(storage.scan()) == []

    @needs(Capability.RESUMABLE)
    def test_case_03_refused_in_the_state_of_pieces(self, storage: Storage) -> None:
        pieces = storage.resumable_start("pieces", 1)
        for name in [*REFUSED.values(), *NOT_FOR_WRITING]:
            state = dataclasses.replace(pieces, location=name)
            calls: list[Callable[[], Any]] = [
                lambda state=state: storage.resumable_resume(state, b"x"),
                lambda state=state: storage.resumable_refresh(state),
                lambda state=state: storage.resumable_remove(state),
            ]
            for call in calls:
                with pytest.raises(exc.LocationError) as caught:
                    call()
                assert not isinstance(caught.value, exc.MissingFileError)
        assert list(storage.scan()) == []

    @needs(Capability.SCAN, Capability.COPY, Capability.REMOVE)
    def test_found_in_a_bucket(self, storage: Storage, caplog: pytest.LogCaptureFixture) -> None:
        storage.upload("x", b"x")
        root = storage.full_path("x")[:-1]
        try:
            for key, content in (("d/", b""), ("a//b", b"other tool"), ("/y", b"no location"), ("d/f", b"file")):
                storage.backend.put(root + key, content, WriteOptions())
        except Exception:
            assert not root.startswith("conformance-") or "a//b" not in list(storage.scan())
            return  # where such keys cannot be, nobody finds them
        with caplog.at_level(logging.WARNING, logger="file_keeper"):
            # A marker of a directory is hidden; what no location can name is left out, and counted.
            assert list(storage.scan()) == in_order(["a//b", "d/f", "x"])
        assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
        assert storage.content("a//b") == b"other tool"
        assert storage.analyze("a//b").size == 10
        assert storage.content(storage.copy("copied", "a//b")) == b"other tool"
        assert storage.remove("a//b")
        assert list(storage.scan()) == in_order(["copied", "d/f", "x"])

    @pytest.mark.parametrize("name", NOT_FOR_WRITING)
    def test_case_03_empty_segments_are_not_for_writing(self, name: str, storage: Storage, tmp_path: Path) -> None:
        storage.upload("there.txt", b"there")
        for kind, (capability, operate) in operations(storage, name, str(tmp_path)).items():
            if kind in WRITING and storage.supports(capability):
                with pytest.raises(exc.LocationError):
                    operate()
        assert list(storage.scan()) == ["there.txt"]

    @needs(Capability.CREATE, Capability.SCAN)
    def test_case_04_escapes_are_not_decoded(self, storage: Storage) -> None:
        storage.upload("HE", b"plain")
        storage.upload("%48%45", b"escaped")
        storage.upload("a%Q", b"bare")
        assert storage.content("HE") == b"plain"
        assert storage.content("%48%45") == b"escaped"
        assert storage.content("a%Q") == b"bare"

    @needs(Capability.CREATE, Capability.SCAN)
    def test_case_05_names_are_not_patterns(self, storage: Storage) -> None:
        names = ["[ab]", "a", "b", "{0}", "*", "?", "x"]
        store(storage, names)
        assert list(storage.scan(prefix="[")) == ["[ab]"]
        assert list(storage.scan(prefix="*")) == ["*"]
        assert storage.remove("*")
        assert storage.remove("[ab]")
        assert list(storage.scan()) == in_order(["a", "b", "{0}", "?", "x"])

    @needs(Capability.SCAN)
    def test_case_06_dotfiles_are_listed(self, storage: Storage) -> None:
        names = [".env", ".git/config", "a/.hidden", "a/.d/x"]
        store(storage, names)
        assert list(storage.scan()) == in_order(names)
        assert list(storage.scan(prefix=".")) == [".env", ".git/config"]

    @needs(Capability.CREATE, Capability.STREAM)
    def test_case_08_longest_names(self, storage: Storage) -> None:
        room = 1024 - (len(storage.full_path("x").encode()) - 1 if not storage.full_path("x").startswith("/") else 0)
        longest = ("d" * 200 + "/") * (room // 201)
        longest += "x" * (room - len(longest))
        longest = longest if longest[-1] != "/" else longest[:-1] + "x"
        for name in ("s" * 255, longest):
            storage.upload(name, b"long")
            assert storage.content(name) == b"long"
            assert list(storage.scan()) == [name]
            assert storage.remove(name)
        with pytest.raises(exc.LocationError):
            storage.upload(longest + "y" * 1025, b"longer")
        try:
            # 256 bytes fit into a key, but not into a name of most file systems.
            storage.upload("s" * 256, b"long")
        except exc.LocationError:
            assert list(storage.scan()) == []
        else:
            assert storage.content("s" * 256) == b"long"

    @needs(Capability.CREATE, Capability.SCAN)
    def test_case_09_upper_and_lower_case(self, storage: Storage) -> None:
        if not self.case_sensitive:
            storage.upload("A", b"upper")
            with pytest.raises(exc.ExistingFileError):
                storage.upload("a", b"lower")
            return
        storage.upload("A", b"upper")
        storage.upload("a", b"lower")
        assert storage.content("A") == b"upper"
        assert list(storage.scan()) == ["A", "a"]

    @needs(Capability.CREATE, Capability.SCAN)
    def test_case_10_normal_forms(self, storage: Storage) -> None:
        composed, decomposed = "caf\u00e9", "cafe\u0301"
        storage.upload(composed, b"composed")
        assert list(storage.scan()) == [composed]
        if self.keeps_normal_forms:
            storage.upload(decomposed, b"decomposed")
            assert storage.content(composed) == b"composed"
            assert list(storage.scan()) == [decomposed, composed]

    @needs(Capability.SCAN)
    def test_case_11_sibling_prefix(self, storage: Storage, make: Make) -> None:
        data, private = make("data"), make("data-private")
        private.upload("secret", b"secret")
        data.upload("mine", b"mine")
        assert list(data.scan()) == ["mine"]
        assert list(data.scan(prefix="m")) == ["mine"]
        assert list(data.files(delimiter="/")) == [next(data.files())]
        assert not data.exists("secret")
        for name in ("../data-private/secret", "-private/secret", "/data-private/secret"):
            try:
                found = data.exists(name)
            except exc.LocationError:
                found = False
            assert not found
        assert data.cleanup_uploads(0) == 0
        assert in_order(list(storage.scan())) == ["data-private/secret", "data/mine"]

    @needs(Capability.CREATE, Capability.STREAM)
    def test_case_13_forms_of_path(self, storage: Storage, make: Make) -> None:
        make("one/two").upload("x", b"x")
        for form in ("one/two/", "one/./two", "one//two"):
            assert make(form).content("x") == b"x"
        assert list(storage.scan()) == ["one/two/x"]
        for form in ("..", "one/../two", ".file-keeper"):
            with pytest.raises(exc.InvalidStorageConfigurationError):
                make(form)

    @needs(Capability.COPY, Capability.MOVE)
    def test_case_14_onto_itself(self, storage: Storage) -> None:
        made = storage.upload("x", b"content", content_type="text/x-special")
        for operate in (storage.copy, storage.move):
            for overwrite in (None, True, False):
                self.assert_same(operate("x", made, overwrite=overwrite), made)
                assert storage.content("x") == b"content"
        for operate in (storage.copy, storage.move):
            with pytest.raises(exc.MissingFileError):
                operate("missing", "missing")

    @needs(Capability.COMPOSE)
    def test_case_14_compose_with_the_target_among_its_sources(self, storage: Storage) -> None:
        storage.upload("x", b"one ")
        storage.upload("y", b"two ")
        with pytest.raises(exc.ExistingFileError):
            storage.compose("x", "x", "y")
        made = storage.compose("x", "x", "y", "x", overwrite=True)
        assert made.size == 12
        assert storage.content("x") == b"one two one "
