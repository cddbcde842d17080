"""Write docs/cli.md from the commands' own help. Run it after changing the command line: python docs/make_cli.py"""

import os
from pathlib import Path

os.environ |= {"TERM": "dumb", "COLUMNS": "100", "NO_COLOR": "1", "_TYPER_FORCE_DISABLE_TERMINAL": "1"}

import typer
from typer.testing import CliRunner

from workbench.cli import app

TARGET = Path(__file__).parent / "cli.md"


def commands(group: typer.Typer = app, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the words of every command, groups' commands after their group."""
    found = [path]
    for command in group.registered_commands:
        name = command.name or command.callback.__name__.replace("_", "-")
        found.append((*path, name))
    for sub in group.registered_groups:
        found += commands(sub.typer_instance, (*path, sub.name))
    return found


def text() -> str:
    """Return the page."""
    runner = CliRunner()
    parts = [
        "# Command line\n\nWritten by `python docs/make_cli.py` from the commands' own help; a test keeps it so.\n"
    ]
    for words in commands():
        shown = runner.invoke(app, [*words, "--help"], prog_name="workbench", terminal_width=100).output
        lines = "\n".join(line.rstrip() for line in shown.strip().splitlines())
        parts.append(f"## {' '.join(('workbench', *words))}\n\n```\n{lines}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
