"""Files that no row names any more: found by batches of the listing, with memory that does not grow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import file_keeper as fk
from django.apps import apps
from django.db import router
from django.db.models import FileField, Model

_BATCH = 500
"""Names that one query asks for: SQLite takes 999 parameters."""

Column = tuple[type[Model], str]


def file_columns() -> list[Column]:
    """Return model and name of every file field of the project, whatever its storage.

    A name in any of them keeps a file: two entries of STORAGES may be one place, which their options do not tell.
    """
    return [
        (model, field.name)
        for model in apps.get_models(include_auto_created=True)
        if not model._meta.proxy
        for field in model._meta.local_fields
        if isinstance(field, FileField)
    ]


def find_orphans(
    storage: fk.Storage, columns: Sequence[Column], *, prefix: str = "", older_than: float = 0
) -> Iterator[fk.FileData]:
    """Return the files that no row names, in the order of their names.

    :param older_than: seconds; a younger file may be named by a transaction that has not ended. One whose age the
        listing does not tell is none
    """
    latest = datetime.now(UTC) - timedelta(seconds=older_than)
    old = (file for file in storage.files(prefix=prefix) if file.modified is not None and file.modified <= latest)
    while batch := list(islice(old, _BATCH)):
        named = _named(columns, [file.location for file in batch])
        yield from (file for file in batch if file.location not in named)


def _named(columns: Sequence[Column], names: Sequence[str]) -> set[str]:
    """Return those names that a row holds."""
    found: set[str] = set()
    for model, column in columns:
        rows: Any = model._base_manager.using(router.db_for_read(model))
        found.update(rows.filter(**{f"{column}__in": names}).values_list(column, flat=True))
    return found
