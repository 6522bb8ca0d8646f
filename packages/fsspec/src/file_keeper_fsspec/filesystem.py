"""The file system: paths are ``NAME/location``, and empty directories do not exist."""

# fsspec ships no types: what it gives is unknown to the type checker, here only.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUntypedBaseClass=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportIncompatibleMethodOverride=false

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from glob import has_magic
from typing import Any

import file_keeper as fk
from file_keeper import exc
from fsspec.asyn import AsyncFileSystem
from fsspec.callbacks import DEFAULT_CALLBACK

from .files import AppendingFile, ReadingFile, WritingFile
from .ranges import GAP, merge

Info = dict[str, Any]


class FileKeeperFileSystem(AsyncFileSystem):
    """A storage as a file system of fsspec.

    Names are literal: patterns are those of ``glob`` alone. There is no cache of listings, so what another process
    has written is there at once. Errors are those of :mod:`file_keeper.exc`, which are Python's own where fsspec
    expects them (``FileNotFoundError``, ``FileExistsError``, ``PermissionError``, ``TimeoutError``).

    :param storage: the name of a configured storage, its dictionary, or a storage
    :param name: of a storage that is made of a dictionary: what paths begin with
    :param options: of fsspec's own file system: ``asynchronous``, ``loop``, ``batch_size``
    """

    protocol = ("filekeeper",)
    # fsspec would take two storages for one whose texts are equal, and secrets are in none.
    cachable = False

    def __init__(self, storage: str | Mapping[str, Any] | fk.Storage, *, name: str = "storage", **options: Any):
        super().__init__(**options)
        if isinstance(storage, str):
            self.storage = fk.get_storage(storage)
        elif isinstance(storage, fk.Storage):
            self.storage = storage
        else:
            self.storage = fk.make_storage(name, storage)
        self._aio = self.storage.aio

    # -- paths ------------------------------------------------------------------------------------------------------

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        """Return a path without its protocol and without slashes at its ends."""
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        text = os.fspath(path)
        return text.removeprefix("filekeeper://").strip("/")

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        name = path.removeprefix("filekeeper://").lstrip("/").partition("/")[0]
        return {"storage": name} if name else {}

    def _location(self, path: Any) -> str:
        """Return the location of a path. :raises FileNotFoundError: when it begins with another name"""
        name, _, location = self._strip_protocol(path).partition("/")
        if name != self.storage.name and name:
            raise FileNotFoundError(
                f"{path!r} is of a storage {name!r}, and this file system is of {self.storage.name!r}"
            )
        return location

    def _file(self, path: Any) -> str:
        """Return the location of a file. :raises IsADirectoryError: the path is that of the storage"""
        location = self._location(path)
        if not location:
            raise IsADirectoryError(path)
        return location

    def _path(self, location: str) -> str:
        return f"{self.storage.name}/{location}".rstrip("/")

    def _described(self, file: fk.FileData) -> Info:
        return {
            "name": self._path(file.location),
            "size": file.size,
            "type": "file",
            "etag": file.etag,
            "mtime": file.modified,
            "content_type": file.content_type,
            "hash": file.hash,
            "algorithm": file.algorithm,
        }

    def _directory(self, location: str) -> Info:
        return {"name": self._path(location), "size": 0, "type": "directory"}

    # -- looking ----------------------------------------------------------------------------------------------------

    async def _has_files(self, location: str) -> bool:
        try:
            async for _ in self._aio.scan(prefix=f"{location}/" if location else ""):
                return True
        except exc.LocationError:
            pass
        return False

    async def _info(self, path: str, **_: Any) -> Info:
        location = self._location(path)
        if not location:
            return self._directory("")
        try:
            return self._described(await self._aio.analyze(location))
        except exc.MissingFileError:
            pass
        except exc.LocationError:
            pass  # no file can have that name; a directory that was found in a bucket may
        if await self._has_files(location):
            return self._directory(location)
        raise FileNotFoundError(path)

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        location = self._location(path)
        found: list[Info] = []
        try:
            async for entry in self._aio.files(prefix=f"{location}/" if location else "", delimiter="/"):
                found.append(self._directory(entry) if isinstance(entry, str) else self._described(entry))
        except exc.LocationError:
            found = []
        if not found and location:
            info = await self._info(path)
            found = [info] if info["type"] == "file" else []
        return found if detail else [info["name"] for info in found]

    async def _find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, **options: Any
    ) -> list[str] | dict[str, Info]:
        if maxdepth is not None or withdirs:
            return await super()._find(path, maxdepth=maxdepth, withdirs=withdirs, **options)
        location = self._location(path)
        found: dict[str, Info] = {}
        try:
            async for file in self._aio.files(prefix=f"{location}/" if location else ""):
                found[self._path(file.location)] = self._described(file)
        except exc.LocationError:
            pass
        if not found and location:
            try:
                info = await self._info(path)
            except FileNotFoundError:
                info = self._directory(location)
            if info["type"] == "file":
                found[info["name"]] = info
        return found if options.get("detail") else list(found)

    def modified(self, path: str) -> datetime:
        """Return when a file was written, with its time zone."""
        found: Any = self.info(path)
        return found["mtime"]

    def created(self, path: str) -> datetime:
        """Return when a file was written: objects are replaced, never changed."""
        return self.modified(path)

    def ukey(self, path: str) -> str:
        """Return what is another for every version of a file: its etag."""
        return str(self.info(path)["etag"])

    def checksum(self, path: str) -> int:
        """Return a number that is another for every version of a file."""
        info = self.info(path)
        return hash((info["name"], info.get("etag"), info["size"]))

    async def _sign(self, path: str, expiration: float = 100, **_: Any) -> str:
        return await self._aio.temporary_link(self._location(path), expiration)

    def sign(self, path: str, expiration: float = 100, **_: Any) -> str:
        """Return an address to download a file from, for that many seconds."""
        return self.storage.temporary_link(self._location(path), expiration)

    # -- reading ----------------------------------------------------------------------------------------------------

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        location = self._file(path)
        if start is None and end is None:
            return await self._aio.content(location)
        if (start or 0) < 0 or (end is not None and end < 0):
            size = await self._aio.size(location)
            start, end, _step = slice(start, end).indices(size)
        return await self._aio.range(location, start or 0, end)

    async def _cat_ranges(
        self,
        paths: Sequence[str],
        starts: int | Sequence[int | None] | None,
        ends: int | Sequence[int | None] | None,
        max_gap: int | None = None,
        batch_size: int | None = None,
        on_error: str = "return",
        **options: Any,
    ) -> list[Any]:
        """Return ranges of files; those of one file that lie close together are one request.

        :param max_gap: bytes between two ranges that are read rather than left out; ``None``: 64 KiB
        :param on_error: ``"return"`` the error in the place of the bytes, or ``"raise"`` the first
        """
        firsts = [starts] * len(paths) if starts is None or isinstance(starts, int) else list(starts)
        lasts = [ends] * len(paths) if ends is None or isinstance(ends, int) else list(ends)
        if not len(paths) == len(firsts) == len(lasts):
            raise ValueError("paths, starts and ends are of different lengths")
        spans = list(zip(paths, firsts, lasts, strict=True))
        merged = merge([(path, first or 0, last) for path, first, last in spans], GAP if max_gap is None else max_gap)
        limit = batch_size or self.batch_size or self.storage.settings.max_concurrency
        slots = asyncio.Semaphore(max(1, limit))

        async def fetch(path: str, first: int, last: int | None) -> bytes | Exception:
            async with slots:
                try:
                    return await self._cat_file(path, first, last)
                except Exception as error:
                    return error

        found = dict(zip(merged, await asyncio.gather(*(fetch(*one) for one in merged)), strict=True))
        pieces: dict[int, Any] = {}
        for whole, numbers in merged.items():
            for number in numbers:
                first, last = spans[number][1] or 0, spans[number][2]
                body = found[whole]
                if isinstance(body, bytes) and whole[1:] != (first, last):
                    body = body[first - whole[1] : None if last is None else last - whole[1]]
                pieces[number] = body
        result = [pieces[number] for number in range(len(spans))]
        if on_error == "raise":
            for body in result:
                if isinstance(body, Exception):
                    raise body
        return result

    async def _expand_path(
        self, path: Any, recursive: bool = False, maxdepth: int | None = None, **options: Any
    ) -> list[str]:
        """Return the paths that are meant: a name with the characters of a pattern is a name, where there is one."""
        given = [path] if isinstance(path, str) else list(path)
        literal = [self._strip_protocol(one) for one in given if has_magic(one) and await self._isfile(one)]
        others = [one for one in given if self._strip_protocol(one) not in literal]
        found = await super()._expand_path(others, recursive, maxdepth, **options) if others or not literal else []
        return sorted({*literal, *found})

    async def _get_file(self, rpath: str, lpath: str, callback: Any = DEFAULT_CALLBACK, **_: Any) -> None:
        os.makedirs(os.path.dirname(os.path.abspath(lpath)), exist_ok=True)
        location = self._location(rpath)
        try:
            await self._aio.download(location, lpath, progress=_told(callback))
        except exc.LocationError:
            if not await self._has_files(location):
                raise
            os.makedirs(lpath, exist_ok=True)

    # -- writing ----------------------------------------------------------------------------------------------------

    async def _pipe_file(self, path: str, value: Any, mode: str = "overwrite", **_: Any) -> None:
        await self._aio.upload(self._file(path), bytes(value), overwrite=mode != "create")

    async def _put_file(
        self, lpath: str, rpath: str, mode: str = "overwrite", callback: Any = DEFAULT_CALLBACK, **_: Any
    ) -> None:
        if os.path.isdir(lpath):
            return  # directories come and go with the files in them
        with open(lpath, "rb") as file:
            await self._aio.upload(self._file(rpath), file, overwrite=mode != "create", progress=_told(callback))

    async def _cp_file(self, path1: str, path2: str, **_: Any) -> None:
        location = self._location(path1)
        try:
            await self._aio.copy(self._file(path2), location, overwrite=True)
        except exc.LocationError:
            if not await self._has_files(location):
                raise

    async def _rm_file(self, path: str, **_: Any) -> None:
        if not await self._aio.remove(self._file(path)):
            raise FileNotFoundError(path)

    async def _rm(
        self, path: Any, recursive: bool = False, batch_size: int | None = None, maxdepth: int | None = None, **_: Any
    ) -> None:
        # Names alone: a pattern that was meant for a name would take other files with it.
        names: set[str] = set()
        for one in path if isinstance(path, list) else [path]:
            found = await self._find(one, maxdepth=maxdepth) if recursive else [one]
            if not found or not (recursive or await self._exists(one)):
                raise FileNotFoundError(one)
            names.update(location for name in found if (location := self._location(name)))
        if failures := await self._aio.remove_many(sorted(names)):
            raise failures[0]

    async def _mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """Do nothing: directories come and go with the files in them."""

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Do nothing, as :meth:`mkdir`."""

    def rmdir(self, path: str) -> None:
        """Do nothing, as :meth:`mkdir`. :raises OSError: files lie in it"""
        location = self._location(path)
        if next(self.storage.scan(prefix=f"{location}/" if location else ""), None) is not None:
            raise OSError(f"the directory {path!r} is not empty")

    # -- files ------------------------------------------------------------------------------------------------------

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        location = self._file(path)
        if "r" in mode:
            # One look: what is read afterwards is of the version that was seen.
            file = self.storage.analyze(location)
            return ReadingFile(
                self, path, file, block_size=block_size or "default", cache_options=cache_options, **options
            )
        if "a" in mode:
            return AppendingFile(self.storage, location, autocommit=autocommit)
        if "x" in mode and self.storage.exists(location):
            raise FileExistsError(path)  # now, rather than after all is written; who comes first decides at the end
        return WritingFile(self.storage, location, overwrite="x" not in mode, autocommit=autocommit)

    def invalidate_cache(self, path: str | None = None) -> None:
        """Do nothing: nothing is cached."""


def _told(callback: Any) -> fk.types.Progress | None:
    """Return a progress function that tells a callback of fsspec."""
    if callback is DEFAULT_CALLBACK:
        return None

    def tell(done: int, total: int | None) -> None:
        if total is not None and callback.size != total:
            callback.set_size(total)
        callback.absolute_update(done)

    return tell
