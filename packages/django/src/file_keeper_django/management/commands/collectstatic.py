"""Django's collectstatic; into a storage of file-keeper it compares by hash, and sends side by side."""

from __future__ import annotations

from typing import Any

from django.conf import STATICFILES_STORAGE_ALIAS
from django.contrib.staticfiles.management.commands import collectstatic
from django.core.files.storage import storages

from file_keeper_django.collecting import Collecting
from file_keeper_django.static import FileKeeperStaticStorage
from file_keeper_django.storage import FileKeeperStorage


class Command(collectstatic.Command):
    """The command of that name. It replaces Django's where this application comes first in INSTALLED_APPS."""

    _run: Collecting | None = None

    def collect(self) -> dict[str, list[str]]:
        """Collect, in one run with the storage if it is one of file-keeper."""
        storage = storages[STATICFILES_STORAGE_ALIAS]
        if self.symlink or not isinstance(storage, FileKeeperStorage):
            return super().collect()
        if not isinstance(storage, FileKeeperStaticStorage):
            storage = FileKeeperStaticStorage.like(storage)
        self.storage = storage
        if self.clear:
            self.clear_dir("")
            self.clear = False
        with storage.collecting() as self._run:
            return super().collect()

    def delete_file(self, path: str, prefixed_path: str, source_storage: Any) -> bool:
        """Return whether a file is to be copied: not if the same content is there. It is replaced, not deleted."""
        run = self._run
        if run is None:
            return super().delete_file(path, prefixed_path, source_storage)
        location = prefixed_path.replace("\\", "/")
        with source_storage.open(path) as source:
            unmodified = run.has(location, source)
        if unmodified:
            if prefixed_path not in self.unmodified_files:
                self.unmodified_files.append(prefixed_path)
            self.log(f"Skipping '{path}' (not modified)")
            return False
        if run.exists(location):
            self.log(f"Pretending to replace '{path}'" if self.dry_run else f"Replacing '{path}'")
        return True
