"""A real Django project, on each kind of storage in turn."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
import pytest

PROJECT = Path(__file__).with_name("project")

# When tests are collected, so before any of them runs: settings are configured once a process.
sys.path.insert(0, str(PROJECT))
os.environ["DJANGO_SETTINGS_MODULE"] = "gallery.settings"
django.setup()

from django.conf import settings  # noqa: E402
from django.core.files.storage import default_storage, storages  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.signals import setting_changed  # noqa: E402
from django.dispatch import receiver  # noqa: E402
from django.test.utils import override_settings  # noqa: E402
from file_keeper_django import FileKeeperStorage  # noqa: E402

if django.VERSION < (5,):

    @receiver(setting_changed)
    def keep_options(*, setting: str, **_: Any) -> None:
        """Keep the OPTIONS, which Django 4.2 drops from STORAGES that are overridden (not from those of a module)."""
        if setting == "STORAGES":
            storages._backends = dict(settings.STORAGES)


BACKEND = "file_keeper_django.FileKeeperStorage"
KINDS = ("memory", "fs", "s3")
Use = Callable[..., FileKeeperStorage]


def entry(options: dict[str, Any], backend: str = BACKEND) -> dict[str, Any]:
    return {"BACKEND": backend, "OPTIONS": options}


@pytest.fixture(params=KINDS)
def options(request: pytest.FixtureRequest, fresh_settings: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The dictionary of a fresh place of each kind."""
    return fresh_settings(request.param)


@pytest.fixture
def use(tmp_path: Path) -> Iterator[Use]:
    """`use(options, **more)` makes that the default storage of the project until the test ends."""
    active: list[override_settings] = []

    def enable(options: dict[str, Any], staticfiles: dict[str, Any] | None = None, **more: Any) -> FileKeeperStorage:
        static = staticfiles or entry({"type": "memory"})
        overriding = override_settings(STORAGES={"default": entry(options), "staticfiles": static}, **more)
        overriding.enable()
        active.append(overriding)
        found = storages["default"]
        assert isinstance(found, FileKeeperStorage)
        return found

    yield enable
    for overriding in reversed(active):
        overriding.disable()


@pytest.fixture
def storage(use: Use, options: dict[str, Any]) -> FileKeeperStorage:
    """The default storage of the project, of each kind in turn."""
    return use(options)


@pytest.fixture(scope="session")
def tables() -> None:
    call_command("migrate", run_syncdb=True, verbosity=0)


@pytest.fixture
def database(tables: None) -> Iterator[None]:
    """The tables of the project, empty."""
    from django.db import connection
    from gallery.models import Document, Picture

    yield
    Document.objects.all().delete()
    Picture.objects.all().delete()
    connection.close()


class Server:
    """The project behind Django's own server, on a free port; `url` is its address."""

    def __init__(self) -> None:
        from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler, get_internal_wsgi_application

        class Quiet(WSGIRequestHandler):
            def log_message(self, format: str, *args: Any) -> None: ...

        class Closing(ThreadedWSGIServer):
            daemon_threads = False  # so that closing it waits for the requests under way

            def handle_error(self, request: Any, client_address: Any) -> None: ...

        self._server = Closing(("127.0.0.1", 0), Quiet)
        self._server.set_app(get_internal_wsgi_application())
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def stop(self) -> None:
        """End, when the requests under way have ended. It may have been stopped already."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


@pytest.fixture
def server(database: None) -> Iterator[Server]:
    running = Server()
    yield running
    running.stop()


__all__ = ["BACKEND", "KINDS", "Server", "Use", "default_storage", "entry"]
