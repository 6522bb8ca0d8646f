"""What a browser may open in our origin, and what it must save: an upload must never run as a script of the site.

The core has the list of types that no browser runs scripts of; SVG, HTML, XML and PDF are not on it. Everything else
is an attachment: when it is stored, by the type that its content shows, and in signed links, by its name.
"""

from __future__ import annotations

import fnmatch
import mimetypes

from file_keeper.backend import is_inline

from .options import ALL, Presentation

_known = mimetypes.MimeTypes(())
for _kind, _extension in (("image/webp", ".webp"), ("image/avif", ".avif"), ("audio/mp4", ".m4a")):
    _known.add_type(_kind, _extension)


def type_by_name(name: str) -> str:
    """Return the media type that a name promises, ``""`` when it promises none; the system's tables are not asked."""
    guessed, packed = _known.guess_type(name.rpartition("/")[2])
    return "" if packed else guessed or ""


def opens(content_type: str, presentation: Presentation) -> bool:
    """Return whether content of a type may open in the browser."""
    if presentation.inline == ALL:
        return True
    plain = content_type.partition(";")[0].strip().lower()
    return is_inline(content_type) or any(fnmatch.fnmatchcase(plain, kind.lower()) for kind in presentation.inline)
