"""The shell blocks of the guide and of the README run as they stand, one page in one directory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.full
@pytest.mark.timeout(400)
@pytest.mark.skipif(sys.platform == "win32", reason="there is no bash")
@pytest.mark.parametrize("page", ["docs/guides/command.md", "packages/cli/README.md"])
def test_the_blocks_run(page, tmp_path):
    text = (ROOT / page).read_text("utf-8")
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    assert blocks
    lines = [line for block in blocks for line in block.splitlines() if not line.startswith("pip install")]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    result = subprocess.run(
        ["bash", "-euxc", "\n".join(lines)], capture_output=True, text=True, env=environment, timeout=360, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "file-keeper: " not in result.stderr.replace("+ file-keeper", "")
