"""The process that does a pipeline's run to its end: ``python -m workbench.pipeline_driver RUN``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from workbench.errors import WorkbenchError
from workbench.pipeline_advance import drive
from workbench.pipeline_records import read_run, take_driver_lock
from workbench.workspace import open_workspace


def main(argv: Sequence[str] | None = None) -> int:
    """Drive the run that is named; 1 when it cannot be driven from here."""
    parser = argparse.ArgumentParser(prog="python -m workbench.pipeline_driver", description=__doc__)
    parser.add_argument("run", help="id of a run")
    parser.add_argument(
        "--lock", type=int, help="open file of the driver's lock, held by who starts this process"
    )
    given = parser.parse_args(argv)
    try:
        workspace = open_workspace()
        read_run(workspace, given.run)
        if given.lock is None and not take_driver_lock(workspace, given.run):
            print(f"{given.run} has a driver already.", file=sys.stderr)
            return 1
        drive(workspace, given.run)
    except WorkbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
