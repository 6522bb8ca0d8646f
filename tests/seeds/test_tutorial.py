"""The user's own tutorial: every Python block of it runs as it stands, on every backend.

The document stands beside the project and is not copied into it; without it these tests have nothing to run. A block
may presume variables (``storage``, ``upload``, the modules imported further up): they are supplied.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import file_keeper as fk
import pytest
from emulators.storages import KINDS

DOCUMENT = Path(__file__).parents[3] / "shared" / "tutorial" / "advanced_patterns.txt"
CONTENT = b"The content of a file.\n"

pytestmark = pytest.mark.skipif(not DOCUMENT.exists(), reason="the tutorial is not beside this checkout")


def _blocks() -> dict[str, str]:
    """Give the Python blocks by the heading that they stand under."""
    if not DOCUMENT.exists():
        return {}
    blocks: dict[str, str] = {}
    heading = ""
    fence: list[str] | None = None
    for line in DOCUMENT.read_text("utf-8").splitlines():
        if fence is None and line.startswith("#"):
            heading = line.lstrip("#").strip()
        elif fence is None and line.strip() == "```python":
            fence = []
        elif fence is not None and line.strip() == "```":
            blocks[heading] = "\n".join(fence)
            fence = None
        elif fence is not None:
            fence.append(line)
    return blocks


BLOCKS = _blocks()


@pytest.fixture(params=KINDS)
def storage(request: pytest.FixtureRequest, fresh_settings: Callable[..., dict[str, Any]]) -> Any:
    with fk.make_storage("tutorial", fresh_settings(request.param)) as made:
        yield made


def _run(name: str, **supplied: Any) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "tutorial", "fk": fk, "exc": fk.exc, **supplied}
    exec(compile(BLOCKS[name], f"tutorial: {name}", "exec"), namespace)
    return namespace


def test_every_block_is_run_here():
    here = Path(__file__).read_text("utf-8")
    assert len(BLOCKS) == 8
    assert not [name for name in BLOCKS if f'_run("{name}"' not in here]


def test_a_stream_that_was_drained_while_it_was_counted_is_refused(storage: fk.Storage, tmp_path: Path):
    block = _run("Efficient Large File Handling")
    path = tmp_path / "large.dat"
    path.write_bytes(CONTENT * 5000)

    with pytest.raises(fk.exc.UploadSizeMismatchError):
        block["upload_large_file_from_chunks"](storage, "large.dat", block["file_chunk_generator"](path))

    assert list(storage.scan()) == []

    # Counted on another generator it is what the author meant.
    block["estimate_size"] = lambda chunks: path.stat().st_size
    info = block["upload_large_file_from_chunks"](storage, "large.dat", block["file_chunk_generator"](path))
    assert storage.content(info) == path.read_bytes()


def test_the_short_form_of_a_large_upload(storage: fk.Storage, tmp_path: Path):
    text = DOCUMENT.read_text("utf-8")
    short = re.search(r"```py\n(.*?)```", text, re.DOTALL)
    assert short
    path = tmp_path / "large.dat"
    path.write_bytes(CONTENT * 1000)
    body = "".join(f"    {line}\n" for line in short[1].replace("/path/to/large/file", str(path)).splitlines())
    namespace: dict[str, Any] = {"fk": fk, "storage": storage, "location": "large.dat"}
    exec(f"def run():\n{body}", namespace)

    assert storage.content(namespace["run"]()) == path.read_bytes()


def test_batches(storage: fk.Storage, capsys: pytest.CaptureFixture[str]):
    block = _run("Batch Operations", storage=storage)
    results = block["results"]

    assert {name: storage.content(info) for name, info in results.items()} == block["files_to_upload"]

    again = block["batch_upload"](storage, {"file1.txt": b"other", "new.txt": b"new"})
    assert again["file1.txt"] is None
    assert again["new.txt"].size == 3
    assert "Failed to upload file1.txt" in capsys.readouterr().out
    assert storage.content("file1.txt") == b"Content of file 1"


def test_retries(storage: fk.Storage):
    block = _run("Retry Mechanisms")
    assert block["upload_with_retry"](storage, "a.txt", fk.make_upload(CONTENT)).size == len(CONTENT)

    failures = [fk.exc.ConnectionError("reset"), fk.exc.UploadError("odd")]

    def flaky() -> str:
        if failures:
            raise failures.pop()
        return "done"

    assert block["retry_on_failure"](flaky, base_delay=0.001) == "done"


def test_the_circuit_breaker(storage: fk.Storage, capsys: pytest.CaptureFixture[str]):
    upload = fk.make_upload(CONTENT)
    block = _run("Circuit Breaker Pattern", storage=storage, upload=upload)
    assert storage.content(block["file_info"]) == CONTENT

    breaker = block["StorageCircuitBreaker"](failure_threshold=2)
    for _ in range(2):
        with pytest.raises(fk.exc.ExistingFileError):
            breaker.call(storage.upload, "test.txt", upload)
    with pytest.raises(fk.exc.FilesError, match="OPEN"):
        breaker.call(storage.upload, "test.txt", upload)


def test_flask(storage: fk.Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    block = _run("Flask Integration")
    assert (tmp_path / "uploads").is_dir()
    block["storage"] = storage
    client = block["app"].test_client()

    answer = client.post("/upload", data={"file": (io.BytesIO(CONTENT), "../report.txt")})

    assert answer.status_code == 200, answer.text
    told = answer.get_json()
    assert (told["location"], told["size"]) == ("report.txt", len(CONTENT))
    assert told["hash"] == storage.analyze("report.txt").hash
    answer = client.get("/download/report.txt")
    assert (answer.status_code, answer.data) == (200, CONTENT)
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert client.get("/download/other.txt").status_code == 404
    assert client.post("/upload").status_code == 400
    again = client.post("/upload", data={"file": (io.BytesIO(b"other"), "report.txt")})
    assert again.status_code == 500
    assert storage.content("report.txt") == CONTENT


def test_django(storage: fk.Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from django.conf import settings
    from django.core.files.uploadedfile import SimpleUploadedFile
    from django.test import RequestFactory

    if not settings.configured:
        settings.configure(DEFAULT_CHARSET="utf-8")
    monkeypatch.chdir(tmp_path)
    block = _run("Django Integration")
    assert (tmp_path / "media").is_dir()
    block["storage"] = storage
    requests = RequestFactory()

    with contextlib.closing(requests.post("/", {"file": SimpleUploadedFile("report.txt", CONTENT)})) as request:
        answer = block["upload_view"](request)

    assert answer.status_code == 200, answer.content
    assert storage.content("report.txt") == CONTENT
    answer = block["download_view"](requests.get("/"), "report.txt")
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer["Content-Type"].startswith("text/plain")
    assert block["download_view"](requests.get("/"), "other.txt").status_code == 404
    assert block["upload_view"](requests.post("/")).status_code == 400
    assert block["upload_view"](requests.get("/")).status_code == 405


def test_validation(storage: fk.Storage, capsys: pytest.CaptureFixture[str]):
    block = _run("Input Validation", storage=storage, upload=fk.make_upload(CONTENT))
    # "passwd" has no extension, so the block's own rule refuses it.
    assert "Upload rejected" in capsys.readouterr().out
    assert list(storage.scan()) == []

    block["safe_upload"](storage, "../../etc/notes.txt", fk.make_upload(CONTENT), block["ALLOWED_TYPES"])
    assert storage.content("notes.txt") == CONTENT
    with pytest.raises(fk.exc.FilesError, match="not allowed"):
        block["safe_upload"](storage, "x.exe", fk.make_upload(CONTENT), block["ALLOWED_TYPES"])
    with pytest.raises(fk.exc.FilesError, match="too large"):
        block["safe_upload"](storage, "x.txt", fk.make_upload(b"x" * 1_100_000), block["ALLOWED_TYPES"], max_size_mb=1)
    assert list(storage.scan()) == ["notes.txt"]


def test_monitoring(storage: fk.Storage, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    block = _run("Monitoring and Logging", storage=storage, upload=fk.make_upload(CONTENT))

    assert block["content"] == CONTENT
    assert [record.message.partition(":")[0] for record in caplog.records if record.name == "tutorial"] == [
        "Upload successful",
        "Content read successful",
    ]
    with pytest.raises(fk.exc.ExistingFileError):
        block["monitored_storage"].upload("test.txt", fk.make_upload(b""))
    assert "Upload failed: test.txt" in caplog.text
    assert block["monitored_storage"].exists("test.txt")
