"""Amazon S3, and everything that speaks its protocol, for file-keeper."""

from .backend import S3Backend
from .settings import S3Settings

__all__ = ["S3Backend", "S3Settings"]
