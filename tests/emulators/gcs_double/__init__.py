"""A fuller double of Google Cloud Storage, for tests: its JSON API and what signed URLs need of its XML API.

Written from Google's reference, page and section named where a behaviour is; nothing in it knows our own client.

    with GcsDouble() as double:
        double.create_bucket("media")
        client = storage.Client("p", AnonymousCredentials(), client_options={"api_endpoint": double.url})

By hand: `python -m emulators.gcs_double --bucket media`.
"""

from .auth import ServiceAccount
from .double import GcsDouble
from .faults import (
    Acknowledge,
    AnswerStatus,
    Cut,
    Delay,
    Flip,
    LoseAnswer,
    Reset,
    Rule,
    Short,
    Status,
    Truncate,
)
from .store import StoredObject
from .wire import Entry

__all__ = [
    "Acknowledge",
    "AnswerStatus",
    "Cut",
    "Delay",
    "Entry",
    "Flip",
    "GcsDouble",
    "LoseAnswer",
    "Reset",
    "Rule",
    "ServiceAccount",
    "Short",
    "Status",
    "StoredObject",
    "Truncate",
]
