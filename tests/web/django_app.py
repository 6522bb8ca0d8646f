"""A Django application with one view, under WSGI and under ASGI, in the project of Django's own tests."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path
from typing import Any

import django

sys.path.insert(0, str(Path(__file__).parents[1] / "django_storage" / "project"))
os.environ["DJANGO_SETTINGS_MODULE"] = "gallery.settings"
django.setup()

import file_keeper as fk  # noqa: E402
from django.core.handlers.asgi import ASGIHandler  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.http import HttpRequest  # noqa: E402
from django.http.response import HttpResponseBase  # noqa: E402
from django.urls import path  # noqa: E402
from file_keeper_web.django import send_file  # noqa: E402


def _urls(storage: fk.Storage, sending: dict[str, Any]) -> Any:
    def read(request: HttpRequest, location: str) -> HttpResponseBase:
        return send_file(request, storage, location, **sending)

    urls: Any = types.ModuleType("urls")
    urls.urlpatterns = [path("files/<path:location>", read)]
    return urls


def wsgi_app(storage: fk.Storage, sending: dict[str, Any], _: dict[str, Any]) -> Any:
    urls = _urls(storage, sending)

    class Handler(WSGIHandler):
        def get_response(self, request: Any) -> Any:
            request.urlconf = urls
            return super().get_response(request)

    return Handler()


def asgi_app(storage: fk.Storage, sending: dict[str, Any], _: dict[str, Any]) -> Any:
    urls = _urls(storage, sending)

    class Handler(ASGIHandler):
        async def get_response_async(self, request: Any) -> Any:
            request.urlconf = urls
            return await super().get_response_async(request)

    return Handler()
