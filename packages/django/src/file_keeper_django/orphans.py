"""Files that no row names any more: found by batches of the listing, with memory that does not grow."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import file_keeper as fk
from django.apps import apps
from django.db import connections, router
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


def storages_of(columns: Sequence[Column]) -> list[tuple[str, Any]]:
    """Return the storage of each column, with the column's name."""
    fields: list[tuple[str, Any]] = []
    for model, name in columns:
        field: Any = model._meta.get_field(name)
        fields.append((f"{model._meta.label}.{name}", field.storage))
    return fields


def find_orphans(
    storage: fk.Storage,
    columns: Sequence[Column],
    *,
    prefix: str = "",
    older_than: float = 0,
    without: Collection[str] = (),
    around: Collection[str] = ("",),
) -> Iterator[fk.FileData]:
    """Return the files that no row of any database names, in the order of their names.

    :param without: prefixes that are left out, as another storage lies there
    :param around: what rows may put before a name, as the storage lies in another one
    :param older_than: seconds; a younger file may be named by a transaction that has not ended. One whose age the
        listing does not tell is none
    """
    latest = datetime.now(UTC) - timedelta(seconds=older_than)
    old = (file for file in storage.files(prefix=prefix) if file.modified is not None and file.modified <= latest)
    ours = (file for file in old if not file.location.startswith(tuple(without)))
    asked = [(model, column, using) for model, column in columns for using in _databases(model)]
    while batch := list(islice(ours, _BATCH)):
        named: set[str] = set()
        for before in {"", *around}:
            found = _named(asked, [before + file.location for file in batch])
            named.update(name[len(before) :] for name in found)
        yield from (file for file in batch if file.location not in named)


def _databases(model: type[Model]) -> list[str]:
    """Return the databases that may have rows: that which is read from, and all others with a table of that name."""
    table = model._meta.db_table.casefold()
    found = [router.db_for_read(model)]
    return found + [using for using in connections if using not in found and table in _tables(using)]


def _tables(using: str) -> set[str]:
    # What cannot be asked is an error, which ends the run: a row there may name a file.
    return {name.casefold() for name in connections[using].introspection.table_names(include_views=True)}


def _named(columns: Sequence[tuple[type[Model], str, str]], names: Sequence[str]) -> set[str]:
    """Return those names that a row holds."""
    found: set[str] = set()
    for model, column, using in columns:
        rows: Any = model._base_manager.using(using)
        found.update(rows.filter(**{f"{column}__in": names}).values_list(column, flat=True))
    return found
