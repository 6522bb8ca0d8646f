"""The page of the examples: a list of files and a form, the same in every framework."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from urllib.parse import quote, urlsplit

import file_keeper as fk

HERE = Path(__file__).parent
SCRIPT = HERE / "page.js"
PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif")


def is_foreign(method: str, headers: Mapping[str, str]) -> bool:
    """Return whether a form of another site is sent. Browsers say so; old ones say the site itself."""
    if method != "POST":
        return False
    if site := headers.get("Sec-Fetch-Site"):
        return site not in ("same-origin", "none")
    origin = headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("Host")


def render(storage: fk.Storage, files: Iterable[fk.FileData], limit: str) -> str:
    """Return the page as HTML. A listing does not tell types everywhere: the files on the page are looked at."""
    found = [outcome.value for outcome in storage.analyze_many(files) if outcome.value is not None]
    rows = "\n".join(_row(file) for file in found)
    count = f"{len(found)} files" if len(found) != 1 else "1 file"
    page = (HERE / "page.html").read_text("utf-8")
    return page.replace("<!--limit-->", escape(limit)).replace("<!--count-->", count).replace("<!--rows-->", rows)


def _row(file: fk.FileData) -> str:
    name, address = escape(file.location), quote(file.location, safe="/")
    picture = f'<img src="/files/{address}" alt="" loading="lazy">' if file.content_type in PICTURES else ""
    button = f'<button aria-label="Delete {name}">Delete</button>'
    return (
        f'<tr><td><a href="/files/{address}">{name}</a></td><td>{fk.humanize_filesize(file.size)}</td>'
        f"<td>{escape(file.content_type)}</td><td>{picture}</td>"
        f'<td><form action="/delete/{address}" method="post">{button}</form></td></tr>'
    )
