"""A page of files with Django, in one file: list, thumbnails, upload, download, delete. It works without JavaScript.

    python -m uv run python examples/django/app.py runserver

Change the dictionary, and nothing else, to keep the files elsewhere; FILES in the environment is one as JSON.
"""

import json
import os
import secrets
import sys

from django.conf import settings
from django.core.management import execute_from_command_line

FILES = json.loads(os.environ.get("FILES", '{"type": "fs", "path": "files", "initialize": true}'))

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    FILE_UPLOAD_HANDLERS=["file_keeper_django.StreamingUploadHandler"],
    INSTALLED_APPS=["file_keeper_django", "django.contrib.staticfiles"],
    MEDIA_URL="/media/",
    MIDDLEWARE=["django.middleware.security.SecurityMiddleware", "django.middleware.csrf.CsrfViewMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ.get("SECRET_KEY") or secrets.token_hex(),
    STATIC_URL="/static/",
    STORAGES={
        "default": {"BACKEND": "file_keeper_django.FileKeeperStorage", "OPTIONS": FILES},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    },
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    USE_TZ=True,
)

from django.core.files.storage import default_storage  # noqa: E402 - these need the settings
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import FileResponse, Http404, HttpResponse, HttpResponseRedirect  # noqa: E402
from django.template import engines  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.http import require_GET, require_POST  # noqa: E402
from file_keeper import humanize_filesize  # noqa: E402
from file_keeper.backend import SANDBOX, is_inline  # noqa: E402

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Files</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }
  table { border-collapse: collapse; width: 100% } td, th { padding: .3rem; text-align: start }
  img { width: 3rem; height: 3rem; object-fit: cover } td { border-top: 1px solid #ccc; overflow-wrap: anywhere }
</style></head>
<body><main><h1>Files</h1>
{% if message %}<p role="status">{{ message }}</p>{% endif %}
<form method="post" action="/upload" enctype="multipart/form-data">{% csrf_token %}
  <label>Files to add: <input type="file" name="file" multiple required></label> <button>Upload</button>
</form>
<table><caption>{{ files|length }} files</caption>
<thead><tr><th scope="col">Preview</th><th scope="col">Name</th><th scope="col">Size</th><th scope="col">Type</th>
<th scope="col">Delete</th></tr></thead>
<tbody>{% for file in files %}
<tr><td>{% if file.picture %}<img src="{{ file.url }}" alt="" loading="lazy">{% endif %}</td>
<td><a href="{{ file.url }}">{{ file.name }}</a></td><td>{{ file.size }}</td><td>{{ file.type }}</td>
<td><form method="post" action="/delete">{% csrf_token %}<input type="hidden" name="name" value="{{ file.name }}">
<button aria-label="Delete {{ file.name }}">Delete</button></form></td></tr>{% endfor %}
</tbody></table></main></body></html>"""


def described(name):
    file = default_storage.storage.analyze(name)
    picture = file.content_type.startswith("image/") and is_inline(file.content_type)
    size = humanize_filesize(file.size)
    return {"name": name, "url": default_storage.url(name), "size": size, "type": file.content_type, "picture": picture}


@require_GET
def index(request):
    names = default_storage.listdir("")[1]
    context = {"files": [described(name) for name in names], "message": request.GET.get("message", "")}
    return HttpResponse(engines["django"].from_string(PAGE).render(context, request))


@require_POST
def upload(request):
    names = [default_storage.save(file.name, file) for file in request.FILES.getlist("file")]
    return HttpResponseRedirect("/" if names else "/?message=No+file+was+chosen")


@require_POST
def delete(request):
    if name := request.POST.get("name"):
        default_storage.delete(name)
    return HttpResponseRedirect("/")


@require_GET
def media(request, name):
    """Show a file of a storage without links: only what runs no script opens in the browser."""
    try:
        file = default_storage.open(name)
        kind = default_storage.storage.content_type(name)
    except FileNotFoundError as error:
        raise Http404(name) from error
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": SANDBOX}
    return FileResponse(file, as_attachment=not is_inline(kind), content_type=kind, headers=headers)


urlpatterns = [path("", index), path("upload", upload), path("delete", delete), path("media/<path:name>", media)]
application = get_wsgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
