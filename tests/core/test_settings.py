"""One dictionary in, validated settings out; every refusal says what is wrong and what would be right."""

# ruff: noqa: E501 - a message that is told whole is read best on one line

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from file_keeper import adapters, exc, humanize_filesize, make_storage, parse_filesize
from file_keeper.settings import ALIASES, KNOWN, Reference, Settings, parse_duration

MEMORY = {"type": "memory"}


def make(**options: Any) -> Settings:
    return make_storage("media", {**MEMORY, **options}).settings


def refusal(options: dict[str, Any], kind: type[exc.FilesError] = exc.InvalidStorageConfigurationError) -> str:
    before = copy.deepcopy(options)
    with pytest.raises(kind) as caught:
        make_storage("media", options)
    assert options == before
    assert caught.value.storage == "media"
    return str(caught.value)


def test_defaults() -> None:
    settings = make()
    assert (settings.name, settings.type) == ("media", "file_keeper:memory")
    assert (settings.initialize, settings.overwrite_existing, settings.hashing_algorithm) == (False, False, "md5")
    assert (settings.part_size, settings.multipart_threshold, settings.max_concurrency) == (8 << 20, 8 << 20, 4)
    assert settings.timeout == 60.0
    assert (settings.path, settings.bucket) == ("", "")
    assert (settings.location_transformers, settings.disabled_capabilities) == ((), ())
    assert (dict(settings.metadata), dict(settings.headers)) == ({}, {})


def test_settings_are_read_only_and_the_dictionary_is_left_alone() -> None:
    given = {"type": "memory", "metadata": {"a": "1"}, "name": "other", "location_transformers": ["uuid4"]}
    before = copy.deepcopy(given)
    settings = make_storage("media", given).settings
    assert given == before
    assert settings.name == "media"
    with pytest.raises(AttributeError):
        settings.path = "x"  # type: ignore[misc]
    for mapping in (settings.metadata, settings.raw):
        with pytest.raises(TypeError):
            mapping["b"] = "2"  # type: ignore[index]
    given["metadata"]["a"] = "changed"  # type: ignore[index]
    assert dict(settings.metadata) == {"a": "1"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"buket": "x"}, "storage 'media': unknown option 'buket', did you mean 'bucket'?"),
        ({"overwrite": True}, "storage 'media': unknown option 'overwrite', did you mean 'overwrite_existing'?"),
        ({"zzzz": 1}, "storage 'media': unknown option 'zzzz'"),
        ({5: 1}, "storage 'media': unknown option '5'"),
        ({"initialize": "maybe"}, "storage 'media': option 'initialize' must be true or false, not 'maybe'"),
        ({"max_concurrency": "four"}, "storage 'media': option 'max_concurrency' must be a whole number, not 'four'"),
        ({"max_concurrency": 4.5}, "storage 'media': option 'max_concurrency' must be a whole number, not 4.5"),
        ({"max_concurrency": True}, "storage 'media': option 'max_concurrency' must be a whole number, not True"),
        ({"max_concurrency": 0}, "storage 'media': option 'max_concurrency' must be at least 1"),
        ({"part_size": 0}, "storage 'media': option 'part_size' must be at least 1"),
        (
            {"part_size": "8 parsecs"},
            "storage 'media': option 'part_size' must be a size such as 8388608 or '8MiB', not '8 parsecs'",
        ),
        ({"part_size": -1}, "storage 'media': option 'part_size' must be a size such as 8388608 or '8MiB', not -1"),
        ({"timeout": "soon"}, "storage 'media': option 'timeout' must be a duration such as 30 or '30s', not 'soon'"),
        ({"timeout": 0}, "storage 'media': option 'timeout' must be more than 0"),
        ({"path": 5}, "storage 'media': option 'path' must be text, not 5"),
        ({"path": None, "metadata": "x"}, "storage 'media': option 'metadata' must be a mapping, not 'x'"),
        ({"metadata": {1: "x"}}, "storage 'media': option 'metadata' must be a mapping, not a dict"),
        ({"metadata": {"a": 5}}, "storage 'media': option 'metadata': metadata is text by name, not 'a': 5"),
        ({"headers": {"X-Own": "1"}}, "storage 'media': option 'headers': header 'X-Own' is not one that is kept: "
         "Cache-Control, Content-Disposition, Content-Encoding, Content-Language"),
        ({"location_transformers": 5}, "storage 'media': option 'location_transformers' must be a list of text, not 5"),
        ({"hashing_algorithm": "MD5"}, "storage 'media': unknown hashing_algorithm 'MD5', did you mean 'md5'?"),
        ({"hashing_algorithm": "sha-256"}, "storage 'media': unknown hashing_algorithm 'sha-256', did you mean 'sha256'?"),
        ({"hashing_algorithm": "zz"}, "storage 'media': unknown hashing_algorithm 'zz': one of hashlib's with a fixed "
         "length, crc32c or crc64nvme"),
        ({"hashing_algorithm": "shake_128"}, "storage 'media': unknown hashing_algorithm 'shake_128'"),
        ({"disabled_capabilities": ["fly"]}, "storage 'media': disabled_capabilities: unknown capability 'fly', known are "),
        ({"path": "a/../b"}, "storage 'media': path 'a/../b': the segment '..' cannot be part of a location"),
        ({"path": ".."}, "storage 'media': path '..': the segment '..' cannot be part of a location"),
        ({"path": "/abs"}, "storage 'media': path '/abs' must be relative"),
        ({"path": "a/.file-keeper"}, "storage 'media': path 'a/.file-keeper': the segment '.file-keeper' cannot be"),
        ({"path": "a\nb"}, "storage 'media': path 'a\\nb': the character U+000A at 1 cannot be part of a location"),
        ({"path": "x" * 1025}, "storage 'media': path "),
        ({"bucket": ".."}, "storage 'media': bucket '..': the segment '..' cannot be part of a location"),
        ({"bucket": "a/b"}, "storage 'media': bucket 'a/b' must be one name without '/': what follows it belongs into 'path'"),
        ({"bucket": 5}, "storage 'media': option 'bucket' must be text or a mutable mapping, not a int"),
        ({"region": "eu"}, "storage 'media': 'region' is an option of file_keeper:s3, not of file_keeper:memory: put it "
         "into a block of its own, {'s3': {'region': ...}}, to keep it in this dictionary"),
        ({"endpoint": "x"}, "storage 'media': 'endpoint' is an option of file_keeper:s3 and file_keeper:gcs, not of"),
        ({"container_name": "x"}, "storage 'media': 'container_name' is an option of file_keeper:azure and file_keeper:libcloud"),
        ({"path": "a", "memory": {"path": "b"}}, "storage 'media': option 'path' stands in the dictionary and in its block "
         "'memory': keep one of them"),
        ({"memory": {"buket": "b"}}, "storage 'media': unknown option 'buket', did you mean 'bucket'?"),
        ({"path": {"env": ""}}, "storage 'media': option 'path': {'env': ...} needs a name"),
        ({"path": {"env": "A", "file": "B"}}, "storage 'media': option 'path' must be text, not a dict"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(options: dict[str, Any], message: str) -> None:
    assert refusal({**MEMORY, **options}).startswith(message)


@pytest.mark.parametrize("settings", [None, [], "type"])
def test_settings_are_a_mapping(settings: Any) -> None:
    with pytest.raises(exc.InvalidStorageConfigurationError, match="storage 'media': settings are a mapping, not "):
        make_storage("media", settings)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("./uploads/", "uploads"),
        ("a//b/", "a/b"),
        ("", ""),
        (".", ""),
        ("./", ""),
        ("a/./b", "a/b"),
        ("é/😀 x", "é/😀 x"),
    ],
)
def test_a_path_has_one_form(given: str, meant: str) -> None:
    storage = make_storage("media", {**MEMORY, "path": given})
    assert storage.settings.path == meant
    assert storage.full_path("x") == (meant + "/x" if meant else "x")


def test_values_come_as_text_too() -> None:
    settings = make(part_size="5MiB", timeout="2m", max_concurrency="7", initialize="yes", overwrite_existing="off",
                    disabled_capabilities="copy, MOVE", location_transformers="uuid4,fix_extension")  # fmt: skip
    assert (settings.part_size, settings.multipart_threshold) == (5 << 20, 5 << 20)
    assert (settings.timeout, settings.max_concurrency) == (120.0, 7)
    assert (settings.initialize, settings.overwrite_existing) == (True, False)
    assert settings.disabled_capabilities == ("copy", "MOVE")
    assert settings.location_transformers == ("uuid4", "fix_extension")


# -- references ----------------------------------------------------------------------------------------------------------


def test_references(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "path"
    secret.write_text("uploads\r\n")
    monkeypatch.setenv("FK_TEST_BUCKET", "shared-by-name")
    monkeypatch.setenv("FK_TEST_SIZE", "6MiB")
    storage = make_storage(
        "media",
        {
            **MEMORY,
            "bucket": {"env": "FK_TEST_BUCKET"},
            "part_size": {"env": "FK_TEST_SIZE"},
            "path": {"file": str(secret)},
        },
    )
    assert (storage.settings.bucket, storage.settings.part_size) == ("shared-by-name", 6 << 20)
    assert storage.settings.path == "uploads"
    # The references travel, not what they stood for.
    monkeypatch.setenv("FK_TEST_SIZE", "7MiB")
    assert pickle.loads(pickle.dumps(storage)).settings.part_size == 7 << 20


def test_references_that_lead_nowhere() -> None:
    missing = exc.MissingStorageConfigurationError
    assert refusal({**MEMORY, "path": {"env": "FK_NOT_SET"}}, missing) == (
        "storage 'media': the environment variable FK_NOT_SET is not set"
    )
    assert refusal({**MEMORY, "path": {"file": "/nowhere/at/all"}}, missing).startswith(
        "storage 'media': the file /nowhere/at/all cannot be read: "
    )


def test_a_mapping_is_no_reference() -> None:
    assert dict(make(metadata={"env": "HOME"}).metadata) == {"env": "HOME"}
    assert Reference("env", "X").__repr__() == "{'env': 'X'}"


def test_a_rotated_secret_is_read_when_the_client_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = adapters.get("file_keeper:s3")
    assert adapter is not None
    monkeypatch.setenv("FK_TEST_SECRET", "first")
    settings = make_storage(
        "media", {"type": "s3", "bucket": "b", "key": "k", "secret": {"env": "FK_TEST_SECRET"}}
    ).settings
    assert settings.resolve().secret == "first"  # type: ignore[attr-defined]
    monkeypatch.setenv("FK_TEST_SECRET", "second")
    assert settings.resolve().secret == "second"  # type: ignore[attr-defined]
    assert settings.secret == Reference("env", "FK_TEST_SECRET")  # type: ignore[attr-defined]


# -- one dictionary, every provider --------------------------------------------------------------------------------------


def test_the_table_of_types_is_complete() -> None:
    """Blocks and options are recognised of a provider that is not installed: the table must not fall behind."""
    common = set(Settings.options())
    for name, known in KNOWN.items():
        adapter = adapters.get(name)
        assert adapter is not None
        own = adapter.settings_type.own()
        names = {*own, *(alias for option in own.values() for alias in option.aliases)} - common
        assert names == known.options, name
        assert adapter.settings_type.__module__.partition(".")[0] == known.distribution.replace("-", "_").replace(
            "file_keeper_core", "file_keeper"
        )
    assert ALIASES["s3"] == "file_keeper:s3"
    assert ALIASES["file_keeper:azure_blob"] == "file_keeper:azure"


def test_the_swap_rule() -> None:
    everything = {
        "bucket": "media", "path": "a/b", "part_size": "6MiB", "timeout": "30s", "max_concurrency": 2,
        "metadata": {"by": "us"}, "headers": {"cache-control": "no-store"}, "hashing_algorithm": "sha256",
        "fs": {"root": "never-made"}, "s3": {"region": "eu-west-1", "key": "k", "secret": "s"},
        "gcs": {"project_id": "p", "anonymous": True}, "azure": {"account_name": "acc", "anonymous": True},
        "libcloud": {"provider": "local", "key": "x"}, "memory": {}, "null": None,
    }  # fmt: skip
    for kind in ("memory", "null", "fs", "s3", "gcs", "azure", "file_keeper:azure_blob", "libcloud"):
        storage = make_storage("media", {**everything, "type": kind})
        assert storage.settings.bucket == "media"
        assert storage.settings.part_size == 6 << 20
        storage.close()


def test_a_block_of_a_strangers_type() -> None:
    class Own(Settings):
        pass

    class Backend(adapters.get("file_keeper:memory")):  # type: ignore[misc]
        pass

    adapters.register("acme:cellar", Backend)
    try:
        assert make_storage("x", {"type": "acme:cellar", "cellar": {"path": "deep"}}).settings.path == "deep"
        assert refusal({"type": "acme:celar"}, exc.UnknownAdapterError).endswith(
            "unknown type 'acme:celar', did you mean 'acme:cellar'?"
        )
    finally:
        adapters.unregister("acme:cellar")


def test_an_alias_and_its_option_are_one() -> None:
    common = {"type": "gcs", "anonymous": True}
    assert make_storage("x", {**common, "bucket_name": "b"}).settings.bucket == "b"
    assert refusal({**common, "bucket": "b", "bucket_name": "c"}) == (
        "storage 'media': option 'bucket' is given twice, also as 'bucket_name'"
    )


# -- what is shown -------------------------------------------------------------------------------------------------------


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    word = "hunter2"
    storages = [
        make_storage("a", {"type": "s3", "bucket": "b", "key": "k", "secret": word, "session_token": word,
                           "config": {"proxies": {"http": word}}}),
        make_storage("b", {"type": "azure", "bucket": "b", "account_name": "n", "account_key": "aHVudGVyMg=="}),
        make_storage("c", {"type": "libcloud", "provider": "local", "key": word, "secret": word, "bucket": "b",
                           "params": {"token": word}}),
        make_storage("e", {"type": "memory", "bucket": {"x": word.encode()}}),
    ]  # fmt: skip
    for storage in storages:
        for text in (repr(storage), str(storage), repr(storage.settings), str(storage.settings), f"{storage.settings}"):
            assert word not in text
            assert "aHVudGVyMg" not in text
    assert "secret=***" in repr(storages[0])
    for options in (
        {"type": "s3", "bucket": "b", "secret": [word]},
        {"type": "s3", "bucket": "b", "secret": word, "secret_key": word},
        {"type": "s3", "bucket": "b", "secret": word, "s3": {"secret": word * 2}},
        {"type": "memory", "secret": word},
        {"type": "gcs", "bucket": "b", "secret": word},
        {"type": "gcs", "bucket": "b", "endpoint": f"http://me:a@{word}@x/"},
        {"type": "s3", "bucket": "b", "endpoint": f"ftp://me:{word}@x/"},
        {"type": "memory", "timeout": f"http://me:a@{word}@x/"},
    ):
        assert word not in refusal(options)
    monkeypatch.setenv("FK_TEST_SECRET", word)
    shown = repr(make_storage("f", {"type": "s3", "bucket": "b", "key": "k", "secret": {"env": "FK_TEST_SECRET"}}))
    assert "secret={'env': 'FK_TEST_SECRET'}" in shown


# -- sizes and durations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (0, 0), (8388608, 8388608), ("8388608", 8388608), ("8MiB", 8 << 20), ("8 MiB", 8 << 20), ("8mib", 8 << 20),
        ("8MB", 8_000_000), ("8M", 8 << 20), ("1.5KiB", 1536), ("1kB", 1000), ("2GiB", 2 << 30), ("1TiB", 1 << 40),
        (" 7 b ", 7), ("9007199254740993", 9007199254740993), ("5PiB", 5 << 50),
    ],
)  # fmt: skip
def test_sizes(text: int | str, size: int) -> None:
    assert parse_filesize(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1 parsec", "1e3", "1,5KiB", "nan", True, -1, None, 1.5, [], b"1"])
def test_no_sizes(text: Any) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_filesize(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (1048575, "1 MiB"), (1 << 40, "1 TiB"),
     (5 << 60, "5120 PiB")],
)  # fmt: skip
def test_sizes_for_people(size: int, text: str) -> None:
    assert humanize_filesize(size) == text
    if size < 1 << 50 and size != 1048575:
        assert parse_filesize(text) == size


def test_sizes_for_people_by_thousands() -> None:
    assert humanize_filesize(1536, base=1000) == "1.54 KB"
    with pytest.raises(ValueError, match="1000 or 1024"):
        humanize_filesize(1, base=10)
    with pytest.raises(ValueError, match="not negative"):
        humanize_filesize(-1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (30, 30.0),
        (0.5, 0.5),
        ("30", 30.0),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1.5h", 5400.0),
        ("7d", 604800.0),
        ("250 ms", 0.25),
    ],
)
def test_durations(text: float | str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1", -1, float("nan"), float("inf"), True, None, "1w", []])
def test_no_durations(text: Any) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)
