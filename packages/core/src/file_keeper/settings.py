"""One dictionary in, validated settings out.

A backend declares its options as fields of a frozen dataclass that extends :class:`Settings`::

    @dataclass(frozen=True, kw_only=True)
    class S3Settings(Settings):
        bucket: str = option("text", required=True)
        secret: str = option("text", secret=True)

``parse`` checks a user's dictionary against them. References (``{"env": "NAME"}``, ``{"file": "/run/secrets/x"}``)
stay references until :meth:`Settings.resolve` reads them.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import os
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self, TypeVar, cast

from . import exc, hashing
from .location import normalize_path

S = TypeVar("S", bound="Settings")

Kind = Literal["text", "bool", "int", "size", "duration", "mapping", "texts", "any"]

_UNITS = {"": 1, "b": 1} | {
    f"{prefix}{suffix}": base**power
    for power, prefix in enumerate(("k", "m", "g", "t", "p"), 1)
    for suffix, base in (("ib", 1024), ("b", 1000), ("", 1024))
}
_TIMES = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")


def parse_filesize(value: int | str) -> int:
    """Give the number of bytes of ``8388608``, ``"8MiB"``, ``"8 MB"`` (10⁶ bytes each) or ``"8M"`` (2²⁰ each).

    :raises ValueError: for anything else
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    if not found or found[2].lower() not in _UNITS:
        raise ValueError(f"{value!r} is not a size such as 8388608 or '8MiB'")
    unit = _UNITS[found[2].lower()]
    return round(float(found[1]) * unit) if "." in found[1] else int(found[1]) * unit


def humanize_filesize(size: int, base: int = 1024) -> str:
    """Give a number of bytes for people: ``1536`` is ``"1.5 KiB"``; with a `base` of 1000, ``"1.54 KB"``.

    :raises ValueError: for a negative size, or another base than 1000 and 1024
    """
    if size < 0:
        raise ValueError("a size is not negative")
    if base not in (1000, 1024):
        raise ValueError("the base is 1000 or 1024")
    suffix = "iB" if base == 1024 else "B"
    value, unit = float(size), 0
    while round(value, 2) >= base and unit < 5:
        value, unit = value / base, unit + 1
    number = f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{number} {'KMGTP'[unit - 1] + suffix if unit else 'B'}"


def parse_duration(value: float | str) -> float:
    """Give the seconds of ``30``, ``"30s"``, ``"5m"``, ``"1.5h"`` or ``"7d"``.

    :raises ValueError: for anything else
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
        return float(value)
    found = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    if not found or found[2].lower() not in _TIMES:
        raise ValueError(f"{value!r} is not a duration such as 30 or '30s'")
    return float(found[1]) * _TIMES[found[2].lower()]


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """A value that stands elsewhere: in the environment or in a file. It is read when it is needed."""

    kind: Literal["env", "file"]
    name: str

    def read(self) -> str:
        """Give the value; a file's without the line break at its end.

        :raises MissingStorageConfigurationError: when the variable or the file is not there
        """
        if self.kind == "env":
            try:
                return os.environ[self.name]
            except KeyError:
                raise exc.MissingStorageConfigurationError(f"the environment variable {self.name} is not set") from None
        try:
            with open(self.name, encoding="utf-8", newline="") as file:
                return file.read().removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeError) as error:
            raise exc.MissingStorageConfigurationError(f"the file {self.name} cannot be read: {error}") from error

    def __repr__(self) -> str:
        return repr({self.kind: self.name})


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


def _empty() -> Mapping[str, Any]:
    return types.MappingProxyType({})


def option(
    kind: Kind,
    default: Any = None,
    *,
    aliases: Sequence[str] = (),
    required: bool = False,
    secret: bool = False,
    live: bool = False,
    choices: Sequence[str] = (),
    later: bool = False,
) -> Any:
    """Declare an option as a field of a :class:`Settings`.

    :param kind: ``text``, ``bool``, ``int``, ``size`` (bytes), ``duration`` (seconds), ``mapping``, ``texts`` (a list
        of text), ``any``
    :param default: its value when it is not given; ``""`` for texts, an empty mapping or tuple for those kinds
    :param aliases: other names that it is also accepted under
    :param required: must be given
    :param secret: is shown nowhere
    :param live: holds an object of the program (a client): such a storage cannot be pickled
    :param choices: the texts that are allowed
    :param later: known, but not in this version yet
    """
    facts = Option(kind, tuple(aliases), required, secret, live, tuple(choices), later)
    metadata = {"option": facts}
    if default is None and kind == "mapping":
        return dataclasses.field(default_factory=_empty, metadata=metadata)
    if default is None:
        default = {"text": "", "texts": (), "bool": False}.get(kind)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """A type of ours: its distribution and the options that only it has."""

    distribution: str
    options: frozenset[str]
    extra: str


# The one table of types, so that blocks and options are recognised of a provider that is not installed.
KNOWN: dict[str, Known] = {
    f"file_keeper:{name}": Known(f"file-keeper-{distribution}", frozenset(own.split()), name)
    for name, distribution, own in (
        ("memory", "core", ""),
        ("null", "core", ""),
        ("fs", "fs", "root attributes fsync base_url signing_key"),
        (
            "s3",
            "s3",
            "key secret session_token profile region endpoint public_endpoint config checksums conditional_writes"
            " addressing client sse kms_key storage_class anonymous verify proxies"
            " access_key access_key_id aws_access_key_id secret_key secret_access_key aws_secret_access_key"
            " aws_session_token profile_name region_name endpoint_url addressing_style server_side_encryption"
            " kms_key_id",
        ),
        (
            "gcs",
            "gcs",
            "bucket_name project_id project credentials_file credentials endpoint client_options public_endpoint client"
            " anonymous storage_class iam_endpoint",
        ),
        (
            "azure",
            "azure",
            "container container_name account_name account_key account_url connection_string sas_token credential"
            " public_endpoint client anonymous",
        ),
        ("libcloud", "libcloud", "provider key secret params container_name public_prefix driver"),
    )
}
ALIASES: dict[str, str] = {name.partition(":")[2]: name for name in KNOWN} | {
    "file_keeper:azure_blob": "file_keeper:azure"
}
"""Short names of the types of ours, and their full ones."""


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Settings:
    """The options that every storage has. Sizes are in bytes, durations in seconds.

    :param path: a prefix in the bucket that is kept to, such as ``tenant/1``; for fs a directory
    :param initialize: create what is missing: the bucket, the container, the directory
    :param overwrite_existing: whether writing replaces a file that is there; each call may say otherwise
    :param hashing_algorithm: of the hash that every file has: hashlib's of a fixed length, ``crc32c``, ``crc64nvme``
    :param location_transformers: names of those that ``prepare_location`` applies, in order
    :param disabled_capabilities: names of capabilities that this storage shall not have
    :param metadata: that every upload gets
    :param headers: that every upload gets: ``Cache-Control``, ``Content-Disposition``, ``Content-Encoding``,
        ``Content-Language``
    :param part_size: bytes of a part of a large upload
    :param multipart_threshold: up to this size a file is sent in one request
    :param max_concurrency: parts or ranges of one transfer that are under way at a time
    :param timeout: seconds without a byte, also to connect
    :param retry: how what fails in passing is repeated: ``attempts``, and ``timeout`` for one request with its repeats
    :param circuit_breaker: when calls fail at once instead of being sent: ``failures``, ``reset``
    :param limits: how much may be under way at a time, and how fast
    :param telemetry: whether and how what happens is told
    """

    name: str = option("text")
    type: str = option("text")
    bucket: Any = option("text")
    path: str = option("text")
    initialize: bool = option("bool", False)
    overwrite_existing: bool = option("bool", False)
    hashing_algorithm: str = option("text", "md5")
    location_transformers: tuple[str, ...] = option("texts")
    disabled_capabilities: tuple[str, ...] = option("texts")
    metadata: Mapping[str, str] = option("mapping")
    headers: Mapping[str, str] = option("mapping")
    part_size: int = option("size", 8 << 20)
    multipart_threshold: int = option("size", -1)
    max_concurrency: int = option("int", 4)
    timeout: float = option("duration", 60.0)
    retry: Any = option("any", later=True)
    circuit_breaker: Any = option("any", later=True)
    limits: Any = option("any", later=True)
    telemetry: Any = option("any", later=True)

    given: frozenset[str] = dataclasses.field(default=frozenset(), compare=False)
    """The names of the options that were given, not defaulted."""
    raw: Mapping[str, Any] = dataclasses.field(default_factory=_empty, compare=False)
    """The dictionary as it was given: what travels when a storage is pickled."""

    absolute_path: ClassVar[bool] = False
    """Whether ``path`` may be absolute (fs)."""

    @classmethod
    def options(cls) -> dict[str, Option]:
        """Give the options by name."""
        return {f.name: f.metadata["option"] for f in dataclasses.fields(cls) if "option" in f.metadata}

    @classmethod
    def own(cls) -> dict[str, Option]:
        """Give the options that only this type has, or has otherwise than the common ones."""
        common = Settings.options()
        return {name: known for name, known in cls.options().items() if common.get(name) != known}

    def validate(self) -> None:
        """Check what concerns several options; a backend extends it. Raise without the storage's name.

        :raises InvalidStorageConfigurationError: saying which option is wrong and what would be right
        """

    def resolve(self) -> Self:
        """Give the same settings with every reference read, now.

        :raises MissingStorageConfigurationError: when one cannot be
        """
        found = {
            name: _convert(name, known, value.read())
            for name, known in self.options().items()
            if isinstance(value := getattr(self, name), Reference)
        }
        return dataclasses.replace(self, **found) if found else self

    def live(self) -> str:
        """Give the name of an option that holds an object of the program, ``""`` if none does."""
        for name, known in self.options().items():
            value = getattr(self, name)
            if value is not None and (known.live or (name == "bucket" and not isinstance(value, str | Reference))):
                return name
        return ""

    def __repr__(self) -> str:
        shown = (
            f"{name}={_shown(known, getattr(self, name))}"
            for name, known in self.options().items()
            if name in self.given
        )
        return f"{type(self).__name__}({', '.join(shown)})"


_USERINFO = re.compile("(//[^/@\\s:]*):[^/\\s]*@")


def _shown(known: Option, value: Any) -> str:
    """Give a value as it may be shown: no secret, no inside of an object of the program."""
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
        return _USERINFO.sub(r"\1:***@", repr(cast("object", value)))
    return f"<a {type(value).__name__}>"


def _wrong(name: str, kind: str, value: Any, known: Option) -> exc.InvalidStorageConfigurationError:
    hidden = known.secret or isinstance(value, Mapping)
    shown = (
        f"a {type(cast('object', value)).__name__}"
        if hidden
        else _USERINFO.sub(r"\1:***@", repr(cast("object", value)))
    )
    return exc.InvalidStorageConfigurationError(f"option {name!r} must be {kind}, not {shown}")


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


def _convert(name: str, known: Option, value: Any) -> Any:
    if known.kind == "any":
        # A bucket may be an object of the program, but a reference to its name is one here as well.
        return (_reference(name, value) or value) if name == "bucket" else value
    if known.kind in ("text", "bool", "int", "size", "duration") and (found := _reference(name, value)):
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


def near_miss(word: str, words: Iterable[str]) -> str:
    """Give ``, did you mean 'x'?`` for the nearest of `words`, ``""`` when none is near."""
    import difflib

    found = difflib.get_close_matches(word, list(words), 1)
    return f", did you mean {found[0]!r}?" if found else ""


@functools.cache
def _option_owners() -> dict[str, list[str]]:
    owners: dict[str, list[str]] = {}
    for name, known in KNOWN.items():
        for entry in known.options:
            owners.setdefault(entry, []).append(name)
    return owners


def _flatten(raw: Mapping[str, Any], short: str) -> dict[str, Any]:
    """Take the block of this provider out, merge it, and leave the blocks of others aside."""
    blocks = {short, *(name.partition(":")[2] for name in KNOWN)}
    flat = {
        key: value
        for key, value in raw.items()
        if not (key in blocks and (value is None or isinstance(value, Mapping)))
    }
    block = raw.get(short)
    if isinstance(block, Mapping):
        for key, value in cast("Mapping[str, Any]", block).items():
            if key in flat and flat[key] != value:
                raise exc.InvalidStorageConfigurationError(
                    f"option {key!r} stands in the dictionary and in its block {short!r}: keep one of them"
                )
            flat[key] = value
    return flat


def _unknown(key: str, cls: type[Settings], kind: str, names: Mapping[str, str]) -> exc.FilesError:
    owners = [owner for owner in _option_owners().get(key, ()) if owner != kind]
    if owners:
        short = owners[0].partition(":")[2]
        return exc.InvalidStorageConfigurationError(
            f"{key!r} is an option of {' and '.join(owners)}, not of {kind or cls.__name__}: "
            f"put it into a block of its own, {{{short!r}: {{{key!r}: ...}}}}, to keep it in this dictionary"
        )
    return exc.InvalidStorageConfigurationError(f"unknown option {key!r}{near_miss(key, names)}")


def parse(cls: type[S], name: str, raw: Mapping[str, Any], kind: str = "") -> S:
    """Check a user's dictionary and give the settings of `cls`; `raw` is not changed.

    :param name: of the storage
    :param kind: the full name of the type
    :raises InvalidStorageConfigurationError: naming the storage, the option and the remedy
    """
    try:
        return _parse(cls, name, raw, kind)
    except exc.InvalidStorageConfigurationError as error:
        # A backend that refuses an address may show it, with a password in it.
        error.message = _USERINFO.sub(r"\1:***@", error.message)
        error.args = (error.message,)
        error.within(storage=name)
        raise


def _parse(cls: type[S], name: str, raw: Mapping[str, Any], kind: str) -> S:
    options = cls.options()
    names = {key: key for key in options} | {alias: key for key, known in options.items() for alias in known.aliases}
    values: dict[str, Any] = {}
    for key, value in _flatten(raw, kind.partition(":")[2]).items():
        if not isinstance(key, str) or key not in names:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise _unknown(str(key), cls, kind, names)
        target = names[key]
        known = options[target]
        if value is None:
            continue
        if known.later:
            raise exc.InvalidStorageConfigurationError(f"option {key!r} is not in this version yet")
        if target in values:
            raise exc.InvalidStorageConfigurationError(f"option {target!r} is given twice, also as {key!r}")
        values[target] = _convert(key, known, value)
    values["name"], values["type"] = name, kind
    for key, known in options.items():
        if known.required and values.get(key) in (None, ""):
            raise exc.MissingStorageConfigurationError(f"option {key!r} is required")
    # What the core itself works with is read now; what a backend builds its client from, when it does.
    for key, value in values.items():
        if isinstance(value, Reference) and key in _COMMON:
            values[key] = _convert(key, options[key], value.read())
    settings = cls(**values, given=frozenset(values), raw=types.MappingProxyType(dict(raw)))
    return _checked(settings)


_COMMON = frozenset(Settings.options())


def _checked(settings: S) -> S:
    changes: dict[str, Any] = {}
    path = settings.path
    if not (settings.absolute_path and (path.startswith(("/", "~")) or os.path.splitdrive(path)[0])):
        changes["path"] = normalize_path(path)
    if isinstance(settings.bucket, str) and settings.bucket:
        bucket = normalize_path(settings.bucket, "bucket")
        if "/" in settings.bucket:
            raise exc.InvalidStorageConfigurationError(
                f"bucket {settings.bucket!r} must be one name without '/': what follows it belongs into 'path'"
            )
        if not bucket:
            raise exc.InvalidStorageConfigurationError(f"bucket {settings.bucket!r} is not a name")
    if not hashing.digest_size(settings.hashing_algorithm):
        raise exc.InvalidStorageConfigurationError(
            f"unknown hashing_algorithm {settings.hashing_algorithm!r}"
            + (
                near_miss(settings.hashing_algorithm.lower(), hashing.NAMES)
                or f": one of hashlib's with a fixed length, {' or '.join(hashing.CRCS)}"
            )
        )
    for key, least in (("part_size", 1), ("max_concurrency", 1)):
        if getattr(settings, key) < least:
            raise exc.InvalidStorageConfigurationError(f"option {key!r} must be at least {least}")
    if settings.timeout <= 0:
        raise exc.InvalidStorageConfigurationError("option 'timeout' must be more than 0")
    if settings.multipart_threshold < 0:
        changes["multipart_threshold"] = settings.part_size
    settings = dataclasses.replace(settings, **changes)
    settings.validate()
    return settings
