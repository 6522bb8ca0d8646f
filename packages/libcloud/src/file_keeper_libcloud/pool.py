"""Drivers, one for each call under way: Libcloud's are not safe to share between threads."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections import deque
from collections.abc import Generator
from typing import Any

from file_keeper import exc
from file_keeper.settings import Reference
from libcloud.storage.base import Container, Object, StorageDriver
from libcloud.storage.providers import get_driver

from .answers import Witness
from .blocks import Blocks
from .settings import LibcloudSettings, provider_of
from .traits import Traits, traits_of
from .transport import Answer, Trace, install

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# Libcloud's connections are not typed.


def driver_class(settings: LibcloudSettings) -> type[StorageDriver]:
    """Return the class of the driver that the settings mean.

    :raises MissingExtrasError: when it needs a library that is not installed
    """
    if settings.driver is not None:
        return type(settings.driver)
    provider: Any = settings.provider
    # Of the references only this one is read before there is a driver to be made.
    name = provider_of(provider.read() if isinstance(provider, Reference) else provider)
    try:
        return get_driver(name)
    except ImportError as error:
        raise exc.MissingExtrasError(
            f"Libcloud's driver for {name!r} needs a library that is not installed: {error}"
        ) from error


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """A driver that one call has for itself."""

    driver: StorageDriver
    bucket: str
    traits: Traits
    trace: Trace
    blocks: Blocks | None = None

    def container(self) -> Container:
        """Return the container; only where the driver needs to know more than its name is it asked for."""
        if self.traits.plain:
            return Container(self.bucket, {}, self.driver)
        return self.driver.get_container(self.bucket)

    def object(self, key: str) -> Object:
        """Return an object to be read; only where the driver needs to know more than its name is it asked for."""
        if self.traits.plain:
            return Object(key, 0, "", {}, {}, self.container(), self.driver)
        return self.driver.get_object(self.bucket, key)

    def header(self, name: str) -> str:
        """Return a header of the last answer."""
        response = self.trace.response
        return "" if response is None else response.headers.get(name, "")


class Pool:
    """Makes drivers, lends each to one call at a time, and takes it back."""

    def __init__(self, settings: LibcloudSettings, traits: Traits):
        self._settings = settings
        self._traits = traits
        self._free: deque[Held] = deque()
        self._witness = Witness(driver_class(settings).__name__, traits.ids, strict=traits.identified)

    @contextlib.contextmanager
    def lend(self) -> Generator[Held]:
        """Lend a driver. What it raises carries the provider's answer away, for :func:`errors.translate`."""
        free = self._free
        try:
            held = free.pop()
        except IndexError:
            held = self._make()
        held.trace.response = held.trace.advance = None
        try:
            yield held
        except Exception as error:
            if held.trace.response is not None and answer_of(error) is None:
                error.__dict__[_ANSWER] = Answer.of(held.trace.response)
            raise
        finally:
            # After close() or a fork there is another list, which this one does not belong to.
            if free is self._free:
                free.append(held)
            else:
                held.trace.close()

    def _make(self) -> Held:
        settings = self._settings.resolve()
        driver = make_driver(settings)
        trace = install(driver, settings.timeout, self._witness)
        blocks = Blocks(driver.connection) if self._traits.blocks else None
        return Held(driver, settings.bucket, self._traits, trace, blocks)

    def forget(self) -> None:
        """Let go without closing: after a fork the connections are the parent's."""
        self._free = deque()

    def close(self) -> None:
        """Close what is free now, and what is lent when it comes back."""
        free, self._free = self._free, deque()
        while free:
            free.pop().trace.close()


_ANSWER = "file_keeper_answer"


def answer_of(error: BaseException) -> Answer | None:
    """Return the provider's answer that an error came with."""
    return error.__dict__.get(_ANSWER)


def make_driver(settings: LibcloudSettings) -> StorageDriver:
    """Make a driver out of resolved settings, or a copy of the ready one."""
    if settings.driver is not None:
        return _copy(settings.driver)
    cls = driver_class(settings)
    if traits_of(cls).keyed:
        for name in ("key", "secret"):
            if not getattr(settings, name) and name not in settings.params:
                raise exc.MissingStorageConfigurationError(
                    f"option {name!r} is required by Libcloud's driver {cls.__name__}"
                )
    arguments: list[Any] = [settings.key, *([settings.secret] if settings.secret else [])]
    try:
        return cls(*arguments, **settings.params)
    except (TypeError, ValueError) as error:
        raise exc.InvalidStorageConfigurationError(
            f"Libcloud's driver {cls.__name__} does not take these 'key', 'secret' and 'params': {error}"
        ) from error


def _copy(driver: StorageDriver) -> StorageDriver:
    """Return a driver like another, with the credentials but without the connection that it has open."""
    made = copy.copy(driver)
    if getattr(driver, "connection", None) is None:
        return made
    connection: Any = copy.copy(driver.connection)
    connection.driver = made
    connection.connection = None
    signer = getattr(connection, "signer", None)
    if signer is not None:  # of S3: it looks things up in its connection
        connection.signer = copy.copy(signer)
        connection.signer.connection = connection
    made.connection = connection
    return made
