"""The options of Google Cloud Storage, and how a client is made of them.

The client is google-cloud-storage's own: it knows credentials, endpoints, mutual TLS and regions.
"""

# The SDK has no stubs: what it gives is unknown to the type checker, here only.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from file_keeper import exc
from file_keeper.backend import require_secure
from file_keeper.settings import Reference, Settings, option

from .answers import SERVICE

if TYPE_CHECKING:
    from google.cloud.storage import Client

EMULATOR = "STORAGE_EMULATOR_HOST"
OVERRIDE = "API_ENDPOINT_OVERRIDE"
"""What the SDK looks at as well."""

PROJECTS = ("GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT")
REMEDY = (
    "run 'gcloud auth application-default login', set GOOGLE_APPLICATION_CREDENTIALS or the option "
    "'credentials_file' to a key file, or ask for anonymous access with 'anonymous'"
)


@dataclass(frozen=True, kw_only=True, repr=False)
class GcsSettings(Settings):
    """What a storage on Google Cloud Storage is told.

    :param bucket: its name
    :param project_id: needed only where a bucket is created; else found as by Google's own tools
    :param credentials_file: a key file, of a service account or of any other kind that Google's libraries read
    :param credentials: a ``google.auth`` credentials object, or the content of a key file (a mapping, or its JSON)
    :param endpoint: address of the service instead of Google's; ``STORAGE_EMULATOR_HOST`` is honoured
    :param public_endpoint: address that links are given with
    :param iam_endpoint: address of the IAM Credentials API, which signs where there is no private key
    :param client_options: for the client, as by ``google.api_core.client_options.ClientOptions``
    :param client: a ready ``google.cloud.storage.Client``
    :param anonymous: send no credentials
    :param storage_class: of what is uploaded, instead of the bucket's default
    """

    bucket: str = option("text", required=True, aliases=("bucket_name",))
    project_id: str = option("text", aliases=("project",))
    credentials_file: str = option("text")
    credentials: Any = option("any", secret=True)
    endpoint: str = option("text")
    public_endpoint: str = option("text")
    iam_endpoint: str = option("text")
    client_options: Mapping[str, Any] = option("mapping", secret=True)
    client: Any = option("any", live=True)
    anonymous: bool = option("bool", False)
    storage_class: str = option("text")

    def validate(self) -> None:
        """Check that there is one answer to who is asking, and that addresses are addresses."""
        ways = [name for name in ("client", "credentials", "credentials_file", "anonymous") if getattr(self, name)]
        if len(ways) > 1:
            raise exc.InvalidStorageConfigurationError(
                f"options {ways[0]!r} and {ways[1]!r} exclude each other: keep one of them"
            )
        if self.client is not None and (self.endpoint or self.client_options):
            raise exc.InvalidStorageConfigurationError(
                "a ready client has its own endpoint and options: drop 'endpoint' and 'client_options', or 'client'"
            )
        for name in ("endpoint", "public_endpoint", "iam_endpoint"):
            value = getattr(self, name)
            if isinstance(value, str) and value and not _is_address(value):
                raise exc.InvalidStorageConfigurationError(
                    f"option {name!r} must be an address such as https://storage.example.com, not {value!r}"
                )

    def live(self) -> str:
        """Name an option that holds an object of the program; the content of a key file is none."""
        if self.credentials is not None and not isinstance(self.credentials, str | Mapping):
            return "credentials"
        return super().live()


def _is_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return (
            parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and "@" not in parts.netloc
        )
    except ValueError:
        return False


def address(settings: GcsSettings) -> str:
    """Return the address of the service as the settings and the environment name it; nobody is asked.

    :param settings: resolved
    """
    if settings.client is not None:
        return str(settings.client.api_endpoint)
    options = settings.client_options
    universe = options.get("universe_domain") or "googleapis.com"
    found = settings.endpoint or options.get("api_endpoint") or os.environ.get(EMULATOR)
    return _with_scheme(str(found)) if found else f"https://storage.{universe}"


def _with_scheme(found: str) -> str:
    return (found if "://" in found else f"http://{found}").rstrip("/")


def make_client(settings: GcsSettings) -> Client:
    """Make the SDK's client; it does no network I/O before its first request, but to find default credentials.

    :param settings: resolved
    :raises InvalidStorageConfigurationError: for a key file that is none, or options that the client does not know
    """
    from google.api_core.client_info import ClientInfo
    from google.cloud import storage

    options = dict(settings.client_options)
    emulator = os.environ.get(EMULATOR, "")
    endpoint = settings.endpoint or str(options.get("api_endpoint") or "")
    credentials = _credentials(settings, options, emulated=bool(emulator) and not endpoint)
    if endpoint or emulator:
        options["api_endpoint"] = address(settings)
    try:
        return storage.Client(
            project=settings.project_id or None,
            credentials=credentials,
            client_options=options,
            client_info=ClientInfo(user_agent="file-keeper"),
        )
    except ValueError as error:
        raise exc.InvalidStorageConfigurationError(f"the client cannot be made: {error}") from error


def find_project(settings: GcsSettings, credentials: Any) -> str:
    """Find the project by the standard means: the option, the environment, the credentials.

    :raises MissingStorageConfigurationError: when nothing tells it
    """
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    found = settings.project_id or next(filter(None, map(os.environ.get, PROJECTS)), None)
    found = found or getattr(credentials, "project_id", None)
    if not found and not (settings.anonymous or os.environ.get(EMULATOR)):
        try:
            found = google.auth.default()[1]
        except DefaultCredentialsError:
            found = None
    if not found:
        raise exc.MissingStorageConfigurationError(
            "to create a bucket its project must be known: set the option 'project_id' or GOOGLE_CLOUD_PROJECT"
        )
    return str(found)


def _credentials(settings: GcsSettings, options: Mapping[str, Any], *, emulated: bool) -> Any:
    """Find who is asking. ``None`` leaves it to the client's own options."""
    import google.auth
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.storage import Client

    if settings.anonymous:
        return AnonymousCredentials()
    given = settings.credentials
    if isinstance(given, Mapping):
        reference = cast("Mapping[str, Any]", given)
        if len(reference) == 1 and (name := next(iter(reference))) in ("env", "file"):
            given = Reference(name, str(reference[name])).read()
    if isinstance(given, str | Mapping):
        return _from_info(given, "option 'credentials'", Client.SCOPE)
    if given is not None:
        return given
    if settings.credentials_file:
        path = os.path.expanduser(settings.credentials_file)
        try:
            with open(path, encoding="utf-8") as file:
                content = file.read()
        except (OSError, UnicodeError) as error:
            raise exc.InvalidStorageConfigurationError(
                f"the credentials file {settings.credentials_file} cannot be read: {error}"
            ) from error
        return _from_info(content, f"the credentials file {settings.credentials_file}", Client.SCOPE)
    if options.get("credentials_file") or options.get("api_key"):
        return None
    if emulated:
        return AnonymousCredentials()
    # Those of the machine were not meant for any address that a configuration may name.
    for url in (address(settings), settings.iam_endpoint, os.environ.get(OVERRIDE, "")):
        require_secure(SERVICE, url, insecure=settings.insecure)
    return google.auth.default(scopes=Client.SCOPE)[0]


def _from_info(given: str | Mapping[str, Any], what: str, scopes: Any) -> Any:
    """Make credentials of the content of a key file. What it says is secret: no error quotes it."""
    import warnings

    import google.auth
    from google.auth import exceptions
    from google.oauth2 import service_account

    try:
        info = dict(json.loads(given) if isinstance(given, str) else given)
    except ValueError:
        raise exc.InvalidStorageConfigurationError(f"{what} is not the JSON of a key file") from None
    try:
        if info.get("type") == "service_account":
            return service_account.Credentials.from_service_account_info(info, scopes=scopes)
        with warnings.catch_warnings():
            # Google warns of files from strangers; this one is the user's own, named by them.
            warnings.simplefilter("ignore", DeprecationWarning)
            return google.auth.load_credentials_from_dict(info, scopes=scopes)[0]
    except (exceptions.GoogleAuthError, ValueError) as error:
        fields = re.findall(r"\b(?:type|client_email|token_uri|private_key|client_id)\b", str(error))
        hint = f", look at {', '.join(dict.fromkeys(fields))}" if fields else ""
        raise exc.InvalidStorageConfigurationError(f"{what} is not a key file that Google knows{hint}") from None
