"""The OPTIONS of an entry of STORAGES: the dictionary of a storage, and the few options of Django's side of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import file_keeper as fk
from django.conf import settings

Options = Mapping[str, Any]

URL_KINDS = ("auto", "signed", "public")
ALL = "all"


@dataclass(frozen=True)
class Presentation:
    """How the files of a storage are shown to browsers.

    :param url: ``auto`` (public where the storage is, else signed), ``signed`` or ``public``
    :param link_duration: how long a signed link works
    :param inline: media types that may open in the browser beside the safe ones, or ``"all"``
    """

    url: str = "auto"
    link_duration: float | str = 3600
    inline: tuple[str, ...] | str = ()


def split(options: Options, *, url: str = "auto", inline: tuple[str, ...] | str = ()) -> tuple[Presentation, Options]:
    """Return how files are shown, and the rest: the dictionary of the storage, or ``{"storage": NAME}``.

    :param url: the default of that option
    :param inline: the default of that option
    :raises InvalidStorageConfigurationError: naming the option
    """
    rest = dict(options)
    kind = rest.pop("url", url)
    if kind not in URL_KINDS:
        raise _wrong(f"option 'url' is one of {', '.join(map(repr, URL_KINDS))}, not {kind!r}")
    duration = rest.pop("link_duration", 3600)
    _check_duration(duration)
    shown = _inline(rest.pop("inline", inline))
    if "storage" in rest:
        others = sorted(set(rest) - {"storage"})
        if not isinstance(rest["storage"], str) or not rest["storage"]:
            raise _wrong(f"option 'storage' is the name of a configured storage, not {rest['storage']!r}")
        if others:
            raise _wrong(f"option 'storage' names a configured storage: {others[0]!r} belongs into its configuration")
    return Presentation(kind, duration, shown), rest


def _check_duration(duration: Any) -> None:
    try:
        seconds = fk.make_storage("duration", {"type": "null", "timeout": duration}).settings.timeout
    except fk.exc.InvalidStorageConfigurationError:
        seconds = 0
    if duration is None or seconds < 1:
        raise _wrong(f"option 'link_duration' is a duration such as 3600 or '1h', not {duration!r}")


def _inline(value: Any) -> tuple[str, ...] | str:
    if value == ALL:
        return ALL
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        types = tuple(cast("Sequence[Any]", value))
        if all(isinstance(kind, str) and "/" in kind for kind in types):
            return types
    raise _wrong(f"option 'inline' is a list of media types or {ALL!r}, not {value!r}")


def _wrong(message: str) -> fk.exc.FilesError:
    return fk.exc.InvalidStorageConfigurationError(message)


def alias_of(options: Options) -> str:
    """Return the alias in STORAGES that has these options, for names in errors and links; ``""`` when none has."""
    for alias, entry in getattr(settings, "STORAGES", {}).items():
        if isinstance(entry, Mapping) and cast("Options", entry).get("OPTIONS") == options:
            return str(alias)
    return ""


def make_storage(dictionary: Options, alias: str) -> fk.Storage:
    """Make or find the storage that the dictionary describes."""
    if "storage" in dictionary:
        return fk.get_storage(dictionary["storage"])
    return fk.make_storage(str(dictionary.get("name") or alias or "django"), dictionary)
