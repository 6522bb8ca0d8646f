"""What the shell is offered behind the Tab key, asked for as the scripts of the shells do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from file_keeper_cli import app


@pytest.fixture
def there() -> None:
    Path("files/reports").mkdir(parents=True)
    for name in ("read.me", "reports/a.txt", "reports/b.txt"):
        Path("files", name).write_text("x")
    Path(".file-keeper.toml").write_text('[storages.media]\ntype = "fs"\npath = "files"\n')
    Path(".file-keeper.toml").chmod(0o600)


def complete(shell: str, words: list[str]) -> list[str]:
    """The words as the shell has cut them, the last one unfinished."""
    asked = {
        "bash": {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": " ".join(words)},
    }[shell]
    environment = {**os.environ, **asked, "_FILE_KEEPER_COMPLETE": f"complete_{shell}"}
    environment.pop("FILE_KEEPER_CONFIG", None)
    code = "import sys; sys.argv[0] = 'file-keeper'; from file_keeper_cli import main; main()"
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert run.stderr == ""
    return run.stdout.splitlines()


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["file-keeper", "ls", "me"], ["media:"]),
        # Bash takes a colon for a word of its own, and gives back what stands behind it.
        (["file-keeper", "ls", "media", ":"], ["read.me", "reports/"]),
        (["file-keeper", "cp", "media", ":", "rep"], ["reports/"]),
        (["file-keeper", "cp", "media", ":", "reports/"], ["reports/a.txt", "reports/b.txt"]),
        (["file-keeper", "ls", "media:re"], ["media:read.me", "media:reports/"]),  # the colon is no break here
        (["file-keeper", "sync", "fi"], ["files/"]),
        (["file-keeper", "cleanup", "m"], ["media"]),
        (["file-keeper", "ls", "nobody", ":", "x"], [""]),
        (["file-keeper", "--set", "type", "=", "fs", "--set", "path", "=", "files", "ls", ":", "rep"], ["reports/"]),
    ],
)
def test_bash(words: list[str], offered: list[str]) -> None:
    assert complete("bash", words) == offered


@pytest.mark.usefixtures("there")
def test_zsh() -> None:
    (found,) = complete("zsh", ["file-keeper", "stat", "media:reports/a"])
    assert "media:reports/a.txt" in found.replace("\\", "")


def test_every_command_has_an_example() -> None:
    program = typer.main.get_command(app)
    context = program.context_class(program, info_name="file-keeper")
    for name in program.list_commands(context):
        command = program.get_command(context, name)
        assert f"file-keeper {name} " in command.help, name
