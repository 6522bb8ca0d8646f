"""List or remove the files that no row names."""

from __future__ import annotations

from typing import Any

import file_keeper as fk
from django.core.files.storage import storages
from django.core.management.base import BaseCommand, CommandError, CommandParser
from file_keeper.units import parse_duration

from file_keeper_django.moving import storage_beneath
from file_keeper_django.orphans import file_columns, find_orphans, storages_of
from file_keeper_django.places import neighbours


class Command(BaseCommand):
    """``manage.py orphanfiles``: what rolled-back transactions and deleted rows have left."""

    help = (
        "Lists the files of an entry of STORAGES that no FileField of any model names in any database, and with "
        "--remove removes them. Uploads that are in progress are not among them, nor is what lies in another storage "
        "of the project within this one. Names that your project keeps elsewhere (in text or JSON, or derived ones of "
        "thumbnails) are not known here: keep those files apart with --prefix."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("storage", nargs="?", default="default", help="alias in STORAGES (default)")
        parser.add_argument("--prefix", default="", help="only files whose names begin with this")
        parser.add_argument("--older-than", default="1d", help="only files of that age: seconds, 30m, 12h, 1d (1d)")
        parser.add_argument("--remove", action="store_true", help="remove them")

    def handle(self, *args: Any, **options: Any) -> None:
        """List or remove. :raises CommandError: when some could not be removed, after all others were"""
        alias = options["storage"]
        if alias not in storages.backends:
            raise CommandError(f"STORAGES has no {alias!r}, only {', '.join(map(repr, storages.backends))}")
        try:
            storage = storage_beneath(storages[alias], alias)
            age = parse_duration(options["older_than"])
        except (TypeError, ValueError) as error:
            raise CommandError(str(error)) from error
        columns = file_columns()
        if not columns:
            raise CommandError("no model has a FileField: every file would be one that no row names")
        others = neighbours(alias, storage, storages_of(columns))
        if others.static:
            raise CommandError(f"{others.static} lies there: no row names static files, and all would be removed")
        for prefix, label in sorted(others.within.items()):
            self.stdout.write(f"left out: {prefix}, where {label} lies")
        for label in others.unknown:
            self.stdout.write(f"where {label} lies is not known: if within this storage, keep its files by --prefix")
        count = size = failed = 0
        for file in find_orphans(
            storage,
            columns,
            prefix=options["prefix"],
            older_than=age,
            without=others.within,
            around=others.around,
        ):
            if options["remove"]:
                try:
                    # A row may have taken the name since the rows were looked at, and brought a new file.
                    if storage.analyze(file.location).etag != file.etag:
                        continue
                    storage.remove(file)
                except fk.exc.MissingFileError:
                    continue
                except fk.exc.FilesError as error:
                    failed += 1
                    self.stderr.write(f"{file.location}: {error}")
                    continue
            count, size = count + 1, size + file.size
            if options["verbosity"] > 1 or not options["remove"]:
                self.stdout.write(f"{file.location}  {fk.humanize_filesize(file.size)}  {file.modified:%Y-%m-%d %H:%M}")
        what = "removed" if options["remove"] else "named by no row"
        self.stdout.write(f"{count} {'file' if count == 1 else 'files'}, {fk.humanize_filesize(size)}, {what}")
        if failed:
            raise CommandError(f"{failed} could not be removed: run it again when the reason is gone")
