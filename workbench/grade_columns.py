"""A finished run's grades as columns: small, quick to read again, aligned to any list of pairs.

The store keeps a judgement a row, which takes a fifth of a second to read for 10,000 pairs and six dimensions; a
matrix of twenty runs would take seconds. A finished run never changes, so its grades are put into one file of the
cache folder when they are first asked for. The file may be deleted at any time.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from workbench.golden import NOT_GRADED
from workbench.identity import content_hash
from workbench.store import Store

Grades = npt.NDArray[np.int_]


@dataclass(frozen=True, eq=False)
class GradeColumns:
    """The grades of one run: ``grades[d, i]`` is that of pair ``pairs[i]`` in dimension ``dimensions[d]``."""

    pairs: pd.Index
    dimensions: tuple[str, ...]
    grades: npt.NDArray[np.int16]

    def of(self, dimension: str, pairs: pd.Index) -> Grades:
        """Return the grades in the order of ``pairs``; NOT_GRADED where the run has none."""
        if dimension not in self.dimensions:
            return np.full(len(pairs), NOT_GRADED)
        where = self._where(pairs)
        column = self.grades[self.dimensions.index(dimension)]
        return np.where(where >= 0, column[where], NOT_GRADED).astype(np.int_)

    def _where(self, pairs: pd.Index) -> npt.NDArray[np.intp]:
        if len(self.pairs) == 0:
            return np.full(len(pairs), -1, dtype=np.intp)
        return self.pairs.get_indexer(pairs)


def grade_columns(store: Store, folder: Path, run_id: str, finished: str) -> GradeColumns:
    """Return the grades of a run.

    Args:
        folder: where the columns of finished runs are kept.
        finished: when the run finished; "" for one that has not, which is read anew.
    """
    if not finished:
        return _from_store(store, run_id)
    name = content_hash("grades", [store.name, run_id, finished])
    return _kept(store, folder / "grades" / f"{name}.npz", run_id)


@lru_cache(maxsize=64)
def _kept(store: Store, path: Path, run_id: str) -> GradeColumns:
    with (
        suppress(OSError, ValueError, KeyError, zipfile.BadZipFile),
        np.load(path, allow_pickle=False) as file,
    ):
        pairs = pd.Index(np.char.decode(file["pairs"], "utf-8").astype(object))
        return GradeColumns(pairs, tuple(map(str, file["dimensions"])), file["grades"])
    found = _from_store(store, run_id)
    with suppress(OSError):  # a full or read-only cache folder costs time, nothing else
        _write(path, found)
    return found


def _from_store(store: Store, run_id: str) -> GradeColumns:
    frame = store.grades(run_id)
    rows, pairs = pd.factorize(frame["pair_id"])
    columns, dimensions = pd.factorize(frame["dimension"], sort=True)
    grades = np.full((len(dimensions), len(pairs)), NOT_GRADED, dtype=np.int16)
    grades[columns, rows] = frame["grade"].to_numpy()
    return GradeColumns(pd.Index(pairs, dtype=object), tuple(map(str, dimensions)), grades)


def _write(path: Path, found: GradeColumns) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(
                file,
                pairs=np.array([str(pair).encode() for pair in found.pairs], dtype=np.bytes_),
                dimensions=np.array(found.dimensions, dtype=np.str_),
                grades=found.grades,
            )
        Path(scratch).replace(path)
    finally:
        Path(scratch).unlink(missing_ok=True)
