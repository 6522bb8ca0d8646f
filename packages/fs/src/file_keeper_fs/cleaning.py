"""Removing what killed writers left, and what else lies under the reserved name: nothing there ends the search.

Only what is ours by its name is removed, whatever kind of thing has it: a link, a pipe, a directory with anything in
it. What cannot be removed, or is not ours, is passed over with a warning, and what follows is looked at.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
import secrets
import stat
import time
from collections.abc import Generator, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from file_keeper import exc
from file_keeper.location import MAX_KEY, RESERVED

from . import attributes, locks
from .directory import Directory, is_text
from .errors import NO_FILE
from .place import STAGED
from .tree import LOCK, Tree, locked

log = logging.getLogger("file_keeper")

DROPPED = "old-"
"""What the directories of uploads that are being removed begin with."""
NEW = "new-"
"""What the directories of uploads that are being begun begin with."""
META = "meta.json"
SCRATCH = frozenset(("sessions", "incoming"))
"""The directories of the core under the reserved segment."""
ID = re.compile(r"[0-9a-f]{32}")

_TRIES = 100
_DEEP = 32


def pass_over(where: str, reason: object) -> None:
    """Log that something is left as it is."""
    log.warning("%r is passed over: %s", where, reason)


@contextlib.contextmanager
def passing(where: str) -> Generator[None]:
    """Go on after an error of the system, with a warning; in silence when it is only that something went away."""
    try:
        yield
    except FileNotFoundError:
        pass
    except OSError as error:
        pass_over(where, (error.strerror or str(error)).lower())
    except exc.FilesError as error:
        if isinstance(error, exc.InvalidStorageConfigurationError):
            raise  # the storage itself is not there
        pass_over(where, error.message)


def remove(hold: Directory, name: str) -> bool:
    """Remove anything that has a name in ``.file-keeper``; return whether that was done.

    A directory in a directory is moved up and removed as one of its own: no depth is too deep. What a kill or an error
    leaves of it is found by the next ``cleanup``.
    """
    if not stat.S_ISDIR(hold.lstat(name).st_mode):
        hold.unlink(name)
        return True
    left = [name]
    while left:
        for _ in range(_TRIES):
            with hold.sub(left[-1]) as found:
                deeper = _empty(hold, found)
            try:
                hold.rmdir(left[-1])
            except OSError as error:
                # A writer who had opened it before put another part into it.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                left[-1:-1] = deeper
            else:
                left[-1:] = deeper
                break
        else:
            return False
    return True


def _empty(hold: Directory, found: Directory) -> list[str]:
    """Remove the files in a directory; return the new names of the directories that were in it."""
    deeper: list[str] = []
    for entry in found.names():
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(found.lstat(entry).st_mode):
                moved = DROPPED + secrets.token_hex(16)
                found.rename(entry, hold, moved)
                deeper.append(moved)
            else:
                found.unlink(entry)
    return deeper


def holds(tree: Tree, prefix: str) -> Iterator[tuple[str, Directory, Directory]]:
    """Find every ``.file-keeper``: give the key of the directory that it is in, that directory, and itself."""
    top = prefix[: prefix.rfind("/") + 1]
    stack = [top]
    while stack:
        key = stack.pop()
        # What is wrong with the storage's own directory is an error of the call.
        with passing(key) if key != top else contextlib.nullcontext(), contextlib.ExitStack() as opened:
            try:
                above = opened.enter_context(tree.walk(key.split("/")[:-1]))
                names = above.folders()
            except OSError as error:
                if error.errno in NO_FILE:
                    continue
                raise
            for name in names:
                deeper = f"{key}{name}/"
                # Below the longest name of a file there is nothing of ours, however deep it goes.
                within = len(deeper.encode("utf-8", "surrogateescape")) < MAX_KEY
                if within and name != RESERVED and (deeper.startswith(prefix) or prefix.startswith(deeper)):
                    stack.append(deeper)
            if RESERVED in names:
                hold = opened.enter_context(above.sub(RESERVED))
                # The core keeps unpublished objects below it, which are staged as everything is.
                stack.extend(f"{key}{RESERVED}/{name}/" for name in hold.folders() if name in SCRATCH)
                yield key, above, hold


def cleanup(tree: Tree, prefix: str, older_than: float) -> int:
    """Remove what killed writers left: staging files, half-made and half-removed uploads, sidecars of no file.

    A living writer holds the lock of its staging file; a sidecar is written and its file published under the lock of
    the directory. So nothing is taken from the living, however young it is.
    """
    count = 0
    before = time.time() - older_than
    for folder, above, hold in holds(tree, prefix):
        where = f"{folder}{RESERVED}/"
        names: list[str] = []
        with passing(where):
            names = hold.names()
        for name in names:
            with passing(where + name):
                count += _sweep(hold, name, before, where)
        if any(name.endswith(attributes.SIDECAR) for name in names):
            with passing(where), locked(tree, above, alone=True, needed=False):
                count += _sweep_sidecars(above, hold, before, where)
        tidy(tree, folder.split("/")[:-1])
    return count


def _sweep(hold: Directory, name: str, before: float, where: str) -> int:
    """Remove one thing under the reserved name if it is a dead one's; return how many things that were."""
    st = hold.lstat(name)
    is_folder, is_old = stat.S_ISDIR(st.st_mode), st.st_mtime <= before
    if name.startswith(STAGED) or name == LOCK:
        return _sweep_staged(hold, name, before) if stat.S_ISREG(st.st_mode) else is_old and remove(hold, name)
    if name.startswith((NEW, DROPPED)):
        return is_old and remove(hold, name)
    if ID.fullmatch(name):
        # Uploads are the core's to end, which asks for them by ``uploads``: what is none has our name and no other use.
        return is_old and not (is_folder and _is_upload(hold, name)) and remove(hold, name)
    if name in SCRATCH:
        if not is_folder:
            return is_old and remove(hold, name)
        return _sweep_scratch(hold, name, before, f"{where}{name}/")
    if not name.endswith(attributes.SIDECAR):
        pass_over(where + name, "it is not ours")
    return 0


def _sweep_staged(hold: Directory, name: str, before: float) -> bool:
    if hold.closes:
        if name == LOCK:
            return False  # whoever needs it next takes it away
        # A living writer must close its file, and with that gives up its lock, before it can publish it.
        before = min(before, time.time() - 60)
    if hold.lstat(name).st_mtime > before:
        return False
    fd, _ = hold.open(name)
    try:
        if not locks.try_lock(fd):
            return False
        hold.unlink(name)
        return True
    finally:
        os.close(fd)


def _sweep_scratch(hold: Directory, name: str, before: float, where: str, depth: int = 1) -> int:
    """Remove what no object of the core can be, and empty directories; the objects are the core's to remove."""
    count = 0
    is_old = hold.lstat(name).st_mtime <= before
    with hold.sub(name) as folder:
        for entry in folder.names():
            with passing(where + entry):
                st = folder.lstat(entry)
                if stat.S_ISDIR(st.st_mode) and is_text(entry) and depth < _DEEP:
                    if entry != RESERVED:
                        count += _sweep_scratch(folder, entry, before, f"{where}{entry}/", depth + 1)
                elif st.st_mtime <= before and not (stat.S_ISREG(st.st_mode) and is_text(entry)):
                    count += remove(folder, entry)
    if is_old:
        with contextlib.suppress(OSError):
            hold.rmdir(name)
    return count


def _sweep_sidecars(above: Directory, hold: Directory, before: float, where: str) -> int:
    valid: set[str] = set()
    for name in above.names():
        with contextlib.suppress(OSError):
            st = above.lstat(name)
            if stat.S_ISREG(st.st_mode):
                valid.update((attributes.sidecar_name(name, st), attributes.seal_name(name)))
    count = 0
    for name in hold.names():
        if name.endswith(attributes.SIDECAR) and name not in valid:
            with passing(where + name):
                if hold.lstat(name).st_mtime <= before:
                    count += remove(hold, name)
    return count


def meta_of(parts: Directory) -> dict[str, Any]:
    """Return what the directory of an upload says of it; nothing when it is none."""
    fd, _ = parts.open(META)
    try:
        found: Any = json.loads(os.read(fd, 1 << 16))
    except (ValueError, RecursionError):
        return {}
    finally:
        os.close(fd)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _is_upload(hold: Directory, name: str) -> bool:
    try:
        with hold.sub(name) as parts:
            meta = meta_of(parts)
            datetime.fromtimestamp(float(meta["started"]), UTC)
            return isinstance(meta["name"], str)
    except (FileNotFoundError, ValueError, KeyError, TypeError, OverflowError):
        return False


def tidy(tree: Tree, segments: Sequence[str]) -> None:
    """Remove ``.file-keeper`` when it is empty, and the directories above it that are then."""
    with contextlib.suppress(OSError, exc.FilesError), tree.walk(segments) as found:
        found.rmdir(RESERVED)
    tree.prune(segments)
