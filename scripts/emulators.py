"""Start the servers of the tests by hand and print their addresses.

`python scripts/emulators.py [s3 s3-tls gcs azure azure-tls]`
"""

from __future__ import annotations

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tests"))

from emulators import azure, gcs, s3

STARTERS = {
    "s3": s3.start,
    "s3-tls": lambda: s3.start(tls=True),
    "gcs": gcs.start,
    "azure": azure.start,
    "azure-tls": lambda: azure.start(tls=True),
}


def main() -> int:
    names = sys.argv[1:] or ["s3", "gcs", "azure"]
    if unknown := [name for name in names if name not in STARTERS]:
        print(f"unknown: {' '.join(unknown)}; there are {' '.join(STARTERS)}", file=sys.stderr)
        return 2
    servers = []
    try:
        for name in names:
            servers.append(STARTERS[name]())
            print(f"{name:10} {servers[-1]}", flush=True)
        print("Ctrl-C ends them.", flush=True)
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return 0
    finally:
        for server in servers:
            server.stop()


if __name__ == "__main__":
    sys.exit(main())
