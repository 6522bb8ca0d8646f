"""Location transformers: from a name that somebody else chose to a location."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from . import exc
from .contenttype import by_extension
from .location import RESERVED, problem
from .settings import near_miss
from .upload import Upload

Transformer = Callable[[str, "Upload | None"], str]
"""Takes a name and the upload, if there is one; gives the name changed."""

_NAMESPACE = "file-keeper:location"


def _split(name: str) -> tuple[str, str]:
    """Return the directory with its ``/``, and the rest."""
    at = name.rfind("/") + 1
    return name[:at], name[at:]


def _extension(name: str) -> str:
    """Return the extension with its dot; a dotfile has none."""
    return os.path.splitext(_split(name)[1])[1]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S-%fZ")


def datetime_prefix(name: str, upload: Upload | None) -> str:
    """``a/b.txt`` becomes ``a/2026-11-23T10-00-00-000000Z-b.txt`` (UTC)."""
    folder, base = _split(name)
    return f"{folder}{_now()}-{base}"


def datetime_with_extension(name: str, upload: Upload | None) -> str:
    """``a/b.txt`` becomes ``a/2026-11-23T10-00-00-000000Z.txt`` (UTC)."""
    return _split(name)[0] + _now() + _extension(name)


def fix_extension(name: str, upload: Upload | None) -> str:
    """Add the extension of the upload's content type to the name, if it has none of that type."""
    if upload is None:
        raise exc.LocationTransformerError("fix_extension needs the upload")
    types = by_extension()
    kind = upload.content_type.partition(";")[0].strip().lower()
    known = [entry for strict in (True, False) for entry in types.guess_all_extensions(kind, strict)]
    found = _extension(name)
    if not known or found.lower() in known:
        return name
    best = types.guess_extension(kind) or known[0]
    return name[: len(name) - len(found)] + best


def safe_relative_path(name: str, upload: Upload | None) -> str:
    """Resolve ``.`` and ``..`` and drop what leads out: ``../../etc/passwd`` becomes ``etc/passwd``.

    A backslash counts as a separator: names come from Windows too. Nothing else is dropped.
    """
    name = name.replace("\\", "/")
    if len(name) > 1 and name[1] == ":" and name[0].isascii() and name[0].isalpha():
        name = name[2:]
    result = posixpath.normpath("/" + name).lstrip("/")
    if not result or RESERVED in result.split("/") or problem(result):
        raise exc.LocationTransformerError(
            f"safe_relative_path: {name!r} cannot be made safe" + (f": {problem(result)}" if result else "")
        )
    return result


def _random() -> str:
    """Return a random UUID, as :func:`uuid.uuid4` does; that module looks at the machine when it is imported."""
    import uuid

    return str(uuid.uuid4())


def uuid4(name: str, upload: Upload | None) -> str:
    """``a/b.txt`` becomes ``a/`` and a random UUID."""
    return _split(name)[0] + _random()


def uuid4_prefix(name: str, upload: Upload | None) -> str:
    """``a/b.txt`` becomes ``a/``, a random UUID, ``-b.txt``."""
    folder, base = _split(name)
    return f"{folder}{_random()}-{base}"


def uuid4_with_extension(name: str, upload: Upload | None) -> str:
    """``a/b.txt`` becomes ``a/``, a random UUID, ``.txt``."""
    return _split(name)[0] + _random() + _extension(name)


def uuid5(name: str, upload: Upload | None) -> str:
    """``a/b.txt`` becomes ``a/`` and a UUID made of the whole name: the same name gives the same one."""
    import uuid

    try:
        return _split(name)[0] + str(uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, _NAMESPACE), name))
    except UnicodeEncodeError:
        raise exc.LocationTransformerError("uuid5: the name has lone surrogates") from None


transformers: dict[str, Transformer] = {
    function.__name__: function
    for function in (
        datetime_prefix,
        datetime_with_extension,
        fix_extension,
        safe_relative_path,
        uuid4,
        uuid4_prefix,
        uuid4_with_extension,
        uuid5,
    )
}
"""The transformers by name; a program adds its own here."""


def apply(names: Iterable[str], name: str, upload: Upload | None) -> str:
    """Put a name through transformers, one after the other.

    :raises LocationTransformerError: when one is unknown or refuses the name
    """
    for entry in names:
        transformer = transformers.get(entry)
        if transformer is None:
            raise exc.LocationTransformerError(
                f"unknown location transformer {entry!r}{near_miss(entry, transformers)}: "
                f"known are {', '.join(sorted(transformers))}"
            )
        name = transformer(name, upload)
    return name
