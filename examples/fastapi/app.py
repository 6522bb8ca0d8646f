"""Files on any storage, with FastAPI: list, upload (also resumable), download, delete.

    pip install "file-keeper-web[fastapi]" file-keeper-fs uvicorn
    python examples/fastapi/app.py

Everything about the storage stands in one dictionary. Change `type`, and it is a cloud.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path

import file_keeper as fk
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from file_keeper_web import tus
from file_keeper_web.starlette import receive, send_file

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

app = FastAPI()
storage = fk.make_storage("example", STORAGE)


@app.middleware("http")
async def only_from_our_own_pages(request: Request, call_next):
    """A form of another site is refused (your framework's CSRF token does the same, and more)."""
    if is_foreign(request.method, request.headers):
        return HTMLResponse("Forbidden", 403)
    return await call_next(request)


@app.get("/")
def index():
    return HTMLResponse(render(storage, itertools.islice(storage.files(), 200), LIMIT))


@app.get("/page.js")
def script():
    return FileResponse(SCRIPT, media_type="text/javascript")


@app.post("/files")
async def create(request: Request):
    await receive(request, storage, storage.prepare_location, max_size=LIMIT)
    return RedirectResponse("/", 303)


@app.api_route("/files/{location:path}", methods=["GET", "HEAD"])
async def read(request: Request, location: str):
    return await send_file(request, storage, location)


@app.post("/delete/{location:path}")
def delete(location: str):
    try:
        storage.remove(location)
    except fk.exc.LocationError as error:
        raise HTTPException(404) from error
    return RedirectResponse("/", 303)


app.mount("/uploads", tus.asgi(storage, storage.prepare_location, max_size=LIMIT))

if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "5000")))
