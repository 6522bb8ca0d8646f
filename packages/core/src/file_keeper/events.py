"""What a storage tells of what it does; see :meth:`file_keeper.Storage.subscribe`."""

from __future__ import annotations

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that a storage did.

    :param kind: ``"start"``: an operation begins; ``"attempt"``: a request of it ended; ``"operation"``: it ended;
        ``"concurrency"``: a batch goes on with another number of items in flight
    :param id: one for each operation of the process; its attempts have it too
    :param storage: name of the storage
    :param type: of the storage, such as ``file_keeper:s3``
    :param operation: such as ``"upload"``
    :param location: that it is about, ``""`` for none
    :param attempt: of an attempt: which one of its request, from 1
    :param duration: seconds; 0.0 at the start
    :param sent: bytes of bodies sent
    :param received: bytes of bodies received
    :param status: the HTTP status of the error, 0 where there is none
    :param error: what it ended with; of a batch: what made it slow down, ``None`` where it recovers
    :param concurrency: of a batch: items that may be in flight from now on
    """

    kind: Literal["start", "attempt", "operation", "concurrency"]
    id: int
    storage: str
    type: str
    operation: str
    location: str
    attempt: int = 0
    duration: float = 0.0
    sent: int = 0
    received: int = 0
    status: int = 0
    error: BaseException | None = None
    concurrency: int = 0
