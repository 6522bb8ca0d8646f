"""Django's collectstatic with a manifest, on an S3 that answers after 20 ms: a first run, a second, one byte changed.

python -m uv run --with "django-storages[s3]" python scripts/bench collectstatic
BENCH_COUNT=200 ...             fewer files; the peer, which sends one after the other, gets a tenth of them
"""

from __future__ import annotations

import importlib.util
import io
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from _slow_s3 import Running, started

LATENCY = 0.02
CLIENT = {"bucket": "bench", "key": "bench-key", "secret": "bench-secret", "region": "us-east-1"}


def fill(folder: Path, count: int) -> None:
    """Make static files; of ten one is a style sheet that names a neighbour."""
    for number in range(count):
        place = folder / f"app/{number % 50}"
        place.mkdir(parents=True, exist_ok=True)
        if number % 10 == 0 and number >= 50:
            (place / f"{number}.css").write_text(f'.n{number} {{ background: url("{number % 50}.css") }}')
        else:
            kind = "css" if number % 10 == 0 else "txt"
            (place / f"{number}.{kind}").write_text(f"/* {number} */" * 50)


def collect(storage: dict[str, Any], folder: Path) -> tuple[float, str]:
    """Run the command; return its seconds and what it says."""
    from django.core.management import call_command
    from django.test.utils import override_settings

    out = io.StringIO()
    with override_settings(STORAGES={"staticfiles": storage}, STATICFILES_DIRS=[str(folder)]):
        started = time.perf_counter()
        call_command("collectstatic", interactive=False, stdout=out)
        return time.perf_counter() - started, out.getvalue().strip()


def measure(title: str, storage: dict[str, Any], server: Running, folder: Path, count: int, width: int) -> None:
    fill(folder, count)
    files = 2 * count + 1  # each one under its name and its hashed one, and the manifest
    goal = 2 * files * LATENCY / width
    print(f"\n{title}: {count:,} files, with their hashed copies {files:,}; goal of the first run {goal:.1f} s")

    def run(what: str) -> None:
        server.requests()
        seconds, said = collect(storage, folder)
        print(f"{what:18} {seconds:7.2f} s   {sum(server.requests().values()):6,} requests   {said}", flush=True)

    run("first run")
    run("nothing changed")
    for path in folder.rglob("*.*"):
        os.utime(path, (time.time() + 60,) * 2)
    run("all times are new")
    path = folder / "app/7/7.txt"
    path.write_text(path.read_text().replace("7", "8", 1))
    run("one byte changed")


def main() -> None:
    import django
    from django.conf import settings

    count = int(os.environ.get("BENCH_COUNT", "2000"))
    settings.configure(
        SECRET_KEY="bench",
        STATIC_URL="/static/",
        INSTALLED_APPS=["file_keeper_django", "django.contrib.staticfiles"],
        STATICFILES_FINDERS=["django.contrib.staticfiles.finders.FileSystemFinder"],
    )
    django.setup()
    with tempfile.TemporaryDirectory() as folder, started(LATENCY) as server:
        known = {"conditional_writes": "yes", "checksums": "required"}  # else tried once a process
        ours = {"type": "s3", "endpoint": server.url, "path": "ours", **CLIENT, **known}
        backend = "file_keeper_django.FileKeeperManifestStaticStorage"
        measure("file-keeper", {"BACKEND": backend, "OPTIONS": ours}, server, Path(folder, "a"), count, 16)
        if importlib.util.find_spec("storages") is None:
            return
        theirs = {
            "bucket_name": CLIENT["bucket"],
            "access_key": CLIENT["key"],
            "secret_key": CLIENT["secret"],
            "region_name": CLIENT["region"],
            "endpoint_url": server.url,
            "addressing_style": "path",
            "location": "theirs",
        }
        backend = "storages.backends.s3.S3ManifestStaticStorage"
        measure("django-storages", {"BACKEND": backend, "OPTIONS": theirs}, server, Path(folder, "b"), count // 10, 1)


if __name__ == "__main__":
    main()
