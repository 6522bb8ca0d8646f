"""What the core does around each verb: errors pass through `translate`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from file_keeper import exc
from file_keeper.backend import Body
from file_keeper_azure import AzureBackend


@contextlib.contextmanager
def as_ours(backend: AzureBackend) -> Iterator[None]:
    try:
        yield
    except exc.FilesError:
        raise
    except Exception as error:
        found = backend.translate(error)
        if found is None:
            raise
        raise found from error


def read_all(backend: AzureBackend, key: str, start: int = 0, end: int | None = None, **options: str) -> bytes:
    body: Body = backend.read(key, start, end, **options)
    try:
        content = b"".join(iter(lambda: body.read(100_000), b""))
    finally:
        body.close()
    assert len(content) == body.length
    return content
