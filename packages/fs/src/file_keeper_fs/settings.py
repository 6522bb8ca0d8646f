"""The options of ``file_keeper:fs``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from file_keeper import exc
from file_keeper.settings import Settings, option


@dataclass(frozen=True, kw_only=True, repr=False)
class FsSettings(Settings):
    """Where the files lie and how they are kept.

    :param root: base directory, default the current one; the files lie in ``root/bucket/path``. An absolute ``path``
        stands alone
    :param attributes: where hash, type, metadata and headers are kept: ``xattr`` (extended attributes), ``sidecar``
        (small JSON files under ``.file-keeper``), ``auto`` (extended attributes where they exist and fit, else
        sidecars), ``none`` (nowhere)
    :param fsync: write through to the device before an operation returns
    :param base_url: address under which a web server shows the files: gives permanent links
    :param signing_key: for signed links, which a later version brings
    """

    root: str = option("text")
    attributes: str = option("text", "auto", choices=("auto", "xattr", "sidecar", "none"))
    fsync: bool = option("bool", False)
    base_url: str = option("text")
    signing_key: str = option("text", secret=True, later=True)

    absolute_path: ClassVar[bool] = True

    def validate(self) -> None:
        """Check what concerns several options, and the form of the address."""
        if self.is_absolute():
            if ".." in Path(self.path).parts:
                raise exc.InvalidStorageConfigurationError(f"path {self.path!r} must not have a '..' segment")
            for name in ("bucket", "root"):
                if name in self.given:
                    raise exc.InvalidStorageConfigurationError(
                        f"an absolute path ({self.path!r}) stands alone: leave {name!r} out, or make the path relative"
                    )
        if "\0" in self.path or "\0" in str(self.root):
            raise exc.InvalidStorageConfigurationError("a path cannot hold NUL")
        base: Any = self.base_url
        if isinstance(base, str) and base and not base.startswith(("http://", "https://", "/")):
            raise exc.InvalidStorageConfigurationError(
                f"option 'base_url' must be an http(s) address or a path that begins with '/', not {base!r}"
            )

    def is_absolute(self) -> bool:
        """Tell whether ``path`` stands alone."""
        return os.path.isabs(self.path) or self.path.startswith("~")

    def directory(self, here: str) -> str:
        """Give the directory of the files.

        :param here: what a relative ``root`` is relative to
        """
        parts = (self.path,) if self.is_absolute() else (self.root, self.bucket or "", self.path)
        return os.path.join(here, *(os.path.expanduser(part) for part in parts if part))
