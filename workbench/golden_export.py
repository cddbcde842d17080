"""A golden set as files for other tools, written whole or not at all.

Every format is read back by the import of golden sets; what one cannot hold is said by its ``leaves_out``. Lines are
written as they are made, so that a set of 100,000 pairs needs no second copy of itself in memory.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from workbench import argilla_records, label_studio, qrels
from workbench.datasets_folder import write_datasets_folder
from workbench.errors import BadInput, NotFound, Refused
from workbench.golden import NOT_GRADED, ConsensusRule, GoldenSet, settle
from workbench.golden_tables import (
    write_label_csv,
    write_label_jsonl,
    write_label_parquet,
    write_lines,
    write_settled_csv,
)


@dataclass(frozen=True)
class Format:
    """One way to write a golden set.

    Attributes:
        suffix: of the file; "" for a folder of several.
        leaves_out: one sentence on what it cannot hold; "" for nothing.
        needs_dimension: whether it holds the settled grades of one dimension only.
    """

    key: str
    title: str
    suffix: str
    leaves_out: str = ""
    needs_dimension: bool = False


_SETTLED = "It holds one settled grade a pair: no labelers, times, notes or N/A"
FORMATS = {
    entry.key: entry
    for entry in (
        Format("csv", "CSV, one row a label", ".csv"),
        Format(
            "csv-settled",
            "CSV, one row a pair",
            ".csv",
            "It holds one settled grade a dimension: no labelers, times or notes.",
        ),
        Format("jsonl", "JSONL, one line a label", ".jsonl"),
        Format("parquet", "Parquet, one row a label", ".parquet"),
        Format(
            "label-studio",
            "Label Studio JSON",
            ".json",
            "Label Studio knows ground truth and no other source: imported labels come back as a person's.",
        ),
        Format(
            "argilla",
            "Argilla records",
            ".json",
            "Argilla holds one answer a labeler and question, and one note a labeler and pair: earlier answers, "
            "times and sources are left out.",
        ),
        Format("qrels", "TREC qrels, queries and documents", "", f"{_SETTLED}, no facts about pairs.", True),
        Format("beir", "BEIR: qrels with tabs, queries and documents", "", f"{_SETTLED}, no facts about pairs.", True),
        Format("datasets", "Hugging Face datasets folder", ""),
    )
}  # fmt: skip


def write_export(
    golden: GoldenSet, target: Path, key: str, *, dimension: str = "", rule: ConsensusRule = "majority"
) -> Path:
    """Write a golden set to ``target`` and return it: a file, or a folder (a ``.zip`` of it, if it is called so).

    A file is replaced; a folder that has files in it is left alone. Withdrawn labels, and those that they withdrew,
    are left out.

    Args:
        key: of ``FORMATS``.
        dimension: for formats of one dimension.
        rule: how settled grades are settled.

    Raises:
        NotFound: for a format or dimension that is not there.
        BadInput: without a dimension where one is needed, or if the set has no pairs.
        Refused: if the folder is there and not empty.
    """
    if key not in FORMATS:
        raise NotFound.among("format", key, FORMATS)
    chosen = FORMATS[key]
    known = sorted(golden.labels["dimension"].unique())
    if chosen.needs_dimension and not dimension:
        raise BadInput(f"{chosen.title} holds one dimension.", f"Choose one: {', '.join(known)}.")
    if chosen.needs_dimension and dimension not in known:
        raise NotFound.among("labelled dimension", dimension, known)
    if not golden.pairs:
        raise BadInput(f"{golden.name} has no pairs.", "Import some first.")
    golden = replace(golden, labels=_standing(golden))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if chosen.suffix:
            _write_file(target, lambda path: _FILES[key](golden, path, rule))
            return target
        if target.suffix != ".zip" and target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise Refused(f"{target} is there already.", "Name a new folder.")
        scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
        try:
            _FOLDERS[key](golden, scratch, dimension, rule)
            if target.suffix == ".zip":
                _write_file(target, lambda path: _zip(scratch, path))
            else:
                scratch.chmod(0o755)
                os.replace(scratch, target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise BadInput(f"{target} cannot be written ({error.strerror}).", "Name another place.") from error
    return target


def file_name(name: str, version: int | None, key: str) -> str:
    """Return what the file of an export is called; a folder of several is a zip archive."""
    return f"{name}{f'-v{version}' if version else ''}-{key}{FORMATS[key].suffix or '.zip'}"


def _standing(golden: GoldenSet) -> Any:
    labels = golden.labels
    if not (labels["grade"] == NOT_GRADED).any():
        return labels
    backwards = labels.sort_values("at", kind="stable").iloc[::-1]
    keys = [backwards[name] for name in ("pair_id", "dimension", "labeler")]
    gone = (backwards["grade"] == NOT_GRADED).groupby(keys).cummax()
    return labels[~gone.reindex(labels.index)]


def _write_file(target: Path, write: Callable[[Path], None]) -> None:
    """Write beside the target, then rename: a reader sees the old file or the whole new one."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    try:
        write(Path(name))
        os.chmod(name, 0o644)
        os.replace(name, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise


def _zip(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())


def _json_list(objects: Callable[[GoldenSet], Iterator[dict[str, Any]]]) -> Callable[..., None]:
    def write(golden: GoldenSet, path: Path, rule: ConsensusRule) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            before = "[\n"
            for found in objects(golden):
                file.write(before + json.dumps(found, ensure_ascii=False))
                before = ",\n"
            file.write("\n]\n")

    return write


def _collection(beir: bool) -> Callable[..., None]:
    def write(golden: GoldenSet, folder: Path, dimension: str, rule: ConsensusRule) -> None:
        ids = [pair.id for pair in golden.pairs]
        settled = settle(golden.labels, dimension, ids, rule)
        if not np.any(settled >= 0):
            raise BadInput(f"No pair is settled on a level of {dimension}.", "Choose another dimension.")
        grades = dict(zip(ids, settled.tolist(), strict=True))
        write_lines(folder / "queries.jsonl", qrels.queries(golden))
        write_lines(folder / "corpus.jsonl", qrels.documents(golden))
        (folder / "qrels").mkdir()
        judged = {golden.splits[pair_id] for pair_id, grade in grades.items() if grade >= 0}
        for split in sorted(judged):
            path = folder / "qrels" / f"{split}.{'tsv' if beir else 'qrels'}"
            with path.open("w", encoding="utf-8", newline="") as file:
                file.writelines(qrels.judgement_lines(golden, grades, split, beir=beir))

    return write


_FILES: dict[str, Callable[[GoldenSet, Path, ConsensusRule], None]] = {
    "csv": lambda golden, path, rule: write_label_csv(golden, path),
    "csv-settled": write_settled_csv,
    "jsonl": lambda golden, path, rule: write_label_jsonl(golden, path),
    "parquet": lambda golden, path, rule: write_label_parquet(golden, path),
    "label-studio": _json_list(label_studio.tasks),
    "argilla": _json_list(argilla_records.records),
}
_FOLDERS: dict[str, Callable[[GoldenSet, Path, str, ConsensusRule], None]] = {
    "qrels": _collection(beir=False),
    "beir": _collection(beir=True),
    "datasets": lambda golden, folder, dimension, rule: write_datasets_folder(golden, folder, rule),
}
