"""TLS: contexts by what they verify with, and what is said when that fails."""

from __future__ import annotations

import functools
import os
import ssl
from typing import TYPE_CHECKING, TypeGuard

from ... import exc

if TYPE_CHECKING:
    from .proxies import Origin

Verify = bool | str
"""True: with the authorities of the system; a path: with those of a file or folder; false: not at all."""


@functools.lru_cache(maxsize=64)
def context_of(verify: Verify, certificate: str | tuple[str, str] | None = None) -> ssl.SSLContext:
    """Return a context.

    :param certificate: path of the client's own certificate with its key, or of both
    :raises InvalidStorageConfigurationError: a file cannot be read
    """
    path = verify if isinstance(verify, str) else None
    try:
        if path is None:
            context = ssl.create_default_context()
            if verify and not _has_authorities() and (bundle := _bundle()):
                context.load_verify_locations(bundle)
        elif os.path.isdir(path):
            context = ssl.create_default_context(capath=path)
        else:
            context = ssl.create_default_context(cafile=path)
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if certificate:
            file, key = (certificate, None) if isinstance(certificate, str) else certificate
            context.load_cert_chain(file, key, _no_password)
    except (OSError, ssl.SSLError) as error:
        raise exc.InvalidStorageConfigurationError(
            f"TLS cannot be set up with {path or certificate or 'the authorities of the system'!r}: {error}"
        ) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def _has_authorities() -> bool:
    paths = ssl.get_default_verify_paths()
    if os.name == "nt" or (paths.cafile and os.path.getsize(paths.cafile)):
        return True
    return bool(paths.capath and os.path.isdir(paths.capath) and os.listdir(paths.capath))


def _bundle() -> str | None:
    """Return certifi's authorities, for a container that has none of its own."""
    try:
        import certifi
    except ImportError:
        return None
    return certifi.where()


_UNWILLING = ("_ALERT_HANDSHAKE_FAILURE", "_ALERT_PROTOCOL_VERSION", "_ALERT_INSUFFICIENT_SECURITY")


def _no_password() -> str:
    """Refuse a key that is locked: OpenSSL would ask for its password at the terminal."""
    raise ssl.SSLError("its key must not need a password")


def is_refusal(error: BaseException | None) -> TypeGuard[ssl.SSLError]:
    """Return whether a server says that it takes no client without a certificate, or not with this one.

    In TLS 1.3 that comes behind the handshake, instead of an answer (RFC 8446, section 4.4.2.4).
    """
    return (
        isinstance(error, ssl.SSLError)
        and "_ALERT_" in (reason := error.reason or "")
        and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason)
    )


def failed(origin: Origin, error: ssl.SSLError) -> exc.ConnectionError:
    """Return the error for a handshake that failed, with its remedy."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"the certificate of {origin} is refused: {error.verify_message or error.reason}"
        remedy = (
            "where it is signed by an authority of your own, 'verify' names the file with that; an expired one, or one "
            "of another host, must be replaced on the server"
        )
        return exc.ConnectionError(f"TLS failed: {why}. {remedy}")
    if is_refusal(error):
        return exc.ConnectionError(
            f"TLS failed: {origin} refuses the certificate of this client, or wants one ({error.reason}): check the "
            "client certificate, its end and who signed it"
        )
    if any(each in (error.reason or "") for each in _UNWILLING):
        return exc.ConnectionError(
            f"TLS failed: {origin} refuses this client ({error.reason}): it may want a client certificate, or another "
            "version or cipher of TLS"
        )
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        return exc.ConnectionError(f"TLS failed: {origin} does not speak it: check scheme and port of 'endpoint'")
    return exc.ConnectionError(f"TLS failed: {origin}: {error.reason or error}", retryable=True)
