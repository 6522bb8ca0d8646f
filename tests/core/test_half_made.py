"""Objects whose ``__init__`` raised are collected without a word, in every package of ours."""

from __future__ import annotations

import gc
import importlib
import io
import pkgutil
import sys
from collections.abc import Iterator
from typing import Any

import file_keeper
import pytest

PACKAGES = [
    name
    for module in pkgutil.iter_modules()
    if (name := module.name) == "file_keeper" or name.startswith("file_keeper_")
]


def _finalised() -> Iterator[type]:
    for package in PACKAGES:
        try:
            top = importlib.import_module(package)
        except Exception:
            continue  # its SDK or framework is not here, or not configured
        for found in pkgutil.walk_packages(top.__path__, f"{package}.", onerror=lambda name: None):
            if found.name.endswith("__main__"):
                continue
            try:
                module = importlib.import_module(found.name)
            except Exception:
                continue  # it needs a framework that is not here, or not configured
            for thing in vars(module).values():
                # By its own type: a lazy object of a framework would set itself up for `isinstance`.
                is_ours = issubclass(type(thing), type) and thing.__module__ == found.name
                if is_ours and (issubclass(thing, io.IOBase) or "__del__" in vars(thing)):
                    yield thing


CLASSES = sorted(set(_finalised()), key=lambda cls: f"{cls.__module__}.{cls.__qualname__}")


def test_there_are_some() -> None:
    assert {"ObjectStream", "SeekableFile", "Writer"} <= {cls.__name__ for cls in CLASSES}
    assert "file_keeper" in PACKAGES


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: f"{cls.__module__}.{cls.__qualname__}")
def test_a_half_made_object_goes_without_a_word(cls: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: said.append(one.exc_value))
    try:
        half = cls.__new__(cls)
    except TypeError:
        return  # it cannot be made that way: no half of it either
    # From 3.13 on the finaliser of io tells errors of close(); before, they pass in silence: so it is called itself.
    if issubclass(cls, io.IOBase) and not issubclass(cls, io.TextIOWrapper):
        half.close()
    del half
    gc.collect()
    assert said == []


def test_a_missing_file_is_read_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: said.append(one.exc_value))
    storage = file_keeper.make_storage("media", {"type": "memory"})
    for read in (storage.content, storage.stream, storage.open, storage.range):
        with pytest.raises(FileNotFoundError):
            read("missing")
    gc.collect()
    assert said == []
