"""The verdict lines about one pair in a job's ``judgements.jsonl``, found without reading the others as JSON."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from workbench.errors import BadInput
from workbench.run import Verdict


def pair_verdicts(path: Path, pair_id: str) -> list[Verdict]:
    """Return the verdicts about a pair, oldest first; [] where the file has none, or there is no file.

    Raises:
        BadInput: if one of its lines is no verdict.
    """
    found = []
    with _bytes(path) as data:
        # In a line of ours the id stands once in this form: within a reply the quotes would be escaped.
        for match in re.finditer(rb'"pair_id"\s*:\s*"' + re.escape(pair_id.encode()) + rb'"', data):
            end = data.find(b"\n", match.end())
            if end < 0:
                break  # a last line that is cut short is not there yet
            line = data[data.rfind(b"\n", 0, match.start()) + 1 : end]
            try:
                found.append(Verdict.model_validate_json(line))
            except ValidationError as error:
                raise BadInput(
                    f"{path}: a line about {pair_id} is no verdict ({error.error_count()} things are wrong).",
                    "Remove the line, or run the judge again.",
                ) from error
    return found


def pair_ids(path: Path, start: str, most: int = 2000) -> list[str]:
    """Return ids of pairs that have a verdict line and begin with ``start``, each once, at most ``most``."""
    found: dict[str, None] = {}
    with _bytes(path) as data:
        for match in re.finditer(rb'"pair_id"\s*:\s*"(' + re.escape(start.encode()) + rb'[^"\\\n]*)"', data):
            found[match[1].decode("utf-8", "replace")] = None
            if len(found) == most:
                break
    return list(found)


@contextmanager
def _bytes(path: Path) -> Iterator[mmap.mmap | bytes]:
    """Give the file's bytes; none where it is empty or not there."""
    try:
        file = path.open("rb")
    except OSError:
        yield b""
        return
    with file:
        if not path.stat().st_size:
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data
