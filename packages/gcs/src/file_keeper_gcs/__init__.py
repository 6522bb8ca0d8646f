"""Google Cloud Storage for file-keeper."""

from .backend import GcsBackend
from .settings import GcsSettings

__all__ = ["GcsBackend", "GcsSettings"]
