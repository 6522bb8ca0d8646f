"""Which storages there are: from the configuration file, the environment and ``--set``; and how a file is addressed."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any, Self, cast

import file_keeper as fk
from file_keeper import config as configuration
from file_keeper import exc
from file_keeper.settings import near_miss

from .errors import UsageError

ENVIRONMENT = "FILE_KEEPER_STORAGE"
"""The variable of the storage without a name; with ``_NAME`` behind it, of the one called so."""

UNNAMED = ":"
"""What errors call the storage without a name, as its address does."""


_SCHEMES = {"gs": "gcs", "az": "azure", "abfs": "azure", "wasb": "azure", "file": "fs"}
"""What other programs call the types."""


@dataclasses.dataclass(frozen=True)
class Address:
    """``STORAGE:location``; without a name before the colon it is the storage of ``--set``."""

    storage: str
    location: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Split at the first colon. :raises UsageError: when there is none"""
        storage, colon, location = text.partition(":")
        if location.startswith("//"):
            bucket, _, key = location[2:].partition("/")
            kind = _SCHEMES.get(storage, storage)
            raise UsageError(
                f"{text!r} is an address of another program: here it is :{key} with --set type={kind} "
                f"--set bucket={bucket}, or NAME:{key} of a configured storage"
            )
        if not colon:
            raise UsageError(
                f"{text!r} is no address: write STORAGE:location, as in media:reports/a.pdf, "
                "or :location for the storage of --set"
            )
        return cls(storage, location)

    @property
    def name(self) -> str:
        """The last segment, ``""`` when the location ends in ``/``."""
        return self.location.rpartition("/")[2]

    def is_folder(self) -> bool:
        """Return whether it names a place for files rather than a file."""
        return not self.location or self.location.endswith("/")

    def within(self, name: str) -> Address:
        """Return the address of `name` in this folder."""
        folder = self.location if self.is_folder() else self.location + "/"
        return Address(self.storage, folder + name)

    def __str__(self) -> str:
        return f"{self.storage}:{self.location}"


def parse_value(text: str) -> Any:
    """Return the value of an option: the text as it is, or JSON when it begins as JSON does (``{``, ``[``, ``"``)."""
    if not text.startswith(("{", "[", '"')):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"a value that begins with {text[0]!r} must be JSON: {error}") from None


def assign(settings: dict[str, Any], text: str, *, shown: str = "--set") -> None:
    """Put ``key=value`` into `settings`; dots in the key lead into blocks.

    :param shown: what the text came from, for errors; its value is not told, it may be a secret
    :raises UsageError: when it is no assignment
    """
    key, equals, value = text.partition("=")
    *blocks, last = key.split(".")
    if not equals or not all((*blocks, last)):
        raise UsageError(f"{shown} takes key=value, such as type=fs, not {key!r}")
    inner = settings
    for block in blocks:
        found = inner.setdefault(block, {})
        if not isinstance(found, dict):
            raise UsageError(f"{shown} {key}: {block!r} has a value already and cannot be a block too")
        inner = cast("dict[str, Any]", found)
    inner[last] = parse_value(value)


def parse_sets(texts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the settings that ``--set [STORAGE:]key=value`` make, by storage."""
    storages: dict[str, dict[str, Any]] = {}
    for text in texts:
        key = text.partition("=")[0]
        name, colon, _ = key.partition(":")
        storage = name if colon else ""
        assign(storages.setdefault(storage, {}), text[len(name) + 1 :] if colon else text)
    return storages


def parse_environment(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the settings in ``FILE_KEEPER_STORAGE[_NAME]``, by the part behind ``_``, in lower case.

    :raises InvalidStorageConfigurationError: naming the variable
    """
    storages: dict[str, dict[str, Any]] = {}
    for variable, text in environ.items():
        if variable != ENVIRONMENT and not variable.startswith(ENVIRONMENT + "_"):
            continue
        settings: dict[str, Any] = {}
        try:
            if text.lstrip().startswith("{"):
                settings = cast("dict[str, Any]", json.loads(text))
            else:
                for word in shlex.split(text):
                    assign(settings, word, shown=variable)
        except (ValueError, UsageError) as error:
            raise exc.InvalidStorageConfigurationError(
                f"the variable {variable} holds neither words key=value nor a JSON object: {error}"
            ) from None
        storages[variable[len(ENVIRONMENT) + 1 :].lower()] = settings
    return storages


@dataclasses.dataclass
class Configured:
    """The settings of a storage, and what they come from, the strongest last."""

    settings: dict[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    sources: list[str] = dataclasses.field(default_factory=list[str])

    def add(self, settings: Mapping[str, Any], source: str) -> None:
        """Lay settings over those there are: key by key, blocks inside too."""
        _merge(self.settings, settings)
        self.sources.append(source)


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        there = below.get(key)
        if isinstance(there, dict) and isinstance(value, dict):
            _merge(cast("dict[str, Any]", there), cast("dict[str, Any]", value))
        else:
            below[key] = copy.deepcopy(value)


class Storages:
    """The storages that a command may name; each is made when it is first needed.

    :param sets: the values of ``--set``
    """

    def __init__(self, sets: Iterable[str] = ()):
        self._sets = parse_sets(sets)
        self._configured: dict[str, Configured] | None = None
        self._made: dict[str, fk.Storage] = {}

    def configured(self) -> dict[str, Configured]:
        """Return what is configured, by name: the file, over it the environment, over it ``--set``."""
        if self._configured is None:
            found: dict[str, Configured] = {}
            path = configuration.find_config()
            for name, settings in configuration.configured().items():
                found.setdefault(name, Configured()).add(settings, str(path))
            for variable, settings in parse_environment(os.environ).items():
                # A name may hold what a variable's cannot: my-media is meant by ..._MY_MEDIA.
                name = next((name for name in found if re.sub(r"\W", "_", name).lower() == variable), variable)
                source = f"{ENVIRONMENT}_{variable.upper()}" if variable else ENVIRONMENT
                found.setdefault(name, Configured()).add(settings, source)
            for name, settings in self._sets.items():
                found.setdefault(name, Configured()).add(settings, "--set")
            self._configured = found
        return self._configured

    def get(self, name: str) -> fk.Storage:
        """Return the storage of that name.

        :raises UnknownStorageError: listing the names that are known
        """
        if name not in self._made:
            known = self.configured()
            if name not in known:
                raise self._unknown(name, sorted(filter(None, known)))
            self._made[name] = fk.make_storage(name or UNNAMED, known[name].settings)
        return self._made[name]

    @staticmethod
    def _unknown(name: str, known: list[str]) -> exc.UnknownStorageError:
        there = f"known are {', '.join(known)}" if known else "none is configured"
        if not name:
            return exc.UnknownStorageError(
                f"there is no storage without a name: give --set type=..., or name one; {there}"
            )
        return exc.UnknownStorageError(
            f"unknown storage {name!r}{near_miss(name, known)}: {there}; "
            f"a file .file-keeper.toml with [storages.{name}], --set {name}:type=..., "
            f"or {ENVIRONMENT}_{re.sub(r'[^A-Za-z0-9]', '_', name).upper()} makes one"
        )

    def close(self) -> None:
        """Close what was made."""
        for storage in self._made.values():
            with contextlib.suppress(exc.FilesError):
                storage.close()
        self._made.clear()
