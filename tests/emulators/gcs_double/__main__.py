"""The double by hand: runs until interrupted or until its lifetime is over."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path

from . import GcsDouble


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m emulators.gcs_double", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0, the default, finds a free one")
    parser.add_argument("--bucket", action="append", default=[], help="a bucket to begin with; may be repeated")
    parser.add_argument("--auth", action="store_true", help="refuse callers without a token")
    parser.add_argument("--credentials", type=Path, help="write a service account's credentials file here")
    parser.add_argument("--discard", action="store_true", help="keep no content, for measuring clients")
    parser.add_argument("--lifetime", type=float, default=3600, help="seconds until it stops by itself (3600)")
    options = parser.parse_args()
    with GcsDouble(port=options.port) as double:
        for bucket in options.bucket:
            double.create_bucket(bucket)
        double.require_auth = options.auth
        double.discard = options.discard
        print(f"STORAGE_EMULATOR_HOST={double.url}", flush=True)
        if options.credentials:
            double.write_credentials(options.credentials)
            print(f"GOOGLE_APPLICATION_CREDENTIALS={options.credentials}", flush=True)
        try:
            threading.Event().wait(options.lifetime)
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
