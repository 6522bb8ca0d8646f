"""Files on any storage, with Flask: list, upload (also resumable), download, delete.

    pip install "file-keeper-web[flask]" file-keeper-fs
    python examples/flask/app.py

Everything about the storage stands in one dictionary. Change `type`, and it is a cloud.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path

import file_keeper as fk
from file_keeper_web import tus
from file_keeper_web.flask import receive, send_file
from flask import Flask, abort, redirect, request
from werkzeug.middleware.dispatcher import DispatcherMiddleware

sys.path.insert(0, str(Path(__file__).parents[1] / "page"))
from render import SCRIPT, is_foreign, render

STORAGE = {
    "type": "fs",
    "path": "uploads",
    "initialize": True,
    "location_transformers": ["safe_relative_path"],
}
STORAGE |= json.loads(os.environ.get("EXAMPLE_STORAGE", "{}"))
LIMIT = os.environ.get("EXAMPLE_LIMIT", "1GiB")

app = Flask(__name__)
storage = fk.make_storage("example", STORAGE)


@app.before_request
def only_from_our_own_pages():
    """A form of another site is refused (your framework's CSRF token does the same, and more)."""
    if is_foreign(request.method, request.headers):
        abort(403)


@app.get("/")
def index():
    return render(storage, itertools.islice(storage.files(), 200), LIMIT)


@app.get("/page.js")
def script():
    return SCRIPT.read_text("utf-8"), {"Content-Type": "text/javascript; charset=utf-8"}


@app.post("/files")
def create():
    receive(storage, storage.prepare_location, max_size=LIMIT)
    return redirect("/", 303)


@app.get("/files/<path:location>")
def read(location):
    return send_file(storage, location)


@app.post("/delete/<path:location>")
def delete(location):
    try:
        storage.remove(location)
    except fk.exc.LocationError:
        abort(404)
    return redirect("/", 303)


app.wsgi_app = DispatcherMiddleware(
    app.wsgi_app, {"/uploads": tus.wsgi(storage, storage.prepare_location, max_size=LIMIT)}
)

if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")), threaded=True)
