"""TLS against real handshakes: what is refused, what the message says to do, what is accepted."""

from __future__ import annotations

import hashlib
import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from emulators.tls import Authority, Certificates, server_context
from faults.raw import OK, Peer, RawServer, always, by_connection, once
from file_keeper import exc
from file_keeper.backend import was_unsent
from file_keeper.backend.http import Client, Origin

Serve = Callable[..., RawServer]
MakeClient = Callable[..., Client]


def get(client: Client, origin: Origin) -> bytes:
    return client.request("GET", origin, "/key?X-Amz-Signature=secret", {"Authorization": "secret"}).content(99)


def refusal(client: Client, origin: Origin) -> exc.ConnectionError:
    with pytest.raises(exc.ConnectionError) as caught:
        get(client, origin)
    assert was_unsent(caught.value)
    assert "secret" not in str(caught.value)
    assert str(origin) in str(caught.value)
    return caught.value


@pytest.fixture
def good(authority: Authority, serve: Serve) -> RawServer:
    return serve(always(OK), tls=server_context(authority.issue("good-")))


@pytest.mark.parametrize("why", ["expired", "another host", "self-signed", "unknown authority", "system's authorities"])
def test_a_certificate_that_does_not_prove_the_host(
    make_client: MakeClient, serve: Serve, authority: Authority, tmp_path: Path, why: str
):
    verify: str | bool = authority.ca_file
    if why == "expired":
        made = authority.issue("expired-", ended=True)
    elif why == "another host":
        made = authority.issue("other-", hosts=["other.example"])
    elif why == "self-signed":
        other = Authority(str(tmp_path))
        made = Certificates("", other.ca_file, _key_of(other, tmp_path))
    elif why == "unknown authority":
        made = Authority(str(tmp_path)).issue()
    else:
        made, verify = authority.issue("good-"), True
    server = serve(always(OK), tls=server_context(made))
    error = refusal(make_client(verify=verify), server.origin)
    assert not error.retryable
    assert "verify" in str(error)
    assert {"expired": "expired", "another host": "IP address mismatch"}.get(why, "certificate") in str(error)
    assert server.requests == []


def _key_of(authority: Authority, folder: Path) -> str:
    path = folder / "ca-key.pem"
    key = authority._key  # pyright: ignore[reportPrivateUsage]
    pem = serialization.Encoding.PEM
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    return str(path)


def test_a_name_of_another_host(make_client: MakeClient, authority: Authority, serve: Serve):
    server = serve(always(OK), tls=server_context(authority.issue("other-", hosts=["other.example"])))
    error = refusal(make_client(verify=authority.ca_file), server.origin._replace(host="localhost"))
    assert "Hostname mismatch" in str(error)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", b"SSH-2.0-x\r\n" * 99])
def test_a_port_that_does_not_speak_tls(make_client: MakeClient, serve: Serve, answer: bytes):
    def handle(peer: Peer) -> None:
        peer.sock.recv(10_000)
        peer.send(answer)
        peer.wait_for_end()

    server = serve(handle)
    error = refusal(make_client(), server.origin._replace(secure=True))
    assert not error.retryable
    assert "check scheme and port" in str(error)


def test_tls_at_a_port_that_is_asked_without(make_client: MakeClient, good: RawServer):
    with pytest.raises(exc.ConnectionError) as caught:
        get(make_client(), good.origin._replace(secure=False))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("how", ["end", "reset", "half a record"])
def test_a_handshake_that_breaks_may_succeed_later(make_client: MakeClient, serve: Serve, how: str):
    def handle(peer: Peer) -> None:
        peer.sock.recv(10_000)
        if how == "reset":
            peer.reset()
        elif how != "end":
            peer.send(b"\x16\x03\x03\x00\x7a\x02\x00")

    server = serve(handle)
    assert refusal(make_client(), server.origin._replace(secure=True)).retryable


def test_a_handshake_that_hangs(make_client: MakeClient, serve: Serve):
    server = serve(once(hold=True))
    started = time.monotonic()
    error = refusal(make_client(timeout=0.5), server.origin._replace(secure=True))
    assert isinstance(error, exc.TimeoutError)
    assert error.retryable
    assert 0.3 < time.monotonic() - started < 2


# -- what is accepted -------------------------------------------------------------------------------------------------


def test_a_file_of_authorities(make_client: MakeClient, good: RawServer, authority: Authority):
    client = make_client(verify=authority.ca_file)
    assert get(client, good.origin) == get(client, good.origin) == b"ok"
    assert get(client, good.origin._replace(host="localhost")) == b"ok"
    assert good.connections == 2


def _hash_of(path: str) -> str:
    """Return OpenSSL's name for a certificate in a folder: of the canonical form of its subject, one common name."""
    certificate = x509.load_pem_x509_certificate(Path(path).read_bytes())
    (name,) = certificate.subject
    text = str(name.value).lower().encode()
    value = b"\x0c" + bytes([len(text)]) + text
    inner = b"\x06\x03\x55\x04\x03" + value
    sequence = b"\x30" + bytes([len(inner)]) + inner
    canonical = b"\x31" + bytes([len(sequence)]) + sequence
    return f"{int.from_bytes(hashlib.sha1(canonical).digest()[:4], 'little'):08x}"


def test_a_folder_of_authorities(make_client: MakeClient, good: RawServer, authority: Authority, tmp_path: Path):
    (tmp_path / f"{_hash_of(authority.ca_file)}.0").write_bytes(Path(authority.ca_file).read_bytes())
    assert get(make_client(verify=str(tmp_path)), good.origin) == b"ok"


def test_no_verification(make_client: MakeClient, serve: Serve, tmp_path: Path):
    made = Authority(str(tmp_path)).issue(hosts=["other.example"], ended=True)
    server = serve(always(OK), tls=server_context(made))
    assert get(make_client(verify=False), server.origin) == b"ok"


@pytest.mark.parametrize("content", [None, b"", b"no certificate\n"])
def test_an_authority_that_cannot_be_read(
    make_client: MakeClient, good: RawServer, tmp_path: Path, content: bytes | None
):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(exc.InvalidStorageConfigurationError, match=r"ca\.pem"):
        get(make_client(verify=str(path)), good.origin)
    assert good.requests == []


# -- client certificates ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_client_certificate(
    make_client: MakeClient, serve: Serve, authority: Authority, tmp_path: Path, version: str
):
    server = serve(always(OK), tls=server_context(authority.issue("good-"), clients=authority.ca_file, version=version))
    mine = authority.issue("client-", client=True)
    both = tmp_path / "both.pem"
    both.write_bytes(Path(mine.cert_file).read_bytes() + Path(mine.key_file).read_bytes())
    for certificate in ((mine.cert_file, mine.key_file), str(both)):
        assert get(make_client(verify=authority.ca_file, certificate=certificate), server.origin) == b"ok"

    other = Authority(str(tmp_path), "another CA").issue("client-", client=True)
    ended = authority.issue("ended-", client=True, ended=True)
    for wrong in (None, (other.cert_file, other.key_file), (ended.cert_file, ended.key_file)):
        client = make_client(verify=authority.ca_file, certificate=wrong)
        error = refusal(client, server.origin)
        assert not error.retryable
        assert "certificate" in str(error)
    assert len(server.requests) == 2


def test_a_client_certificate_that_cannot_be_used(
    make_client: MakeClient, good: RawServer, authority: Authority, tmp_path: Path
):
    locked = authority.issue("locked-", client=True, password="password")
    mine, other = authority.issue("client-", client=True), authority.issue("second-", client=True)
    for wrong in (
        (locked.cert_file, locked.key_file),
        (mine.cert_file, other.key_file),
        mine.cert_file,
        str(tmp_path / "missing.pem"),
    ):
        with pytest.raises(exc.InvalidStorageConfigurationError, match="TLS cannot be set up"):
            get(make_client(verify=authority.ca_file, certificate=wrong), good.origin)
    assert good.requests == []


# -- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [True, False], ids=["told", "cut"])
def test_an_end_that_tls_did_not_announce_is_no_end_of_a_body(
    make_client: MakeClient, serve: Serve, authority: Authority, told: bool
):
    """RFC 9112, 9.8: anybody on the way can close a connection; only the server can say that it does."""

    def handle(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        if told:
            assert isinstance(peer.sock, ssl.SSLSocket)
            peer.sock.unwrap()

    server = serve(by_connection(handle), tls=server_context(authority.issue("good-")))
    answer = make_client(verify=authority.ca_file).request("GET", server.origin, "/", {})
    if told:
        assert answer.read() == b"half"
    else:
        with pytest.raises(exc.ConnectionError, match="connection broke"):
            answer.read()


def test_http_1_1_is_agreed_on(make_client: MakeClient, serve: Serve, authority: Authority):
    context = server_context(authority.issue("good-"))
    context.set_alpn_protocols(["h2", "http/1.1"])
    agreed: list[str | None] = []

    def handle(peer: Peer) -> None:
        assert isinstance(peer.sock, ssl.SSLSocket)
        agreed.append(peer.sock.selected_alpn_protocol())
        peer.request()
        peer.send(OK)

    assert get(make_client(verify=authority.ca_file), serve(handle, tls=context).origin) == b"ok"
    assert agreed == ["http/1.1"]


def test_no_authorities_at_all(make_client: MakeClient, good: RawServer, monkeypatch: pytest.MonkeyPatch):
    """A container without certificates, and without certifi: refused in words, not by a failure of ours."""
    from file_keeper.backend.http import tls

    monkeypatch.setattr(tls, "_has_authorities", lambda: False)
    monkeypatch.setattr(tls, "_bundle", lambda: None)
    tls.context_of.cache_clear()
    try:
        assert not refusal(make_client(verify=True), good.origin).retryable
    finally:
        tls.context_of.cache_clear()


def test_the_bundle_is_there():
    from file_keeper.backend.http import tls

    found = tls._bundle()  # pyright: ignore[reportPrivateUsage]
    assert found is None or os.path.getsize(found)
