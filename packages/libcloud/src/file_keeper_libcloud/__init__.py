"""The storage providers of Apache Libcloud for file-keeper."""

from .backend import LibcloudBackend
from .settings import LibcloudSettings

__all__ = ["LibcloudBackend", "LibcloudSettings"]
