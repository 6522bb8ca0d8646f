"""nginx as a reverse proxy as Debian configures it: what everybody has who puts one before a service.

Run as a program it starts one, tells its port, and ends it when standard input is closed.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from typing import TypeVar

from .process import ServerProcess, end_with_input, free_ports
from .s3 import S3Server

PREFIX = "serving "
Server = TypeVar("Server", bound=S3Server)

# The http section of Debian's /etc/nginx/nginx.conf, without the files that are not ours, and the least that a proxy
# of S3 needs: the Host that was signed. Everything else is nginx's default, `proxy_buffering` and HTTP/1.0 to the
# service among it.
_CONFIGURATION = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 768; }}
http {{
    sendfile on;
    tcp_nopush on;
    types_hash_max_size 2048;
    default_type application/octet-stream;
    access_log {folder}/access.log;
    gzip on;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        {options}
        location / {{
            proxy_pass {upstream};
            proxy_set_header Host $http_host;
        }}
    }}
}}
"""


def is_installed() -> bool:
    """Return whether there is an nginx: a Debian package, `nginx-light`."""
    return _program() is not None


def _program() -> str | None:
    # Debian's is where only the superuser looks.
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def before(server: Server, *options: str) -> Server:
    """Start one before a server; the same buckets are seen through it.

    :param options: directives of its `server` section, without the semicolon
    """
    process = started(server.url, *options)
    return dataclasses.replace(server, url=f"http://127.0.0.1:{process.address}", process=process, folder=None)


def started(upstream: str, *options: str) -> ServerProcess:
    """Start one before an address; the process tells its port."""
    return ServerProcess(
        [sys.executable, "-m", "emulators.nginx", upstream, *options],
        lambda line: line.removeprefix(PREFIX).strip() if line.startswith(PREFIX) else None,
        env={"PYTHONPATH": os.path.dirname(os.path.dirname(os.path.abspath(__file__)))},
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("upstream")
    parser.add_argument("options", nargs="*")
    given = parser.parse_args()
    program = _program()
    assert program, "nginx is not installed"
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="nginx-") as folder:
        path = os.path.join(folder, "nginx.conf")
        options = " ".join(f"{option};" for option in given.options)
        with open(path, "w", encoding="utf-8") as file:
            file.write(_CONFIGURATION.format(folder=folder, port=port, options=options, upstream=given.upstream))
        process = subprocess.Popen([program, "-p", folder, "-c", path], stdin=subprocess.DEVNULL)
        with end_with_input(process):
            _wait(port, process)
            print(f"{PREFIX}{port}", flush=True)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise SystemExit("nginx did not start")


if __name__ == "__main__":
    main()
