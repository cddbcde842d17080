"""The worker where no file system is shared: ``python -m workbench.executors.remote URL`` does the job kept at a URL.

The folder is fetched, the worker runs on the copy, and what it writes is sent back every few seconds; large files and
the result at its end. Copies and inputs lie under ``WORKBENCH_SCRATCH`` (default: the system's folder for temporary
files), as does a cache that the jobs of one machine share.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.errors import Unavailable, WorkbenchError
from workbench.executors.mirror import CONTROLS, INPUTS, MOVES, Mirror, fetch_input
from workbench.files import read_text, write_text

_EVERY_S = 3.0
_POLL_S = 0.2
_LAST_TRIES = 5
_OWN = (*CONTROLS, "spec.json", MOVES)
"""Files that are the app's: they are fetched and never sent."""


def main(arguments: list[str]) -> int:
    """Do the job at a URL; return the worker's exit status, or 3 when the URL cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m workbench.executors.remote", description=__doc__)
    parser.add_argument("url", help="where the job's folder is kept")
    parser.add_argument("--turn", default="", help="the submission that this is; another one's turn ends it")
    given = parser.parse_args(arguments)
    try:
        return _work(given.url.rstrip("/"), given.turn)
    except WorkbenchError as error:
        print(error, file=sys.stderr)
        return 3


def _work(url: str, turn: str) -> int:
    base, _, job = url.rpartition("/")
    scratch = Path(os.environ.get("WORKBENCH_SCRATCH", "") or Path(tempfile.gettempdir()) / "workbench")
    folder = scratch / "jobs" / job
    shutil.rmtree(
        folder, ignore_errors=True
    )  # what an earlier start left here may be older than what is kept
    mirror = Mirror(folder, url)
    mirror.pull()
    mirror.pull_controls()
    if not (folder / "spec.json").exists():
        raise Unavailable(f"There is no job at {url}.", "Submit it again.")
    if turn and read_text(folder / "ray").strip() != turn:
        print(f"{job} was stopped, or started anew, before this start had its turn.")
        return 0
    moves = _settle(base, scratch, folder)
    with (folder / "log.txt").open("ab") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "workbench.worker", str(folder)], stdout=log, stderr=subprocess.STDOUT
        )
    # A signal to end is for the worker; this process outlives it, to send what it left.
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda number, _: worker.send_signal(number))
    looked = time.monotonic()
    while worker.poll() is None:
        if time.monotonic() - looked < _EVERY_S:
            time.sleep(_POLL_S)
            continue
        looked = time.monotonic()
        try:
            mirror.pull_controls()
            mirror.push(skip=(*_OWN, "result.json"), small_only=True)
        except Unavailable as error:  # the job goes on; the next look may succeed
            print(error, file=sys.stderr, flush=True)
    _rewrite(folder / "result.json", {there: here for here, there in moves.items()})
    for number in range(_LAST_TRIES):
        try:
            mirror.push(skip=_OWN)
            break
        except Unavailable as error:
            if number == _LAST_TRIES - 1:
                raise
            print(error, file=sys.stderr, flush=True)
            time.sleep(2.0**number)
    return worker.returncode


def _settle(base: str, scratch: Path, folder: Path) -> dict[str, str]:
    """Fetch the inputs and let the spec name the paths here; return path of the app -> path here."""
    noted = json.loads(read_text(folder / MOVES))
    moves = {noted["folder"]: str(folder)}
    for path, key in noted["inputs"].items():
        fetch_input(base, key.partition("/")[0], scratch / INPUTS / key.partition("/")[0])
        moves[path] = str(scratch / INPUTS / key)
    if noted["cache"]:
        moves[noted["cache"]] = str(scratch / "cache")
    _rewrite(folder / "spec.json", moves)
    return moves


def _rewrite(path: Path, moves: Mapping[str, str]) -> None:
    """Replace paths in a JSON file, where there is one."""
    if path.exists():
        write_text(path, json.dumps(_moved(json.loads(read_text(path)), moves), indent=1))


def _moved(value: Any, moves: Mapping[str, str]) -> Any:
    """Return the value with every text that is one of the paths, or a path below one, moved."""
    if isinstance(value, Mapping):
        return {key: _moved(inner, moves) for key, inner in value.items()}
    if isinstance(value, list):
        return [_moved(inner, moves) for inner in value]
    if isinstance(value, str):
        for old in sorted(moves, key=len, reverse=True):  # an input may lie below another
            if value == old or value.startswith(f"{old}/"):
                return moves[old] + value[len(old) :]
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
