"""Argilla's records: JSON of the Python client or of the server to rows, and a golden set to such records.

What ``dataset.records.to_json`` of the client (version 2) writes, and ``records.from_json`` reads::

    [{"id": "r1", "fields": {"query": "...", "document": "..."}, "metadata": {"country": "at"},
      "responses": {"relevance": [{"value": "2", "user_id": "6a1f..."}]},
      "suggestions": {...}, "vectors": {...}, "_server_id": "..."}]

What the server's ``/records`` answers, bare or within ``{"items": [...]}``::

    [{"id": "...", "external_id": "r1", "fields": {...}, "metadata": {...},
      "responses": [{"user_id": "6a1f...", "status": "submitted", "updated_at": "2026-01-31T09:30:00",
                     "values": {"relevance": {"value": "2"}}}], "suggestions": [...]}]

Suggestions and vectors are left out, and so are responses that are drafts or discarded.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from workbench.errors import BadInput
from workbench.golden import GoldenSet
from workbench.golden_rows import answer_sheets, flat_pair, written

OWN = ("record", "labeler", "at", "split")
"""Columns of every table made of records; fields called so get ``field.`` or ``response.`` before their name."""
USERS = "workbench_users"
"""Metadata of our exports: JSON of user id -> labeler, because Argilla knows users by UUID only."""
SPLIT = "workbench_split"
"""Metadata of our exports: dev or holdout."""
NOTE = "note"
_NOT_ANSWERS = {"draft", "discarded", "pending"}


def is_argilla(first: Mapping[str, Any]) -> bool:
    """Whether an object is a record of Argilla."""
    return isinstance(first.get("fields"), dict) and ("responses" in first or "suggestions" in first)


def record_rows(records: list[Any], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number of the record, row): one row a user who answered, or one for a record without answers.

    Columns, in this order: ``record`` (its id), ``split`` (of our exports), the fields, ``meta_<key>``, ``labeler``
    (the user id), ``at`` (updated_at; empty in files of the client, which have no times), and one a question. A field
    that is called as one of the others has ``field.`` before its name.

    Raises:
        BadInput: for a record that is not of this layout, with its number.
    """
    answers = []
    for number, record in enumerate(records, 1):
        where = f"{name}, record {number}"
        if not isinstance(record, dict) or not isinstance(record.get("fields"), dict):
            raise BadInput(f"{where}: has no fields.", "A record is an object with 'fields' and 'responses'.")
        answers.append(_by_user(record, where))
    asked = {question for by_user in answers for given in by_user.values() for question in given}
    taken = {*OWN, *asked}
    rows = []
    for number, record in enumerate(records, 1):
        metadata = record.get("metadata") or {}
        if not isinstance(metadata, dict):
            raise BadInput(f"{name}, record {number}: its metadata is not an object.", "Export it again.")
        row = {
            "record": record.get("external_id") or record.get("id") or "",
            "split": metadata.get(SPLIT, ""),
        }
        row |= {f"field.{key}" if key in taken else key: value for key, value in record["fields"].items()}
        row |= {f"meta_{key}": value for key, value in metadata.items() if key not in (USERS, SPLIT)}
        rows.append(row)
    # All columns in every row, so that the answers follow the labeler whichever record is the first.
    blank = dict.fromkeys(
        [key for row in rows for key in row] + ["labeler", "at", *sorted(asked - {"at"})], ""
    )
    for number, (record, row, by_user) in enumerate(zip(records, rows, answers, strict=True), 1):
        users = _users((record.get("metadata") or {}).get(USERS))
        for user, given in by_user.items():
            yield number, blank | row | given | {"labeler": users.get(user, user)}
        if not by_user:
            yield number, blank | row


def _by_user(record: Mapping[str, Any], where: str) -> dict[str, dict[str, Any]]:
    """Return user -> question -> answer; the server's layout also gives ``at``."""
    responses = record.get("responses") or {}
    found: dict[str, dict[str, Any]] = {}
    if isinstance(responses, dict):
        for question, given in responses.items():
            for answer in given if isinstance(given, list) else [given]:
                _check(answer, "value", f"{where}, {question}")
                if answer.get("status") not in _NOT_ANSWERS:
                    found.setdefault(_user(answer, f"{where}, {question}"), {})[_column(question)] = answer[
                        "value"
                    ]
        return found
    if not isinstance(responses, list):
        raise BadInput(f"{where}: its responses are no list.", "Export it again with its responses.")
    for i, response in enumerate(responses, 1):
        place = f"{where}, response {i}"
        _check(response, "user_id", place)
        values = response.get("values") or {}
        if response.get("status") in _NOT_ANSWERS or not values:
            continue
        if not isinstance(values, dict):
            raise BadInput(f"{place}: its values are no object.", "Export it again with its responses.")
        mine = found.setdefault(_user(response, place), {})
        for question, answer in values.items():
            _check(answer, "value", f"{place}, {question}")
            mine[_column(question)] = answer["value"]
        at = response.get("updated_at") or response.get("inserted_at")
        mine |= {"at": at} if at else {}
    return found


def _column(question: str) -> str:
    return f"response.{question}" if question in OWN else question


def _check(answer: Any, key: str, where: str) -> None:
    if not isinstance(answer, dict) or key not in answer:
        raise BadInput(f"{where}: has no '{key}'.", "Export the records again with their responses.")


def _user(answer: Mapping[str, Any], where: str) -> str:
    if not answer.get("user_id"):
        raise BadInput(f"{where}: user_id is missing.", "Export the records with their users.")
    return str(answer["user_id"])


def _users(text: Any) -> dict[str, str]:
    try:
        found = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        found = {}
    return {str(key): str(name) for key, name in found.items()} if isinstance(found, dict) else {}


def user_id(labeler: str) -> str:
    """Return the UUID under which a labeler stands in our exports; the same name, the same id."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, labeler))


def records(golden: GoldenSet) -> Iterator[dict[str, Any]]:
    """Yield a golden set as records of the client's layout: each labeler's newest answer to each question.

    Grades are texts, for label questions with the levels (and N/A, unrateable) as their labels.
    """
    for pair, split, sheets in answer_sheets(golden):
        newest: dict[str, dict[str, str]] = {}
        for sheet in sheets:  # in order of time: the later one replaces
            mine = newest.setdefault(sheet.labeler, {})
            mine |= {key: str(written(grade)) for key, grade in sheet.grades.items()}
            mine |= {NOTE: sheet.note} if sheet.note else {}
        responses: dict[str, list[dict[str, str]]] = {}
        for labeler, given in newest.items():
            for question, value in given.items():
                responses.setdefault(question, []).append({"value": value, "user_id": user_id(labeler)})
        texts = flat_pair(pair)
        metadata = {key.removeprefix("meta_"): text for key, text in texts.items() if key.startswith("meta_")}
        yield {
            "id": pair.id,
            "fields": {key: text for key, text in texts.items() if not key.startswith("meta_")},
            "metadata": {
                **metadata,
                SPLIT: split,
                USERS: json.dumps({user_id(name): name for name in newest}, ensure_ascii=False),
            },
            "suggestions": {},
            "responses": responses,
            "vectors": {},
        }
