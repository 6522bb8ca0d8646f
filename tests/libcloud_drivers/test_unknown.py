"""A driver that nobody has looked at: the least is promised, and that is kept."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from file_keeper import Capability, Storage, exc
from libcloud.storage.base import Container, Object, StorageDriver
from libcloud.storage.types import ContainerDoesNotExistError, ObjectDoesNotExistError
from libcloud_drivers.places import Make


class Plain(StorageDriver):
    """Keeps objects in memory: no connection, no ranges, no order, no metadata, and a hash that is none."""

    name = "Plain"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.files: list[str] = []

    def get_container(self, container_name: str) -> Container:
        if container_name != "media":
            raise ContainerDoesNotExistError(value="", driver=self, container_name=container_name)
        return Container(container_name, {"needed": True}, self)

    def _object(self, name: str, container: Container) -> Object:
        if name not in self.objects:
            raise ObjectDoesNotExistError(value="", driver=self, object_name=name)
        return Object(name, len(self.objects[name]), "0" * 32, {}, {}, container, self)

    def get_object(self, container_name: str, object_name: str) -> Object:
        return self._object(object_name, self.get_container(container_name))

    def iterate_container_objects(
        self, container: Container, prefix: str | None = None, ex_prefix: str | None = None
    ) -> Iterator[Object]:
        assert container.extra["needed"]
        names = [name for name in self.objects if name.startswith(prefix or "")]
        random.Random(1).shuffle(names)
        yield from (self._object(name, container) for name in names)

    def download_object_as_stream(self, obj: Object, chunk_size: int | None = None) -> Iterator[bytes]:
        assert obj.container.extra["needed"]
        content = self.objects[obj.name]
        yield from (content[at : at + 1000] for at in range(0, len(content), 1000))

    def upload_object(
        self, file_path: str, container: Container, object_name: str, extra: Any = None, **options: Any
    ) -> Object:
        assert not options
        self.files.append(file_path)
        self.objects[object_name] = Path(file_path).read_bytes()
        return self._object(object_name, container)

    def delete_object(self, obj: Object) -> bool:
        return self.objects.pop(obj.name, None) is not None


@pytest.fixture
def driver() -> Plain:
    return Plain()


@pytest.fixture
def storage(driver: Plain, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return make(driver=driver, bucket="media", path="p", part_size="64KiB")


def test_what_is_promised_is_kept(storage: Storage, driver: Plain, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    assert not storage.capabilities & (Capability.METADATA | Capability.SIGNED | Capability.MULTIPART)
    made = storage.upload("x", (content[at : at + 7000] for at in range(0, len(content), 7000)))
    assert made.size == len(content)
    assert storage.content("x") == content
    assert storage.range("x", 2500, 4001) == content[2500:4001]
    assert storage.range("x", 299_999, 400_000) == content[299_999:]
    assert storage.range("x", 400_000, 400_001) == b""
    with storage.open("x") as file:
        file.seek(-3, os.SEEK_END)
        assert file.read() == content[-3:]
    found = storage.analyze("x")
    assert (found.size, found.hash) == (len(content), "")
    assert storage.copy("y", "x").size == len(content)
    assert storage.remove("x")
    assert not storage.remove("x")
    assert len(driver.files) == 2
    assert list(tmp_path.iterdir()) == []


def test_names_are_sorted_here(storage: Storage) -> None:
    names = ["a", "a-b", "a/1", "a/2", "b/c/d", "ü", "\ufb01", "😀"]
    for name in reversed(names):
        storage.upload(name, b"x")
    assert list(storage.scan()) == sorted(names, key=str.encode)
    assert list(storage.scan(prefix="a/")) == ["a/1", "a/2"]
    assert list(storage.scan(start_after="a/1")) == ["a/2", "b/c/d", "ü", "\ufb01", "😀"]
    level = [getattr(item, "location", item) for item in storage.files(delimiter="/")]
    assert level == ["a", "a-b", "a/", "b/", "ü", "\ufb01", "😀"]


def test_a_source_that_breaks_changes_nothing(storage: Storage, driver: Plain, tmp_path: Path) -> None:
    storage.upload("x", b"former")

    def broken() -> Iterator[bytes]:
        yield bytes(100_000)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        storage.upload("x", broken(), overwrite=True)
    assert storage.content("x") == b"former"
    assert len(driver.files) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_kept_is_refused(storage: Storage) -> None:
    for options in ({"metadata": {"a": "b"}}, {"headers": {"Cache-Control": "no-store"}}):
        with pytest.raises(exc.UnsupportedOperationError):
            storage.upload("x", b"x", **options)
    with pytest.raises(exc.UnsupportedOperationError):
        storage.signed("download", 60, "x")


def test_a_missing_container_and_what_the_driver_lacks(driver: Plain, make: Make) -> None:
    storage = make(driver=driver, bucket="other")
    for call in (lambda: storage.content("x"), lambda: storage.upload("x", b"x"), lambda: list(storage.scan())):
        with pytest.raises(exc.InvalidStorageConfigurationError, match="no bucket 'other'"):
            call()
    with pytest.raises(exc.UnsupportedOperationError, match="driver Plain cannot do that: create_container"):
        storage.initialize()
