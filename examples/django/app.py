"""Files on any storage, with Django, in one file: list, upload (also resumable), download, delete.

    pip install file-keeper-django "file-keeper-web[django]"
    python examples/django/app.py

Everything about the storage stands in one dictionary. Change `type`, and it is a cloud.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import sys
from pathlib import Path

import file_keeper as fk
from django.conf import settings
from django.core.management import execute_from_command_line

sys.path.insert(0, str(Path(__file__).parents[1] / "page"))
from render import SCRIPT, is_foreign, render

STORAGE = {"type": "fs", "path": "uploads", "initialize": True, "location_transformers": ["safe_relative_path"]}
STORAGE |= json.loads(os.environ.get("EXAMPLE_STORAGE", "{}"))
LIMIT = os.environ.get("EXAMPLE_LIMIT", "1GiB")

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    FILE_UPLOAD_HANDLERS=["file_keeper_django.StreamingUploadHandler"],
    INSTALLED_APPS=["file_keeper_django"],
    MIDDLEWARE=[f"{__name__}.only_from_our_own_pages"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ.get("SECRET_KEY") or secrets.token_hex(),
    STORAGES={
        "default": {"BACKEND": "file_keeper_django.FileKeeperStorage", "OPTIONS": STORAGE},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    },
    USE_TZ=True,
    WSGI_APPLICATION=f"{__name__}.application",
)

from django.core.files.storage import default_storage  # noqa: E402 - these need the settings
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import Http404, HttpResponse, HttpResponseRedirect  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.http import require_POST, require_safe  # noqa: E402
from file_keeper_web import tus  # noqa: E402
from file_keeper_web.django import send_file  # noqa: E402


def only_from_our_own_pages(view):
    """Refuse a form of another site (CsrfViewMiddleware does the same, and more, for pages made by its templates)."""

    def checked(request):
        if is_foreign(request.method, request.headers):
            return HttpResponse("This form is of another site.", status=403)
        return view(request)

    return checked


@require_safe
def index(request):
    storage = default_storage.storage
    return HttpResponse(render(storage, itertools.islice(storage.files(), 200), LIMIT))


@require_safe
def script(request):
    return HttpResponse(SCRIPT.read_text("utf-8"), "text/javascript; charset=utf-8")


@require_POST
def create(request):
    if int(request.headers.get("Content-Length") or 0) > fk.parse_filesize(LIMIT):
        return HttpResponse("The content is larger than allowed.", status=413)
    file = request.FILES.get("file")
    if file is None:
        return HttpResponse("The form has no file.", status=400)
    default_storage.save(file.name, file)
    return HttpResponseRedirect("/")


@require_safe
def read(request, location):
    return send_file(request, default_storage.storage, location)


@require_POST
def delete(request, location):
    try:
        default_storage.storage.remove(location)
    except fk.exc.LocationError as error:
        raise Http404(location) from error
    return HttpResponseRedirect("/")


urlpatterns = [
    path("", index),
    path("page.js", script),
    path("files", create),
    path("files/<path:location>", read),
    path("delete/<path:location>", delete),
]
pages = get_wsgi_application()
uploads = tus.wsgi(default_storage.storage, default_storage.storage.prepare_location, max_size=LIMIT)


def application(environ, start_response):
    if not environ["PATH_INFO"].startswith("/uploads/"):
        return pages(environ, start_response)
    below = {"SCRIPT_NAME": "/uploads", "PATH_INFO": environ["PATH_INFO"].removeprefix("/uploads")}
    return uploads({**environ, **below}, start_response)


if __name__ == "__main__":
    port = os.environ.get("PORT", "8000")
    execute_from_command_line([sys.argv[0], "runserver", f"127.0.0.1:{port}", "--noreload", "--skip-checks"])
