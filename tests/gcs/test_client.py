"""Who asks, where, and with what: credentials, endpoints, projects, threads, forks, pickles."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import file_keeper as fk
import pytest
from emulators.gcs_double import GcsDouble
from file_keeper import exc
from file_keeper.settings import parse
from file_keeper_gcs import GcsBackend, GcsSettings
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as gcs_sdk
from google.oauth2 import service_account

Make = Callable[..., GcsBackend]
Storages = Callable[..., fk.Storage]


def settings(**options: Any) -> GcsSettings:
    return parse(GcsSettings, "test", {"bucket": "media", **options}, "file_keeper:gcs")


# -- settings -------------------------------------------------------------------------------------------------------


def test_aliases() -> None:
    made = parse(GcsSettings, "test", {"bucket_name": "media", "project": "p"}, "file_keeper:gcs")
    assert (made.bucket, made.project_id) == ("media", "p")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"bucket": ""}, "'bucket' is required"),
        ({"anonymous": True, "credentials_file": "x"}, "exclude each other"),
        ({"credentials": {}, "credentials_file": "x", "anonymous": True}, "exclude each other"),
        ({"client": object(), "endpoint": "http://x"}, "a ready client has its own endpoint"),
        ({"endpoint": "storage.example.com"}, "must be an address such as"),
        ({"public_endpoint": "ftp://x"}, "must be an address such as"),
        ({"iam_endpoint": "https://user:pw@x"}, "must be an address such as"),
        ({"client_options": "x"}, "must be a mapping"),
        ({"buckets": "x"}, "did you mean 'bucket'"),
        ({"sse": "AES256"}, "an option of file_keeper:s3"),
    ],
)
def test_settings_that_are_wrong(options: dict[str, Any], text: str) -> None:
    with pytest.raises(exc.InvalidStorageConfigurationError, match=text):
        settings(**options)


def test_no_secret_is_shown(double: GcsDouble) -> None:
    info = double.credentials_info()
    made = settings(credentials=info, client_options={"api_key": "sesame"}, project_id="p")
    assert "PRIVATE" not in repr(made)
    assert "sesame" not in repr(made)
    assert "'p'" in repr(made)
    for wrong in ({**info, "private_key": "PRIVATE sesame"}, '{"type": "sesame', {"type": "sesame"}):
        backend = GcsBackend(settings(credentials=wrong))
        with pytest.raises(exc.InvalidStorageConfigurationError, match="key file") as caught:
            backend.check()
        assert "sesame" not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"


def test_nothing_is_asked_before_the_first_use() -> None:
    media = fk.make_storage("test", {"type": "gcs", "bucket": "media"})
    assert media.limits
    assert media.capabilities
    assert media.permanent_link("a b") == "https://storage.googleapis.com/media/a%20b"
    media.close()


# -- credentials ----------------------------------------------------------------------------------------------------


def test_without_credentials_the_remedy_is_named(storage: Storages) -> None:
    media = storage(anonymous=None)
    for call in (lambda: media.content("a"), lambda: media.upload("a", b"x"), lambda: media.exists("a")):
        with pytest.raises(exc.PermissionError, match="gcloud auth application-default login") as caught:
            call()
        assert "anonymous" in caught.value.message
        assert caught.value.retryable is False


@pytest.mark.filterwarnings("ignore:The load_credentials:DeprecationWarning")  # of the SDK, at its own option
@pytest.mark.parametrize("how", ["file", "environment", "mapping", "json", "reference", "object", "client options"])
def test_ways_to_give_credentials(
    storage: Storages, double: GcsDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    double.require_auth = True
    path = double.write_credentials(tmp_path / "key.json")
    options: dict[str, Any] = {"anonymous": None}
    match how:
        case "file":
            options["credentials_file"] = str(path)
        case "environment":
            monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
        case "mapping":
            options["credentials"] = double.credentials_info()
        case "json":
            options["credentials"] = path.read_text()
        case "reference":
            options["credentials"] = {"file": str(path)}
        case "object":
            options["credentials"] = service_account.Credentials.from_service_account_file(str(path))
        case _:
            options["client_options"] = {"credentials_file": str(path)}
    media = storage(**options)
    media.upload("a", b"x")
    assert media.content("a") == b"x"
    assert double.requests("POST", "/upload/")[0].headers["authorization"].startswith("Bearer ")


def test_a_token_that_expires_is_renewed(storage: Storages, double: GcsDouble) -> None:
    double.require_auth = True
    info = double.credentials_info()
    made = service_account.Credentials.from_service_account_info(info, scopes=gcs_sdk.Client.SCOPE)
    media = storage(credentials=made.with_always_use_jwt_access(False))
    media.upload("a", b"x")
    double.expire_tokens()
    assert media.content("a") == b"x"


def test_credentials_that_are_refused(storage: Storages, double: GcsDouble) -> None:
    double.require_auth = True
    info = {**double.credentials_info(), "client_email": "stranger@elsewhere.iam.gserviceaccount.com"}
    made = service_account.Credentials.from_service_account_info(info, scopes=gcs_sdk.Client.SCOPE)
    media = storage(credentials=made)
    with pytest.raises(exc.PermissionError, match="refused"):
        media.exists("a")


def test_a_token_service_that_is_down(storage: Storages, backend: Make, double: GcsDouble) -> None:
    info = {**double.credentials_info(), "token_uri": "http://127.0.0.1:9/token"}
    made = service_account.Credentials.from_service_account_info(info, scopes=gcs_sdk.Client.SCOPE)
    gcs = backend(credentials=made, anonymous=None)
    with pytest.raises(Exception) as caught:  # noqa: PT011
        gcs.head("a")
    found = gcs.translate(caught.value)
    assert isinstance(found, exc.ConnectionError)
    assert found.retryable


def test_anonymous_is_told_where_it_may_not(storage: Storages, double: GcsDouble) -> None:
    double.require_auth = True
    media = storage()
    for call in (lambda: media.exists("a"), lambda: media.remove("a"), lambda: media.upload("a", b"x")):
        with pytest.raises(exc.PermissionError, match="anonymous") as caught:
            call()
        assert caught.value.status == 401
    assert not media.supports(fk.Capability.SIGNED)


def test_a_file_of_credentials_that_is_not_there(storage: Storages) -> None:
    with pytest.raises(exc.InvalidStorageConfigurationError, match=r"nowhere\.json"):
        storage(credentials_file="/nowhere.json").check()


def test_options_that_the_client_does_not_know(storage: Storages) -> None:
    with pytest.raises(exc.InvalidStorageConfigurationError, match="colour"):
        storage(client_options={"colour": "blue"}).check()


# -- where ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", [True, False])
def test_the_emulator_variable(double: GcsDouble, monkeypatch: pytest.MonkeyPatch, scheme: bool) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", double.url if scheme else double.url.removeprefix("http://"))
    with fk.make_storage("test", {"type": "gcs", "bucket": "media"}) as media:
        media.upload("a", b"x")
        assert double.content("media", "a") == b"x"
        assert "authorization" not in double.requests("POST")[0].headers
        assert media.permanent_link("a") == f"{double.url}/media/a"


def test_an_endpoint_wins_over_the_emulator_variable(
    storage: Storages, double: GcsDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    storage().upload("a", b"x")
    assert double.content("media", "a") == b"x"
    # And an endpoint that was named is not an emulator: who asks there must be said.
    with pytest.raises(exc.PermissionError, match="anonymous"):
        storage(anonymous=None).exists("a")


def test_the_project_is_found_where_it_is_needed(
    storage: Storages, double: GcsDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = storage(bucket="by-environment", initialize=None)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "from-environment")
    GcsBackend(settings(bucket="by-environment", endpoint=double.url, anonymous=True)).prepare()
    assert double.api.store.buckets["by-environment"].project == "from-environment"
    media.upload("a", b"x")
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    info = double.credentials_info()
    fk.make_storage(
        "test", {"type": "gcs", "bucket": "by-key", "endpoint": double.url, "credentials": info, "initialize": True}
    ).close()
    assert double.api.store.buckets["by-key"].project == double.project


def test_a_ready_client_is_used_as_it_is(double: GcsDouble) -> None:
    client = gcs_sdk.Client("p", AnonymousCredentials(), client_options={"api_endpoint": double.url})
    adapter = client._http.get_adapter("http://x")
    media = fk.make_storage("test", {"type": "gcs", "bucket": "media", "client": client})
    media.upload("a", b"x")
    assert media.backend.client is client
    assert client._http.get_adapter("http://x") is adapter
    media.close()
    assert client.bucket("media").blob("a").exists()
    with pytest.raises(TypeError, match="client"):
        pickle.dumps(media)
    client.close()


def test_the_sdk_is_at_hand(storage: Storages) -> None:
    client = storage().backend.client
    assert isinstance(client, gcs_sdk.Client)
    assert client.project is None


def test_a_proxy_of_the_environment_is_used(
    storage: Storages, double: GcsDouble, fault_proxy: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = fault_proxy(double.url, keep_host=True)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "")
    media = storage("http://gcs.invalid")
    proxy.on(times=None).answer(404, '{"error": {"code": 404, "message": "No such object: x"}}')
    assert media.exists("a") is False
    assert proxy.requests[0].target.startswith("http://gcs.invalid/storage/v1/b/media/o/a")


# -- processes ------------------------------------------------------------------------------------------------------


def _child(media: fk.Storage, number: int, results: Any) -> None:
    try:
        media.upload(f"child-{number}", b"%d" % number)
        results.put((number, media.content("parent"), media.content(f"child-{number}")))
    except BaseException as error:
        results.put((number, repr(error), b""))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are of POSIX")
def test_children_after_a_fork_have_their_own_connections(storage: Storages, double: GcsDouble) -> None:
    media = storage()
    media.upload("parent", b"p")
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    children = [context.Process(target=_child, args=(media, number, results)) for number in range(4)]
    for child in children:
        child.start()
    found = [results.get(timeout=30) for _ in children]
    for child in children:
        child.join()
    assert sorted(found) == [(number, b"p", b"%d" % number) for number in range(4)]
    assert media.content("parent") == b"p"


def test_a_storage_travels_to_another_process(storage: Storages, double: GcsDouble) -> None:
    media = storage(anonymous=None, credentials=double.credentials_info())
    media.upload("a", b"x")
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).content('a'))"
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(media), capture_output=True, check=True, timeout=60
    )
    assert done.stdout.strip() == b"b'x'"


def test_importing_the_library_imports_no_sdk() -> None:
    code = "import sys, json, file_keeper; print(json.dumps([m for m in sys.modules if m.startswith('google.cloud')]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout) == []
