"""Judgements that another tool made, as rows: what every reader of a result file hands on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from workbench.column_mapping import normal
from workbench.identity import keepable
from workbench.policy import Body
from workbench.run import Judgement

NO_PAIR = "without the id of a pair"
NO_GRADES = "without grades"


class JudgementRow(NamedTuple):
    """One score as a file has it. ``score`` is text: a number, the name of a level, N/A, or "" for none."""

    judge: str
    version: str
    pair_id: str
    dimension: str
    score: str
    rationale: str
    place: str  # where it stands in the file, such as "row 12"
    judgement: Judgement | None = None  # the whole answer, where the file is one of ours


COLUMNS = list(JudgementRow._fields)


@dataclass
class JudgementRows:
    """Rows as they are found, and what was left out, counted by reason."""

    rows: list[JudgementRow] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def add(
        self, pair_id: str, dimension: str, score: Any, place: str, *, rationale: Any = "", judge: Any = "",
        version: Any = "", judgement: Judgement | None = None,
    ) -> None:  # fmt: skip
        """Add a score; values of any JSON type become text."""
        self.rows.append(
            JudgementRow(
                words(judge), words(version), words(pair_id), words(dimension), score_text(score), words(rationale),
                place, judgement,
            )
        )  # fmt: skip

    def frame(self) -> pd.DataFrame:
        """Return the rows as a data frame of ``COLUMNS``."""
        return pd.DataFrame(self.rows, columns=COLUMNS)


def words(value: Any) -> str:
    """Return a text without outer white space; what is no text, and is not a number either, is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return keepable(str(value)).strip()


def score_text(value: Any) -> str:
    """Return a score as text; nothing, NaN, lists and objects are the empty text, and true is no grade."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value != value else words(value)


def text_of(data: Any, *names: str) -> str:
    """Return the first of these fields of an object that holds text; "" where there is none, or no object."""
    if not isinstance(data, Mapping):
        return ""
    return next((found for name in names if (found := words(data.get(name)))), "")


def child(data: Any, *path: str) -> dict[str, Any]:
    """Return the object at ``path``, an empty one where something on the way is missing or none."""
    for name in path:
        data = data.get(name) if isinstance(data, Mapping) else None
    return dict(data) if isinstance(data, Mapping) else {}


def dimension_names(policy: Body) -> dict[str, str]:
    """Return key of each dimension by the forms in which a file may write it: its key and its title."""
    titles = {normal(dimension.title): dimension.key for dimension in policy.dimensions}
    return titles | {normal(key): key for key in policy.keys}
