"""Files that a browser has sent straight to the storage: looked at before they are believed."""

from __future__ import annotations

from collections.abc import Sequence

import file_keeper as fk

from .receiving import Terms

_SNIFF = 2048


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

    Sign the link with ``overwrite=False``: then nobody can put another content there after this has looked. What does
    not pass is removed.

    :param incoming: where the link let the browser put it
    :param location: where it belongs
    :param max_size: the most bytes that it may have
    :param types: patterns of media types (``"image/*"``), matched on the content
    :param content_type: that the content must agree with
    :param hash: hex that it must have under `algorithm` (``""``: the storage's); read only if none is recorded
    :return: the file at its new location
    :raises LargeUploadError, WrongUploadTypeError, UploadMismatchError: it did not pass
    :raises MissingFileError: nothing came
    """
    file = storage.analyze(incoming)
    terms = Terms.of(max_size, types, content_type)
    try:
        terms.check_size(file.size)
        if types or content_type:
            with storage.stream(file, end=min(_SNIFF, file.size), etag=file.etag) as head:
                terms.check_head(head.read(_SNIFF))
        if hash:
            _check_hash(storage, file, hash, algorithm or storage.settings.hashing_algorithm)
    except (fk.exc.UploadError, fk.exc.CorruptedFileError):
        storage.remove(file)
        raise
    return storage.move(location, file, overwrite=overwrite)


def _check_hash(storage: fk.Storage, file: fk.FileData, hash: str, algorithm: str) -> None:
    if file.algorithm == algorithm:
        found = file.hash
    else:
        with storage.stream(file, etag=file.etag) as stream:
            reader = fk.HashingReader(stream, algorithm=algorithm)
            reader.exhaust()
            found = reader.get_hash()
    if found != hash.lower():
        raise fk.exc.UploadHashMismatchError(f"the {algorithm} is {found}, expected was {hash}")
