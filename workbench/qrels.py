"""TREC qrels with their queries and documents, as BEIR lays them out: read as one table, and written.

Of the files of a collection these are read, each also with ``.gz``:

* **queries** (``queries``, ``query`` or ``topics``) and **documents** (``corpus``, ``documents``, ``docs`` or
  ``collection``), as JSONL (BEIR: ``{"_id": "q1", "text": "...", "title": "...", "metadata": {...}}``), CSV or TSV
  with a column of ids (``_id``, ``id``, ``query_id``, ``docid`` …), or TSV of id and text without a header;
* **judgements**: every other file called ``*.qrels``, ``*.tsv`` or ``*.txt``. A line is ``qid 0 docid grade``
  (TREC; any white space) or ``qid <tab> docid <tab> grade`` (BEIR; below a header ``query-id corpus-id score``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.errors import BadInput
from workbench.golden import NOT_GRADED, GoldenSet, Pair
from workbench.identity import content_hash, keepable
from workbench.table_files import read_content, read_table

QUERIES = ("queries", "query", "topics")
DOCUMENTS = ("corpus", "documents", "docs", "collection")
IDS = (
    "_id",
    "id",
    "query_id",
    "queryid",
    "qid",
    "query-id",
    "doc_id",
    "docid",
    "document_id",
    "corpus-id",
    "docno",
)
JUDGED = (".qrels", ".tsv", ".txt")
Sources = Mapping[str, Path | bytes]


def find_collection(names: Sequence[str]) -> tuple[str, str, list[str]] | None:
    """Return the files of queries, documents and judgements among ``names``; None if one of them is missing."""
    found: dict[str, str] = {}
    judged = []
    for name in sorted(names):
        stem, _, suffix = Path(name).name.lower().removesuffix(".gz").rpartition(".")
        side = "query" if stem in QUERIES else "document" if stem in DOCUMENTS else ""
        if side:
            found.setdefault(side, name)
        elif f".{suffix}" in JUDGED and stem not in ("readme", "license"):
            judged.append(name)
    return (found["query"], found["document"], judged) if len(found) == 2 and judged else None


def files_below(folder: Path) -> dict[str, Path]:
    """Return the files of a collection's folder and of its folder ``qrels`` by their path within it."""
    paths = [*folder.glob("*"), *folder.glob("qrels/*")]
    return {path.relative_to(folder).as_posix(): path for path in paths if path.is_file()}


def read_collection(files: Sources, found: tuple[str, str, list[str]]) -> tuple[str, pd.DataFrame]:
    """Return the name and the table of a collection: one row a judgement.

    Columns: ``query_id``, ``query_<column>`` of the queries, ``document_id``, ``document_<column>``, ``grade``, and
    ``split`` (the name of the file) where there are several files of judgements. Rows are lines of the judgements,
    counted on from file to file where there are several. A query or document that is not there has no text.

    Raises:
        BadInput: for a line that is no judgement and for whatever is wrong with a file.
    """
    queries, documents, judged = found
    sides = {"query": _texts(files[queries], queries), "document": _texts(files[documents], documents)}
    columns: dict[str, list[str]] = {name: [] for name in ("query_id", "document_id", "grade", "split")}
    numbers: list[int] = []
    before = 0
    for name in judged:
        lines = read_content(files[name], name).split("\n")
        for number, (query, document, grade) in _judgements(lines, name):
            numbers.append(before + number)
            split = Path(name).name.removesuffix(".gz").rpartition(".")[0]
            for column, value in zip(columns.values(), (query, document, grade, split), strict=True):
                column.append(value)
        before += len(lines)
    if not numbers:
        raise BadInput(f"{', '.join(judged)}: no judgement.", "A line is 'query-id 0 document-id grade'.")
    if len(judged) == 1:
        del columns["split"]
    for side, texts in sides.items():
        ids = columns[f"{side}_id"]
        for field in dict.fromkeys(name for row in texts.values() for name in row):
            columns[f"{side}_{field}"] = [texts.get(key, {}).get(field, "") for key in ids]
    name = judged[0] if len(judged) == 1 else f"{len(judged)} files of qrels"
    return name, pd.DataFrame(columns, index=pd.Index(numbers, name="row"), dtype="str")


def _texts(source: Path | bytes, name: str) -> dict[str, dict[str, str]]:
    """Return id -> column -> text."""
    table = read_table(source, name)
    header = list(table.columns)
    key = next((column for column in header if column.lower() in IDS), None)
    rows = [dict(zip(header, row, strict=True)) for row in table.itertuples(index=False)]
    if key is None:
        if ".tsv" not in name.lower() or len(header) != 2:
            raise BadInput(f"{name} has no column of ids.", f"Call it {', '.join(IDS[:5])} or the like.")
        # id and text without a header, as MS MARCO has them: what was read as the header is the first row.
        rows = [dict(zip(("_id", "text"), row, strict=True)) for row in (header, *table.to_numpy().tolist())]
        key = "_id"
    found: dict[str, dict[str, str]] = {}
    for number, row in zip([*([1] if len(rows) > len(table) else []), *table.index], rows, strict=True):
        identity = row.pop(key).strip()
        if identity in found:
            raise BadInput(f"{name}, row {number}: '{identity}' is there again.", "An id has one row.")
        found[identity] = _with_metadata(row)
    return found


def _with_metadata(row: dict[str, str]) -> dict[str, str]:
    """Return a row whose ``metadata`` object, where it is one, is a column a key."""
    try:
        extra = json.loads(row.get("metadata", ""))
    except ValueError:
        return row
    if not isinstance(extra, dict):
        return row
    del row["metadata"]
    return row | {f"metadata_{key}": text for key, text in extra.items() if isinstance(text, str)}


def _judgements(lines: Sequence[str], name: str) -> Iterator[tuple[int, tuple[str, str, str]]]:
    for number, line in enumerate(lines, 1):
        tabbed = [part.strip() for part in line.split("\t")]
        parts = tabbed if len(tabbed) == 3 else line.split()
        if not parts or (
            number == 1 and parts[-1].lower() in ("score", "grade", "label", "relevance", "rel")
        ):
            continue
        if len(parts) not in (3, 4):
            raise BadInput(
                f"{name}, line {number}: not a judgement ('{line.strip()[:60]}').",
                "A line is 'query-id 0 document-id grade', or query-id, document-id and grade with tabs between.",
            )
        yield number, (parts[0], parts[-2], parts[-1])


# Writing


def queries(golden: GoldenSet) -> Iterator[dict[str, Any]]:
    """Yield one line of queries.jsonl a query."""
    first = {pair.query_id: pair.query for pair in golden.pairs}
    return (_line(key, fields) for key, fields in first.items())


def documents(golden: GoldenSet) -> Iterator[dict[str, Any]]:
    """Yield one line of corpus.jsonl a document, equal documents once."""
    first = {document_id(pair): pair.document for pair in golden.pairs}
    return ({"title": "", **_line(key, fields)} for key, fields in first.items())


def document_id(pair: Pair) -> str:
    """Return the content hash of a pair's document."""
    return content_hash("document", pair.document)


def _line(key: str, fields: Mapping[str, str]) -> dict[str, Any]:
    # Retrieval tools read text; the fields by name are for reading the collection back.
    texts = {name: keepable(text) for name, text in fields.items()}
    return {"_id": key, "text": "\n\n".join(text for text in texts.values() if text), "metadata": texts}


def judgement_lines(golden: GoldenSet, grades: Mapping[str, int], split: str, *, beir: bool) -> Iterator[str]:
    """Yield the lines of one split's judgements; ``grades`` are settled grades by pair id, only levels are written."""
    if beir:
        yield "query-id\tcorpus-id\tscore\n"
    for pair in golden.pairs:
        grade = grades.get(pair.id, NOT_GRADED)
        if golden.splits[pair.id] == split and grade >= 0:
            between = "\t" if beir else " 0 "
            after = "\t" if beir else " "
            yield f"{pair.query_id}{between}{document_id(pair)}{after}{grade}\n"
