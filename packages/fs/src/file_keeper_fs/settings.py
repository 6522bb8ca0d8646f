"""The options of ``file_keeper:fs``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from file_keeper import exc
from file_keeper.backend import check_base_url
from file_keeper.settings import Reference, Settings, option


@dataclass(frozen=True, kw_only=True, repr=False)
class FsSettings(Settings):
    """Where the files lie and how they are kept.

    :param root: base directory, default the current one; the files lie in ``root/bucket/path``. An absolute ``path``
        stands alone
    :param attributes: where hash, type, metadata and headers are kept: ``xattr`` (extended attributes), ``sidecar``
        (small JSON files under ``.file-keeper``), ``auto`` (extended attributes where they exist and fit, else
        sidecars), ``none`` (nowhere)
    :param fsync: write through to the device before an operation returns
    :param file_mode: rights of new files, octal (``"0640"``), whatever the mask of the process; a file that is replaced
        or appended to keeps its own, a copy is never more readable than its source
    :param directory_mode: rights of new directories
    :param base_url: address at which a web server, or the link application of ``file-keeper-web``, shows the files:
        gives links
    :param public: whether that application shows the files to everybody, or through signed links only
    :param signing_key: key of signed links, or a list of them: the first one signs, all are accepted
    """

    root: str = option("text")
    attributes: str = option("text", "auto", choices=("auto", "xattr", "sidecar", "none"))
    fsync: bool = option("bool", False)
    file_mode: Any = option("any", "")
    directory_mode: Any = option("any", "")
    base_url: str = option("text")
    public: bool = option("bool", False)
    signing_key: tuple[str, ...] = option("keys", secret=True)

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
        for name, least in (("file_mode", 0o600), ("directory_mode", 0o700)):
            _check_mode(name, getattr(self, name), least)
        base: Any = self.base_url
        if isinstance(base, str) and base:
            check_base_url(base)

    def is_absolute(self) -> bool:
        """Return whether ``path`` stands alone."""
        return os.path.isabs(self.path) or self.path.startswith("~")

    def directory(self, here: str) -> str:
        """Return the directory of the files.

        :param here: what a relative ``root`` is relative to
        """
        parts = (self.path,) if self.is_absolute() else (self.root, self.bucket or "", self.path)
        return os.path.join(here, *(_expanded(part) for part in parts if part))


def _expanded(part: str) -> str:
    if not part.startswith("~"):
        return part
    found = os.path.expanduser(part)
    # An empty HOME, as in some containers, would make "~/files" a directory of the root.
    if found.startswith("~") or (part[:2] in ("~", "~/") and os.environ.get("HOME") == ""):
        user = part.split("/")[0]
        raise exc.InvalidStorageConfigurationError(
            f"{part!r} cannot be found: {user!r} has no home directory here; set HOME, or give an absolute path"
        )
    return found


def mode_of(value: Any) -> int | None:
    """Return the rights that an option says, as a number; ``None`` when it is not given."""
    return int(value, 8) if isinstance(value, str) and value else value if isinstance(value, int) else None


def _check_mode(name: str, value: Any, least: int) -> None:
    if isinstance(value, Reference) or value == "":
        return
    is_mode = isinstance(value, int) and not isinstance(value, bool)
    if isinstance(value, str):
        is_mode = re.fullmatch("(0o?)?[0-7]{3,4}", value) is not None
    mode = mode_of(value) if is_mode else None
    if mode is None or mode & ~0o7777 or mode & least != least or (mode & 0o7000 and name == "file_mode"):
        raise exc.InvalidStorageConfigurationError(
            f"option {name!r} must be octal rights such as '0{least | 0o040:o}' (the owner has 0{least:o} at least), "
            f"not {value!r}"
        )
