"""Results of promptfoo to rows: what ``promptfoo eval -o out.json`` or ``-o out.jsonl`` writes.

After its documented format: ``results.results[]`` (in JSONL one result a line) with ``provider``, ``prompt``,
``vars``, ``response.output``, ``namedScores``, ``gradingResult.componentResults`` and ``testCase.metadata``. Grades
are the named scores that are called as a dimension; where there is none, the JSON object in the output:
dimension -> grade, or dimension -> {grade, reason}.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from workbench.column_mapping import normal
from workbench.errors import BadInput
from workbench.judgement_rows import NO_GRADES, NO_PAIR, JudgementRows, child, text_of, words

GRADE_FIELDS = ("grade", "score", "value", "rating")
REASON_FIELDS = ("reason", "rationale", "explanation", "reasoning")
_MARKS = {"namedScores", "gradingResult", "testCase", "promptIdx", "promptId"}
_FENCE = re.compile(r"```\w*\s*\n(.*?)\n?```", re.DOTALL)
LONGEST_LABEL = 60
"""A prompt without a label has its whole text as one; longer ones are known by their number."""


def results_of(data: Any) -> list[Any] | None:
    """Return the results in a JSON document, None if it is none of promptfoo's."""
    results = data.get("results") if isinstance(data, Mapping) else None
    inner = results.get("results") if isinstance(results, Mapping) else results
    return inner if isinstance(inner, list) and (not inner or is_result(inner[0])) else None


def is_result(row: Any) -> bool:
    """Whether an object is one result."""
    return isinstance(row, Mapping) and {"provider", "vars"} <= row.keys() and bool(_MARKS & row.keys())


def read_promptfoo(
    results: Sequence[tuple[str, Any]], name: str, dimensions: Mapping[str, str]
) -> JudgementRows:
    """Return the rows of results.

    Args:
        results: place in the file, and result.
        dimensions: as :func:`workbench.judgement_rows.dimension_names`.

    Raises:
        BadInput: for a result that is no object.
    """
    found = JudgementRows()
    prompts = _versions(_prompt(result) for _, result in results)
    for place, result in results:
        if not isinstance(result, Mapping):
            raise BadInput(f"{name}, {place}: not an object.", "Write the results again with `-o`.")
        pair_id = _pair_id(result)
        grades = list(_named(result, dimensions)) or list(_answered(result, dimensions))
        if not pair_id or not grades:
            kind = NO_PAIR if not pair_id else "that failed" if result.get("error") else NO_GRADES
            found.left_out[f"results {kind}"] += 1
            continue
        provider = result.get("provider")
        judge = text_of(provider, "label", "id") or words(provider)
        version = prompts[_prompt(result)] if len(prompts) > 1 else ""
        for dimension, grade, reason in grades:
            found.add(pair_id, dimension, grade, place, rationale=reason, judge=judge, version=version)
    return found


def _pair_id(result: Mapping[str, Any]) -> str:
    places = (("vars",), ("testCase", "vars"), ("metadata",), ("testCase", "metadata"))
    return next((pair_id for path in places if (pair_id := text_of(child(result, *path), "pair_id"))), "")


def _prompt(result: Any) -> str:
    return text_of(child(result, "prompt"), "label", "display", "raw")


def _versions(labels: Iterable[str]) -> dict[str, str]:
    """Return what each prompt is called: its label, or its number where that is the text of the whole prompt."""
    distinct = dict.fromkeys(labels)
    return {
        label: label if label and len(label) <= LONGEST_LABEL and "\n" not in label else f"prompt {number}"
        for number, label in enumerate(distinct, 1)
    }


def _named(result: Mapping[str, Any], dimensions: Mapping[str, str]) -> Iterator[tuple[str, Any, str]]:
    """Yield (dimension, score, reason) of the named scores that are called as a dimension."""
    grading = child(result, "gradingResult")
    components = grading.get("componentResults")
    reasons = {
        text_of(child(component, "assertion"), "metric"): text_of(component, "reason")
        for component in (components if isinstance(components, list) else ())
    }
    scores = child(grading, "namedScores") | child(result, "namedScores")
    for metric, score in scores.items():
        if normal(metric) in dimensions:
            yield metric, score, reasons.get(metric, "")


def _answered(result: Mapping[str, Any], dimensions: Mapping[str, str]) -> Iterator[tuple[str, Any, str]]:
    """Yield (dimension, grade, reason) of the object in the output; nothing where the output is none."""
    answers = _object(child(result, "response").get("output"))
    # The grades may lie one object deeper, beside a summary: {"grades": {…}, "summary": "…"}.
    within = (answer for answer in answers.values() if isinstance(answer, Mapping))
    grades = next((a for a in (answers, *within) if any(normal(str(key)) in dimensions for key in a)), {})
    for dimension, answer in grades.items():
        if isinstance(answer, Mapping):
            grade = next((answer[name] for name in GRADE_FIELDS if name in answer), None)
            yield dimension, grade, text_of(answer, *REASON_FIELDS)
        else:
            yield dimension, answer, ""


def _object(output: Any) -> dict[str, Any]:
    if isinstance(output, str):
        fenced = _FENCE.search(output)
        try:
            output = json.loads(fenced.group(1) if fenced else output)
        except (ValueError, RecursionError):
            return {}
    return dict(output) if isinstance(output, Mapping) else {}
