"""Backends that are wrong in one way each, and the case that must notice. Run by `test_the_suite_notices.py`."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import time
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import file_keeper as fk
import pytest
from file_keeper import exc
from file_keeper.backend import Body, MultipartRef, ObjectInfo, Page, Part, WriteOptions, cut_pages, entries_of
from file_keeper.memory import MemoryBackend
from file_keeper_testing import Conformance

CASES: dict[str, list[str]] = {}
"""Name of the class of a broken backend -> the cases that must fail on it (and pass on a sound one)."""


def noticed_by(*cases: str) -> Any:
    """Register a broken backend and make the suite on it."""

    def decorate(backend: type[MemoryBackend]) -> type[MemoryBackend]:
        kind = f"broken:{backend.__name__}"
        fk.adapters.register(kind, backend)
        name = f"Test{backend.__name__}"
        globals()[name] = type(name, (Sound,), {"kind": kind, "__module__": __name__})
        CASES[name] = [f"test_{case}" for case in cases]
        return backend

    return decorate


class Sound(Conformance):
    shared = False
    in_memory = True
    many = 1100
    kind: ClassVar[str] = "memory"

    @pytest.fixture
    def storage_settings(self) -> dict[str, Any]:
        return {"type": self.kind, "bucket": f"{self.kind}-{time.monotonic_ns()}"}


class TestSound(Sound):
    """The control: memory as it is."""


@noticed_by(
    "case_23_second_writer_gets_existing_file_error[small]",
    "case_24_threads_race[1 KiB]",
    "case_49_copy_and_move[copy-native]",
)
class NoCondition(MemoryBackend):
    def _check(self, key: str, options: WriteOptions) -> None:
        super()._check(key, dataclasses.replace(options, if_absent=False))


@noticed_by("case_24_threads_race[1 KiB]", "case_24_threads_race[0 B]")
class LooksThenWrites(MemoryBackend):
    def _store(self, key: str, data: bytes, options: WriteOptions) -> ObjectInfo:
        self._check(key, options)
        time.sleep(0.01)
        return super()._store(key, data, dataclasses.replace(options, if_absent=False, if_match=""))


@noticed_by("case_23_replace_exactly_one_version[small]", "a_change_meanwhile_is_told[own way]")
class AnyVersion(MemoryBackend):
    def _check(self, key: str, options: WriteOptions) -> None:
        super()._check(key, dataclasses.replace(options, if_match=""))


@noticed_by("case_34_replaced_meanwhile")
class MixesVersions(MemoryBackend):
    def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Body:
        found = super().read(key, start, end)
        # It does not even say which version it answers with: what says so is checked by the core.
        return Body(dataclasses.replace(found.info, etag=""), found.length, found)


@noticed_by("case_51_a_source_that_changes_stays[own way]")
class DeletesAnyVersion(MemoryBackend):
    def delete(self, key: str, *, etag: str = "") -> bool:
        return super().delete(key)


@noticed_by("case_31_ranges")
class ShiftedRanges(MemoryBackend):
    """Begins a byte too late, and does not say where."""

    def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Body:
        late = 1 if start else 0
        return super().read(key, start + late, None if end is None else end + late, etag=etag)


class Listing(MemoryBackend):
    """Lists what :meth:`seen` makes of the objects, in pages of one size."""

    size = 1000

    def seen(self, infos: list[ObjectInfo]) -> list[ObjectInfo]:
        return infos

    def list(
        self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
    ) -> Iterator[Page]:
        pages = super().list(prefix, start_after=start_after)
        infos = [entry for entry in entries_of(pages) if isinstance(entry, ObjectInfo)]
        return cut_pages(self.seen(infos), prefix, delimiter=delimiter, size=self.size)


@noticed_by("case_39_order")
class Utf16Order(Listing):
    size = 2

    def seen(self, infos: list[ObjectInfo]) -> list[ObjectInfo]:
        return sorted(infos, key=lambda info: info.key.encode("utf-16-be"))


@noticed_by("case_39_order")
class TreeOrder(Listing):
    size = 2

    def seen(self, infos: list[ObjectInfo]) -> list[ObjectInfo]:
        return sorted(infos, key=lambda info: info.key.split("/"))


@noticed_by("case_06_dotfiles_are_listed")
class NoDotfiles(Listing):
    def seen(self, infos: list[ObjectInfo]) -> list[ObjectInfo]:
        return [info for info in infos if "/." not in info.key]


@noticed_by("case_38_many")
class OnePage(Listing):
    def seen(self, infos: list[ObjectInfo]) -> list[ObjectInfo]:
        return infos[:1000]


@noticed_by("case_38_many")
class EndlessPages(Listing):
    """Answers with its first page for ever."""

    def list(
        self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
    ) -> Iterator[Page]:
        pages = list(super().list(prefix, start_after=start_after, delimiter=delimiter))
        return itertools.cycle(pages) if len(pages) > 1 else iter(pages)


@noticed_by("case_42_start_after")
class BehindStart(Listing):
    """Begins one key too late."""

    def list(
        self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
    ) -> Iterator[Page]:
        for page in super().list(prefix, start_after=start_after, delimiter=delimiter):
            late = 1 if start_after else 0
            yield Page(page.keys[late:], page.entries[late:], page.prefixes)


@noticed_by("case_46_facts_come_from_the_listing")
class NoSizes(Listing):
    def seen(self, infos: list[ObjectInfo]) -> list[ObjectInfo]:
        return [dataclasses.replace(info, size=0) for info in infos]


@noticed_by("case_26_metadata_and_headers", "case_50_attributes_are_kept[small-native]")
class LosesHeaders(MemoryBackend):
    def _store(self, key: str, data: bytes, options: WriteOptions) -> ObjectInfo:
        return super()._store(key, data, dataclasses.replace(options, headers={}))


@noticed_by("case_26_metadata_and_headers")
class TrimsMetadata(MemoryBackend):
    def _store(self, key: str, data: bytes, options: WriteOptions) -> ObjectInfo:
        metadata = {name: value.strip("=").lower() for name, value in options.metadata.items()}
        return super()._store(key, data, dataclasses.replace(options, metadata=metadata))


@noticed_by("case_50_attributes_are_kept[small-native]")
class CopiesContentOnly(MemoryBackend):
    def copy(self, source: ObjectInfo, key: str, options: WriteOptions) -> ObjectInfo:
        return super().copy(source, key, WriteOptions(if_absent=options.if_absent, if_match=options.if_match))


@noticed_by("case_22_analyze_equals_the_result[in parts]")
class EtagAsHash(MemoryBackend):
    def head(self, key: str) -> ObjectInfo:
        info = super().head(key)
        return dataclasses.replace(info, digests={"md5": hashlib.md5(info.etag.encode()).hexdigest()})


@noticed_by("case_55_hidden_until_complete")
class ShowsTooEarly(MemoryBackend):
    def multipart_put(self, upload: MultipartRef, number: int, body: Any) -> Part:
        self._store(upload.key, bytes(body), WriteOptions())
        return super().multipart_put(upload, number, body)


@noticed_by("case_56_any_order_and_twice")
class OrderOfArrival(MemoryBackend):
    def multipart_complete(self, upload: MultipartRef, parts: Sequence[Part], options: WriteOptions) -> ObjectInfo:
        arrived = sorted(parts, key=lambda part: int(part.etag, 16))
        return super().multipart_complete(upload, arrived, options)


@noticed_by("case_19_source_raises[1.5-SourceError-new]", "case_19_the_provider_fails[multipart_complete]")
class NeverAborts(MemoryBackend):
    def multipart_abort(self, upload: MultipartRef) -> bool:
        return True


@noticed_by("case_53_remove")
class AlwaysThere(MemoryBackend):
    def delete(self, key: str, *, etag: str = "") -> bool:
        super().delete(key, etag=etag)
        return True


@noticed_by("case_29_missing_at_the_call", "case_68_errors_survive_pickling_and_copying")
class ForeignErrors(MemoryBackend):
    def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Body:
        try:
            return super().read(key, start, end, etag=etag)
        except exc.MissingFileError:
            raise LookupError(key) from None


@noticed_by("case_30_a_directory_is_missing")
class DirectoriesExist(MemoryBackend):
    def head(self, key: str) -> ObjectInfo:
        if any(other.startswith(key.rstrip("/") + "/") for other in self._bucket.objects):
            return ObjectInfo(key=key, size=0)
        return super().head(key)


class Renaming(MemoryBackend):
    def name(self, key: str) -> str:
        return key

    def put(self, key: str, body: Any, options: WriteOptions) -> ObjectInfo:
        return super().put(self.name(key), body, options)

    def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Body:
        return super().read(self.name(key), start, end, etag=etag)


@noticed_by("case_09_upper_and_lower_case")
class LowerCase(Renaming):
    def name(self, key: str) -> str:
        return key.lower()


@noticed_by("case_10_normal_forms")
class OneNormalForm(Renaming):
    def name(self, key: str) -> str:
        return unicodedata.normalize("NFC", key)


@noticed_by("case_04_escapes_are_not_decoded")
class DecodesEscapes(Renaming):
    def name(self, key: str) -> str:
        return key.replace("%48%45", "HE")


@noticed_by("case_74_request_budget")
class LooksBeforeEach(MemoryBackend):
    """What the core asks for is counted, not what a backend does inside: this one makes the core ask."""

    limits = dataclasses.replace(MemoryBackend.limits, put_max=0)
