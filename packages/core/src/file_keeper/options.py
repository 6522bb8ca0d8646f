"""One option: what is known of it, how its value is checked, and how it may be shown."""

from __future__ import annotations

import copy
import dataclasses
import re
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, cast

from . import exc
from .references import Reference
from .units import parse_duration, parse_filesize

Kind = Literal["text", "bool", "int", "size", "duration", "mapping", "texts", "keys", "any"]


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """What is known of an option, kept with its field."""

    kind: Kind
    aliases: tuple[str, ...] = ()
    required: bool = False
    secret: bool = False
    live: bool = False
    choices: tuple[str, ...] = ()
    later: bool = False


_USERINFO = re.compile("(//[^/@\\s:]*):[^/\\s]*@")


def without_password(text: str) -> str:
    """Return a text with the passwords in its addresses hidden."""
    return _USERINFO.sub(r"\1:***@", text)


def shown(known: Option, value: Any) -> str:
    """Return a value as it may be shown: no secret, no inside of an object of the program."""
    if isinstance(value, Reference):
        return repr(value)
    if known.secret:
        return "***"
    if isinstance(value, Mapping):
        # Of options such as ``config`` or ``params`` nobody knows which values are secrets.
        return (
            f"<{', '.join(map(str, cast('Mapping[Any, Any]', value)))}>" if known.kind == "mapping" else "<a mapping>"
        )
    if isinstance(value, str | int | float | tuple):
        return without_password(repr(cast("object", value)))
    return f"<a {type(value).__name__}>"


def _wrong(name: str, kind: str, value: Any, known: Option) -> exc.InvalidStorageConfigurationError:
    hidden = known.secret or isinstance(value, Mapping)
    told = f"a {type(cast('object', value)).__name__}" if hidden else without_password(repr(cast("object", value)))
    return exc.InvalidStorageConfigurationError(f"option {name!r} must be {kind}, not {told}")


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false", "yes", "no", "on", "off", "1", "0"):
        return value.lower() in ("true", "yes", "on", "1")
    raise ValueError


def _to_int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError
    return int(value)


def _to_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _to_texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(filter(None, (part.strip() for part in value.split(","))))
    if not isinstance(value, Iterable) or isinstance(value, Mapping):
        raise ValueError
    return tuple(_to_text(item) for item in cast("Iterable[Any]", value))


def _to_keys(value: Any) -> tuple[str, ...]:
    # A text is one key as it is: it may hold commas.
    keys = (value,) if isinstance(value, str) else _to_texts(value)
    if not all(keys):
        raise ValueError
    return keys


def _to_mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in cast("Mapping[Any, Any]", value)):
        raise ValueError
    return types.MappingProxyType(copy.deepcopy(dict(cast("Mapping[str, Any]", value))))


_KINDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "text": ("text", _to_text),
    "bool": ("true or false", _to_bool),
    "int": ("a whole number", _to_int),
    "size": ("a size such as 8388608 or '8MiB'", parse_filesize),
    "duration": ("a duration such as 30 or '30s'", parse_duration),
    "keys": ("a key or a list of keys, none of them empty", _to_keys),
    "mapping": ("a mapping", _to_mapping),
    "texts": ("a list of text", _to_texts),
}


def _reference(name: str, value: Any) -> Reference | None:
    if not isinstance(value, Mapping) or len(cast("Mapping[Any, Any]", value)) != 1:
        return None
    ((kind, target),) = cast("Mapping[Any, Any]", value).items()
    if kind not in ("env", "file"):
        return None
    if not isinstance(target, str) or not target:
        raise exc.InvalidStorageConfigurationError(f"option {name!r}: {{{kind!r}: ...}} needs a name")
    return Reference(kind, target)


def convert(name: str, known: Option, value: Any) -> Any:
    """Return the value of an option in its own kind, a reference as the reference.

    :raises InvalidStorageConfigurationError: when it is of another kind, without showing a secret
    """
    if known.kind == "any":
        # A bucket may be an object of the program, but a reference to its name is one here as well.
        return (_reference(name, value) or value) if name == "bucket" else value
    if known.kind in ("text", "bool", "int", "size", "duration", "keys") and (found := _reference(name, value)):
        return found
    kind, function = _KINDS[known.kind]
    try:
        result = function(value)
    except (ValueError, TypeError, AttributeError):
        raise _wrong(name, kind, value, known) from None
    if known.choices and result not in known.choices:
        raise exc.InvalidStorageConfigurationError(
            f"option {name!r} must be one of {', '.join(known.choices)}, not {value!r}"
        )
    return result


def dereference(name: str, known: Option, reference: Reference) -> Any:
    """Return the value of an option that stands elsewhere; an error shows where it stands, not what it is."""
    value = reference.read()
    try:
        # Where the keys stand elsewhere they stand there one in a line.
        return convert(name, known, value.split() if known.kind == "keys" else value)
    except exc.InvalidStorageConfigurationError:
        kind = f"one of {', '.join(known.choices)}" if known.choices else _KINDS[known.kind][0]
    raise exc.InvalidStorageConfigurationError(f"option {name!r} must be {kind}: what {reference!r} leads to is not")
