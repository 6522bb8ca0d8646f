"""The configuration file: where it is found, and whether it may be obeyed.

A file that is found by walking upward may be anybody's: who writes ``/tmp/.file-keeper.toml`` would have the files,
tokens and variables of everyone who works below ``/tmp`` sent to an address of his own. So it must belong to the user
or to root, and nobody else may be able to write it or its folder, as git asks of a repository. What the user names
(``FILE_KEEPER_CONFIG``) or keeps in the own config directory is obeyed as it is.
"""

from __future__ import annotations

import copy
import os
import stat
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from . import exc
from .references import NotRegular, open_regular

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE = "FILE_KEEPER_CONFIG"
_LARGEST = 1 << 20
_KINDS = ("toml", "json")


def _user_folder() -> Path:
    from pathlib import Path

    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "file-keeper"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "file-keeper"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "file-keeper"


def _upward() -> Iterator[Path]:
    from pathlib import Path

    try:
        here = Path.cwd()
    except FileNotFoundError:
        return  # the current directory was removed
    for folder in (here, *here.parents):
        for kind in _KINDS:
            yield folder / f".file-keeper.{kind}"


def _own() -> Iterator[Path]:
    try:
        folder = _user_folder()
    except RuntimeError:
        return  # no home directory
    for kind in _KINDS:
        yield folder / f"storages.{kind}"


def _exists(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False  # also where this user may not look


def find_config() -> Path | None:
    """Find the configuration file.

    ``FILE_KEEPER_CONFIG`` names it, else it is the nearest ``.file-keeper.toml`` or ``.file-keeper.json``
    upward from the current directory, else ``storages.toml`` or ``storages.json`` in the user's config directory
    (``file-keeper`` in ``XDG_CONFIG_HOME``, ``~/.config``, ``~/Library/Application Support`` or ``%APPDATA%``).
    """
    return _find()[0]


def _find() -> tuple[Path | None, bool]:
    """Find the configuration, and whether it was come upon rather than named."""
    from pathlib import Path

    if named := os.environ.get(VARIABLE):
        return Path(named), False
    if found := next(filter(_exists, _upward()), None):
        return found, True
    return next(filter(_exists, _own()), None), False


def configured() -> dict[str, dict[str, Any]]:
    """Return the settings of all storages of the configuration; empty when there is none.

    :raises InvalidStorageConfigurationError: when the file cannot be read, is broken, or others could have written it
    """
    return copy.deepcopy(_current())


def configured_names() -> list[str]:
    """Return the names of the storages of the configuration. :raises InvalidStorageConfigurationError: as above"""
    return list(_current())


def configured_storage(name: str) -> dict[str, Any] | None:
    """Return the settings of one storage of the configuration, ``None`` when it has none of that name.

    :raises InvalidStorageConfigurationError: when the file cannot be read, is broken, or others could have written it
    """
    return copy.deepcopy(_current().get(name))


_last: tuple[Path, str, dict[str, dict[str, Any]]] | None = None


def _current() -> dict[str, dict[str, Any]]:
    # It is found, judged and read each time, since any of that may change; parsing is what costs.
    global _last
    path, walked = _find()
    if path is None:
        return {}
    text = _read(path, walked=walked)
    if (last := _last) is None or last[:2] != (path, text):
        _last = last = (path, text, _parsed(path, text))
    return last[2]


def _read(path: Path, *, walked: bool) -> str:
    wrong = exc.InvalidStorageConfigurationError
    try:
        if not walked:
            return path.read_text("utf-8")
        # What is judged is what is open: the name may lead elsewhere a moment later.
        descriptor, status = open_regular(str(path))
        with os.fdopen(descriptor, "rb") as file:
            _check_trust(path, status)
            data = file.read(_LARGEST + 1)
    except NotRegular:
        raise wrong(f"the configuration {path} is not a regular file") from None
    except OSError as error:
        raise wrong(f"the configuration {path} cannot be read: {error}") from error
    except UnicodeDecodeError:
        raise wrong(f"the configuration {path} is broken: it is not UTF-8") from None
    if len(data) > _LARGEST:
        raise wrong(f"the configuration {path} has more than {_LARGEST >> 20} MiB")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise wrong(f"the configuration {path} is broken: it is not UTF-8") from None


def _parsed(path: Path, text: str) -> dict[str, dict[str, Any]]:
    import json
    import tomllib

    try:
        config: Any = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise exc.InvalidStorageConfigurationError(f"the configuration {path} is broken: {error}") from error
    storages = cast("dict[str, Any]", config).get("storages", {}) if isinstance(config, dict) else None
    if not isinstance(storages, dict) or not all(
        isinstance(v, dict) for v in cast("dict[str, Any]", storages).values()
    ):
        raise exc.InvalidStorageConfigurationError(f"the configuration {path} needs tables [storages.NAME]")
    return cast("dict[str, dict[str, Any]]", storages)


def _check_trust(path: Path, status: os.stat_result) -> None:
    if not hasattr(os, "geteuid"):
        return  # Windows: rights are not in the mode, and a folder of another user is not writable by default
    folders = {path.parent, path.resolve().parent}  # a link is as good as where it leads to
    judged = [("it", status), ("it", os.lstat(path)), *((f"its folder {one}", os.stat(one)) for one in folders)]
    for what, facts in judged:
        if problem := _problem(facts):
            raise exc.InvalidStorageConfigurationError(
                f"the configuration {path} is not obeyed: {what} {problem}, so somebody else may have written it. "
                f"If it is yours, mend that; if you trust it as it is, name it: {VARIABLE}={path}"
            )


def _problem(status: os.stat_result) -> str:
    """Return who else than the user and root may write a file or a folder; ``""`` when nobody may."""
    if status.st_uid not in (os.geteuid(), 0):
        return f"belongs to {_user(status.st_uid)}"
    if stat.S_ISLNK(status.st_mode):
        return ""  # the mode of a link means nothing
    if status.st_mode & stat.S_IWOTH:
        return "may be written by everybody"
    if status.st_mode & stat.S_IWGRP and not _private(status.st_uid, status.st_gid):
        return "may be written by its group"
    return ""


def _user(number: int) -> str:
    import pwd

    try:
        return f"user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"user {number}"


def _private(owner: int, group: int) -> bool:
    """Return whether a group is its owner's alone, as many systems make one for each user (with a umask of 002)."""
    import grp
    import pwd

    try:
        user, members = pwd.getpwuid(owner), grp.getgrgid(group)
    except KeyError:
        return False
    return group == user.pw_gid and members.gr_name == user.pw_name and set(members.gr_mem) <= {user.pw_name}
