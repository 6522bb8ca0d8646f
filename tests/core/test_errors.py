"""The tree of errors: what each one is, what it says, and that it survives a journey."""

from __future__ import annotations

import builtins
import copy
import inspect
import io
import pickle
from typing import Any

import pytest
from file_keeper import exc

ERRORS = {name: cls for name, cls in vars(exc).items() if inspect.isclass(cls) and issubclass(cls, exc.FilesError)}

TREE = {
    "FilesError": Exception,
    "StorageError": exc.FilesError,
    "UnknownStorageError": exc.StorageError,
    "UnknownAdapterError": exc.StorageError,
    "UnsupportedOperationError": exc.StorageError,
    "PermissionError": exc.StorageError,
    "ConnectionError": exc.StorageError,
    "TimeoutError": exc.ConnectionError,
    "ThrottledError": exc.ConnectionError,
    "CircuitOpenError": exc.ConnectionError,
    "InvalidStorageConfigurationError": exc.StorageError,
    "MissingStorageConfigurationError": exc.InvalidStorageConfigurationError,
    "LocationError": exc.StorageError,
    "MissingFileError": exc.LocationError,
    "ExistingFileError": exc.LocationError,
    "ChangedFileError": exc.LocationError,
    "StorageDataError": exc.StorageError,
    "CorruptedFileError": exc.StorageDataError,
    "ExtrasError": exc.FilesError,
    "MissingExtrasError": exc.ExtrasError,
    "UploadError": exc.FilesError,
    "WrongUploadTypeError": exc.UploadError,
    "LocationTransformerError": exc.UploadError,
    "ContentError": exc.UploadError,
    "LargeUploadError": exc.UploadError,
    "UploadOutOfBoundError": exc.LargeUploadError,
    "UploadMismatchError": exc.UploadError,
    "UploadTypeMismatchError": exc.UploadMismatchError,
    "UploadHashMismatchError": exc.UploadMismatchError,
    "UploadSizeMismatchError": exc.UploadMismatchError,
    "ResumableUploadError": exc.UploadError,
    "MultipartUploadError": exc.UploadError,
}

PYTHONS = {
    "MissingFileError": FileNotFoundError,
    "ExistingFileError": FileExistsError,
    "UnsupportedOperationError": io.UnsupportedOperation,
    "PermissionError": builtins.PermissionError,
    "ConnectionError": builtins.ConnectionError,
    "TimeoutError": builtins.TimeoutError,
    "StorageDataError": ValueError,
    "MissingExtrasError": ImportError,
}

FACTS: dict[str, Any] = {
    "storage": "media", "operation": "upload", "location": "a/ü.txt", "code": "NoSuchBucket", "status": 404,
    "request_id": "7F3A", "retryable": True, "retry_after": 2.5, "uncertain": True,
}  # fmt: skip


def test_the_tree_is_the_contracts() -> None:
    assert set(ERRORS) == set(TREE)
    for name, parent in TREE.items():
        assert ERRORS[name].__bases__[0] is parent


@pytest.mark.parametrize("name", sorted(TREE))
def test_pythons_own_notions(name: str) -> None:
    ours = [python for other, python in PYTHONS.items() if issubclass(ERRORS[name], ERRORS[other])]
    for python in ours:
        assert issubclass(ERRORS[name], python)
    if not ours:
        assert not issubclass(ERRORS[name], OSError | ValueError | ImportError)


@pytest.mark.parametrize("name", sorted(TREE))
@pytest.mark.parametrize("facts", [{}, FACTS], ids=["bare", "full"])
def test_errors_travel(name: str, facts: dict[str, Any]) -> None:
    error = ERRORS[name]("what happened", **facts)
    error.add_note("a note")
    twins = [copy.copy(error), copy.deepcopy(error)]
    twins += [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for twin in twins:
        assert type(twin) is type(error)
        assert (str(twin), repr(twin), twin.args) == (str(error), repr(error), ("what happened",))
        assert {field: getattr(twin, field) for field in FACTS} == {field: getattr(error, field) for field in FACTS}
        assert twin.__notes__ == ["a note"]
        assert {field: getattr(error, field) for field in facts} == facts


@pytest.mark.parametrize("name", sorted(TREE))
def test_one_message_is_enough(name: str) -> None:
    error = ERRORS[name]("text")
    assert (error.message, str(error), error.args) == ("text", "text", ("text",))
    assert repr(error) == f"{name}('text')"
    assert str(ERRORS[name]()) == name
    with pytest.raises(TypeError):
        ERRORS[name]("one", "two")


def test_the_text_says_all_that_is_known() -> None:
    error = exc.StorageError("no such bucket", **{**FACTS, "retryable": False, "uncertain": False})
    assert str(error) == ("storage 'media': upload 'a/ü.txt': no such bucket (NoSuchBucket, status 404, request 7F3A)")
    assert str(exc.ThrottledError("slow down", storage="media", retryable=True)) == (
        "storage 'media': slow down (may succeed later)"
    )
    assert str(exc.LocationError("no", location="a\n")) == "'a\\n': no"
    assert str(exc.LocationError("no", operation="scan")) == "scan: no"


def test_what_is_known_stays() -> None:
    error = exc.StorageError("x", operation="copy")
    error.within(storage="s", operation="upload", location="l")
    error.within(storage="t", location="m")
    assert (error.storage, error.operation, error.location) == ("s", "copy", "l")


def test_caught_as_pythons_own() -> None:
    with pytest.raises(FileNotFoundError):
        raise exc.MissingFileError("gone")
    with pytest.raises(OSError, match="cannot"):
        raise exc.UnsupportedOperationError("cannot")
    with pytest.raises(builtins.ConnectionError):
        raise exc.TimeoutError("late")


def test_every_error_is_described() -> None:
    for name, cls in ERRORS.items():
        assert cls.__doc__, name
