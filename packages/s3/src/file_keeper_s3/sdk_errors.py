"""What botocore and its transport raise before there is an answer, and which error of ours that is."""

# botocore ships no types: what it gives is unknown to the type checker, here only.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import builtins
import re

import urllib3
from botocore import exceptions as boto
from file_keeper import exc
from file_keeper.backend import redact

# The first that fits.
RAISED: tuple[tuple[tuple[type[Exception], ...], type[exc.FilesError], bool, str], ...] = (
    (
        (boto.NoCredentialsError, boto.PartialCredentialsError),
        exc.PermissionError,
        False,
        "no credentials were found: give 'key' and 'secret', a 'profile', set AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, or ask for anonymous access with 'anonymous'",
    ),
    (
        (boto.CredentialRetrievalError, boto.TokenRetrievalError, boto.UnauthorizedSSOTokenError, boto.SSOError),
        exc.PermissionError,
        False,
        "the credentials could not be had",
    ),
    ((boto.NoRegionError, boto.InvalidRegionError), exc.InvalidStorageConfigurationError, False, "give a 'region'"),
    ((boto.ReadTimeoutError, boto.ConnectTimeoutError), exc.TimeoutError, True, "time ran out"),
    (
        (boto.SSLError,),
        exc.ConnectionError,
        False,
        "TLS failed: 'verify' names a CA bundle where the certificate is not signed by a public authority",
    ),
    (
        (
            boto.EndpointConnectionError,
            boto.ConnectionClosedError,
            boto.ProxyConnectionError,
            boto.IncompleteReadError,
            boto.ResponseStreamingError,
            boto.HTTPClientError,
            boto.ConnectionError,
        ),
        exc.ConnectionError,
        True,
        "",
    ),
    ((boto.ChecksumError, boto.FlexibleChecksumError), exc.ConnectionError, True, "the answer was changed on its way"),
    ((boto.InvalidEndpointDiscoveryConfigurationError, boto.EndpointProviderError, boto.ParamValidationError),
     exc.InvalidStorageConfigurationError, False, ""),
    ((boto.BotoCoreError,), exc.StorageError, False, ""),
    ((builtins.TimeoutError, urllib3.exceptions.TimeoutError), exc.TimeoutError, True, "time ran out"),
    ((urllib3.exceptions.HTTPError, builtins.ConnectionError), exc.ConnectionError, True, ""),
)  # fmt: skip


def raised(error: BaseException) -> exc.FilesError | None:
    """Turn what botocore raised into one of ours; ``None`` for anything else."""
    for classes, kind, retryable, message in RAISED:
        if isinstance(error, classes):
            # Some of botocore's messages hold whole addresses, whose queries are long and tell nothing.
            text = re.sub(r"\?[^\s\"']*", "", redact(str(error)))
            return kind(f"{message} ({text})" if message else text, retryable=retryable)
    return None
