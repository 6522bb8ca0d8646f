"""Many files at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from ..backend import Capability
from ..bulk.batch import count, run
from ..bulk.items import analyses, contents, copies, downloads, limits_of, pairs_of, uploads
from ..data import FileData
from ..outcomes import Outcome
from ..types import FileOrLocation, OnBatchProgress, Uploadable
from .base import operation
from .copying import Copying
from .writing import Writing


class Many(Writing, Copying):
    """The part of a storage that works on many files at once.

    Each operation draws its items lazily, has a bounded number of them in flight, and gives one
    :class:`file_keeper.types.Outcome` for each, in the order of the items. One failure does not end it. What the
    iterable of the items raises ends it, after the outcomes of the items before. Left early, it ends what is in flight
    before it goes on, and nothing of that is left.
    """

    @operation(Capability.CREATE, many=True)
    def upload_many(
        self,
        items: Mapping[str, Uploadable] | Iterable[tuple[str, Uploadable]],
        /,
        *,
        concurrency: int | None = None,
        stop: bool = False,
        overwrite: bool | None = None,
        progress: OnBatchProgress | None = None,
    ) -> Iterator[Outcome[FileData]]:
        """Store many files: locations and what to store there, as a mapping or as pairs.

        Sources that cannot seek, or that share one stream (members of archives, parts of a form), are read one after
        the other before the next item is drawn; only their sending is concurrent.

        :param concurrency: items in flight; ``None``: as many as the service takes, fewer while it throttles
        :param stop: end with the first failure: it is the last outcome, what is in flight behind it is aborted
        :param overwrite: as in :meth:`upload`
        :param progress: called with a :class:`file_keeper.types.BatchProgress` at least once a second and at the end;
            if it raises, the batch ends
        """
        limit, options = limits_of(self, "upload_many", concurrency)
        made = uploads(self, pairs_of(items), overwrite)
        return run(made, limit, stop=stop, total=count(items), progress=progress, **options)

    @operation(Capability.STREAM, many=True)
    def content_many(
        self,
        files: Iterable[FileOrLocation],
        /,
        *,
        concurrency: int | None = None,
        stop: bool = False,
        progress: OnBatchProgress | None = None,
    ) -> Iterator[Outcome[bytes]]:
        """Read many files, each as a whole; at most `concurrency` contents are in memory.

        Arguments as :meth:`upload_many`.
        """
        limit, options = limits_of(self, "content_many", concurrency)
        made = contents(self, files)
        return run(made, limit, content=True, stop=stop, total=count(files), progress=progress, **options)

    @operation(Capability.ANALYZE, many=True)
    def analyze_many(
        self,
        files: Iterable[FileOrLocation],
        /,
        *,
        concurrency: int | None = None,
        stop: bool = False,
        progress: OnBatchProgress | None = None,
    ) -> Iterator[Outcome[FileData]]:
        """Return the data of many files. Arguments as :meth:`upload_many`."""
        limit, options = limits_of(self, "analyze_many", concurrency)
        return run(analyses(self, files), limit, stop=stop, total=count(files), progress=progress, **options)

    @operation(Capability.STREAM, many=True)
    def download_many(
        self,
        files: Iterable[FileOrLocation],
        folder: str | os.PathLike[str],
        /,
        *,
        concurrency: int | None = None,
        stop: bool = False,
        progress: OnBatchProgress | None = None,
    ) -> Iterator[Outcome[FileData]]:
        """Write many files below a local folder, each at its location, atomically. Arguments as :meth:`upload_many`.

        Folders are made as needed. No location leads out of `folder`, and nothing is written through a link in it.
        """
        limit, options = limits_of(self, "download_many", concurrency)
        made = downloads(self, files, folder)
        return run(made, limit, stop=stop, total=count(files), progress=progress, **options)

    @operation(Capability.COPY, many=True)
    def copy_many(
        self,
        pairs: Mapping[str, FileOrLocation] | Iterable[tuple[str, FileOrLocation]],
        /,
        *,
        concurrency: int | None = None,
        stop: bool = False,
        overwrite: bool | None = None,
        progress: OnBatchProgress | None = None,
    ) -> Iterator[Outcome[FileData]]:
        """Copy many files on the server: targets and sources, as a mapping or as pairs.

        Arguments as :meth:`upload_many`.
        """
        limit, options = limits_of(self, "copy_many", concurrency)
        made = copies(self, pairs_of(pairs), overwrite)
        return run(made, limit, stop=stop, total=count(pairs), progress=progress, **options)
