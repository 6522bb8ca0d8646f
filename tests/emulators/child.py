"""Run as a program in a child process: serves moto or gcp-storage-emulator until standard input is closed."""

from __future__ import annotations

import argparse
import http.server
import logging
import os
import sys
import threading

PREFIX = "serving "


def moto(cert: str, key: str) -> int:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server(
        "127.0.0.1",
        0,
        DomainDispatcherApplication(create_backend_app),
        threaded=True,
        request_handler=MotoRequestHandler,
        ssl_context=(cert, key) if cert else None,
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def gcs() -> int:
    # The emulator listens with a queue of 5, so a burst of test threads would see resets that are nobody's fault.
    http.server.HTTPServer.request_queue_size = 128
    from gcp_storage_emulator.server import create_server

    logging.disable(logging.ERROR)
    server = create_server("127.0.0.1", 0, in_memory=True)
    server.start()
    while server._api._httpd is None:  # its own flag is set just after this
        server._api.is_running.wait(0.01)
    return server._api._httpd.server_port


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["moto", "gcs"])
    parser.add_argument("--cert", default="")
    parser.add_argument("--key", default="")
    options = parser.parse_args()
    port = moto(options.cert, options.key) if options.kind == "moto" else gcs()
    print(f"{PREFIX}{port}", flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
