"""Where an account and the right to use it come from, and what is refused."""

from __future__ import annotations

import base64
import builtins
import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest
from azure.core.credentials import AccessToken, AzureNamedKeyCredential, AzureSasCredential
from azure.storage.blob import BlobServiceClient, ContainerClient
from emulators.azure import AzuriteServer
from file_keeper import exc
from file_keeper.backend import WriteOptions
from file_keeper_azure import AzureBackend, AzureSettings
from file_keeper_azure.settings import ENVIRONMENT, account

from .azure_calls import read_all

KEY = base64.b64encode(b"the key of the account").decode()
SAS = "sv=2022-11-02&sig=a%2Fsecret%3D"
URL = "https://acc.blob.core.windows.net"
LOCAL = "http://127.0.0.1:10000/dev"
CHINA = f"DefaultEndpointsProtocol=http;AccountName=acc;AccountKey={KEY};EndpointSuffix=core.chinacloudapi.cn;"


class Token:
    """A token credential."""

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken("token", 1 << 40)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ENVIRONMENT.values():
        monkeypatch.delenv(variable, raising=False)


Make = Callable[..., AzureBackend]


@pytest.mark.parametrize(
    ("raw", "url", "name", "key", "sas"),
    [
        ({"account_name": "acc", "account_key": KEY}, URL, "acc", KEY, ""),
        ({"account_url": URL + "/", "account_key": KEY}, URL, "acc", KEY, ""),
        ({"account_url": LOCAL, "account_key": KEY}, LOCAL, "dev", KEY, ""),
        ({"account_name": "acc", "sas_token": "?" + SAS}, URL, "acc", "", SAS),
        ({"account_name": "acc", "anonymous": True}, URL, "acc", "", ""),
        ({"account_url": URL, "credential": AzureNamedKeyCredential("acc", KEY)}, URL, "acc", KEY, ""),
        ({"connection_string": f"AccountName=acc;AccountKey={KEY}"}, URL, "acc", KEY, ""),
        ({"connection_string": CHINA}, "http://acc.blob.core.chinacloudapi.cn", "acc", KEY, ""),
        ({"connection_string": f"BlobEndpoint={URL}/;SharedAccessSignature={SAS}"}, URL, "acc", "", SAS),
    ],
)  # fmt: skip
def test_accounts(make_backend: Make, raw: dict[str, Any], url: str, name: str, key: str, sas: str) -> None:
    found = account(make_backend(bucket="b", **raw).settings)
    assert (found.url, found.name, found.key, found.sas, found.default) == (url, name, key, sas, False)


def test_the_emulator_by_its_short_name(make_backend: Make) -> None:
    found = account(make_backend(bucket="b", connection_string="UseDevelopmentStorage=true").settings)
    assert (found.url, found.name) == ("http://127.0.0.1:10000/devstoreaccount1", "devstoreaccount1")


@pytest.mark.parametrize("alias", ["bucket", "container", "container_name"])
def test_aliases(make_backend: Make, alias: str) -> None:
    backend = make_backend(**{alias: "media", "account_name": "acc", "account_key": KEY})
    assert backend.url("a b/☺") == f"{URL}/media/a%20b/%E2%98%BA"


def test_the_environment_names_an_account(make_backend: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "fromenv")
    monkeypatch.setenv("AZURE_STORAGE_KEY", KEY)
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", SAS)
    found = account(make_backend(bucket="b").settings)
    assert (found.name, found.key, found.sas) == ("fromenv", KEY, "")
    assert account(make_backend(bucket="b", anonymous=True).settings).key == "", "what is asked for comes first"
    assert account(make_backend(bucket="b", account_name="given").settings).name == "given"
    assert account(make_backend(bucket="b", account_name="given").settings).key == "", "it is the key of another"
    assert account(make_backend(bucket="b", account_name="fromenv").settings).key == KEY
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", f"AccountName=whole;AccountKey={KEY}")
    assert account(make_backend(bucket="b").settings).name == "whole"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"account_name": "acc"}, "'bucket' .the container. is required"),
        ({"bucket": "b"}, "AZURE_STORAGE_CONNECTION_STRING"),
        ({"bucket": "b", "sas_token": SAS}, "no account is named"),
        ({"bucket": "b", "account_name": "a", "account_key": KEY, "sas_token": SAS}, "exclude one another"),
        ({"bucket": "b", "account_name": "a", "anonymous": True, "account_key": KEY}, "exclude one another"),
        ({"bucket": "b", "connection_string": "x", "account_name": "a"}, "'connection_string' says all"),
        ({"bucket": "b", "connection_string": "x", "account_key": KEY}, "'connection_string' says all"),
        ({"bucket": "b", "account_url": URL + "?" + SAS}, "'sas_token'"),
        ({"bucket": "b", "account_url": "acc.blob.core.windows.net"}, "http or https address"),
        ({"bucket": "b", "account_url": "http://[acc"}, "http or https address"),
        ({"bucket": "b", "account_url": "http://acc:port"}, "http or https address"),
        ({"bucket": "b", "account_name": "a", "public_endpoint": "cdn"}, "'public_endpoint'"),
        ({"bucket": "b", "account_name": "a", "credential": "text"}, "'account_key'"),
        ({"bucket": "b", "client": object()}, "'client' must be"),
        ({"bucket": "b", "account_name": "a", "conection_string": "x"}, "did you mean 'connection_string'"),
    ],
)  # fmt: skip
def test_what_is_refused_at_once(make_backend: Make, raw: dict[str, Any], words: str) -> None:
    with pytest.raises(exc.InvalidStorageConfigurationError, match=words) as caught:
        make_backend(**raw)
    assert KEY not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"account_name": "a", "account_key": "not base64!"}, "not base64"),
        ({"account_name": "a", "account_key": "clé"}, "not base64"),
        ({"connection_string": "nonsense"}, "needs AccountName"),
        ({"connection_string": "AccountName=a"}, "AccountKey or SharedAccessSignature"),
        ({"connection_string": {"env": "NOT_SET_ANYWHERE"}}, "NOT_SET_ANYWHERE is not set"),
        ({"account_url": "http://127.0.0.1:1/a", "credential": Token()}, "HTTPS"),
    ],
)
def test_what_is_refused_when_the_client_is_built(make_backend: Make, raw: dict[str, Any], words: str) -> None:
    with pytest.raises(exc.InvalidStorageConfigurationError, match=words):
        make_backend(bucket="b", **raw).head("x")


def test_no_secret_is_shown(make_backend: Make) -> None:
    for raw in ({"account_key": KEY}, {"sas_token": SAS}):
        backend = make_backend(bucket="b", account_name="acc", **raw)
        shown = repr(backend.settings) + repr(account(backend.settings)) + str(backend.settings)
        assert KEY not in shown
        assert "sig=" not in shown


def test_the_default_credential_wants_its_extra(make_backend: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(exc.MissingExtrasError, match=r'pip install "file-keeper-azure\[identity\]"'):
        make_backend(bucket="b", account_name="acc").head("x")


def test_the_default_credential(make_backend: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    class DefaultAzureCredential(Token):
        def close(self) -> None:
            closed.append(True)

    module = type(sys)("azure.identity")
    module.DefaultAzureCredential = DefaultAzureCredential
    monkeypatch.setitem(sys.modules, "azure.identity", module)
    backend = make_backend(bucket="b", account_name="acc")
    assert isinstance(backend.client.credential, DefaultAzureCredential)
    assert "sign" in backend.verbs
    backend.close()
    assert closed == [True]


def test_references_are_read_when_the_client_is_built(
    make_backend: Make, azurite_server: AzuriteServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    backend = make_backend(
        bucket=azurite_server.new_bucket(),
        account_url=azurite_server.url,
        account_name={"env": "TRY_NAME"},
        account_key={"file": str(tmp_path / "key")},
    )
    monkeypatch.setenv("TRY_NAME", azurite_server.account_name)
    (tmp_path / "key").write_text(azurite_server.account_key + "\n")
    backend.put("x", b"1", WriteOptions())


@pytest.mark.parametrize("kind", [BlobServiceClient, ContainerClient])
def test_a_given_client_is_used_and_left_open(make_backend: Make, azurite_server: AzuriteServer, kind: type) -> None:
    bucket = azurite_server.new_bucket()
    with azurite_server.client() as service:
        given = service if kind is BlobServiceClient else service.get_container_client(bucket)
        backend = make_backend(client=given, **({"bucket": bucket} if kind is BlobServiceClient else {}))
        backend.put("x", b"1", WriteOptions())
        assert backend.client is given
        assert "sign" in backend.verbs
        assert list(backend.delete_many(["y", "z"])) == []
        backend.close()
        assert read_all(backend, "x") == b"1"
        with pytest.raises(exc.InvalidStorageConfigurationError, match="says all"):
            make_backend(client=given, account_name="a", bucket=bucket)


def test_a_container_client_of_another_container(make_backend: Make, azurite_server: AzuriteServer) -> None:
    with azurite_server.client() as service, pytest.raises(exc.InvalidStorageConfigurationError, match="'one'"):
        make_backend(client=service.get_container_client("one"), bucket="two")


def test_live_objects_are_told(make_backend: Make, azurite_server: AzuriteServer) -> None:
    with azurite_server.client() as service:
        assert make_backend(client=service, bucket="b").settings.live() == "client"
    assert make_backend(account_name="a", bucket="b", credential=Token()).settings.live() == "credential"
    assert make_backend(account_name="a", bucket="b").settings.live() == ""


@pytest.mark.parametrize(
    ("raw", "signs"),
    [
        ({"account_key": KEY}, True),
        ({"account_key": {"env": "NOT_SET_YET"}}, True),
        ({"credential": Token()}, True),
        ({"sas_token": SAS}, False),
        ({"credential": AzureSasCredential(SAS)}, False),
        ({"anonymous": True}, False),
    ],
)
def test_who_can_sign(make_backend: Make, raw: dict[str, Any], signs: bool) -> None:
    assert ("sign" in make_backend(bucket="b", account_name="a", **raw).verbs) == signs


def test_nothing_is_built_before_it_is_needed(make_backend: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("built too early")

    monkeypatch.setattr(builtins, "open", refuse)
    monkeypatch.setattr("file_keeper_azure.backend.checked", refuse)
    backend = make_backend(bucket="b", account_name="acc", account_key=KEY)
    assert backend.limits.parts_max == 50_000
    assert backend.verbs


def test_a_fork_builds_its_own(backend: AzureBackend) -> None:
    backend.put("x", b"1", WriteOptions())
    before = backend.client
    backend.after_fork()
    assert backend.client is not before
    assert read_all(backend, "x") == b"1"
    before.close()


def test_settings_travel(make_backend: Make) -> None:
    made = make_backend(bucket="b", account_name="acc", account_key={"env": "TRY_KEY"}).settings
    assert pickle.loads(pickle.dumps(dict(made.raw))) == made.raw
    assert isinstance(made, AzureSettings)


ELSEWHERE = "http://storage.example.com/acc"


@pytest.mark.parametrize("right", ["AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN", "identity"])
def test_rights_of_the_environment_do_not_go_over_plain_http(
    right: str, make_backend: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    if right == "identity":
        module = type(sys)("azure.identity")
        module.DefaultAzureCredential = Token
        monkeypatch.setitem(sys.modules, "azure.identity", module)
    else:
        monkeypatch.setenv(right, "QUJD" if right.endswith("KEY") else "sv=2026-01-01&sig=QUJD")
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "acc")
    backend = make_backend(bucket="b", account_url=ELSEWHERE, account_name="acc")
    with pytest.raises(exc.InvalidStorageConfigurationError, match="not sent over plain HTTP to"):
        backend.head("x")
    if right != "identity":  # no token goes over plain HTTP, whatever is asked for: the SDK sees to that
        for allowed in (
            {"account_url": ELSEWHERE, "insecure": True},
            {"account_url": "http://127.0.0.1:10000/acc"},
            {"account_url": "https://storage.example.com/acc"},
        ):
            assert make_backend(**{"bucket": "b", "account_name": "acc", **allowed}).client


def test_rights_that_come_with_their_address_go_there(make_backend: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the settings, or a connection string of the environment: there nobody else names the address."""
    text = f"AccountName=acc;AccountKey=QUJD;BlobEndpoint={ELSEWHERE}"
    for raw in (
        {"account_url": ELSEWHERE, "account_name": "acc", "account_key": "QUJD"},
        {"account_url": ELSEWHERE, "anonymous": True},
        {"connection_string": text},
    ):
        assert make_backend(bucket="b", **raw).client.url.startswith(ELSEWHERE)
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
    assert make_backend(bucket="b").client.url.startswith(ELSEWHERE)
