"""An S3 in memory that answers each request after a fixed time and costs little: what is measured is the client.

It keeps objects with their metadata, lists them by pages, and checks neither signatures nor checksums.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import multiprocessing
import re
from collections.abc import Iterator
from email.utils import formatdate, parsedate_to_datetime
from multiprocessing.connection import Connection
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

PAGE = 1000


class Server:
    """:param latency: seconds before each answer"""

    def __init__(self, latency: float):
        self._latency = latency
        self._objects: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.requests: dict[str, int] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, target, _ = first.split(" ")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                if headers.get("expect"):
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = await reader.readexactly(int(headers.get("content-length") or 0))
                status, more, content = self._answer(method, target, headers, body)
                await asyncio.sleep(self._latency)
                length = more.pop("Content-Length", str(len(content)))
                head = [
                    f"HTTP/1.1 {status}",
                    "x-amz-request-id: 1",
                    f"Date: {formatdate(usegmt=True)}",
                    f"Content-Length: {length}",
                ]
                head += [f"{name}: {value}" for name, value in more.items()]
                writer.write("\r\n".join([*head, "", ""]).encode("latin-1") + content)
        writer.close()

    def _answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[str, dict[str, str], bytes]:
        parts = urlsplit(target)
        query = parse_qs(parts.query, keep_blank_values=True)
        key = unquote(parts.path).lstrip("/").partition("/")[2]
        self.requests[method] = self.requests.get(method, 0) + 1
        if method == "POST" and "delete" in query:
            names = [unescape(name) for name in re.findall(r"<Key>(.*?)</Key>", body.decode())]
            for name in names:
                self._objects.pop(name, None)
            told = "".join(f"<Deleted><Key>{escape(name)}</Key></Deleted>" for name in names)
            return "200 OK", {"Content-Type": "application/xml"}, f"<DeleteResult>{told}</DeleteResult>".encode()
        if not key:  # the bucket: is it there, what is in it
            return "200 OK", {"Content-Type": "application/xml"}, b"" if method == "HEAD" else self._page(query)
        if method == "PUT":
            kept = {name: value for name, value in headers.items() if name.startswith("x-amz-meta-")}
            kept |= {"ETag": f'"{hashlib.md5(body).hexdigest()}"', "Last-Modified": formatdate(usegmt=True)}
            self._objects[key] = body, {**kept, "Content-Type": headers.get("content-type", "")}
            return "200 OK", {"ETag": kept["ETag"]}, b""
        if method == "DELETE":
            self._objects.pop(key, None)
            return "204 No Content", {}, b""
        if key not in self._objects:
            error = b"" if method == "HEAD" else b"<Error><Code>NoSuchKey</Code></Error>"
            return "404 Not Found", {"Content-Type": "application/xml"}, error
        content, kept = self._objects[key]
        return "200 OK", {**kept, "Content-Length": str(len(content))}, b"" if method == "HEAD" else content

    def _page(self, query: dict[str, list[str]]) -> bytes:
        def of(name: str) -> str:
            return query.get(name, [""])[0]

        after, prefix = of("continuation-token") or of("start-after"), of("prefix")
        found = sorted(name for name in self._objects if name.startswith(prefix) and name > after)
        page, is_cut = found[:PAGE], len(found) > PAGE
        rows = "".join(
            f"<Contents><Key>{escape(name)}</Key><LastModified>{_iso(self._objects[name][1])}</LastModified>"
            f"<ETag>{self._objects[name][1]['ETag']}</ETag><Size>{len(self._objects[name][0])}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
            for name in page
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if is_cut else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>bench</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount>"
            f"<MaxKeys>{PAGE}</MaxKeys><IsTruncated>{str(is_cut).lower()}</IsTruncated>{token}{rows}</ListBucketResult>"
        ).encode()


def _iso(kept: dict[str, str]) -> str:
    return parsedate_to_datetime(kept["Last-Modified"]).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _run(latency: float, pipe: Connection) -> None:
    async def main() -> None:
        server = Server(latency)
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        pipe.send(listening.sockets[0].getsockname()[1])
        ended = asyncio.Event()

        def asked() -> None:
            if pipe.recv():
                pipe.send(server.requests)
                server.requests = {}
            else:
                ended.set()

        asyncio.get_running_loop().add_reader(pipe.fileno(), asked)
        await ended.wait()

    asyncio.run(main())


class Running:
    """A server in a process of its own."""

    def __init__(self, url: str, pipe: Connection):
        self.url = url
        self._pipe = pipe

    def requests(self) -> dict[str, int]:
        """Return the requests since the last time, by method."""
        self._pipe.send(True)
        return self._pipe.recv()


@contextlib.contextmanager
def started(latency: float) -> Iterator[Running]:
    """Start it; it ends with the block."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(latency, theirs), daemon=True)
    process.start()
    try:
        yield Running(f"http://127.0.0.1:{ours.recv()}", ours)
    finally:
        ours.send(False)
        process.join(10)
