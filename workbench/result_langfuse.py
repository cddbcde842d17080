"""Scores of Langfuse to rows: a page of its API, its export to blob storage, or the table of scores as CSV.

After its documented data model: ``name`` is the dimension, ``value`` or ``stringValue`` the score, ``comment`` the
rationale. The pair is ``metadata.pair_id``, else a name or id of the trace that is a pair's. Names are written
``traceId`` by the API and ``trace_id`` by exports. Scores that people gave (source ANNOTATION) are labels, no
judgements, and are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.column_mapping import normal
from workbench.errors import BadInput
from workbench.judgement_rows import NO_PAIR, JudgementRows, child, score_text, text_of

_PAIR_ID = re.compile(r"pair-[0-9a-f]{32}")
_NAMES = {
    normal(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)): name
    for name in (
        "traceId", "traceName", "sessionId", "observationId", "datasetRunId", "dataType", "stringValue",
        "configId", "updatedAt", "createdAt",
    )
}  # fmt: skip
"""The API's names by the form that exports give them."""


def is_score(row: Any) -> bool:
    """Whether an object, or the header of a table, is a score."""
    if not isinstance(row, Mapping):
        return False
    names = {_name(str(name)) for name in row}
    return {"name", "traceId"} <= names and bool(names & {"value", "stringValue"})


def read_langfuse(scores: Sequence[tuple[str, Any]], name: str) -> JudgementRows:
    """Return the rows of scores, oldest first, so that the newest answer about a pair counts.

    Args:
        scores: place in the file, and score.

    Raises:
        BadInput: for a score that is no object or has no name.
    """
    found = JudgementRows()
    told: list[tuple[str, str, dict[str, Any]]] = []
    for place, raw in scores:
        if not isinstance(raw, Mapping):
            raise BadInput(f"{name}, {place}: not an object.", "Export the scores again.")
        score = {_name(str(key)): value for key, value in raw.items()}
        told.append((text_of(score, "timestamp", "updatedAt", "createdAt"), place, score))
    # The API gives the newest first; times are ISO 8601 in one zone, so that their texts sort as they do.
    for _, place, score in sorted(told, key=lambda entry: entry[0]):
        dimension, metadata = text_of(score, "name"), _metadata(score)
        if not dimension:
            raise BadInput(f"{name}, {place}: the score has no name.", "Export the scores again.")
        if text_of(score, "source").upper() == "ANNOTATION":
            found.left_out["scores that people gave (source ANNOTATION)"] += 1
            continue
        pair_id = text_of(metadata, "pair_id") or _traced(score)
        if not pair_id:
            found.left_out[f"scores {NO_PAIR}"] += 1
            continue
        found.add(
            pair_id, dimension, _value(score), place, rationale=score.get("comment"),
            judge=text_of(metadata, "judge", "model"), version=text_of(metadata, "version", "prompt_version"),
        )  # fmt: skip
    return found


def _name(name: str) -> str:
    form = normal(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name))
    return _NAMES.get(form, form)


def _metadata(score: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata, which tables hold as JSON text."""
    data = score.get("metadata")
    if isinstance(data, str):
        try:
            data = json.loads(data)
        except (ValueError, RecursionError):
            return {}
    return dict(data) if isinstance(data, Mapping) else {}


def _traced(score: Mapping[str, Any]) -> str:
    """Return the first id of the trace that is a pair's, else the trace's id, which the golden set may not know."""
    trace = child(score, "trace")
    named = [text_of(score, key) for key in ("traceName", "traceId", "sessionId")]
    named[1:1] = [text_of(child(trace, "metadata"), "pair_id"), text_of(trace, "name")]
    return next((text for text in named if _PAIR_ID.fullmatch(text)), text_of(score, "traceId"))


def _value(score: Mapping[str, Any]) -> str:
    """Return the number of a score; of a category its text, unless a score config gives it a number."""
    value, text = score_text(score.get("value")), text_of(score, "stringValue")
    if text_of(score, "dataType").upper() == "CATEGORICAL" and not text_of(score, "configId"):
        return text or value
    return value or text
