"""Azure Blob Storage for file-keeper."""

from .backend import AzureBackend
from .settings import AzureSettings

__all__ = ["AzureBackend", "AzureSettings"]
