"""The fault proxy passes everything on unchanged, counts it, and breaks exactly what it was told to break."""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import http.server
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from azure.storage.blob import LinearRetry
from emulators import azure, gcs, s3
from emulators.tls import Certificates
from faults.answers import azure_error, gcs_error, s3_error
from faults.proxy import FaultProxy

MIB = 1024 * 1024
BLOB = hashlib.shake_128(b"x").digest(MIB)


class Origin(http.server.BaseHTTPRequestHandler):
    """PUT digests the body (`/refuse` answers before reading it); GET of /<n> is n bytes, of /chunked/<n> in chunks."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str, str, bytes]]

    def log_message(self, *args: Any) -> None:
        pass

    def _reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_PUT(self) -> None:
        if self.path == "/refuse":
            self.close_connection = True
            self._reply(403, b"no")
            return
        digest = hashlib.sha256()
        total = 0
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                digest.update(self.rfile.read(size))
                total += size
                self.rfile.readline()
            self.rfile.readline()
        else:
            left = int(self.headers.get("Content-Length", 0))
            while left:
                data = self.rfile.read(min(left, 65536))
                if not data:
                    self.close_connection = True
                    return
                left -= len(data)
                total += len(data)
                digest.update(data)
        self.server.seen.append((self.command, self.path, self.headers["Host"], digest.digest()))
        self._reply(200, f"{total} {digest.hexdigest()}".encode())

    def do_GET(self) -> None:
        self.server.seen.append((self.command, self.path, self.headers["Host"], b""))
        body = (BLOB * 8)[: int(self.path.rpartition("/")[2].partition("?")[0] or 0)]
        if self.path.startswith("/chunked/"):
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for start in range(0, len(body), 1000):
                piece = body[start : start + 1000]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self._reply(200, body)

    def do_HEAD(self) -> None:
        self.do_GET()


class OriginServer(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
    seen: list[tuple[str, str, str, bytes]]

    def handle_error(self, *args: Any) -> None:
        pass  # the proxy breaks connections on purpose

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def origin() -> Iterator[OriginServer]:
    with OriginServer(("127.0.0.1", 0), Origin) as server:
        server.seen = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(origin: OriginServer, fault_proxy: Callable[..., FaultProxy]) -> FaultProxy:
    return fault_proxy(origin.url)


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[http.client.HTTPConnection]:
    connection = connect(proxy)
    yield connection
    connection.close()


def connect(proxy: FaultProxy) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(proxy.url).netloc, timeout=20)


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, **headers: str):
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    return response, response.read()


# Passing on


def test_keeps_the_connection_and_records_each_request(proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    local = None
    for number in range(3):
        response, body = ask(client, "GET", f"/{number}")
        assert (response.status, len(body)) == (200, number)
        local = local or client.sock.getsockname()
        assert client.sock.getsockname() == local
    response, body = ask(client, "HEAD", "/500")
    assert (response.getheader("Content-Length"), body) == ("500", b"")
    response, body = ask(client, "PUT", "/up?x=1&y=", b"hello", **{"X-One": "1"})
    assert body == f"5 {hashlib.sha256(b'hello').hexdigest()}".encode()
    assert [(r.method, r.path, r.status) for r in proxy.requests] == [
        ("GET", "/0", 200),
        ("GET", "/1", 200),
        ("GET", "/2", 200),
        ("HEAD", "/500", 200),
        ("PUT", "/up", 200),
    ]
    last = proxy.requests[-1]
    assert (last.query, last.parameters, last.body_length) == ("x=1&y=", {"x": "1", "y": ""}, 5)
    assert last.headers.get("x-one") == "1"
    assert proxy.count("GET") == 3
    assert proxy.count(path="^/up$", query="x=1") == 1


def test_keeps_the_raw_path_and_the_host(origin: OriginServer, proxy: FaultProxy, client) -> None:
    path = "/a%2Fb/%e2%98%BA/..%2f//x/0?q=%2B+%20"
    ask(client, "GET", path)
    assert origin.seen[0][1:3] == (path, urlsplit(proxy.url).netloc)


def test_reverse_proxy_with_a_prefix(origin: OriginServer, fault_proxy: Callable[..., FaultProxy]) -> None:
    proxy = fault_proxy(origin.url, prefix="/storage", keep_host=False)
    assert proxy.url.endswith("/storage")
    connection = connect(proxy)
    assert ask(connection, "GET", "/storage/7")[1] == BLOB[:7]
    assert ask(connection, "GET", "/storagex/7")[0].status == 404
    assert [(path, host) for _, path, host, _ in origin.seen] == [("/7", urlsplit(origin.url).netloc)]
    connection.close()


@pytest.mark.parametrize("path", ["/300000", "/chunked/300000"])
def test_answers_with_a_length_and_in_chunks(path: str, client: http.client.HTTPConnection) -> None:
    assert ask(client, "GET", path)[1] == BLOB[:300000]
    assert ask(client, "GET", "/3")[1] == BLOB[:3]


def test_chunked_uploads(proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    pieces = [BLOB[:1], BLOB[:70000], b"tail"]
    _, body = ask(client, "PUT", "/up", iter(pieces))
    content = b"".join(pieces)
    assert body == f"{len(content)} {hashlib.sha256(content).hexdigest()}".encode()
    assert proxy.requests[0].body_length == len(content)


def test_expect_continue(proxy: FaultProxy) -> None:
    def start() -> tuple[socket.socket, Any]:
        raw = socket.create_connection(("127.0.0.1", urlsplit(proxy.url).port), timeout=10)
        raw.sendall(b"PUT /up HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        return raw, raw.makefile("rb")

    raw, file = start()
    with raw, file:
        assert file.readline() == b"HTTP/1.1 100 Continue\r\n"
        file.readline()
        raw.sendall(b"abc")
        assert file.readline() == b"HTTP/1.1 200 OK\r\n"
    proxy.on("PUT").answer(503)
    raw, file = start()
    with raw, file:  # told at once, the body never asked for, and so the connection ends
        assert file.readline() == b"HTTP/1.1 503 Service Unavailable\r\n"
        assert b"Connection: close\r\n" in file.readlines()


def test_a_server_that_refuses_early_is_heard(client: http.client.HTTPConnection) -> None:
    response, body = ask(client, "PUT", "/refuse", iter([BLOB] * 4))
    assert (response.status, body) == (403, b"no")


def test_a_large_upload_is_not_held(proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    tracemalloc.start()
    try:
        _, body = ask(client, "PUT", "/up", iter([BLOB] * 128))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert body.startswith(b"%d " % (128 * MIB))
    assert peak < 8 * MIB


def test_many_connections_at_once(proxy: FaultProxy) -> None:
    failures: list[Exception] = []

    def work() -> None:
        try:
            for _ in range(5):
                connection = connect(proxy)
                assert ask(connection, "GET", "/1000")[1] == BLOB[:1000]
                connection.close()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert proxy.count() == 160


def test_over_tls(origin: OriginServer, fault_proxy: Callable[..., FaultProxy], certificates: Certificates) -> None:
    outer = fault_proxy(fault_proxy(origin.url, certificates=certificates).url, upstream_ca_file=certificates.ca_file)
    connection = connect(outer)
    assert ask(connection, "PUT", "/up", BLOB)[1].endswith(hashlib.sha256(BLOB).hexdigest().encode())
    connection.close()
    tls = fault_proxy(origin.url, certificates=certificates)
    secure = http.client.HTTPSConnection(
        urlsplit(tls.url).netloc, timeout=10, context=ssl.create_default_context(cafile=tls.ca_file)
    )
    assert ask(secure, "GET", "/9")[1] == BLOB[:9]
    secure.close()


# Rules


def test_a_rule_counts_and_ends(proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    rule = proxy.on("GET", r"^/\d$", nth=2, times=2).answer(503, "busy", {"Retry-After": "1"})
    statuses = [ask(client, "GET", "/1")[0].status for _ in range(5)]
    assert statuses == [200, 503, 503, 200, 200]
    assert rule.hits == 2
    assert proxy.requests[1].faults == ["answer 503"]
    response, _ = ask(client, "GET", "/10")
    assert response.status == 200
    proxy.clear()
    assert proxy.count() == 0


def test_a_rule_by_query_and_predicate(proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    proxy.on(query="partNumber=2", where=lambda request: request.headers.has("Range"), times=None).answer(500)
    assert ask(client, "GET", "/1?partNumber=2")[0].status == 200
    assert ask(client, "GET", "/1?partNumber=2", Range="bytes=0-1")[0].status == 500
    assert ask(client, "GET", "/1?partNumber=1", Range="bytes=0-1")[0].status == 200


def test_an_answer_hides_the_request_from_the_server(origin: OriginServer, proxy: FaultProxy, client) -> None:
    proxy.on("PUT").answer(*s3_error(503, "SlowDown", retry_after=2))
    response, body = ask(client, "PUT", "/up", BLOB)
    assert (response.status, response.getheader("Retry-After")) == (503, "2")
    assert b"<Code>SlowDown</Code>" in body
    assert origin.seen == []
    assert proxy.requests[0].body_length == MIB
    assert ask(client, "PUT", "/up", BLOB)[0].status == 200  # on the same connection


def test_an_answer_to_head_has_no_body(proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    proxy.on("HEAD").answer(*azure_error(404, "BlobNotFound"))
    response, body = ask(client, "HEAD", "/1")
    assert (response.status, body, response.getheader("x-ms-error-code")) == (404, b"", "BlobNotFound")
    assert ask(client, "GET", "/1")[0].status == 200


# Faults


def test_reset_before_forwarding(origin: OriginServer, proxy: FaultProxy, client) -> None:
    proxy.on().reset()
    with pytest.raises(ConnectionError):
        ask(client, "GET", "/1")
    assert origin.seen == []
    assert proxy.requests[0].status == 0
    client.close()
    assert ask(client, "GET", "/1")[0].status == 200


def test_reset_in_the_middle_of_an_upload(origin: OriginServer, proxy: FaultProxy, client) -> None:
    proxy.on("PUT").reset(after=MIB)
    with pytest.raises(ConnectionError):
        ask(client, "PUT", "/up", BLOB * 8)
    assert origin.seen == []
    assert proxy.requests[0].body_length < MIB


def test_a_lost_answer(origin: OriginServer, proxy: FaultProxy, client) -> None:
    proxy.on("PUT").lose_answer()
    with pytest.raises(ConnectionError):
        ask(client, "PUT", "/up", b"abc")
    assert [entry[3] for entry in origin.seen] == [hashlib.sha256(b"abc").digest()]
    assert proxy.requests[0].status == 0


@pytest.mark.parametrize("after", [0, 1, 65536, 3 * MIB + 1])
@pytest.mark.parametrize("path", [f"/{5 * MIB}", f"/chunked/{5 * MIB}"], ids=["length", "chunked"])
def test_cut_by_a_reset(path: str, after: int, proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    proxy.on("GET").cut(after=after)
    client.request("GET", path)
    response = client.getresponse()
    content = bytearray()

    def read() -> None:
        while data := response.read1(100_000):
            content.extend(data)

    with pytest.raises((ConnectionError, http.client.IncompleteRead)):
        read()
    assert content == (BLOB * 8)[:after]


def test_cut_cleanly(proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    proxy.on("GET").cut(after=1000, clean=True)
    client.request("GET", "/5000")
    with pytest.raises(http.client.IncompleteRead) as error:
        client.getresponse().read()
    assert error.value.partial == BLOB[:1000]


def test_cut_each_time(proxy: FaultProxy) -> None:
    rule = proxy.on("GET", times=None).cut(after=1000)
    for _ in range(3):
        connection = connect(proxy)
        connection.request("GET", "/5000")
        with pytest.raises((ConnectionError, http.client.IncompleteRead)):
            connection.getresponse().read()
        connection.close()
    assert rule.hits == 3


@pytest.mark.parametrize("path", ["/5000", "/chunked/5000"])
def test_a_short_body_with_matching_headers(path: str, proxy: FaultProxy, client) -> None:
    proxy.on("GET").short_body(by=1234)
    response, body = ask(client, "GET", path)
    assert body == BLOB[: 5000 - 1234]
    if path == "/5000":
        assert response.getheader("Content-Length") == str(len(body))
    assert ask(client, "GET", "/9")[1] == BLOB[:9]


def test_a_longer_body(proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    proxy.on("GET").long_body(by=3)
    assert ask(client, "GET", "/5000")[1] == BLOB[:5000] + b"+++"
    assert ask(client, "GET", "/9")[1] == BLOB[:9]


@pytest.mark.parametrize("done", [True, False])
def test_a_connection_closed_without_an_answer(
    done: bool, origin: OriginServer, proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    proxy.on("PUT").hang_up(done=done)
    with pytest.raises(http.client.RemoteDisconnected):
        ask(client, "PUT", "/up", b"abc")
    assert len(origin.seen) == done


def test_flipped_bits(proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    proxy.on("PUT").flip_request(offset=1, bit=5)
    assert ask(client, "PUT", "/up", b"abc")[1].endswith(hashlib.sha256(b"aBc").hexdigest().encode())
    proxy.on("GET").flip_response(offset=70_000, bit=0)
    body = ask(client, "GET", "/100000")[1]
    assert [at for at in range(100_000) if body[at] != BLOB[at]] == [70_000]
    assert body[70_000] ^ BLOB[70_000] == 1


@pytest.mark.parametrize("at", ["request", "answer", "body"])
def test_stalls(at, origin: OriginServer, proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    proxy.on("GET").stall(0.4, at=at, after=1000 if at == "body" else 0)
    started = time.monotonic()
    client.request("GET", "/5000")
    if at == "body":
        response = client.getresponse()
        content = response.read(1000)
        assert time.monotonic() - started < 0.3
        content += response.read()
    else:
        time.sleep(0.1)
        assert len(origin.seen) == (at == "answer")
        content = client.getresponse().read()
    assert content == BLOB[:5000]
    assert time.monotonic() - started >= 0.4


def test_stop_ends_a_stall(origin: OriginServer) -> None:
    before = threading.active_count()
    with FaultProxy(origin.url) as proxy:
        proxy.on("GET").stall(60)
        connection = connect(proxy)
        connection.request("GET", "/1")
        while not origin.seen:
            time.sleep(0.01)
        started = time.monotonic()
    assert time.monotonic() - started < 2
    with pytest.raises(ConnectionError):
        connection.getresponse()
    connection.close()
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.1", urlsplit(proxy.url).port), timeout=5)
    assert threading.active_count() <= before + 1  # the origin's own thread may take its time


def test_throttled_upload(proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    proxy.on("PUT").throttle(upload=200_000)
    started = time.monotonic()
    ask(client, "PUT", "/up", BLOB[:100_000])
    assert 0.45 < time.monotonic() - started < 2


def test_faults_add_up(proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    proxy.on("GET").stall(0.2).flip_response().short_body(by=2)
    started = time.monotonic()
    assert ask(client, "GET", "/5")[1] == bytes([BLOB[0] ^ 1]) + BLOB[1:3]
    assert time.monotonic() - started >= 0.2


# In front of the emulators, with their own SDKs


def test_in_front_of_moto(moto_server: s3.S3Server, fault_proxy: Callable[..., FaultProxy]) -> None:
    proxy = fault_proxy(moto_server)
    client = dataclasses.replace(moto_server, url=proxy.url).client(retries={"total_max_attempts": 2})
    bucket = moto_server.new_bucket()
    key = "a b/c+d%20/☺"
    proxy.on("PUT").answer(*s3_error(503, "SlowDown", retry_after=0))
    proxy.on("GET").answer(*s3_error(403, "AccessDenied"))
    client.put_object(Bucket=bucket, Key=key, Body=BLOB)
    assert proxy.count("PUT") == 2
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.get_object(Bucket=bucket, Key=key)
    assert client.get_object(Bucket=bucket, Key=key, Range="bytes=5-9")["Body"].read() == BLOB[5:10]
    assert client.head_object(Bucket=bucket, Key=key)["ContentLength"] == MIB
    client.close()


def test_aws_chunked_through_tls(
    moto_server: s3.S3Server, fault_proxy: Callable[..., FaultProxy], certificates: Certificates
) -> None:
    proxy = fault_proxy(moto_server, certificates=certificates)
    client = dataclasses.replace(moto_server, url=proxy.url, ca_file=proxy.ca_file).client()
    bucket = moto_server.new_bucket()
    client.put_object(Bucket=bucket, Key="k", Body=BLOB)
    assert proxy.requests[0].headers.get("Content-Encoding") == "aws-chunked"
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == BLOB
    client.close()


def test_in_front_of_gcs(gcs_server: gcs.GcsServer, fault_proxy: Callable[..., FaultProxy]) -> None:
    proxy = fault_proxy(gcs_server)
    through = gcs.GcsServer(proxy.url)
    bucket = gcs_server.new_bucket()
    client = through.client()
    blob = client.bucket(bucket).blob("a b/☺", chunk_size=3 * MIB)
    proxy.on("PUT", nth=2).answer(*gcs_error(503, "backendError"))
    blob.upload_from_string(BLOB * 9)  # over 8 MiB: a resumable session, whose address must be the proxy's too
    assert [request.status for request in proxy.matching("PUT")].count(503) == 1
    assert proxy.count("PUT") >= 4
    assert blob.download_as_bytes() == BLOB * 9
    client.close()


def test_in_front_of_azurite(azurite_server: azure.AzuriteServer, fault_proxy: Callable[..., FaultProxy]) -> None:
    proxy = fault_proxy(azurite_server)
    through = azure.AzuriteServer(proxy.url)
    container = azurite_server.new_bucket()
    proxy.on("PUT").answer(*azure_error(503, "ServerBusy"))
    with through.client(retry_policy=LinearRetry(backoff=0, retry_total=2, random_jitter_range=0)) as client:
        blob = client.get_blob_client(container, "a b/☺")
        blob.upload_blob(BLOB)
        assert blob.download_blob().readall() == BLOB
    assert proxy.count("PUT") == 2
