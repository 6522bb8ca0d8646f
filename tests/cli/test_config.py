"""Storages from the configuration file, the environment and ``--set``; and what may be shown of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from file_keeper_cli.config import Address, Storages, parse_environment, parse_sets
from file_keeper_cli.errors import UsageError


def write_config(text: str) -> None:
    Path(".file-keeper.toml").write_text(text)


def test_a_configured_storage_is_found_by_its_name(run):
    write_config('[storages.media]\ntype = "fs"\npath = "store"\ninitialize = true\n')
    assert run("put", "-", "media:a/b", stdin=b"x").code == 0
    assert Path("store/a/b").read_bytes() == b"x"
    assert run("ls", "-r", "media:").text == "a/b\n"


def test_a_configuration_may_be_named(run, tmp_path):
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"storages": {"media": {"type": "fs", "path": "store", "initialize": True}}}))
    assert run("--config", path, "put", "-", "media:a", stdin=b"x").code == 0
    assert run("ls", "media:", "--config", path).text == "a\n"


def test_the_environment_makes_a_storage(run, monkeypatch):
    monkeypatch.setenv("FILE_KEEPER_STORAGE_MEDIA", "type=fs path='my store' initialize=true")
    monkeypatch.setenv("FILE_KEEPER_STORAGE", '{"type": "fs", "path": "unnamed", "initialize": true}')
    assert run("put", "-", "media:a", stdin=b"x").code == 0
    assert run("put", "-", ":b", stdin=b"x").code == 0
    assert Path("my store/a").exists()
    assert Path("unnamed/b").exists()


def test_set_is_laid_over_the_environment_and_that_over_the_file(run, monkeypatch):
    write_config('[storages.my-media]\ntype = "s3"\npath = "from-file"\ninitialize = true\n')
    monkeypatch.setenv("FILE_KEEPER_STORAGE_MY_MEDIA", "type=fs path=from-environment")
    assert run("put", "-", "my-media:a", stdin=b"x").code == 0
    assert Path("from-environment/a").exists()
    assert run("put", "-", "my-media:a", "--set", "my-media:path=from-set", stdin=b"x").code == 0
    assert Path("from-set/a").exists()
    assert not Path("from-file").exists()


def test_set_may_stand_before_and_behind_the_command(run):
    assert run("-s", "type=fs", "put", "-", ":a", "-s", "path=store", "-s", "initialize=yes", stdin=b"x").code == 0
    assert Path("store/a").exists()


def test_values_blocks_and_lists():
    made = parse_sets(
        [
            "type=file_keeper:s3",
            "secret.env=S3_SECRET",
            "s3.region=eu-west-1",
            "b:x=a=b",
            'b:config={"max_pool_connections": 3}',
            ":path=x",
            'b:y="{"',
            "b:z=",
        ]
    )
    assert made == {
        "": {"type": "file_keeper:s3", "secret": {"env": "S3_SECRET"}, "s3": {"region": "eu-west-1"}, "path": "x"},
        "b": {"x": "a=b", "config": {"max_pool_connections": 3}, "y": "{", "z": ""},
    }


@pytest.mark.parametrize("text", ["type", "=x", "a..b=x", "name:", "name:=x", "x={no json"])
def test_what_is_no_setting(text):
    with pytest.raises(UsageError) as caught:
        parse_sets([text])
    assert "no json" not in str(caught.value)


def test_a_value_is_no_block():
    with pytest.raises(UsageError, match="'s3' has a value already"):
        parse_sets(["s3=x", "s3.region=y"])


def test_the_environment_that_makes_no_sense_names_its_variable(run, monkeypatch):
    monkeypatch.setenv("FILE_KEEPER_STORAGE_MEDIA", "{broken")
    result = run("ls", "media:")
    assert result.code == 7
    assert "FILE_KEEPER_STORAGE_MEDIA" in result.stderr
    monkeypatch.setenv("FILE_KEEPER_STORAGE_MEDIA", "word")
    assert run("ls", "media:").code == 7
    monkeypatch.setenv("FILE_KEEPER_STORAGE_MEDIA", "[1]")
    assert run("ls", "media:").code == 7


def test_the_environment_is_read_by_its_prefix_only():
    assert parse_environment({"FILE_KEEPER_STORAGES": "x", "FILE_KEEPER_CONFIG": "y", "HOME": "z"}) == {}


def test_addresses():
    assert Address.parse("media:a:b") == Address("media", "a:b")
    assert Address.parse(":a") == Address("", "a")
    assert str(Address("media", "a").within("b")) == "media:a/b"
    assert str(Address("media", "").within("b")) == "media:b"
    with pytest.raises(UsageError, match="STORAGE:location"):
        Address.parse("report.pdf")


def test_an_unknown_storage_says_what_is_known_and_how_to_make_one(run):
    write_config('[storages.media]\ntype = "memory"\n')
    result = run("ls", "medai:")
    assert result.code == 7
    assert "did you mean 'media'?" in result.stderr
    assert "FILE_KEEPER_STORAGE_MEDAI" in result.stderr
    assert run("ls", ":").code == 7


def test_no_secret_is_shown(run, monkeypatch):
    write_config(
        """
        [storages.cloud]
        type = "s3"
        bucket = "photos"
        key = "AKIA-visible-as-an-id"
        secret = "hunter2"
        endpoint = "https://me:hunter1@s3.example"
        config = { password = "hunter3" }
        metadata = { owner = "hunter4" }
        unknown = "hunter5"
        [storages.cloud.azure]
        account_key = "hunter6"
        [storages.signed]
        type = "azure"
        bucket = "photos"
        account_url = "https://me.example/photos?sig=hunter9&se=hunter10"
        [storages.referring]
        type = "azure"
        account_key = { env = "AZURE_KEY" }
        connection_string = { file = "/run/secrets/azure" }
        [storages.nobody]
        type = "nobody:has"
        token = "hunter7"
        """
    )
    monkeypatch.setenv("FILE_KEEPER_STORAGE_NOBODY", "password=hunter8")
    for arguments in (["storages"], ["storages", "--json"], ["check"], ["check", "--json", "--debug"]):
        result = run(*arguments)
        assert "hunter" not in result.text + result.stderr
    shown = {one["storage"]: one for one in run("storages", "--json").records[0]["storages"]}
    assert shown["cloud"]["settings"]["bucket"] == "photos"
    assert shown["cloud"]["settings"]["secret"] == "***"
    assert shown["cloud"]["settings"]["endpoint"] == "https://me:***@s3.example"
    assert shown["signed"]["settings"]["account_url"] == "https://me.example/photos?***"
    assert shown["cloud"]["settings"]["azure"] == {"account_key": "***"}
    assert shown["referring"]["settings"]["account_key"] == {"env": "AZURE_KEY"}
    assert shown["nobody"]["sources"][-1] == "FILE_KEEPER_STORAGE_NOBODY"
    assert "nobody:has" in shown["nobody"]["problem"]


def test_storages_lists_names_types_and_where_they_come_from(run):
    assert "No storage is configured" in run("storages").text
    write_config('[storages.media]\ntype = "memory"\nbucket = "photos"\n')
    result = run("storages", set_=("other:type=fs",))
    lines = result.text.splitlines()
    assert any("media:" in line and "memory" in line and "bucket = photos" in line for line in lines)
    assert any("other:" in line and "--set" in line for line in lines)
    assert any("file_keeper:memory" in line for line in lines)


def test_check_goes_through_all_and_fails_with_the_first(run, tmp_path):
    two = ("good:type=memory", "missing:type=fs", f"missing:path={tmp_path / 'not-there'}")
    result = run("check", set_=two)
    assert result.code == 7
    assert result.text.startswith("good: ok  file_keeper:memory")
    assert "storage 'missing'" in result.stderr
    assert run("check", "good", set_=two).code == 0
    assert run("check", "good:", "--json", set_=two).records[0]["ok"] is True
    assert run("check").code == 2


def test_the_storages_of_a_command_are_made_once():
    with_storages = Storages(["type=memory"])
    assert with_storages.get("") is with_storages.get("")
    with_storages.close()
