"""Static files: what collectstatic stores, and the addresses of it."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from django.contrib.staticfiles.storage import ManifestFilesMixin
from django.utils.deconstruct import deconstructible
from django.utils.encoding import filepath_to_uri

from .collecting import Collecting
from .names import location_of
from .options import ALL
from .storage import FileKeeperStorage, naming

Sources = Mapping[str, tuple[Any, str]]


@deconstructible(path="file_keeper_django.FileKeeperStaticStorage")
class FileKeeperStaticStorage(FileKeeperStorage):
    """The storage of static files: names are kept, links are public unless it is said otherwise, scripts run.

    With ``file_keeper_django`` before ``django.contrib.staticfiles`` in INSTALLED_APPS, collectstatic compares by hash
    and sends side by side.
    """

    default_url = "public"
    default_inline = ALL
    base_setting = "STATIC_URL"
    _collecting: Collecting | None = None

    @classmethod
    def like(cls, storage: FileKeeperStorage) -> Self:
        """Return a storage of static files in the place of another one."""
        made = cls(**storage.options)
        made._storage, made._shown = storage.storage, storage.presentation
        return made

    @property
    def overwrites(self) -> bool:
        """Whether a file that is there is replaced: yes, a static file has its name."""
        return True

    @contextmanager
    def collecting(self, sources: Sources | None = None) -> Generator[Collecting]:
        """Begin a run of collectstatic, or join the one that is under way.

        :param sources: where each name comes from: a storage and the name there
        """
        if self._collecting is not None:
            self._collecting.sources = sources or self._collecting.sources
            yield self._collecting
            return
        run = self._collecting = Collecting(self.storage, self._store, sources)
        failed = True
        try:
            yield run
            failed = False
        finally:
            self._collecting = None
            run.end(failed=failed)

    def exists(self, name: str) -> bool:
        run = self._collecting
        return super().exists(name) if run is None or naming.get() else run.exists(location_of(name))

    def delete(self, name: str) -> None:
        if self._collecting is None:
            super().delete(name)
        else:
            self._collecting.remove(location_of(name))

    def _save(self, name: str, content: Any) -> str:
        if self._collecting is None:
            return super()._save(name, content)
        location = location_of(name, writing=True)
        self._collecting.save(location, content)
        return location

    def _open(self, name: str, mode: str = "rb") -> Any:
        run = self._collecting
        if run is not None and name in run.sources:
            storage, path = run.sources[name]
            return storage.open(path, mode)  # what is on its way need not come back
        return super()._open(name, mode)

    def url(
        self,
        name: str | None,
        parameters: Mapping[str, str] | None = None,
        expire: float | str | None = None,
        http_method: str | None = None,
    ) -> str:
        if self._collecting is not None:
            return filepath_to_uri(name or "")  # for style sheets, which name their neighbours: nothing signed in them
        return super().url(name, parameters, expire, http_method)


@deconstructible(path="file_keeper_django.FileKeeperManifestStaticStorage")
class FileKeeperManifestStaticStorage(ManifestFilesMixin, FileKeeperStaticStorage):  # pyright: ignore
    """The same with Django's manifest: names hold a hash of the content, so browsers may keep files for ever.

    The manifest is published when all files that it names are there.
    """

    def post_process(self, paths: Any, *args: Any, **options: Any) -> Iterator[Any]:
        if options.get("dry_run"):
            return
        with self.collecting(paths):
            yield from super().post_process(paths, *args, **options)

    def save_manifest(self) -> None:
        if self._collecting is not None:
            self._collecting.flush()
        super().save_manifest()
