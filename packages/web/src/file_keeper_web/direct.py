"""Files that a browser has sent straight to the storage: looked at before they are believed."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Sequence
from contextlib import suppress
from fnmatch import fnmatchcase

import file_keeper as fk
from file_keeper.backend import agrees

from .receiving import Terms

_SNIFF = 2048
_FOLDER = "taken"


def take_over(
    storage: fk.Storage,
    incoming: fk.types.FileOrLocation,
    location: str,
    *,
    max_size: int | str | None = None,
    types: Sequence[str] = (),
    content_type: str = "",
    hash: str = "",
    algorithm: str = "",
    overwrite: bool | fk.FileData | None = None,
) -> fk.FileData:
    """Check a file that came through a signed upload link and move it to where it belongs.

    It is moved to a name that no link was signed for, looked at there, and published from there: what is published is
    what was checked, whatever else is sent through the link. All of it is read once: a hash and a type that the client
    has put beside it are not believed. What does not pass is removed; after any other failure it is put back.

    :param incoming: where the link let the browser put it
    :param location: where it belongs
    :param max_size: the most bytes that it may have
    :param types: patterns of media types (``"image/*"``), matched on the content
    :param content_type: that the content must agree with
    :param hash: hex that it must have under `algorithm` (``""``: the storage's)
    :return: the file at its new location; of another type than was stored, where the content or `types` contradict that
    :raises LargeUploadError, WrongUploadTypeError, UploadMismatchError: it did not pass
    :raises MissingFileError: nothing came
    """
    terms = Terms.of(max_size, types, content_type)
    private = storage.incoming
    taken = f"{_FOLDER}/{secrets.token_hex(16)}"
    file = storage.move_synthetic(taken, incoming, private, overwrite=False)
    try:
        true_type, file = _check(private, taken, terms, hash, algorithm)
        if true_type == file.content_type:
            return private.move_synthetic(location, file, storage, overwrite=overwrite)
        made = _rewrite(private, file, storage, location, true_type, overwrite)
    except (fk.exc.UploadError, fk.exc.CorruptedFileError):
        private.remove(file)
        raise
    except BaseException:
        # Whatever cannot be put back is removed by `cleanup_uploads`.
        with suppress(fk.exc.FilesError):
            name = incoming if isinstance(incoming, str) else incoming.location
            private.move_synthetic(name, file, storage, overwrite=False)
        raise
    with suppress(fk.exc.FilesError):
        private.remove(file)
    return made


def _check(private: fk.Storage, taken: str, terms: Terms, hash: str, algorithm: str) -> tuple[str, fk.FileData]:
    """Look at a file; return the type that it should have, and what is true of it."""
    file = private.analyze(taken)
    terms.check_size(file.size)
    with private.stream(file, end=min(_SNIFF, file.size), etag=file.etag) as stream:
        head = stream.read(_SNIFF)
    terms.check_head(head)
    # What is recorded may be the client's word (metadata, and the MD5 of Azure): it is held against the content too.
    wanted = dataclasses.replace(
        file, hash=hash.lower(), algorithm=(algorithm or private.settings.hashing_algorithm) if hash else ""
    )
    file = private.verify(wanted)
    return _type_of(file.content_type, fk.make_upload(head).content_type, terms), file


def _type_of(stored: str, detected: str, terms: Terms) -> str:
    """Return the stored type, or a better one where it cannot be that of the content, or is not among those taken."""
    plain = stored.partition(";")[0].strip().lower()
    if plain == detected or stored == terms.declared:
        return stored
    contradicted = detected.startswith("image/") or not agrees(plain, detected)
    foreign = bool(terms.types) and not any(fnmatchcase(plain, pattern) for pattern in terms.types)
    return (terms.declared or detected) if contradicted or foreign or terms.declared else stored


def _rewrite(
    private: fk.Storage,
    file: fk.FileData,
    storage: fk.Storage,
    location: str,
    content_type: str,
    overwrite: bool | fk.FileData | None,
) -> fk.FileData:
    """Store a file with another type."""
    keeps = storage.limits.metadata
    with private.stream(file, etag=file.etag) as stream:
        return storage.upload(
            location,
            fk.Upload(stream, size=file.size),
            content_type=content_type,
            metadata=file.metadata if keeps else None,
            headers=file.headers if keeps else None,
            hash=file.hash,
            algorithm=file.algorithm,
            overwrite=overwrite,
        )
