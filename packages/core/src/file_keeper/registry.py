"""From a ``type`` to a backend, lazily; from settings to a storage; from a name to the storage of the process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from . import exc
from .backend import Backend
from .config import configured_names, configured_storage
from .known import ALIASES, KNOWN, meant_type, near_miss
from .settings import parse
from .storage import Storage

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
        """Add or replace an item and return it."""
        self._items[name] = item
        return item

    def unregister(self, name: str) -> None:
        """Take an item out; it may not be there."""
        self._items.pop(name, None)

    def get(self, name: str) -> T | None:
        """Return an item, ``None`` when there is none of that name."""
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


RENAMED = {
    "names": "list",
    "rows": "list",
    "notes": "read_digests",
    "annotate": "store_digests",
    "sweep": "cleanup",
    "forked": "after_fork",
}
"""Verbs of the first version's contract, and what they are called now."""


class Adapters(Registry[type[Backend[Any]]]):
    """Backends by ``type``; one that the core would not understand is refused where it is registered."""

    def register(self, name: str, item: type[Backend[Any]]) -> type[Backend[Any]]:
        """Add or replace a backend and return it.

        :raises InvalidStorageConfigurationError: it has verbs of an earlier contract, or lacks required ones
        """
        where = "see docs/adapters.md, which says what each verb promises"
        if old := [verb for verb in RENAMED if any(verb in vars(one) for one in item.__mro__)]:
            told = ", ".join(f"{verb!r} is {RENAMED[verb]!r} now" for verb in old)
            raise exc.InvalidStorageConfigurationError(
                f"the backend {item.__qualname__} of {name!r} was written for an earlier contract: {told}; {where}"
            )
        if missing := sorted(getattr(item, "__abstractmethods__", ())):
            raise exc.InvalidStorageConfigurationError(
                f"the backend {item.__qualname__} of {name!r} lacks the required {', '.join(missing)}; {where}"
            )
        return super().register(name, item)

    def get(self, name: str) -> type[Backend[Any]] | None:
        """Return a backend, ``None`` when there is none of that type.

        :raises InvalidStorageConfigurationError: as :meth:`register`
        """
        if name not in self._items and name in self._loaders():
            return self.register(name, self._loaders()[name]())
        return super().get(name)


adapters = Adapters(_entry_points)
"""Backends by ``type``: those of installed distributions, and what a program registers."""


def list_adapters() -> list[str]:
    """Return the types that are installed, sorted."""
    return list(adapters)


def full_type(kind: str) -> str:
    """Return the full name of a type: ``fs`` is ``file_keeper:fs``."""
    return kind if kind in adapters else ALIASES.get(kind, kind)


def find_adapter(kind: Any) -> type[Backend[Any]]:
    """Return the backend of a type.

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
        raise exc.UnknownAdapterError(f"{name!r} is not installed: {_install(name)}")
    if meant := meant_type(kind):
        word = ALIASES[meant] if ":" in kind else meant
        hint = f", did you mean {word!r}?"
        if (full := ALIASES[meant]) not in adapters:
            hint += f" It is not installed: {_install(full)}"
    else:
        hint = near_miss(kind, {*adapters, *KNOWN, *ALIASES}) or f", known are {', '.join(adapters)}"
    raise exc.UnknownAdapterError(f"unknown type {kind!r}{hint}")


def _install(full: str) -> str:
    known = KNOWN[full]
    return f'pip install {known.distribution}  (or "file-keeper-core[{known.extra}]")'


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


class _Making:
    """A storage that one thread is making: others that ask for its name wait for it, and for it alone."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.ended = threading.Event()


_named: dict[str, Storage] = {}
_given: dict[str, Mapping[str, Any]] = {}
_making: dict[str, _Making] = {}
_lock = threading.Lock()
"""Guards the three; it is never held while a storage is made, which may ask a service that is slow or silent."""


def _forked() -> None:
    # Another thread of the parent may have held the lock, or be making a storage: it is not here.
    global _lock, _making
    _lock, _making = threading.Lock(), {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def get_storage(name: str, settings: Mapping[str, Any] | None = None) -> Storage:
    """Return the storage of that name of this process; it is made when it is first asked for.

    However many threads ask for a name at once, it is made once; one that is slow to make keeps nobody waiting who
    asks for another. An error is not remembered: the next call tries again.

    :param settings: make the storage of that name, anew when they are others; without them they are read from the
        configuration (:func:`file_keeper.config.find_config`), a table ``[storages.NAME]`` with the same keys
    :raises UnknownStorageError: listing the names that are known
    """
    while True:
        with _lock:
            found = _named.get(name)
            if found is not None and (settings is None or _given.get(name) == settings):
                return found
            other = _making.get(name)
            if other is None:
                mine = _making[name] = _Making()
                break
        if other.thread == threading.get_ident():
            raise exc.InvalidStorageConfigurationError("it is made out of itself", storage=name)
        other.ended.wait()
    try:
        made = make_storage(name, _settings_of(name) if settings is None else settings)
        with _lock:
            _named[name] = made
            if settings is None:
                _given.pop(name, None)
            else:
                _given[name] = dict(settings)
        return made
    finally:
        with _lock:
            if _making.get(name) is mine:
                del _making[name]
        mine.ended.set()


def _settings_of(name: str) -> Mapping[str, Any]:
    found = configured_storage(name)
    if found is None:
        names = sorted({*_named, *configured_names()})
        raise exc.UnknownStorageError(
            f"unknown storage {name!r}{near_miss(name, names) or ':'} "
            + (f"known are {', '.join(names)}" if names else "none is configured"),
            storage=name,
        )
    return found
