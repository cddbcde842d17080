"""Logs of inspect-ai to rows: ``samples[].scores`` of a ``.json`` log, or of the samples in an ``.eval`` archive.

A scorer's value is a number (the scorer's name is the dimension) or an object, dimension -> value. The pair is
``sample.metadata.pair_id``, else the sample's id. Each epoch is a repeat of the judge and becomes a version of its
own, so that nothing is averaged away.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from workbench.errors import BadInput
from workbench.judgement_rows import NO_GRADES, JudgementRows, child, text_of, words
from workbench.zip_entries import ZipEntries

_HEADERS = ("header.json", "_journal/start.json")  # the second one is all that an unfinished log has
_HINT = "Export the log again with `inspect log convert`."


def is_inspect_log(data: Any) -> bool:
    """Whether a JSON document is a log."""
    return isinstance(data, Mapping) and isinstance(data.get("eval"), Mapping) and "version" in data


def is_inspect_archive(entries: ZipEntries) -> bool:
    """Whether a zip archive is a log."""
    return any(name in entries.names for name in _HEADERS)


def read_inspect_log(data: Mapping[str, Any], name: str) -> tuple[JudgementRows, tuple[str, ...]]:
    """Return the rows of a JSON log, and notes on how the evaluation ended.

    Raises:
        BadInput: if it has no samples.
    """
    samples = data.get("samples")
    if not isinstance(samples, list):
        raise BadInput(
            f"{name} is an inspect-ai log without samples.", "Evaluate with log_samples, or export it whole."
        )
    numbered = ((f"sample {number}", sample) for number, sample in enumerate(samples, 1))
    return _rows(lambda: numbered, data, name)


def read_inspect_archive(entries: ZipEntries, name: str) -> tuple[JudgementRows, tuple[str, ...]]:
    """Return the rows of an ``.eval`` archive, read sample by sample, and notes on how the evaluation ended.

    Raises:
        BadInput: if it has no samples, or one of its parts cannot be read.
    """
    parts = sorted(part for part in entries.names if part.startswith("samples/") and part.endswith(".json"))
    if not parts:
        raise BadInput(f"{name} is an inspect-ai log without samples.", "Evaluate with log_samples.")
    header = _part(entries, next(part for part in _HEADERS if part in entries.names), name)
    return _rows(lambda: ((part, _part(entries, part, name)) for part in parts), header, name)


def _part(entries: ZipEntries, part: str, name: str) -> Any:
    try:
        return json.loads(entries.read(part))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{name}, part {part}: not a whole JSON file.", _HINT) from error


def _rows(
    samples: Callable[[], Iterable[tuple[str, Any]]], header: Any, name: str
) -> tuple[JudgementRows, tuple[str, ...]]:
    evaluation = child(header, "eval")
    judge = text_of(evaluation, "model")
    epochs = child(evaluation, "config").get("epochs")
    several = isinstance(epochs, int) and epochs > 1
    found = JudgementRows()
    for place, sample in samples():
        if not isinstance(sample, Mapping):
            raise BadInput(f"{name}, {place}: not an object.", _HINT)
        pair_id = text_of(child(sample, "metadata"), "pair_id") or words(sample.get("id"))
        if not pair_id:
            raise BadInput(f"{name}, {place}: has no id.", "Put pair_id into the metadata of each sample.")
        version = f"epoch {words(sample.get('epoch'))}" if several else ""
        graded = False
        for dimension, score, rationale in _scores(sample):
            graded = True
            found.add(
                pair_id, dimension, score, place, rationale=rationale, judge=judge, version=version
            )  # fmt: skip
        if not graded:
            found.left_out["samples that failed" if sample.get("error") else f"samples {NO_GRADES}"] += 1
    status = text_of(header, "status")
    ended = f"The evaluation has the status '{status or 'started'}': samples may be missing."
    return found, () if status == "success" else (ended,)


def _scores(sample: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """Yield (dimension, score, rationale) of a sample."""
    for scorer, score in child(sample, "scores").items():
        if not isinstance(score, Mapping):
            continue
        value, reasons = score.get("value"), child(score, "metadata")
        answers = value if isinstance(value, Mapping) else {scorer: value}
        for dimension, grade in answers.items():
            # One explanation stands for all dimensions; a scorer may give each its own in the metadata.
            yield dimension, grade, text_of(reasons, dimension) or text_of(score, "explanation")
