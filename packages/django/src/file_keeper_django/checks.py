"""What ``manage.py check`` says of STORAGES: which option is wrong, and what would be right. No request is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import file_keeper as fk
from django.apps import apps
from django.conf import STATICFILES_STORAGE_ALIAS, settings
from django.core import checks
from django.db.models import FileField
from django.utils.module_loading import import_string

from . import options as own
from .static import FileKeeperManifestStaticStorage
from .storage import FileKeeperStorage
from .uploads import StreamingUploadHandler

Messages = list[checks.CheckMessage]


def _ours() -> Iterator[tuple[str, type[FileKeeperStorage], Mapping[str, Any]]]:
    """Return the entries of STORAGES that are of file-keeper: alias, class and options."""
    for alias, entry in cast("dict[str, dict[str, Any]]", settings.STORAGES).items():
        try:
            backend = import_string(entry.get("BACKEND", ""))
        except ImportError:
            continue  # Django itself says so
        if isinstance(backend, type) and issubclass(backend, FileKeeperStorage):
            yield alias, backend, entry.get("OPTIONS", {})


def _where(alias: str) -> str:
    return f"STORAGES[{alias!r}]['OPTIONS']"


def check_storages(app_configs: Any = None, **_: Any) -> Messages:
    """Check the options of every storage of file-keeper in STORAGES."""
    return [message for entry in _ours() for message in _check_storage(*entry)]


def _check_storage(alias: str, backend: type[FileKeeperStorage], options: Mapping[str, Any]) -> Iterator[Any]:
    try:
        shown, dictionary = own.split(options, url=backend.default_url, inline=backend.default_inline)
        if "storage" in dictionary:
            own.make_storage(dictionary, alias)
            return
        # Without "initialize" nothing is asked of the network.
        storage = own.make_storage({**dictionary, "initialize": False}, alias)
    except fk.exc.UnknownAdapterError as error:
        yield checks.Error(f"{_where(alias)}: {error.message}", id="file_keeper_django.E002")
        return
    except fk.exc.FilesError as error:
        hint = "The options are those of file_keeper.make_storage, and 'storage', 'url', 'link_duration', 'inline'."
        yield checks.Error(f"{_where(alias)}: {error.message}", hint, id="file_keeper_django.E001")
        return
    with storage:
        yield from _check_links(alias, backend, shown, storage)


def _check_links(
    alias: str, backend: type[FileKeeperStorage], shown: own.Presentation, storage: fk.Storage
) -> Iterator[Any]:
    signs = storage.supports(fk.Capability.SIGNED)
    has_links = signs if shown.url == "signed" else signs or storage.supports(fk.Capability.LINK_PERMANENT)
    local = (getattr(settings, backend.base_setting, "") or "") not in ("", "/")
    if not has_links and (shown.url == "signed" or not local):
        wanted = "'base_url' and 'signing_key'" if shown.url == "signed" else "'base_url'"
        yield checks.Warning(
            f"{_where(alias)}: a storage of type {storage.settings.type} has no links without its option {wanted}, "
            "so url() will raise, and pages of the admin with it.",
            f"Set {wanted}, or the setting {backend.base_setting} where a server shows the files.",
            id="file_keeper_django.W001",
        )
    elif not has_links and backend.base_setting == "MEDIA_URL" and storage.settings.type == "file_keeper:fs":
        yield checks.Warning(
            f"{_where(alias)}: url() gives addresses under MEDIA_URL: a server that shows the directory there knows "
            "nothing of what was stored beside the files, so an upload (HTML, SVG) may run as a script of your site.",
            "Set 'base_url' (and 'signing_key') and let file_keeper_web.links answer there, or let the server send "
            "Content-Security-Policy: sandbox with these files; then put this into SILENCED_SYSTEM_CHECKS.",
            id="file_keeper_django.W004",
        )
    if alias == STATICFILES_STORAGE_ALIAS and shown.url == "signed":
        manifest = issubclass(backend, FileKeeperManifestStaticStorage)
        yield checks.Warning(
            f"{_where(alias)}: option 'url' is 'signed': what style sheets name beside themselves is not signed"
            + (", and browsers keep no file whose address changes." if manifest else "."),
            "Make the static files public: 'url': 'public'.",
            id="file_keeper_django.W002",
        )


def check_handlers(app_configs: Any = None, **_: Any) -> Messages:
    """Check that the storage that StreamingUploadHandler sends to is one of file-keeper."""
    ours = {alias for alias, *_ in _ours()}
    found: Messages = []
    for path in settings.FILE_UPLOAD_HANDLERS:
        try:
            handler = import_string(path)
        except ImportError:
            continue
        if not (isinstance(handler, type) and issubclass(handler, StreamingUploadHandler)):
            continue
        if handler.storage_alias not in ours:
            found.append(
                checks.Error(
                    f"FILE_UPLOAD_HANDLERS: {path} sends files to STORAGES[{handler.storage_alias!r}], which is no "
                    "storage of file-keeper.",
                    "Name file_keeper_django.FileKeeperStorage there, or use another handler.",
                    id="file_keeper_django.E003",
                )
            )
    return found


def check_fields(app_configs: Sequence[Any] | None = None, **_: Any) -> Messages:
    """Check that no field carries a secret into its migration."""
    found: Messages = []
    for config in app_configs if app_configs is not None else apps.get_app_configs():
        for model in config.get_models():
            for field in model._meta.get_fields():
                storage = field.deconstruct()[3].get("storage") if isinstance(field, FileField) else None
                if isinstance(storage, FileKeeperStorage) and (secret := _secret(storage)):
                    found.append(
                        checks.Warning(
                            f"The storage of this field has the option {secret!r}, which is written into migrations.",
                            "Name an alias of STORAGES by a callable (storage=lambda: storages[...]), or give "
                            f"{secret!r} as a reference, {{'env': 'NAME'}}.",
                            obj=field,
                            id="file_keeper_django.W003",
                        )
                    )
    return found


def _secret(storage: FileKeeperStorage) -> str:
    """Return the name of an option that holds a secret itself; ``""`` when there is none."""
    try:
        known = type(storage.storage.settings).options()
    except fk.exc.FilesError:
        return ""
    blocks = cast(
        "list[Mapping[str, Any]]", [value for value in storage.options.values() if isinstance(value, Mapping)]
    )
    for options in (storage.options, *blocks):
        for name, option in known.items():
            value = next((options[key] for key in (name, *option.aliases) if key in options), None)
            if option.secret and value and not isinstance(value, Mapping):
                return name
    return ""
