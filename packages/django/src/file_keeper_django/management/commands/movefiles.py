"""Move the files of a project from one storage to another."""

from __future__ import annotations

from typing import Any

from django.core.files.storage import storages
from django.core.management.base import BaseCommand, CommandError, CommandParser

from file_keeper_django.moving import Moving, headers_of, storage_beneath


class Command(BaseCommand):
    """``manage.py movefiles OLD NEW``: two aliases of STORAGES. Rows need no change: names stay what they are."""

    help = (
        "Copies all files from one entry of STORAGES to another, verifies each by its hash, and with --remove removes "
        "it from the old one. What is there already is not sent again: stop it and run it again as you like."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("source", help="alias in STORAGES that files come from; Django's FileSystemStorage too")
        parser.add_argument("target", help="alias in STORAGES that files go to")
        parser.add_argument("--prefix", default="", help="only files whose names begin with this")
        parser.add_argument("--start-after", default="", help="only files behind this name, in the order of bytes")
        parser.add_argument("--overwrite", action="store_true", help="replace what differs; else it is told and kept")
        parser.add_argument("--remove", action="store_true", help="remove a file when its copy is verified")
        parser.add_argument("--verify", action="store_true", help="also read every copy, and every file that is there")
        parser.add_argument("--concurrency", type=int, default=4, help="files at a time (4)")
        parser.add_argument("-n", "--dry-run", action="store_true", help="say what would be done")

    def handle(self, *args: Any, **options: Any) -> None:
        """Move the files. :raises CommandError: when some were not moved, after all others were"""
        places: list[Any] = []
        for alias in (options["source"], options["target"]):
            if alias not in storages.backends:
                raise CommandError(f"STORAGES has no {alias!r}, only {', '.join(map(repr, storages.backends))}")
            try:
                places.append(storage_beneath(storages[alias], alias))
            except TypeError as error:
                raise CommandError(str(error)) from error
        if options["concurrency"] < 1:
            raise CommandError("--concurrency is 1 or more")
        moving = Moving(
            *places,
            overwrite=options["overwrite"],
            remove=options["remove"],
            verify=options["verify"],
            dry_run=options["dry_run"],
            headers_for=headers_of(storages[options["target"]]),
        )
        for outcome in moving.run(options["prefix"], options["start_after"], options["concurrency"]):
            if outcome.error:
                self.stderr.write(f"{outcome.name}: {outcome.error}")
            elif options["verbosity"] > 1 or options["dry_run"]:
                self.stdout.write(f"{outcome.done} {outcome.name}")
        counts = ", ".join(f"{count} {what}" for what, count in moving.counts.items() if count) or "nothing to move"
        if moving.counts["failed"]:
            raise CommandError(f"{counts}: run it again when the reason is gone")
        self.stdout.write(counts)
