"""Label Studio's JSON export: tasks with annotations to rows, and a golden set to such tasks.

The layout (labelstud.io/guide/task_format), as far as it is read::

    [{"id": 1, "data": {"query": "...", "document": "..."}, "meta": {...},
      "annotations": [{"completed_by": 10, "created_at": "2021-03-09T22:16:08Z", "was_cancelled": false,
        "ground_truth": false, "result": [
          {"from_name": "relevance", "to_name": "txt", "type": "choices", "value": {"choices": ["2"]}},
          {"from_name": "fit", "to_name": "txt", "type": "rating", "value": {"rating": 3}},
          {"from_name": "note", "to_name": "txt", "type": "textarea", "value": {"text": ["..."]}}]}],
      "predictions": [...]}]

``completed_by`` is a number, an e-mail address, or an object with ``email`` or ``id``. Exports before version 1.0
say ``completions`` for ``annotations``. Predictions and cancelled (skipped) annotations are left out; regions of
images and texts have no place in a golden set and are an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workbench.errors import BadInput
from workbench.golden import GoldenSet
from workbench.golden_rows import answer_sheets, flat_pair, written
from workbench.identity import keepable

OWN = ("task", "labeler", "at", "source")
"""Columns of every table made of tasks; fields called so get ``data.`` or ``result.`` before their name."""
_VALUES = {"choices": "choices", "rating": "rating", "number": "number", "textarea": "text"}
NOTE = "note"


def is_label_studio(first: Mapping[str, Any]) -> bool:
    """Whether an object is a task of Label Studio."""
    return "data" in first and ("annotations" in first or "completions" in first)


def task_rows(tasks: list[Any], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number of the task, row): one row an annotation, or one for a task without any.

    Columns, in this order: ``task`` (its id), the fields of ``data``, ``meta_<key>``, ``labeler``, ``at``
    (created_at), ``source`` ("adjudicated" for ground truth, else "human"), and one a ``from_name`` with what was
    chosen. A field that is called as one of the others has ``data.`` before its name.

    Raises:
        BadInput: for a task that is not of this layout, with its number.
    """
    found: list[tuple[int, dict[str, Any], list[dict[str, Any]]]] = []
    for number, task in enumerate(tasks, 1):
        where = f"{name}, task {number}"
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
            raise BadInput(f"{where}: has no data.", "A task is an object with 'data' and 'annotations'.")
        given = task.get("annotations") or task.get("completions") or []
        if not isinstance(given, list):
            raise BadInput(f"{where}: its annotations are not a list.", "Export as JSON, not as JSON-MIN.")
        said = (_answer(annotation, f"{where}, annotation {i}") for i, annotation in enumerate(given, 1))
        found.append((number, task, [answer for answer in said if answer is not None]))
    asked = {
        question
        for _, _, answers in found
        for answer in answers
        for question in answer
        if question not in OWN
    }
    taken = {*OWN, *asked}
    pairs = [
        {"task": task.get("id", "")}
        | {f"data.{key}" if key in taken else key: value for key, value in task["data"].items()}
        | {f"meta_{key}": value for key, value in _object(task.get("meta")).items()}
        for _, task, _ in found
    ]
    # All columns in every row, so that the answers follow the labeler whichever task is the first.
    blank = dict.fromkeys([key for row in pairs for key in row] + [*OWN[1:], *sorted(asked)], "")
    for (number, _, answers), row in zip(found, pairs, strict=True):
        for answer in answers or [{}]:
            yield number, blank | row | answer


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _answer(annotation: Any, where: str) -> dict[str, Any] | None:
    if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
        raise BadInput(f"{where}: has no result.", "Export whole annotations from Label Studio.")
    if annotation.get("was_cancelled") or annotation.get("skipped"):
        return None
    found: dict[str, Any] = {}
    for result in annotation["result"]:
        kind = result.get("type") if isinstance(result, dict) else None
        if kind == "relation":
            continue
        if kind not in _VALUES or not isinstance(result.get("from_name"), str):
            raise BadInput(
                f"{where}: a result of type '{kind}' is no grade.",
                f"A result has a from_name and is one of {', '.join(_VALUES)}.",
            )
        value = result.get("value")
        if not isinstance(value, dict) or _VALUES[kind] not in value:
            raise BadInput(
                f"{where}, {result['from_name']}: has no value '{_VALUES[kind]}'.", "Export it again."
            )
        question = result["from_name"]
        found[f"result.{question}" if question in OWN else question] = value[_VALUES[kind]]
    return found | {
        "labeler": _labeler(annotation, where),
        "at": annotation.get("created_at") or "",
        "source": "adjudicated" if annotation.get("ground_truth") else "human",
    }


def _labeler(annotation: Mapping[str, Any], where: str) -> str:
    who = annotation.get("completed_by")
    if isinstance(who, dict):
        who = who.get("email") or who.get("id")
    if who is None or who == "" or isinstance(who, bool | list):
        raise BadInput(f"{where}: completed_by is missing.", "Export with the annotators' names.")
    return str(who)


def tasks(golden: GoldenSet) -> Iterator[dict[str, Any]]:
    """Yield a golden set as tasks with annotations, one annotation for each time that a labeler answered."""
    for i, (pair, split, sheets) in enumerate(answer_sheets(golden), 1):
        texts = flat_pair(pair)
        data = {key: text for key, text in texts.items() if not key.startswith("meta_")}
        yield {
            "id": i,
            "data": {"pair_id": pair.id, "split": split, **data},
            "meta": {key: keepable(text) for key, text in pair.meta.items()},
            "annotations": [
                {
                    "completed_by": {"email": sheet.labeler},
                    "created_at": sheet.at,
                    "updated_at": sheet.at,
                    "was_cancelled": False,
                    "ground_truth": sheet.source == "adjudicated",
                    "result": [
                        *(
                            _result(key, "choices", [str(written(grade))])
                            for key, grade in sheet.grades.items()
                        ),
                        *([_result(NOTE, "textarea", [sheet.note])] if sheet.note else []),
                    ],
                }
                for sheet in sheets
            ],
            "predictions": [],
        }


def _result(name: str, kind: str, value: list[str]) -> dict[str, Any]:
    return {"from_name": name, "to_name": "pair", "type": kind, "value": {_VALUES[kind]: value}}
