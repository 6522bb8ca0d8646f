"""Uploads in several calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import exc
from ..backend import (
    Capability,
)
from ..data import FileData
from ..transfer import UploadRequest
from ..types import Uploadable
from ..upload import make_upload
from .base import Base, Duration, operation, seconds_of


class InParts(Base):
    """The part of a storage that takes an upload in several calls."""

    def _started(self, location: str, size: int, **options: Any) -> UploadRequest:
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise exc.StorageDataError(f"the size of an upload is a number of bytes, not {size!r}")
        if size > self.limits.object_max:
            raise exc.LargeUploadError(f"{size} bytes are more than the largest object here")
        allowed = self.settings.limits
        if allowed is not None:
            allowed.check_size(size)
            if not size:
                allowed.check_head(b"", complete=True)
        return self._plan(self._key(location, writing=True), **options)[0]

    @operation(Capability.MULTIPART)
    def multipart_start(
        self,
        location: str,
        size: int,
        /,
        *,
        content_type: str = "",
        metadata: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        hash: str = "",
        algorithm: str = "",
        overwrite: bool | FileData | None = None,
    ) -> FileData:
        """Begin an upload in parts, which may be sent in any order and by any process.

        :param size: bytes of the whole
        :return: its state: plain JSON by ``as_dict``; ``storage_data["part_size"]`` is a size of parts that works
        """
        options: dict[str, Any] = {"content_type": content_type, "metadata": metadata, "headers": headers}
        plan = self._started(location, size, **options, hash=hash, algorithm=algorithm, overwrite=overwrite)
        return self._sessions.multipart_start(location, size, plan)

    @operation(Capability.MULTIPART)
    def multipart_update(self, data: FileData, upload: Uploadable, part: int) -> FileData:
        """Send a part. :raises UploadOutOfBoundError: when there is more than was declared

        Where ``limits`` name types, part 0 must have at least 2 KiB, or be the whole.

        :param part: its number, from 0; a part may be sent again
        :return: the new state
        """
        return self._sessions.multipart_update(data, make_upload(upload), part)

    @operation(Capability.MULTIPART)
    def multipart_refresh(self, data: FileData) -> FileData:
        """Ask the provider what it has; of an upload that was completed, give the finished file.

        :raises MissingFileError: when there is no such upload
        """
        return self._sessions.multipart_refresh(data)

    @operation(Capability.MULTIPART)
    def multipart_complete(self, data: FileData) -> FileData:
        """Publish the file.

        :raises UploadSizeMismatchError: when parts are missing
        :raises UploadHashMismatchError, UploadTypeMismatchError: when it is not what was declared
        :raises ExistingFileError: as in :meth:`upload`
        """
        return self._sessions.multipart_complete(data)

    @operation(Capability.MULTIPART)
    def multipart_remove(self, data: FileData) -> bool:
        """Drop an upload and its parts; return whether it was open. A file at its location stays."""
        return self._sessions.multipart_remove(data)

    @operation(Capability.RESUMABLE)
    def resumable_start(
        self,
        location: str,
        size: int,
        /,
        *,
        content_type: str = "",
        metadata: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        hash: str = "",
        algorithm: str = "",
        overwrite: bool | FileData | None = None,
    ) -> FileData:
        """Begin an upload in pieces that follow one another; arguments and state as :meth:`multipart_start`."""
        options: dict[str, Any] = {"content_type": content_type, "metadata": metadata, "headers": headers}
        plan = self._started(location, size, **options, hash=hash, algorithm=algorithm, overwrite=overwrite)
        return self._sessions.resumable_start(location, size, plan)

    @operation(Capability.RESUMABLE)
    def resumable_resume(self, data: FileData, upload: Uploadable) -> FileData:
        """Send the next piece: a multiple of 256 KiB, unless it is the last, which publishes the file.

        :raises ResumableUploadError: for another size, before anything is sent
        """
        return self._sessions.resumable_resume(data, make_upload(upload))

    @operation(Capability.RESUMABLE)
    def resumable_refresh(self, data: FileData) -> FileData:
        """Ask the provider how much it has (``storage_data["uploaded"]``), or for the finished file."""
        return self._sessions.resumable_refresh(data)

    @operation(Capability.RESUMABLE)
    def resumable_remove(self, data: FileData) -> bool:
        """Drop an upload; return whether it was open."""
        return self._sessions.resumable_remove(data)

    def cleanup_uploads(self, older_than: Duration) -> int:
        """Drop what uploads that never ended have left under this storage's ``path``.

        :param older_than: seconds (or ``"1d"``, or a timedelta) since the newest part, else since the start
        :return: how many were dropped
        """
        with self._at("cleanup_uploads"):
            return self._sessions.cleanup(seconds_of(older_than))
