"""From a ``type`` to a backend, lazily; from settings to a storage; from a name to the storage of the process."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from . import exc
from .backend import Backend
from .settings import ALIASES, KNOWN, near_miss, parse
from .storage import Storage

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")

GROUP = "file_keeper.backends"
"""The group of entry points; the name of each is the ``type``."""


class Registry(Generic[T]):
    """Things by name; what is not registered may be found by `discover` when it is first asked for."""

    def __init__(self, discover: Callable[[], Mapping[str, Callable[[], T]]] | None = None):
        self._items: dict[str, T] = {}
        self._discover = discover
        self._found: Mapping[str, Callable[[], T]] | None = None

    def register(self, name: str, item: T) -> T:
        """Add or replace an item and give it back."""
        self._items[name] = item
        return item

    def unregister(self, name: str) -> None:
        """Take an item out; it may not be there."""
        self._items.pop(name, None)

    def get(self, name: str) -> T | None:
        """Give an item, ``None`` when there is none of that name."""
        if name not in self._items and name in self._loaders():
            self._items[name] = self._loaders()[name]()
        return self._items.get(name)

    def _loaders(self) -> Mapping[str, Callable[[], T]]:
        if self._found is None:
            self._found = self._discover() if self._discover else {}
        return self._found

    def __contains__(self, name: object) -> bool:
        return name in self._items or name in self._loaders()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._items, *self._loaders()}))

    def __len__(self) -> int:
        return len({*self._items, *self._loaders()})


def _entry_points() -> dict[str, Callable[[], type[Backend[Any]]]]:
    import importlib.metadata  # brings e-mail, zip and csv along

    return {entry.name: entry.load for entry in importlib.metadata.entry_points(group=GROUP)}


adapters: Registry[type[Backend[Any]]] = Registry(_entry_points)
"""Backends by ``type``: those of installed distributions, and what a program registers."""


def list_adapters() -> list[str]:
    """Give the types that are installed, sorted."""
    return list(adapters)


def full_type(kind: str) -> str:
    """Give the full name of a type: ``fs`` is ``file_keeper:fs``."""
    return kind if kind in adapters else ALIASES.get(kind, kind)


def find_adapter(kind: Any) -> type[Backend[Any]]:
    """Give the backend of a type.

    :raises MissingStorageConfigurationError: without a type
    :raises UnknownAdapterError: naming the command that installs it, or the type that was meant
    """
    if not kind:
        raise exc.MissingStorageConfigurationError("option 'type' is required")
    if not isinstance(kind, str):
        raise exc.InvalidStorageConfigurationError(f"option 'type' must be text, not {kind!r}")
    name = full_type(kind)
    try:
        found = adapters.get(name)
    except ImportError as error:
        raise exc.UnknownAdapterError(f"the backend of {name!r} cannot be imported: {error}") from error
    if found is not None:
        return found
    if name in KNOWN:
        raise exc.UnknownAdapterError(
            f"{name!r} is not installed: pip install {KNOWN[name].distribution}  "
            f'(or "file-keeper-core[{KNOWN[name].extra}]")'
        )
    hint = near_miss(kind, {*adapters, *KNOWN, *ALIASES}) or f", known are {', '.join(adapters)}"
    raise exc.UnknownAdapterError(f"unknown type {kind!r}{hint}")


def make_storage(name: str, settings: Mapping[str, Any]) -> Storage:
    """Make a storage out of a dictionary. No network I/O, unless ``initialize`` is true.

    :param name: what errors, logs and events call it
    :param settings: options, ``type`` among them; not changed
    :raises InvalidStorageConfigurationError: naming the storage, the option and the remedy
    :raises UnknownAdapterError: when no backend of that type is installed
    """
    if not isinstance(settings, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise exc.InvalidStorageConfigurationError(
            f"settings are a mapping, not {type(settings).__name__}", storage=name
        )
    storage = _make(name, settings.get("type"), settings)
    if storage.settings.initialize:
        storage.initialize()
    return storage


def _make(name: str, kind: Any, settings: Mapping[str, Any]) -> Storage:
    options = {key: value for key, value in settings.items() if key not in ("type", "name")}
    try:
        adapter = find_adapter(kind)
        parsed = parse(adapter.settings_type, name, options, full_type(kind))
        return Storage(name, parsed, adapter(parsed))
    except exc.FilesError as error:
        error.within(storage=name)
        raise


def restore(name: str, kind: str, settings: Mapping[str, Any]) -> Storage:
    """Make a pickled storage again: as it was made, but what is there is not created once more."""
    return _make(name, kind, settings)


_named: dict[str, Storage] = {}
_given: dict[str, dict[str, Any]] = {}
_lock = threading.Lock()


def _forked() -> None:
    # Another thread of the parent may have held it.
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _read_config(path: Path) -> dict[str, dict[str, Any]]:
    import json
    import tomllib

    try:
        text = path.read_text("utf-8")
        config: Any = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise exc.InvalidStorageConfigurationError(f"the configuration {path} cannot be read: {error}") from error
    except ValueError as error:
        raise exc.InvalidStorageConfigurationError(f"the configuration {path} is broken: {error}") from error
    storages = cast("dict[str, Any]", config).get("storages", {}) if isinstance(config, dict) else None
    if not isinstance(storages, dict) or not all(
        isinstance(v, dict) for v in cast("dict[str, Any]", storages).values()
    ):
        raise exc.InvalidStorageConfigurationError(f"the configuration {path} needs tables [storages.NAME]")
    return cast("dict[str, dict[str, Any]]", storages)


def _user_config() -> Path:
    from pathlib import Path

    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "file-keeper"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "file-keeper"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "file-keeper"


def find_config() -> Path | None:
    """Find the configuration: ``FILE_KEEPER_CONFIG``, else the nearest ``.file-keeper.toml`` or ``.file-keeper.json``
    upward from the current directory, else ``storages.toml`` or ``storages.json`` in the user's config directory
    (``file-keeper`` in ``XDG_CONFIG_HOME``, ``~/.config``, ``~/Library/Application Support`` or ``%APPDATA%``).
    """
    from pathlib import Path

    if named := os.environ.get("FILE_KEEPER_CONFIG"):
        return Path(named)
    try:
        here = Path.cwd()
        folders = [here, *here.parents]
    except FileNotFoundError:
        folders: list[Path] = []  # the current directory was removed
    candidates = [folder / f".file-keeper.{kind}" for folder in folders for kind in ("toml", "json")]
    try:
        candidates += [_user_config() / f"storages.{kind}" for kind in ("toml", "json")]
    except RuntimeError:
        pass  # no home directory
    return next((path for path in candidates if path.is_file()), None)


def configured() -> dict[str, dict[str, Any]]:
    """Give the settings of all storages of the configuration; empty when there is none."""
    path = find_config()
    return _read_config(path) if path else {}


def get_storage(name: str, settings: Mapping[str, Any] | None = None) -> Storage:
    """Give the storage of that name of this process; it is made when it is first asked for.

    :param settings: make the storage of that name, anew when they are others; without them they are read from the
        configuration (:func:`find_config`), a table ``[storages.NAME]`` with the same keys
    :raises UnknownStorageError: listing the names that are known
    """
    with _lock:
        if settings is not None:
            made = _given.get(name)
            if name in _named and made == settings:
                return _named[name]
            _given[name] = dict(settings)
            _named[name] = make_storage(name, settings)
        elif name not in _named:
            known = configured()
            if name not in known:
                names = sorted({*_named, *known})
                raise exc.UnknownStorageError(
                    f"unknown storage {name!r}{near_miss(name, names) or ':'} "
                    + (f"known are {', '.join(names)}" if names else "none is configured"),
                    storage=name,
                )
            _named[name] = make_storage(name, known[name])
        return _named[name]
