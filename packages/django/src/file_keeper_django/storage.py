"""The storage class that Django's STORAGES names."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime
from typing import Any
from urllib.parse import urljoin

import file_keeper as fk
from django.conf import settings
from django.core.files.storage import Storage
from django.utils import timezone
from django.utils.deconstruct import deconstructible
from django.utils.encoding import filepath_to_uri
from file_keeper.backend import content_disposition

from . import options as own
from .files import FileKeeperFile, open_mode
from .incoming import IncomingFile
from .names import folder_of, location_of, suspicious_names
from .presentation import opens, type_by_name
from .refusals import refusals
from .sources import upload_of

_TRIES = 100
_max_length: ContextVar[int | None] = ContextVar("max_length", default=None)
naming: ContextVar[bool] = ContextVar("naming", default=False)
"""Whether a name is being looked for: Django 4.2 asks ``exists`` then, later versions ``is_name_available``."""

# The names that django-storages' backends give to what a signed answer shall say.
_ANSWERED = {
    "ResponseContentDisposition": "disposition",
    "response_disposition": "disposition",
    "content_disposition": "disposition",
    "ResponseContentType": "content_type",
    "response_type": "content_type",
    "content_type": "content_type",
}
_ACTIONS: dict[str, fk.SignedAction] = {"GET": "download", "PUT": "upload", "DELETE": "delete"}


@deconstructible(path="file_keeper_django.FileKeeperStorage")
class FileKeeperStorage(Storage):
    """Django's file storage on any storage of file-keeper.

    ::

        STORAGES = {
            "default": {
                "BACKEND": "file_keeper_django.FileKeeperStorage",
                "OPTIONS": {"type": "s3", "bucket": "media"},
            },
        }

    Nothing is asked of the network before the first use. Errors are those of :mod:`file_keeper.exc`, which are
    Python's own where Django expects them (``FileNotFoundError``); a name that leads out of the storage, or that none
    can have, is ``SuspiciousFileOperation``.

    :param options: the dictionary of :func:`file_keeper.make_storage`, or ``storage="NAME"`` for a configured one;
        beside it ``url`` (``"auto"``, ``"signed"``, ``"public"``), ``link_duration`` (of signed links, an hour) and
        ``inline`` (media types that may open in the browser beside those that cannot run scripts, or ``"all"``)
    """

    default_url = "auto"
    default_inline: tuple[str, ...] | str = ()
    base_setting = "MEDIA_URL"
    """The setting with the address of files in a storage that has no links of its own."""

    def __init__(self, **options: Any):
        self._options: own.Options = copy.copy(options)
        self._lock = threading.Lock()
        self._storage: fk.Storage | None = None
        self._shown: own.Presentation | None = None

    @property
    def options(self) -> own.Options:
        """The options, as they were given."""
        return self._options

    @property
    def storage(self) -> fk.Storage:
        """The storage beneath, made at its first use: the way to all that Django's interface does not have.

        :raises InvalidStorageConfigurationError, UnknownAdapterError, UnknownStorageError: saying what is wrong
        """
        if self._storage is None:
            with self._lock:  # two storages in private memory would be two places
                if self._storage is None:
                    self._shown, dictionary = self._split()
                    self._storage = own.make_storage(dictionary, own.alias_of(self._options))
        return self._storage

    @property
    def presentation(self) -> own.Presentation:
        """How files are shown to browsers."""
        if self._shown is None:
            self._shown = self._split()[0]
        return self._shown

    def _split(self) -> tuple[own.Presentation, own.Options]:
        return own.split(self._options, url=self.default_url, inline=self.default_inline)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._options == self._options

    def __hash__(self) -> int:
        return hash((type(self), *sorted(map(str, self._options))))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), dict(self._options))

    def __repr__(self) -> str:
        # The options may hold secrets: the storage's own repr masks them.
        return f"<{type(self).__name__} {self._storage or sorted(map(str, self._options))!r}>"

    # -- reading and writing ----------------------------------------------------------------------------------------

    def _open(self, name: str, mode: str = "rb") -> FileKeeperFile:
        mode = open_mode(mode)
        reading = "r" in mode
        location = location_of(name, writing=not reading)
        more: dict[str, Any] = {} if reading or "x" in mode else {"overwrite": True}
        with suspicious_names():
            return FileKeeperFile(name, self, self.storage.open(location, mode, **more), mode)

    def save(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        """Store a file under a free name, whole and from its beginning, and return that name.

        Of any number of callers that save one name at once each gets a name of its own: the storage itself decides
        whose a name is, and who does not get it takes another one.

        :param max_length: of the name
        :raises LargeUploadError, WrongUploadTypeError: when the ``limits`` of the storage refuse it; both are
            ``SuspiciousOperation`` too, which Django answers with 400
        """
        token = _max_length.set(max_length)
        try:
            return super().save(name, content, max_length)
        finally:
            _max_length.reset(token)

    def _save(self, name: str, content: Any) -> str:
        location = location_of(name, writing=True)
        tried: set[str] = set()
        while True:
            try:
                with suspicious_names(), refusals():
                    self._store(location, content)
                return location
            except fk.exc.ExistingFileError:
                tried.add(location)
                other = self.get_available_name(location, max_length=_max_length.get())
                location = location_of(other, writing=True)
                if location in tried or len(tried) > _TRIES:
                    raise

    def _store(self, location: str, content: Any) -> None:
        """Store content at a location, whole or not at all. :raises ExistingFileError: when there is a file"""
        if isinstance(content, IncomingFile) and content.move_to(self.storage, location, overwrite=self.overwrites):
            return
        upload = upload_of(content, location)
        kind = upload.content_type
        if kind == "application/x-empty":
            # An empty style sheet is still one: browsers apply no other.
            kind = type_by_name(location) or kind
        headers = self.headers_for(kind)
        self.storage.upload(location, upload, content_type=kind, headers=headers, overwrite=self.overwrites)

    def headers_for(self, content_type: str) -> Mapping[str, str] | None:
        """Return what makes an attachment of a type that could run scripts where it is shown."""
        if opens(content_type, self.presentation) or not self.storage.limits.metadata:
            return None
        given = {name.lower() for name in self.storage.settings.headers}
        return None if "content-disposition" in given else {"Content-Disposition": "attachment"}

    @property
    def overwrites(self) -> bool:
        """Whether a file that is there is replaced."""
        return self.storage.settings.overwrite_existing

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """Return a free name. With ``overwrite_existing`` in the dictionary every name is free."""
        token = naming.set(True)
        try:
            return super().get_available_name(name, max_length=max_length)
        finally:
            naming.reset(token)

    def is_name_available(self, name: str, max_length: int | None = None) -> bool:
        """Return whether a new file can have a name."""
        if max_length and len(name) > max_length:
            return False
        if self.overwrites:
            return True
        with suspicious_names():
            return not self.storage.exists(location_of(name, writing=True))

    def delete(self, name: str) -> None:
        """Remove a file; one that is not there is fine."""
        if not name:
            raise ValueError("The name must be given to delete().")
        with suspicious_names():
            self.storage.remove(location_of(name))

    # -- looking ----------------------------------------------------------------------------------------------------

    def exists(self, name: str) -> bool:
        """Return whether there is a file of that name, or a directory: something below it.

        :raises PermissionError: when that may not be known
        """
        if naming.get():
            return not self.is_name_available(name)
        folder = folder_of(name)
        if not folder:
            return True
        with suspicious_names():
            if not str(name).endswith("/") and self.storage.exists(folder[:-1]):
                return True
            return any(True for _ in self.storage.scan(prefix=folder))

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """Return the names of the directories and of the files in a directory.

        :raises FileNotFoundError: when there is nothing below `path`
        """
        folder = folder_of(path)
        directories: list[str] = []
        files: list[str] = []
        with suspicious_names():
            for entry in self.storage.files(prefix=folder, delimiter="/"):
                if isinstance(entry, str):
                    directories.append(entry[len(folder) : -1])
                else:
                    files.append(entry.location[len(folder) :])
        if folder and not directories and not files:
            raise fk.exc.MissingFileError(f"there is no directory {path!r}", storage=self.storage.name)
        return list(filter(None, directories)), files

    def size(self, name: str) -> int:
        """Return the size in bytes. :raises FileNotFoundError: when there is no file"""
        with suspicious_names():
            return self.storage.size(location_of(name))

    def get_modified_time(self, name: str) -> datetime:
        """Return when a file was stored; with its time zone if ``USE_TZ``.

        :raises FileNotFoundError: when there is no file
        """
        with suspicious_names():
            modified = self.storage.analyze(location_of(name)).modified
        if modified is None:
            raise NotImplementedError("This provider does not tell when a file was stored.")
        return modified if settings.USE_TZ else timezone.make_naive(modified, timezone.get_default_timezone())

    def get_created_time(self, name: str) -> datetime:
        """Return when a file was stored: a file is stored whole, so it is as old as its content."""
        return self.get_modified_time(name)

    # -- links ------------------------------------------------------------------------------------------------------

    def url(
        self,
        name: str | None,
        parameters: Mapping[str, str] | None = None,
        expire: float | str | None = None,
        http_method: str | None = None,
    ) -> str:
        """Return an address of a file, without asking whether it is there; the arguments are django-storages'.

        A file whose type could run scripts is an attachment in a signed link.

        :param parameters: ``ResponseContentDisposition`` and ``ResponseContentType`` of a signed link
        :param expire: how long a signed link works, instead of ``link_duration``
        :param http_method: ``PUT`` and ``DELETE`` sign an upload and a removal
        :raises ValueError: when the storage has no links, and the setting MEDIA_URL no address for them
        """
        action = _ACTIONS.get((http_method or "GET").upper())
        if action is None:
            raise ValueError(f"http_method is one of {', '.join(_ACTIONS)}, not {http_method!r}")
        location = location_of(name or "")
        asked = bool(parameters or expire or http_method)
        with suspicious_names():
            if location:
                self.storage.full_path(location)  # refuses what can be no name, whatever the links are
            if action != "download" or (self._signs() and (asked or not self._is_public())):
                return self._signed(action, location, parameters or {}, expire)
            return self._public(location)

    def _signs(self) -> bool:
        return self.presentation.url != "public" and self.storage.supports(fk.Capability.SIGNED)

    def _is_public(self) -> bool:
        """Return whether files are readable by their permanent links."""
        if self.presentation.url != "auto":
            return self.presentation.url == "public"
        said = getattr(self.storage.settings, "public", None)
        return bool(said) or not self.storage.supports(fk.Capability.SIGNED)

    def _public(self, name: str) -> str:
        if self.presentation.url == "signed" or not self.storage.supports(fk.Capability.LINK_PERMANENT):
            return self._local(name)
        if name and not name.endswith("/"):
            return self.storage.permanent_link(name)
        # The address of a directory, which templates put names behind.
        return self.storage.permanent_link(name + "x")[:-1]

    def _local(self, name: str) -> str:
        base = getattr(settings, self.base_setting, "") or ""
        if base in ("", "/") or self.presentation.url == "signed":
            wanted = "'base_url' and 'signing_key'" if self.presentation.url == "signed" else "'base_url'"
            raise fk.exc.UnsupportedOperationError(
                f"a storage of type {self.storage.settings.type} has no links here: set its option {wanted}, "
                f"or the setting {self.base_setting} where a server shows its files",
                storage=self.storage.name,
                operation="url",
                location=name,
            )
        return urljoin(base if base.endswith("/") else base + "/", filepath_to_uri(name).lstrip("/"))

    def _signed(
        self, action: fk.SignedAction, location: str, parameters: Mapping[str, str], expire: float | str | None
    ) -> str:
        said: dict[str, Any] = {}
        for name, value in parameters.items():
            if name not in _ANSWERED:
                raise ValueError(f"parameter {name!r} is not one of {', '.join(_ANSWERED)}")
            said[_ANSWERED[name]] = value
        if action == "download" and "disposition" not in said:
            kind = said.get("content_type") or type_by_name(location)
            if not opens(kind, self.presentation):
                said["disposition"] = content_disposition("attachment", location)
            elif self.presentation.inline != own.ALL:
                # What was stored by others under a harmless name may be of a type that is not.
                said["content_type"] = kind
        return self.storage.signed(action, expire or self.presentation.link_duration, location, **said)


def _restore(kind: type[FileKeeperStorage], options: dict[str, Any]) -> FileKeeperStorage:
    return kind(**options)
