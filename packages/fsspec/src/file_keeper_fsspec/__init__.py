"""Any storage as a file system of fsspec: ``fsspec.filesystem("filekeeper", storage="media")``."""

from .filesystem import FileKeeperFileSystem

__all__ = ["FileKeeperFileSystem"]
