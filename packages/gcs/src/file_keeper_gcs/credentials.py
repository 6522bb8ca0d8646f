"""Who is asking: credentials of google-auth, and the token that requests are sent with."""

# The SDK has no stubs: what it gives is unknown to the type checker, here only.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from file_keeper import exc
from file_keeper.backend import require_secure
from file_keeper.settings import Reference

from .answers import SERVICE
from .settings import EMULATOR, GcsSettings, address, is_emulated

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

log = logging.getLogger("file_keeper")

SCOPES = tuple(
    f"https://www.googleapis.com/auth/devstorage.{scope}" for scope in ("full_control", "read_only", "read_write")
)
"""What the SDK's client asks for."""

PROJECTS = ("GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT")

REFRESH = 225.0
"""Seconds before its end from which google-auth renews a token."""

LOOK = 60.0
"""Seconds after which credentials are asked again whose token is still good: that costs nothing, and some learn in the
background what else a request has to say."""

MARGIN = 10.0
"""Seconds before its end from which a token is not sent any more."""


def find_credentials(settings: GcsSettings) -> Any:
    """Return the credentials; ``None`` for none: anonymous access, an emulator, or options of the SDK's client.

    :param settings: resolved
    :raises InvalidStorageConfigurationError: for what is no key file, and no credentials
    :raises google.auth.exceptions.DefaultCredentialsError: when there are none
    """
    given = settings.credentials
    if settings.anonymous:
        return None
    if isinstance(given, Mapping):
        reference = cast("Mapping[str, Any]", given)
        if len(reference) == 1 and (name := next(iter(reference))) in ("env", "file"):
            given = Reference(name, str(reference[name])).read()
    if isinstance(given, str | Mapping):
        return _from_info(given, "option 'credentials'")
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
        return _from_info(content, f"the credentials file {settings.credentials_file}")
    if (
        is_emulated(settings)
        or settings.client_options.get("credentials_file")
        or settings.client_options.get("api_key")
    ):
        return None
    # Those of the machine were not meant for any address that a configuration may name.
    for url in (address(settings), settings.iam_endpoint):
        require_secure(SERVICE, url, insecure=settings.insecure)
    import google.auth

    return google.auth.default(scopes=SCOPES)[0]


def _from_info(given: str | Mapping[str, Any], what: str) -> Any:
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
            return service_account.Credentials.from_service_account_info(info, scopes=SCOPES)
        with warnings.catch_warnings():
            # Google warns of files from strangers; this one is the user's own, named by them.
            warnings.simplefilter("ignore", DeprecationWarning)
            return google.auth.load_credentials_from_dict(info, scopes=SCOPES)[0]
    except (exceptions.GoogleAuthError, ValueError) as error:
        fields = re.findall(r"\b(?:type|client_email|token_uri|private_key|client_id)\b", str(error))
        hint = f", look at {', '.join(dict.fromkeys(fields))}" if fields else ""
        raise exc.InvalidStorageConfigurationError(f"{what} is not a key file that Google knows{hint}") from None


def prepare(found: Any, options: Mapping[str, Any]) -> Any:
    """Return credentials as the SDK's client would use them: with its scopes, and its options that concern them.

    :return: ``None`` for those that are anonymous
    :raises InvalidStorageConfigurationError: for another object, or credentials of another universe
    """
    universe = options.get("universe_domain") or "googleapis.com"
    if found is None:
        return None
    from google.auth.credentials import AnonymousCredentials, Credentials, with_scopes_if_required

    if not isinstance(found, Credentials):
        raise exc.InvalidStorageConfigurationError(
            f"option 'credentials' must be a credentials object of google.auth, or a key file, not {type(found)!r}"
        )
    if isinstance(found, AnonymousCredentials):
        return None
    found = with_scopes_if_required(found, scopes=options.get("scopes") or SCOPES)
    if project := options.get("quota_project_id"):
        found = cast("Any", found).with_quota_project(project)
    if found.universe_domain != universe:
        raise exc.InvalidStorageConfigurationError(
            f"the credentials are of the universe {found.universe_domain!r}, the storage is in {universe!r}: set "
            "'universe_domain' in 'client_options'"
        )
    return found


def find_project(settings: GcsSettings, credentials: Any) -> str:
    """Find the project by the standard means: the option, the environment, the credentials.

    :raises MissingStorageConfigurationError: when nothing tells it
    """
    found = settings.project_id or next(filter(None, map(os.environ.get, PROJECTS)), None)
    found = found or getattr(credentials, "project_id", None)
    if not found and not (settings.anonymous or os.environ.get(EMULATOR)):
        import google.auth
        from google.auth.exceptions import DefaultCredentialsError

        try:
            found = google.auth.default()[1]
        except DefaultCredentialsError:
            found = None
    if not found:
        raise exc.MissingStorageConfigurationError(
            "to create a bucket its project must be known: set the option 'project_id' or GOOGLE_CLOUD_PROJECT"
        )
    return str(found)


class _Held(NamedTuple):
    """What requests are sent with.

    :param until: seconds of the monotonic clock up to which nobody asks the credentials
    :param end: up to which it is good
    """

    headers: Mapping[str, str]
    until: float
    end: float


class Tokens:
    """The headers that say who is asking, the same for all threads until they have to be renewed.

    One thread renews them; the others go on with what they have while that is good, and wait for it after that.

    :param credentials: of google-auth
    :param settings: resolved
    """

    def __init__(self, credentials: Credentials, settings: GcsSettings):
        self.credentials = credentials
        self._request = AuthRequest(settings.timeout, *way(settings))
        self._lock = threading.Lock()
        self._held = _Held({}, 0.0, 0.0)
        self._failure: tuple[float, Exception] | None = None

    def headers(self, method: str, url: Callable[[], str]) -> Mapping[str, str]:
        """Return the headers for a request.

        :param url: gives its address, which is seldom needed
        :raises google.auth.exceptions.GoogleAuthError: when there is no token
        """
        now = time.monotonic()
        held = self._held
        if now < held.until:
            return held.headers
        good = now < held.end
        if not self._lock.acquire(blocking=not good):
            return held.headers
        try:
            held = self._held
            if time.monotonic() < held.until:
                return held.headers
            self._check_failure(now)
            try:
                return self._ask(method, url(), now)
            except Exception as error:
                if not good:
                    self._fail(error)
                    raise
                log.warning("the token could not be renewed, and is good for a little while: %s", type(error).__name__)
                self._held = held._replace(until=min(held.end, now + LOOK / 4))
                return held.headers
        finally:
            self._lock.release()

    def renew(self, used: Mapping[str, str], method: str, url: str) -> Mapping[str, str]:
        """Return the headers in place of those that were refused (401): another thread's new ones, or a new token.

        :raises google.auth.exceptions.GoogleAuthError: when there is none
        """
        now = time.monotonic()
        with self._lock:
            if self._held.headers.get("authorization") not in (None, used.get("authorization")):
                return self._held.headers
            self._check_failure(now)
            try:
                self.credentials.refresh(self._request)
                return self._ask(method, url, now)
            except Exception as error:
                self._fail(error)
                raise

    def _check_failure(self, began: float) -> None:
        """Raise what the thread that was waited for has met: asking once more would be the same again."""
        if self._failure is not None and self._failure[0] > began:
            raise self._failure[1].with_traceback(None)

    def _fail(self, error: Exception) -> None:
        self._failure = time.monotonic(), error
        self._held = _Held({}, 0.0, 0.0)

    def _ask(self, method: str, url: str, now: float) -> Mapping[str, str]:
        credentials: Any = self.credentials
        headers: dict[str, str] = {}
        credentials.before_request(self._request, method, url, headers)
        token, expiry = getattr(credentials, "token", None), getattr(credentials, "expiry", None)
        if not token or headers.get("authorization") != f"Bearer {token}":
            return headers  # made for this one request
        left = REFRESH + LOOK if expiry is None else (expiry - _now()).total_seconds()
        end = time.monotonic() + left
        self._held = _Held(headers, min(now + LOOK, end - REFRESH), end - MARGIN)
        return headers

    def close(self) -> None:
        """Close the connections that tokens were got by."""
        self._request.close()


def _now() -> datetime:
    """Return the time as google-auth writes it: in UTC, and without saying so."""
    return datetime.now(UTC).replace(tzinfo=None)


class AuthRequest:
    """google-auth's own way to ask for a token; it is loaded when one is needed.

    :param timeout: seconds without a byte
    :param verify: as the option; ``None`` for the usual authorities
    :param proxies: by scheme; none for those of the environment
    """

    def __init__(self, timeout: float, verify: bool | str | None = None, proxies: Mapping[str, str] | None = None):
        self._timeout = timeout
        self._verify = verify
        self._proxies = proxies
        self._made: Any = None

    @property
    def session(self) -> Any:
        """The session of ``requests``, where a kind of credentials wants to set something on it."""
        return self._request().session

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: Any = None,
        **more: Any,
    ) -> Any:
        """Make a request; see ``google.auth.transport.Request``."""
        return self._request()(
            url=url, method=method, body=body, headers=headers, timeout=timeout or self._timeout, **more
        )

    def _request(self) -> Any:
        made = self._made
        if made is None:
            from google.auth.transport.requests import Request

            made = self._made = Request()
            if self._verify is not None:
                made.session.verify = self._verify
            if self._proxies:
                made.session.proxies = dict(self._proxies)
                made.session.trust_env = False  # else the environment's would go before
        return made

    def close(self) -> None:
        """Close its connections."""
        made, self._made = self._made, None
        if made is not None:
            made.session.close()


def way(settings: GcsSettings) -> tuple[bool | str | None, Mapping[str, str]]:
    """Return what certificates of the givers of tokens are verified with, and through which proxies they are asked.

    The certificates of an endpoint of the user's own are none of theirs.

    :param settings: resolved
    """
    return None if settings.endpoint else settings.verify, settings.proxies


def uses_mutual_tls(settings: GcsSettings) -> bool:
    """Return whether the SDK would show a certificate of its own; nobody is asked.

    Reference: AIP-4114, "Device certificate authentication".

    :param settings: resolved
    """
    if not address(settings).startswith("https:"):
        return False
    from google.auth.transport import mtls

    if os.environ.get("GOOGLE_API_USE_MTLS_ENDPOINT") == "always":
        return True
    if hasattr(mtls, "should_use_client_cert"):
        return bool(mtls.should_use_client_cert())
    return os.environ.get("GOOGLE_API_USE_CLIENT_CERTIFICATE") == "true"  # as earlier versions of google-auth decide
