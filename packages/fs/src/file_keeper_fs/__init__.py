"""Local file system storage for file-keeper: the type ``file_keeper:fs``."""

from .backend import FsBackend
from .settings import FsSettings

__all__ = ["FsBackend", "FsSettings"]
