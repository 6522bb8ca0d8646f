"""The least that a client in Python does: a socket, a buffer, a hash; no signature, no repeats, no errors told."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from . import KEYS, MIB, SMALL, Place


class Floor:
    """Sends with the crc32c of awscrt where that is installed, as ours does."""

    threads = 1  # it has one socket

    def __init__(self, service: str, place: Place):
        self.place = place
        self.buffer = memoryview(bytearray(MIB))
        if not place.url:
            Path(place.folder, "floor-4k").write_bytes(SMALL)
            return
        address = urlsplit(place.url)
        connection = socket.create_connection((address.hostname, address.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if place.tls:
            context = ssl.create_default_context(cafile=place.ca_file)
            connection = context.wrap_socket(connection, server_hostname=address.hostname)
        self.socket = connection
        self.host = address.netloc

    def hasher(self) -> Callable[[Any], object]:
        """Return what takes each block."""
        from awscrt import checksums

        state = [0]

        def update(block: Any) -> None:
            state[0] = checksums.crc32c(block, state[0])

        return update

    def put(self) -> None:
        self._ask(f"PUT /bench/new/4k HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: 4096\r\n\r\n".encode() + SMALL)

    def get(self) -> None:
        self._ask(f"GET /bench/4k HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())

    def head(self) -> None:
        self._ask(f"HEAD /bench/4k HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode(), bodyless=True)

    def _ask(self, request: bytes, bodyless: bool = False) -> None:
        self.socket.sendall(request)
        head, _, body = self.socket.recv(65536).partition(b"\r\n\r\n")
        at = head.lower().find(b"content-length:")
        left = 0 if bodyless or at < 0 else int(head[at + 15 :].split(b"\r\n", 1)[0]) - len(body)
        while left > 0:
            left -= len(self.socket.recv(min(left, 65536)))

    def upload_file(self) -> None:
        update, size = self.hasher(), self.place.mib * MIB
        self.socket.sendall(
            f"PUT /bench/new/1g HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: {size}\r\n\r\n".encode()
        )
        with open(Path(self.place.folder, self.place.large), "rb", buffering=0) as source:
            while count := source.readinto(self.buffer):
                update(self.buffer[:count])
                self.socket.sendall(self.buffer[:count])
        self.socket.recv(65536)

    def download(self) -> None:
        self.socket.sendall(f"GET /bench/{self.place.large} HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())
        _, _, body = self.socket.recv(65536).partition(b"\r\n\r\n")
        left = self.place.mib * MIB - len(body)
        while left:
            left -= self.socket.recv_into(self.buffer, min(left, len(self.buffer)))

    def copy(self) -> None:
        update = self.hasher()
        with (
            open(Path(self.place.folder, self.place.large), "rb", buffering=0) as source,
            open(Path(self.place.folder, "floor-copy"), "wb", buffering=0) as target,
        ):
            while count := source.readinto(self.buffer):
                update(self.buffer[:count])
                target.write(self.buffer[:count])

    def walk(self) -> None:
        assert sum(len(files) for _, _, files in os.walk(Path(self.place.folder, "tree"))) == KEYS


class FloorMD5(Floor):
    """The same with MD5."""

    def hasher(self) -> Callable[[Any], object]:
        return hashlib.md5(usedforsecurity=False).update
