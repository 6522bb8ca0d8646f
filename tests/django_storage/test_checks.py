"""What `manage.py check` says: which option of STORAGES is wrong, and what would be right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core import checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import models
from django.test.utils import isolate_apps, override_settings
from file_keeper_django import FileKeeperStorage
from file_keeper_django.checks import check_fields, check_handlers

S3 = {"type": "s3", "bucket": "b"}
BACKEND = "file_keeper_django.FileKeeperStorage"
STATIC = "file_keeper_django.FileKeeperStaticStorage"
MANIFEST = "file_keeper_django.FileKeeperManifestStaticStorage"


def found(default: dict[str, Any], static: dict[str, Any] | None = None, backend: str = BACKEND, **more: Any) -> Any:
    entries = {
        "default": {"BACKEND": BACKEND, "OPTIONS": default},
        "staticfiles": {"BACKEND": backend, "OPTIONS": static or S3},
    }
    with override_settings(STORAGES=entries, **more):
        return [(message.id.partition(".")[2], message.msg) for message in checks.run_checks(tags=[checks.Tags.files])]


def test_a_right_configuration_is_passed_over_without_a_request():
    # Nobody listens there.
    options = {**S3, "endpoint": "http://127.0.0.1:9", "key": "k", "secret": "s", "initialize": True}
    assert found(options, {**options, "path": "static"}) == []


@pytest.mark.parametrize(
    ("options", "identifier", "told"),
    [
        ({"type": "s3", "buket": "b"}, "E001", "unknown option 'buket', did you mean 'bucket'?"),
        ({"type": "s3"}, "E001", "option 'bucket' is required"),
        ({}, "E001", "option 'type' is required"),
        ({**S3, "timeout": "soon"}, "E001", "option 'timeout'"),
        ({**S3, "account_name": "a"}, "E001", "'account_name' is an option of file_keeper:azure"),
        ({**S3, "url": "open"}, "E001", "option 'url' is one of 'auto', 'signed', 'public', not 'open'"),
        ({**S3, "link_duration": -1}, "E001", "option 'link_duration' is a duration"),
        ({**S3, "inline": "pdf"}, "E001", "option 'inline' is a list of media types"),
        ({"storage": "nowhere"}, "E001", "unknown storage 'nowhere'"),
        ({"storage": "a", "bucket": "b"}, "E001", "'bucket' belongs into its configuration"),
        ({"type": "s4", "bucket": "b"}, "E002", "unknown type 's4'"),
    ],
)
def test_a_wrong_option_is_an_error_that_names_it(options: dict[str, Any], identifier: str, told: str):
    ((level, message),) = found(options)
    assert level == identifier
    assert message.startswith("STORAGES['default']['OPTIONS']: ")
    assert told in message


def test_the_command_ends_with_them():
    entries = {"default": {"BACKEND": BACKEND, "OPTIONS": {"type": "s3", "buket": "b"}}}
    with override_settings(STORAGES=entries), pytest.raises(SystemCheckError, match="'buket'"):
        call_command("check")


def test_secrets_are_not_told():
    ((_, message),) = found({**S3, "secret": "geheim", "buket": "geheim"})
    assert "geheim" not in message


def test_a_storage_without_links(tmp_path: Path):
    local = {"type": "fs", "path": str(tmp_path)}
    ((level, message),) = found(local)
    assert level == "W001"
    assert "'base_url'" in message
    ((level, message),) = found(local, MEDIA_URL="/media/")
    assert level == "W004"
    assert "may run as a script" in message
    assert found(S3, {**local, "path": str(tmp_path)}, STATIC, STATIC_URL="/static/") == []
    assert found({**local, "base_url": "https://files.example"}) == []
    ((level, message),) = found({**local, "url": "signed"}, MEDIA_URL="/media/")
    assert level == "W001"
    assert "'signing_key'" in message


def test_signed_static_files():
    ((level, message),) = found(S3, {**S3, "url": "signed"}, MANIFEST)
    assert level == "W002"
    assert "option 'url' is 'signed'" in message
    assert found(S3, {**S3, "url": "public"}, MANIFEST) == []


def test_a_handler_without_its_storage():
    entries = {"default": {"BACKEND": "django.core.files.storage.FileSystemStorage"}}
    handler = "file_keeper_django.StreamingUploadHandler"
    with override_settings(STORAGES=entries, FILE_UPLOAD_HANDLERS=[handler]):
        (message,) = check_handlers()
    assert message.id == "file_keeper_django.E003"
    assert "STORAGES['default']" in message.msg


def _storage() -> FileKeeperStorage:
    return FileKeeperStorage(**S3, key="k", secret="geheim")


@isolate_apps("gallery")
@pytest.mark.parametrize(
    ("storage", "wrong"),
    [
        (FileKeeperStorage(**S3, key="k", secret="geheim"), True),
        (FileKeeperStorage(**S3, s3={"key": "k", "secret": "geheim"}), True),
        (FileKeeperStorage(**S3, key={"env": "KEY"}, secret={"env": "SECRET"}), False),
        (FileKeeperStorage(**S3), False),
        (_storage, False),
        (None, False),
    ],
)
def test_a_secret_on_its_way_into_a_migration(storage: Any, wrong: bool):
    class Note(models.Model):
        file = models.FileField(storage=storage)

        class Meta:
            app_label = "gallery"

    config: Callable[..., Any] = type("Config", (), {"get_models": lambda self: [Note]})
    messages = check_fields([config()])
    assert [message.id for message in messages] == ["file_keeper_django.W003"] * wrong
    assert "geheim" not in str(messages)
