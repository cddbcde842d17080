"""The workspace of a command, and how versions and splits are written on a command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from workbench.errors import BadInput

if TYPE_CHECKING:
    from workbench.documents import SyncReport
    from workbench.evaluation import SplitChoice
    from workbench.run import Run
    from workbench.workspace import Workspace


def opened() -> Workspace:
    """Return the workspace of the environment."""
    from workbench.workspace import open_workspace

    return open_workspace()


def synced() -> tuple[Workspace, SyncReport]:
    """Return the workspace with new files read in, and what was found."""
    from workbench.documents import sync

    workspace = opened()
    return workspace, sync(workspace.root, workspace.store)


def ready() -> Workspace:
    """Return the workspace, synced; problems of files are told and do not stop a command that may not need them."""
    workspace, report = synced()
    for problem in report.problems:
        print(f"problem: {problem}", file=sys.stderr)
    return workspace


def say_sync(report: SyncReport, *, all_lines: bool = False, to: TextIO | None = None) -> None:
    """Print what a sync found; problems go to stderr."""
    for line in report.added:
        print(f"read {line}", file=to)
    for problem in report.problems:
        print(f"problem: {problem}", file=sys.stderr)
    if all_lines:
        print(f"{len(report.added)} new, {report.unchanged} known, {len(report.problems)} problems")


def version_number(text: str) -> int:
    """Return the version that ``3`` or ``v3`` says.

    Raises:
        BadInput: for anything else.
    """
    digits = text.removeprefix("v")
    if not (digits.isascii() and digits.isdigit()):
        raise BadInput(f"'{text}' is no version.", "Write policy@3.")
    return int(digits)


def name_and_version(text: str) -> tuple[str, int | None]:
    """Return the two halves of ``policy@3``; the version is None where there is none, for the newest."""
    name, _, version = text.partition("@")
    return name, version_number(version) if version else None


def chosen_split(workspace: Workspace, split: str, runs: Sequence[Run]) -> SplitChoice:
    """Return a split by its name; a look at the holdout is written in the ledger and told.

    Raises:
        BadInput: for a name that is none.
    """
    from workbench.evaluation import record_look

    splits: dict[str, SplitChoice] = {"dev": "dev", "holdout": "holdout", "all": "all"}
    if split not in splits:
        raise BadInput(f"There is no split '{split}'.", "It is dev, holdout or all.")
    if split != "dev":
        looks = record_look(workspace, runs, workspace.settings.user, "command line")
        print(f"Looks at the holdout of {runs[0].golden} so far, this one included: {looks}", file=sys.stderr)
    return splits[split]
