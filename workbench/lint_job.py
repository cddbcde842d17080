"""The part of lint that needs a model: how alike the criteria of a dimension's levels are in meaning.

Results are kept by the texts that they are about, so that they fit any draft with these texts and no other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import BadInput
from workbench.files import read_text, write_text
from workbench.identity import Value, content_hash
from workbench.jobfolder import FolderReporter, JobFolder
from workbench.judges.encoder import TextEncoder
from workbench.run import JobSpec

SIMILARITIES = "similarities.json"
"""What the job leaves among its artifacts: key of the texts -> their cosine similarities, row by row."""


class LintSpec(Value):
    """What is compared, as the payload of its job."""

    criteria: tuple[tuple[str, ...], ...]  # for each dimension, the criteria of its levels, ascending
    cache: str  # folder that keeps vectors between jobs


def criteria_key(criteria: Sequence[str]) -> str:
    """Return the key of a dimension's criteria: it changes with any of them."""
    return content_hash("criteria", list(criteria))


def run(spec: JobSpec, folder: JobFolder, reporter: FolderReporter) -> dict[str, Any]:
    """Compare the levels of each dimension and keep the similarities; a level without criteria is like none.

    Raises:
        Unavailable: if the weights of the packaged encoder are not installed.
    """
    given = LintSpec.model_validate(spec.payload)
    encoder = TextEncoder(cache=Path(given.cache))
    found: dict[str, list[list[float]]] = {}
    for done, criteria in enumerate(given.criteria):
        if reporter.stopping():
            break
        reporter.progress(done, len(given.criteria), "comparing levels")
        vectors = encoder.encode(criteria).astype(np.float64)
        found[criteria_key(criteria)] = np.round(vectors @ vectors.T, 4).tolist()
    reporter.progress(len(found), len(given.criteria))
    write_text(folder.artifacts / SIMILARITIES, json.dumps(found))
    return {"dimensions": len(found), "encoder": encoder.name}


def read_similarities(path: Path) -> dict[str, list[list[float]]]:
    """Return the similarities in a file that :func:`run` left.

    Raises:
        NotFound: if there is no such file.
        BadInput: if the file is not what the job writes.
    """
    text = read_text(path)
    try:
        found = {
            str(key): [[float(value) for value in row] for row in rows]
            for key, rows in json.loads(text).items()
        }
        if any(len(row) != len(rows) for rows in found.values() for row in rows):
            raise ValueError("a row is too short or too long")
    except (ValueError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{path} does not hold similarities of levels.", "Compare the levels again."
        ) from error
    return found
