"""Uploads in several calls, and their state: plain JSON, enough for another process to go on after a kill."""

from __future__ import annotations

from .base import Session
from .parts import PartUploads
from .pieces import PieceUploads

__all__ = ["Sessions"]


class Sessions(PartUploads, PieceUploads, Session):
    """Multipart and resumable uploads of one storage.

    :param root: the prefix of its keys
    """
