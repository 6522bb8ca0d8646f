"""The asynchronous twin of a storage: ``storage.aio``. It needs ``file-keeper-core[async]``."""

from __future__ import annotations

from .storage import AsyncStorage

__all__ = ["AsyncStorage"]
