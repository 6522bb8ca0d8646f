"""Which address may be given which credentials."""

from __future__ import annotations

from .. import exc


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine by its name or its address; nobody is asked."""
    import ipaddress

    host = host.lower().rstrip(".").partition("%")[0]
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def require_secure(service: str, url: str, *, ambient: bool = True, insecure: bool = False) -> None:
    """Refuse to send credentials that the settings do not name to an address over plain HTTP.

    Credentials out of the environment, a profile or a metadata service were not meant for any endpoint that a
    configuration may name, and plain HTTP shows them (or what they sign) to everybody on the way. A backend calls this
    when it has found its credentials, before it sends anything with them.

    :param service: who is asked, for the message (``"Amazon S3"``)
    :param url: the address that requests go to; ``""`` is the provider's own
    :param ambient: the credentials come from the standard chain; those in the settings and none at all are allowed
    :param insecure: the option ``insecure`` of the settings
    :raises InvalidStorageConfigurationError: for ambient credentials over HTTP to another machine
    """
    if not ambient or insecure or not url.strip().lower().startswith("http:"):
        return
    from urllib.parse import urlsplit

    try:
        host = urlsplit(url.strip()).hostname or ""
    except ValueError:
        host = ""
    if not is_loopback(host):
        raise exc.InvalidStorageConfigurationError(
            f"{service}: credentials of the environment are not sent over plain HTTP to {host or 'that address'!r}: "
            "use https, put the credentials into the settings, ask for 'anonymous', or say that the network is trusted "
            "with the option 'insecure': true"
        )
