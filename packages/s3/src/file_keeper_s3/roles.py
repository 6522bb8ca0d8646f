"""A role that is assumed for all requests; botocore renews its credentials before they end."""

# botocore ships no types: what it gives is unknown to the type checker, here only.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from file_keeper import exc

from .settings import S3Settings


def assume(session: Any, settings: S3Settings) -> None:
    """Let a session act as the role of the settings, by the rights that it has had so far.

    Nothing is asked before the first request is signed. Reference: AWS STS API Reference, "AssumeRole" and
    "AssumeRoleWithWebIdentity".
    """
    from botocore import credentials as boto
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
    from botocore.utils import FileWebIdentityTokenLoader

    named = {"ExternalId": settings.external_id, "RoleSessionName": settings.role_session_name}
    extra = {name: value for name, value in named.items() if value}
    source = None if settings.web_identity_token_file else session.get_credentials()

    def client(service: str, **more: Any) -> Any:
        return _client(session, settings, service, more)

    def fetch() -> Any:
        try:
            if settings.web_identity_token_file:
                loader = FileWebIdentityTokenLoader(settings.web_identity_token_file)
                return boto.AssumeRoleWithWebIdentityCredentialFetcher(
                    client, loader, settings.role_arn, extra_args=extra
                ).fetch_credentials()
            if source is None:
                raise NoCredentialsError
            return boto.AssumeRoleCredentialFetcher(
                client, source, settings.role_arn, extra_args=extra
            ).fetch_credentials()
        except ClientError as error:
            told: Mapping[str, Any] = error.response.get("Error", {})
            raise exc.PermissionError(
                f"the role {settings.role_arn} cannot be assumed ({told.get('Code')}: {told.get('Message')}): look at "
                "its trust policy, and at 'external_id'",
                code=str(told.get("Code") or ""),
                status=int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0),
            ) from error
        except (OSError, BotoCoreError) as error:
            if isinstance(error, OSError) and settings.web_identity_token_file:
                raise exc.InvalidStorageConfigurationError(
                    f"option 'web_identity_token_file': {settings.web_identity_token_file!r} cannot be read ({error})"
                ) from error
            raise

    session._credentials = boto.DeferredRefreshableCredentials(fetch, "assume-role")


def _client(session: Any, settings: S3Settings, service: str, more: dict[str, Any]) -> Any:
    from botocore.config import Config

    ours = Config(
        connect_timeout=settings.timeout,
        read_timeout=settings.timeout,
        proxies=dict(settings.proxies) or None,
        retries={"total_max_attempts": 2, "mode": "standard"},
        user_agent_extra=settings.user_agent or None,
    )
    theirs = more.pop("config", None)
    return session.create_client(
        service,
        region_name=settings.region or session.get_config_variable("region") or "us-east-1",
        endpoint_url=settings.sts_endpoint or None,
        verify=settings.verify,
        config=ours.merge(theirs) if theirs is not None else ours,
        **more,
    )
