"""Whose configuration is obeyed, what a reference may read, and where credentials of the environment may go."""

from __future__ import annotations

import os
import threading
import time
import tomllib
from pathlib import Path
from typing import Any

import file_keeper as fk
import pytest
from file_keeper import config, exc, registry
from file_keeper.backend import Settings, is_loopback, option, require_secure
from file_keeper.memory import MemoryBackend
from file_keeper.settings import parse

posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this platform has no owners and modes")
STRANGER = 54321


@pytest.fixture(autouse=True)
def project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Stand in a folder of one's own, without any configuration."""
    monkeypatch.setattr(registry, "_named", {})
    monkeypatch.setattr(registry, "_given", {})
    monkeypatch.delenv("FILE_KEEPER_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "project" / "src"
    folder.mkdir(parents=True, mode=0o755)
    folder.parent.chmod(0o755)
    monkeypatch.chdir(folder)
    return folder.parent


def write(path: Path, mode: int = 0o644) -> Path:
    path.write_text('[storages.media]\ntype = "memory"\nbucket = "config"\n')
    path.chmod(mode)
    return path


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a file or folder another user's: really where that is allowed, else by being another user."""
    if os.geteuid() == 0:
        os.chown(path, STRANGER, -1)
    else:
        real = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: real + 1)


@posix
def test_what_is_the_users_own_is_obeyed(project: Path) -> None:
    write(project / ".file-keeper.toml")
    assert fk.get_storage("media").settings.bucket == "config"


@posix
def test_a_strangers_configuration_is_not_obeyed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(project / ".file-keeper.toml")
    give_away(path, monkeypatch)
    with pytest.raises(exc.InvalidStorageConfigurationError) as caught:
        fk.get_storage("media")
    assert f"the configuration {path} is not obeyed: it belongs to user " in str(caught.value)
    assert f"FILE_KEEPER_CONFIG={path}" in str(caught.value)
    # Named, it is the user's own decision.
    monkeypatch.setenv("FILE_KEEPER_CONFIG", str(path))
    assert fk.get_storage("media").settings.bucket == "config"


@posix
def test_nor_one_in_a_strangers_folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    write(project / ".file-keeper.toml")
    give_away(project, monkeypatch)
    with pytest.raises(exc.InvalidStorageConfigurationError, match=r"its folder .* belongs to user"):
        fk.get_storage("media")


@posix
@pytest.mark.parametrize(
    ("file", "folder", "message"),
    [
        (0o646, 0o755, "is not obeyed: it may be written by everybody"),
        (0o644, 0o777, "is not obeyed: its folder .* may be written by everybody"),
        (0o644, 0o1777, "is not obeyed: its folder .* may be written by everybody"),
    ],
)
def test_nor_one_that_others_may_write(project: Path, file: int, folder: int, message: str) -> None:
    write(project / ".file-keeper.toml", file)
    project.chmod(folder)
    with pytest.raises(exc.InvalidStorageConfigurationError, match=message):
        fk.get_storage("media")


@posix
def test_a_group_may_write_only_when_it_is_the_users_alone(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import grp
    import pwd

    path = write(project / ".file-keeper.toml", 0o664)
    status = path.stat()

    def group(name: str, members: list[str]) -> None:
        user = pwd.struct_passwd(("ann", "x", status.st_uid, status.st_gid, "", "/", "/bin/sh"))
        monkeypatch.setattr(pwd, "getpwuid", lambda _: user)
        monkeypatch.setattr(grp, "getgrgid", lambda _: grp.struct_group((name, "x", status.st_gid, members)))

    for name, members in (("staff", []), ("ann", ["bob"])):
        group(name, members)
        with pytest.raises(exc.InvalidStorageConfigurationError, match="it may be written by its group"):
            fk.get_storage("media")
    group("ann", [])
    assert fk.get_storage("media").settings.bucket == "config"


@posix
def test_a_link_is_judged_by_what_it_leads_to(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = write(tmp_path / "elsewhere.toml", 0o646)
    (project / ".file-keeper.toml").symlink_to(target)
    with pytest.raises(exc.InvalidStorageConfigurationError, match="it may be written by everybody"):
        fk.get_storage("media")


@posix
def test_nor_a_link_into_a_folder_that_others_may_write(project: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    write(shared / "c.toml")
    (project / ".file-keeper.toml").symlink_to(shared / "c.toml")
    assert fk.get_storage("media").settings.bucket == "config"
    registry._named.clear()  # pyright: ignore[reportPrivateUsage]
    shared.chmod(0o777)
    with pytest.raises(exc.InvalidStorageConfigurationError, match=f"its folder {shared} may be written by everybody"):
        fk.get_storage("media")


@posix
def test_a_pipe_is_no_configuration(project: Path) -> None:
    os.mkfifo(project / ".file-keeper.toml")
    with pytest.raises(exc.UnknownStorageError):
        fk.get_storage("media")
    assert config.configured() == {}


# -- references -------------------------------------------------------------------------------------------------------


SECRET = "s3cr3t-v4lue"


def refused(options: dict[str, Any]) -> str:
    with pytest.raises(exc.InvalidStorageConfigurationError) as caught:
        fk.make_storage("media", {"type": "memory", **options})
    told = f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
    assert SECRET not in told
    return str(caught.value)


@pytest.mark.parametrize("name", ["part_size", "max_concurrency", "timeout", "initialize", "verify_reads"])
def test_a_reference_never_shows_its_value(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FK_TEST", SECRET)
    assert "what {'env': 'FK_TEST'} leads to is not" in refused({name: {"env": "FK_TEST"}})
    path = tmp_path / "secret"
    path.write_text(SECRET)
    assert f"what {{'file': '{path}'}} leads to is not" in refused({name: {"file": str(path)}})


@pytest.mark.parametrize("name", ["path", "hashing_algorithm"])
def test_nor_where_a_value_is_refused_later(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FK_TEST", f"../{SECRET}")
    assert "{'env': 'FK_TEST'}" in refused({name: {"env": "FK_TEST"}})


def test_nor_does_a_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FK_TEST", SECRET)
    storage = fk.make_storage("media", {"type": "memory", "path": {"env": "FK_TEST"}})
    assert storage.settings.path == SECRET
    assert SECRET not in repr(storage)
    assert "path={'env': 'FK_TEST'}" in repr(storage)


def test_nor_a_resolved_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    @dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
    class Own(Settings):
        endpoint: str = option("text")
        port: int = option("int", 0)

    monkeypatch.setenv("FK_TEST", SECRET)
    resolved = parse(Own, "media", {"endpoint": {"env": "FK_TEST"}}).resolve()
    assert resolved.endpoint == SECRET
    assert SECRET not in repr(resolved)
    with pytest.raises(exc.InvalidStorageConfigurationError) as caught:
        parse(Own, "media", {"port": {"env": "FK_TEST"}}).resolve()
    assert SECRET not in repr(caught.value)


def test_a_reference_is_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * (64 << 10) + b"x")
    assert "more than 64 KiB" in refused({"path": {"file": str(path)}})
    monkeypatch.setenv("FK_TEST", "x" * 66_000)
    assert "more than 64 KiB" in refused({"path": {"env": "FK_TEST"}})
    path.write_bytes(b"\xff" + SECRET.encode())
    assert "is not UTF-8" in refused({"path": {"file": str(path)}})


@posix
def test_a_reference_reads_regular_files_only(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        assert "is not a regular file" in refused({"path": {"file": str(name)}})
    assert "cannot be read" in refused({"path": {"file": "a\0b"}})


# -- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]
)
def test_loopback(host: str) -> None:
    assert is_loopback(host)
    require_secure("S", f"http://{f'[{host}]' if ':' in host else host}:9000/x")


@pytest.mark.parametrize(
    "host", ["localhost.example.com", "127.0.0.1.example.com", "10.0.0.1", "2130706433", "minio", ""]
)
def test_no_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("url", ["http://minio:9000", "HTTP://minio", " http://minio", "http://[::2]/", "http://["])
def test_credentials_of_the_environment_are_not_sent_in_the_clear(url: str) -> None:
    with pytest.raises(exc.InvalidStorageConfigurationError, match="Amazon S3: credentials of the environment are not"):
        require_secure("Amazon S3", url)
    require_secure("Amazon S3", url, insecure=True)
    require_secure("Amazon S3", url, ambient=False)


def test_over_https_they_are() -> None:
    require_secure("Amazon S3", "https://minio")
    require_secure("Amazon S3", "")


def test_every_type_takes_the_option() -> None:
    assert fk.make_storage("media", {"type": "memory", "insecure": True}).settings.insecure is True


# -- one storage's silence --------------------------------------------------------------------------------------------


@pytest.fixture
def slow() -> Any:
    """A type that waits in ``prepare``, fails as often as it is told to, and counts."""
    inside, go_on = threading.Event(), threading.Event()

    class Slow(MemoryBackend):
        fails = 0
        made = 0

        def prepare(self) -> None:
            type(self).made += 1
            inside.set()
            assert go_on.wait(30)
            if type(self).fails:
                type(self).fails -= 1
                raise exc.ConnectionError("no answer")

    fk.adapters.register("acme:silent", Slow)
    yield Slow, inside, go_on
    go_on.set()
    fk.adapters.unregister("acme:silent")


SLOW = {"type": "acme:silent", "initialize": True}


def test_one_storages_silence_does_not_stop_another(slow: Any) -> None:
    kind, inside, go_on = slow
    got: list[fk.Storage] = []
    threads = [threading.Thread(target=lambda: got.append(fk.get_storage("slow", SLOW))) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert inside.wait(30)
    others: list[fk.Storage] = []
    other = threading.Thread(target=lambda: others.append(fk.get_storage("quick", {"type": "memory"})), daemon=True)
    begun = time.monotonic()
    other.start()
    other.join(10)
    assert others, "a storage that is silent holds back another"
    assert time.monotonic() - begun < 5
    assert not got
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert len(got) == 4
    assert len(set(map(id, got))) == kind.made == 1


def test_an_error_is_not_remembered(slow: Any) -> None:
    kind, _, go_on = slow
    go_on.set()
    kind.fails = 1
    with pytest.raises(exc.ConnectionError):
        fk.get_storage("slow", SLOW)
    storage = fk.get_storage("slow", SLOW)
    kind.fails = 1
    with pytest.raises(exc.ConnectionError):
        fk.get_storage("slow", {**SLOW, "path": "other"})
    assert fk.get_storage("slow") is storage
    # The first try with these settings failed: the storage of the other settings is not taken for theirs.
    assert fk.get_storage("slow", {**SLOW, "path": "other"}) is not storage


def test_a_storage_that_asks_for_itself_is_an_error_and_no_silence() -> None:
    class Circular(MemoryBackend):
        def prepare(self) -> None:
            fk.get_storage("circle")

    fk.adapters.register("acme:circle", Circular)
    try:
        with pytest.raises(exc.InvalidStorageConfigurationError, match="it is made out of itself"):
            fk.get_storage("circle", {"type": "acme:circle", "initialize": True})
    finally:
        fk.adapters.unregister("acme:circle")


def test_a_configuration_is_parsed_once_while_it_is_unchanged(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    original = tomllib.loads
    monkeypatch.setattr(tomllib, "loads", lambda text: (parsed.append(text), original(text))[1])
    file = project / ".file-keeper.toml"
    file.write_text("".join(f'[storages.once{number}]\ntype = "memory"\n' for number in range(30)))
    for number in range(30):
        assert fk.get_storage(f"once{number}").name == f"once{number}"
    assert len(parsed) == 1
    # Of the same length, in the same tick of the clock: what counts is what the file says.
    file.write_text(file.read_text().replace("once29", "once30"))
    assert fk.get_storage("once30").name == "once30"
    with pytest.raises(fk.exc.UnknownStorageError, match="once30"):
        fk.get_storage("once31")
    assert len(parsed) == 2
