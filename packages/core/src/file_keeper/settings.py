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

import dataclasses
import os
import types
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar, cast

from . import exc, hashing
from .known import ALIASES, KNOWN, near_miss, option_owners
from .location import normalize_path
from .options import Kind, Option, convert, dereference, shown, without_password
from .references import Reference
from .resilience.allowed import parse_limits
from .resilience.policy import parse_breaker, parse_deadline, parse_retry
from .units import humanize_filesize, parse_duration, parse_filesize

__all__ = [
    "ALIASES",
    "KNOWN",
    "Option",
    "Reference",
    "Settings",
    "humanize_filesize",
    "near_miss",
    "option",
    "parse",
    "parse_duration",
    "parse_filesize",
]

S = TypeVar("S", bound="Settings")


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
        of text), ``keys`` (a secret key, or a list of them), ``any``
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
        default = {"text": "", "texts": (), "keys": (), "bool": False}.get(kind)
    return dataclasses.field(default=default, metadata=metadata)


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
    :param max_buffer_memory: bytes of the part buffers of all uploads together: later uploads wait for their turn
    :param timeout: seconds without a byte, also to connect
    :param verify_reads: whether what is read whole is compared with the hashes kept, the provider's and the recorded
        one: ``auto`` (CRCs always, other hashes up to ``multipart_threshold``), ``always``, ``never``
    :param insecure: credentials out of the environment may go to an ``endpoint`` over plain HTTP
    :param retry: how transient failures are repeated: a number of attempts, false (one), or ``attempts``, ``timeout``
        (seconds for one request with its repeats), ``base`` and ``longest`` (of the pauses between them)
    :param deadline: seconds for one whole call; none by default
    :param circuit_breaker: true, or ``failures`` and ``reset``: after so many calls in a row without an answer further
        ones fail at once, for so many seconds
    :param limits: what is taken: ``max_size`` of a file, ``types`` by its content (patterns such as ``image/*``)
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
    max_buffer_memory: int = option("size", 256 << 20)
    timeout: float = option("duration", 60.0)
    verify_reads: str = option("text", "auto", choices=("auto", "always", "never"))
    insecure: bool = option("bool", False)
    retry: Any = option("any")
    deadline: Any = option("any")
    circuit_breaker: Any = option("any")
    limits: Any = option("any")
    telemetry: Any = option("any", later=True)

    given: frozenset[str] = dataclasses.field(default=frozenset(), compare=False)
    """The names of the options that were given, not defaulted."""
    references: Mapping[str, Reference] = dataclasses.field(default_factory=_empty, compare=False)
    """The options that were read from elsewhere: their values are not shown."""
    raw: Mapping[str, Any] = dataclasses.field(default_factory=_empty, compare=False)
    """The dictionary as it was given: what travels when a storage is pickled."""

    absolute_path: ClassVar[bool] = False
    """Whether ``path`` may be absolute (fs)."""

    bucket_arns: ClassVar[bool] = False
    """Whether ``bucket`` may be the ARN of something that stands for one (S3)."""

    @classmethod
    def options(cls) -> dict[str, Option]:
        """Return the options by name."""
        return {f.name: f.metadata["option"] for f in dataclasses.fields(cls) if "option" in f.metadata}

    @classmethod
    def own(cls) -> dict[str, Option]:
        """Return the options that only this type has, or has otherwise than the common ones."""
        common = Settings.options()
        return {name: known for name, known in cls.options().items() if common.get(name) != known}

    def validate(self) -> None:
        """Check what concerns several options; a backend extends it. Raise without the storage's name.

        :raises InvalidStorageConfigurationError: saying which option is wrong and what would be right
        """

    def resolve(self) -> Self:
        """Return the same settings with every reference read, now.

        :raises MissingStorageConfigurationError: when one cannot be
        """
        references = {name: value for name in self.options() if isinstance(value := getattr(self, name), Reference)}
        if not references:
            return self
        found = {name: dereference(name, self.options()[name], value) for name, value in references.items()}
        known = types.MappingProxyType({**self.references, **references})
        return dataclasses.replace(self, **found, references=known)

    def live(self) -> str:
        """Return the name of an option that holds an object of the program, ``""`` if none does."""
        for name, known in self.options().items():
            value = getattr(self, name)
            if value is not None and (known.live or (name == "bucket" and not isinstance(value, str | Reference))):
                return name
        return ""

    def __repr__(self) -> str:
        parts = (
            f"{name}={shown(known, self.references.get(name) or getattr(self, name))}"
            for name, known in self.options().items()
            if name in self.given
        )
        return f"{type(self).__name__}({', '.join(parts)})"


CHANGEABLE = frozenset(
    ("retry", "deadline", "circuit_breaker", "limits", "timeout", "overwrite_existing", "max_concurrency", "part_size",
     "hashing_algorithm", "verify_reads")
)  # fmt: skip
"""Options that a storage can have otherwise than the one that it shares its connections with."""


def changed(settings: S, changes: Mapping[str, Any]) -> S:
    """Return settings with some options changed; see :data:`CHANGEABLE`.

    :raises InvalidStorageConfigurationError: for another option, or a value that makes no sense
    """
    options = type(settings).options()
    if unknown := [name for name in changes if name not in CHANGEABLE or options[name].later]:
        raise exc.InvalidStorageConfigurationError(
            f"with_options cannot change {', '.join(map(repr, unknown))}, only {', '.join(sorted(CHANGEABLE))}: "
            "make another storage for that"
        )
    values = {name: convert(name, options[name], value) for name, value in changes.items() if value is not None}
    values |= {name: None for name, value in changes.items() if value is None and options[name].kind == "any"}
    if "part_size" in values and "multipart_threshold" not in settings.given:
        values["multipart_threshold"] = -1  # it follows the size of a part
    return _checked(
        dataclasses.replace(
            settings,
            **values,
            given=settings.given | frozenset(values),
            raw=types.MappingProxyType({**settings.raw, **changes}),
        )
    )


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
    owners = [owner for owner in option_owners().get(key, ()) if owner != kind]
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
        error.message = without_password(error.message)
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
        values[target] = convert(key, known, value)
    values["name"], values["type"] = name, kind
    for key, known in options.items():
        if known.required and values.get(key) in (None, ""):
            raise exc.MissingStorageConfigurationError(f"option {key!r} is required")
    # What the core itself works with is read now; what a backend builds its client from, when it does.
    references = {key: value for key, value in values.items() if isinstance(value, Reference) and key in _COMMON}
    values |= {key: dereference(key, options[key], value) for key, value in references.items()}
    try:
        settings = cls(
            **values,
            given=frozenset(values),
            references=types.MappingProxyType(references),
            raw=types.MappingProxyType(dict(raw)),
        )
        return _checked(settings)
    except exc.InvalidStorageConfigurationError as error:
        for key, reference in references.items():
            error.message = _without(error.message, values[key], repr(reference))
        raise


def _without(message: str, value: Any, instead: str) -> str:
    """Put something else into the place of a value, however it is written."""
    if not isinstance(value, str) or not value:
        return message
    message = message.replace(repr(value), instead)
    # A short text may be part of any word.
    return message.replace(value, instead) if len(value) > 3 else message


_COMMON = frozenset(Settings.options())


def _checked(settings: S) -> S:
    changes: dict[str, Any] = {}
    path = settings.path
    if not (settings.absolute_path and (path.startswith(("/", "~")) or os.path.splitdrive(path)[0])):
        changes["path"] = normalize_path(path)
    arn = settings.bucket_arns and str(settings.bucket).startswith("arn:")
    if isinstance(settings.bucket, str) and settings.bucket and not arn:
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
    if settings.max_buffer_memory < settings.part_size:
        if "max_buffer_memory" in settings.given:
            raise exc.InvalidStorageConfigurationError(
                "option 'max_buffer_memory' must be at least that of one part, "
                f"{humanize_filesize(settings.part_size)}: raise it, or lower 'part_size'"
            )
        changes["max_buffer_memory"] = settings.part_size
    if settings.timeout <= 0:
        raise exc.InvalidStorageConfigurationError("option 'timeout' must be more than 0")
    changes["retry"] = parse_retry(settings.retry)
    changes["deadline"] = parse_deadline(settings.deadline)
    changes["circuit_breaker"] = parse_breaker(settings.circuit_breaker)
    changes["limits"] = parse_limits(settings.limits)
    if settings.multipart_threshold < 0:
        changes["multipart_threshold"] = settings.part_size
    settings = dataclasses.replace(settings, **changes)
    settings.validate()
    return settings
