"""anyio, where it is installed: what is here can be imported without it, and says so when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import exc

if TYPE_CHECKING:
    import anyio
    from anyio import lowlevel
else:
    try:
        import anyio
        from anyio import lowlevel
    except ImportError:
        anyio = lowlevel = None

__all__ = ["anyio", "lowlevel", "require"]


def require() -> None:
    """Check that anyio is there. :raises MissingExtrasError: naming the command that installs it"""
    if not anyio:
        raise exc.MissingExtrasError(
            'storage.aio needs anyio, which is not installed: pip install "file-keeper-core[async]"'
        )
