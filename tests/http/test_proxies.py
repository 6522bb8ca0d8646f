"""Proxies: a small one that relays and tunnels, which one is chosen, and what is said when it refuses."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable

import pytest
from emulators.tls import Authority, server_context
from faults.raw import OK, Peer, RawServer, always, head, once, refused
from file_keeper import exc
from file_keeper.backend import was_unsent
from file_keeper.backend.http import Client, Origin, is_supported
from file_keeper.backend.http.proxies import proxy_for

Serve = Callable[..., RawServer]
MakeClient = Callable[..., Client]

REFUSED = head("407 Proxy Authentication Required", [("Proxy-Authenticate", "Basic"), ("Content-Length", "0")])


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def proxy(peer: Peer, credentials: str = "") -> None:
    """Tunnel where that is asked for; else relay requests one by one, keeping both connections."""
    while True:
        request = peer.request()
        given = request.get("proxy-authorization").removeprefix("Basic ")
        if credentials and base64.b64decode(given).decode() != credentials:
            peer.send(REFUSED)
            continue
        if request.method == "CONNECT":
            host, _, port = request.target.rpartition(":")
            with socket.create_connection((host.strip("[]"), int(port)), 5) as onward:
                peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=pump, args=(onward, peer.sock), daemon=True)
                back.start()
                pump(peer.sock, onward)
                back.join(5)
            return
        origin = Origin.of(request.target)
        path = request.target.removeprefix(str(origin))
        names = ("host", "x-own", "content-length")
        lines = [f"{request.method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in request.headers if n in names)]
        with socket.create_connection((origin.host, origin.port), 5) as onward:
            onward.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + request.body)
            peer.send(onward.recv(65536))


def ask(client: Client, origin: Origin, body: bytes = b"body") -> bytes:
    return client.request("PUT", origin, "/a/key?X-Amz-Signature=secret", {"X-Own": "1"}, (body,)).content(99)


def failure(client: Client, origin: Origin) -> exc.FilesError:
    with pytest.raises(exc.FilesError) as caught:
        ask(client, origin)
    assert was_unsent(caught.value)
    assert "secret" not in str(caught.value)
    return caught.value


@pytest.fixture
def plain(serve: Serve) -> RawServer:
    return serve(always(OK))


@pytest.fixture
def secure(serve: Serve, authority: Authority) -> RawServer:
    return serve(always(OK), tls=server_context(authority.issue("good-")))


@pytest.fixture
def through(make_client: MakeClient, authority: Authority) -> Callable[..., Client]:
    def make(server: RawServer, user: str = "", **options: object) -> Client:
        address = f"http://{user}127.0.0.1:{server.port}"
        return make_client(verify=authority.ca_file, proxies=(("http", address), ("https", address)), **options)

    return make


Through = Callable[..., Client]


# -- through one ------------------------------------------------------------------------------------------------------


def test_plain_requests_name_the_whole_address(serve: Serve, plain: RawServer, through: Through):
    middle = serve(proxy)
    client = through(middle)
    for _ in range(3):
        assert ask(client, plain.origin) == b"ok"
    assert [request.line for request in middle.requests] == [
        f"PUT {plain.url}/a/key?X-Amz-Signature=secret HTTP/1.1"
    ] * 3
    assert middle.requests[0].get("host") == f"127.0.0.1:{plain.port}"
    assert [request.target for request in plain.requests] == ["/a/key?X-Amz-Signature=secret"] * 3
    assert plain.requests[0].body == b"body"
    assert middle.connections == 1, "the connection to the proxy is kept"


def test_secure_requests_go_through_a_tunnel(serve: Serve, secure: RawServer, through: Through):
    middle = serve(proxy)
    client = through(middle)
    for size in (4, 100_000, 3 << 20):
        assert ask(client, secure.origin, bytes(size)) == b"ok"
    assert [request.line for request in middle.requests] == [f"CONNECT 127.0.0.1:{secure.port} HTTP/1.1"]
    assert middle.requests[0].get("host") == f"127.0.0.1:{secure.port}"
    assert [len(request.body) for request in secure.requests] == [4, 100_000, 3 << 20]
    assert secure.connections == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_credentials(serve: Serve, plain: RawServer, secure: RawServer, through: Through, scheme: str):
    def handle(peer: Peer) -> None:
        proxy(peer, "us er:p@ss:wörd")

    server = plain if scheme == "http" else secure
    middle = serve(handle)
    assert ask(through(middle, "us%20er:p%40ss:w%C3%B6rd@"), server.origin) == b"ok"
    assert not any(name.startswith("proxy-") for request in server.requests for name, _ in request.headers)
    for user in ("", "us%20er:secret@", "somebody@"):
        error = failure(through(middle, user), server.origin)
        assert isinstance(error, exc.PermissionError)
        assert error.status == 407
        assert not error.retryable
        assert f"127.0.0.1:{middle.port}" in str(error)
        assert "user:password@" in str(error)
    assert len(server.requests) == 1


def test_a_password_without_a_user(serve: Serve, plain: RawServer, through: Through):
    def handle(peer: Peer) -> None:
        proxy(peer, ":token")

    assert ask(through(serve(handle), ":token@"), plain.origin) == b"ok"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there(plain: RawServer, secure: RawServer, make_client: MakeClient, scheme: str):
    with refused() as nowhere:
        client = make_client(proxies=((scheme, str(nowhere)),))
        error = failure(client, (plain if scheme == "http" else secure).origin)
    assert isinstance(error, exc.ConnectionError)
    assert error.retryable
    assert f"{nowhere} cannot be reached" in str(error)


@pytest.mark.parametrize(
    ("status", "retryable"), [("403 Forbidden", False), ("502 Bad Gateway", True), ("302 Found", False)]
)
def test_a_proxy_that_opens_no_tunnel(serve: Serve, secure: RawServer, through: Through, status: str, retryable: bool):
    middle = serve(once(head(status, [("Content-Length", "3")]) + b"no!"))
    error = failure(through(middle), secure.origin)
    assert isinstance(error, exc.ConnectionError)
    assert error.retryable is retryable
    assert error.status == int(status[:3])
    assert str(middle.port) in str(error)
    assert secure.connections == 0


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\n", head("200 OK") + b"more"],
    ids=["nothing", "garbage", "half", "more"],
)  # fmt: skip
def test_a_proxy_that_answers_nonsense(serve: Serve, secure: RawServer, through: Through, answer: bytes):
    middle = serve(once(answer))
    error = failure(through(middle), secure.origin)
    assert isinstance(error, exc.ConnectionError)
    assert f"proxy http://127.0.0.1:{middle.port}" in str(error)


def test_a_proxy_that_hangs(serve: Serve, secure: RawServer, plain: RawServer, through: Through):
    middle = serve(once(hold=True))
    client = through(middle, timeout=0.5)
    started = time.monotonic()
    error = failure(client, secure.origin)
    assert isinstance(error, exc.TimeoutError)
    assert f"proxy http://127.0.0.1:{middle.port}" in str(error)
    with pytest.raises(exc.TimeoutError) as caught:
        ask(client, plain.origin)
    assert not was_unsent(caught.value), "it may have passed the request on"
    assert time.monotonic() - started < 3


def test_a_407_of_a_server_without_a_proxy_is_an_answer(make_client: MakeClient, serve: Serve):
    server = serve(always(REFUSED))
    assert make_client().request("GET", server.origin, "/", {}).status == 407


def test_no_line_can_be_put_into_a_tunnel(serve: Serve, make_client: MakeClient):
    middle = serve(proxy)
    client = make_client(proxies=(("https", middle.url),))
    for host in ("a\r\nX-Evil: 1", "a\nb", "a\0b"):
        with pytest.raises(exc.FilesError):
            client.request("GET", Origin(True, host, 443), "/", {})
    assert middle.requests == []


# -- which one --------------------------------------------------------------------------------------------------------

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def put(**variables: str) -> None:
        for name in list(os.environ):
            if name.lower() in VARIABLES:
                monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    put()
    return put


Environment = Callable[..., None]


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_variables_of_the_environment(
    serve: Serve, plain: RawServer, secure: RawServer, make_client: MakeClient, authority: Authority,
    environment: Environment, scheme: str, upper: bool,
):  # fmt: skip
    middle = serve(proxy)
    name = f"{scheme}_proxy"
    environment(**{name.upper() if upper else name: middle.url})
    client = make_client(proxies=None, verify=authority.ca_file)
    assert ask(client, plain.origin) == ask(client, secure.origin) == b"ok"
    assert len(middle.requests) == 1
    assert middle.requests[0].method == ("PUT" if scheme == "http" else "CONNECT")


def test_settings_win_over_the_environment(
    serve: Serve, plain: RawServer, make_client: MakeClient, environment: Environment
):
    middle, other = serve(proxy), serve(proxy)
    environment(http_proxy=other.url, no_proxy="*")
    assert ask(make_client(proxies=(("http", middle.url),)), plain.origin) == b"ok"
    assert ask(make_client(proxies=()), plain.origin) == b"ok"
    assert (middle.connections, other.connections, plain.connections) == (1, 0, 2)


S3 = Origin.of("https://bucket.s3.example:9000")


@pytest.mark.parametrize(
    ("variables", "origin", "chosen"),
    [
        ({}, S3, None),
        ({"https_proxy": "http://p:1"}, S3, "http://p:1"),
        ({"https_proxy": "p:1"}, S3, "http://p:1"),
        ({"https_proxy": "http://p"}, S3, "http://p"),
        ({"https_proxy": ""}, S3, None),
        ({"https_proxy": "http://[::1]:1"}, S3, "http://[::1]:1"),
        ({"http_proxy": "http://p:1"}, S3, None),
        ({"all_proxy": "http://p:1"}, S3, "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "https_proxy": "http://q:2"}, S3, "http://q:2"),
        ({"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:1"}, S3, "http://low:1"),
        ({"https_proxy": "http://p:1", "no_proxy": "*"}, S3, None),
        ({"https_proxy": "http://p:1", "no_proxy": "s3.example"}, S3, None),
        ({"https_proxy": "http://p:1", "NO_PROXY": "a.example, .s3.example"}, S3, None),
        ({"https_proxy": "http://p:1", "no_proxy": "bucket.s3.example:9000"}, S3, None),
        ({"https_proxy": "http://p:1", "no_proxy": "bucket.s3.example:1"}, S3, "http://p:1"),
        ({"https_proxy": "http://p:1", "no_proxy": "3.example"}, S3, "http://p:1"),
        ({"http_proxy": "http://p:1", "no_proxy": "127.0.0.1"}, Origin(False, "127.0.0.1", 80), None),
        ({"http_proxy": "http://p:1", "no_proxy": "::1"}, Origin(False, "::1", 80), None),
        ({"http_proxy": "http://p:1", "no_proxy": "localhost"}, Origin(False, "localhost", 8080), None),
    ],
)
def test_which_proxy(environment: Environment, variables: dict[str, str], origin: Origin, chosen: str | None):
    environment(**variables)
    found = proxy_for(origin, None)
    assert (str(found.origin) if found else None) == chosen


@pytest.mark.parametrize(
    "address",
    [
        "https://user:secret@p.example:3128", "socks5://user:secret@p.example:1080", "socks5h://p.example",
        "http://user:secret@p.example:port", "http://user:secret@", "http://user:secret@p.example:99999",
        "http://user:secret@[::1", "ftp://user:secret@p.example",
    ],
)  # fmt: skip
def test_a_proxy_of_another_kind_is_told_with_the_way_out(make_client: MakeClient, address: str):
    with pytest.raises(exc.InvalidStorageConfigurationError) as caught:
        make_client(proxies=(("https", address),)).request("GET", S3, "/", {})
    assert "'transport' to 'sdk'" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert str(S3) in str(caught.value)


def test_what_this_client_can_use(environment: Environment):
    assert is_supported(None)
    assert is_supported({"https": "http://p:1", "http": "p:1", "ftp": "socks5://p"})
    assert not is_supported({"https": "https://p:1"})
    assert not is_supported({"all": "socks5://p:1"})
    environment(https_proxy="socks5h://p:1")
    assert not is_supported(None)
    environment(HTTPS_PROXY="http://p:1", NO_PROXY="x")
    assert is_supported(None)


def test_a_password_is_in_no_representation(make_client: MakeClient):
    found = proxy_for(S3, (("https", "http://user:secret@p.example:3128"),))
    secret = base64.b64encode(b"user:secret").decode()
    assert secret not in repr(found)
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://u:secret@h",
        "",
        "h.example",
        "http://",
        "https://u:secret@[::1",
        "http://h:port/?sig=secret",
        "http://a b/",
    ],
)
def test_an_address_that_is_none(url: str):
    with pytest.raises(exc.InvalidStorageConfigurationError) as caught:
        Origin.of(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "origin", "authority"),
    [
        ("http://H.example", Origin(False, "h.example", 80), "h.example"),
        ("https://h.example:443/x", Origin(True, "h.example", 443), "h.example"),
        ("https://h.example:80", Origin(True, "h.example", 80), "h.example:80"),
        ("http://[::1]:9000/", Origin(False, "::1", 9000), "[::1]:9000"),
        ("http://user:pass@h.example:8080", Origin(False, "h.example", 8080), "h.example:8080"),
        ("https://bücher.example", Origin(True, "xn--bcher-kva.example", 443), "xn--bcher-kva.example"),
    ],
)
def test_origins(url: str, origin: Origin, authority: str):
    assert Origin.of(url) == origin
    assert origin.authority == authority
