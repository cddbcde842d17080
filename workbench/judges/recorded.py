"""Judgements made elsewhere, replayed as a judge: a colleague's spreadsheet, another tool's run, an old run.

They are read into verdicts, and then go the way of every judge: runs, agreement, comparison, review.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workbench.errors import BadInput
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, Pair
from workbench.identity import content_hash
from workbench.policy import Body, Dimension, Policy
from workbench.run import JudgeIdentity, Judgement, Verdict

_NOT_APPLICABLE_WORDS = {"n/a", "na", "not applicable"}


@dataclass(frozen=True)
class RecordedReport:
    """What became of the rows: how many are used, and why the others are not, counted by dimension."""

    used: int = 0
    outside_scale: Mapping[str, int] = field(default_factory=dict)
    not_a_score: Mapping[str, int] = field(default_factory=dict)
    unknown_dimension: Mapping[str, int] = field(default_factory=dict)
    repeated: int = 0  # rows overruled by a later row for the same pair and dimension


def recorded_verdicts(
    rows: Iterable[Mapping[str, Any]], policy: Body
) -> tuple[tuple[Verdict, ...], RecordedReport]:
    """Return one verdict a pair, in the order in which pairs first appear, and what became of the rows.

    A row has ``pair_id``, ``dimension``, ``score`` and perhaps ``rationale``. A score is a number, a number as
    text, or N/A. A fractional score keeps its value as ``expected``, and its grade is the nearest level (half
    up). A score outside the scale, or none at all, becomes a failed judgement that says so; of several rows
    for one pair and dimension the last one counts.

    Raises:
        BadInput: for a row without pair id or dimension; names the row (the first is 1).
    """
    by_pair: dict[str, dict[str, tuple[Judgement, str]]] = {}
    unknown: Counter[str] = Counter()
    repeated = 0
    for number, row in enumerate(rows, 1):
        pair_id, key = row.get("pair_id"), row.get("dimension")
        if not (isinstance(pair_id, str) and pair_id.strip() and isinstance(key, str) and key.strip()):
            raise BadInput(f"Row {number} has no pair id or no dimension.", "Every judgement needs both.")
        pair_id, key = pair_id.strip(), key.strip()
        if key not in policy.keys:
            unknown[key] += 1
            continue
        judgements = by_pair.setdefault(pair_id, {})
        repeated += key in judgements
        judgements[key] = _from_score(policy.dimension(key), row.get("score"), row.get("rationale"))

    kept = [entry for judgements in by_pair.values() for entry in judgements.values()]
    verdicts = tuple(
        Verdict(pair_id=pair_id, judgements=tuple(judgement for judgement, _ in judgements.values()))
        for pair_id, judgements in by_pair.items()
    )
    return verdicts, RecordedReport(
        used=sum(not judgement.failed for judgement, _ in kept),
        outside_scale=dict(Counter(x.dimension for x, problem in kept if problem == "outside")),
        not_a_score=dict(Counter(x.dimension for x, problem in kept if problem == "no score")),
        unknown_dimension=dict(unknown),
        repeated=repeated,
    )


def read_verdicts(path: Path | str) -> list[Verdict]:
    """Return the verdicts of a JSONL file, such as the ``judgements.jsonl`` of a job folder.

    Raises:
        BadInput: for a file that cannot be read, and for a line that is no verdict; names the line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}.", "It should be a JSONL file in UTF-8.") from error
    verdicts = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            verdicts.append(Verdict.model_validate_json(line))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise BadInput(
                f"{path}, line {number}{f' at {place}' if place else ''}: {first['msg']}.",
                "A line holds one verdict: a pair_id and its judgements.",
            ) from error
    return verdicts


class RecordedJudge:
    """Replays verdicts. Their usage is as it was recorded: replaying sends nothing."""

    def __init__(self, name: str, verdicts: Iterable[Verdict] | Path | str, source: str = "") -> None:
        """Take verdicts, or a JSONL file of them; of several for one pair the last one counts.

        Args:
            name: what the judge is called in runs and charts.
            source: where the judgements come from, for the record.

        Raises:
            BadInput: when the file is not one of verdicts.
        """
        given = read_verdicts(verdicts) if isinstance(verdicts, Path | str) else verdicts
        self._verdicts = {verdict.pair_id: verdict for verdict in given}
        recorded = [self._verdicts[pair_id].model_dump(mode="json") for pair_id in sorted(self._verdicts)]
        params = {"source": source, "content": content_hash("recorded", recorded)}
        self._identity = JudgeIdentity(kind="recorded", name=name, params=params)

    @property
    def identity(self) -> JudgeIdentity:
        """The name, the source and the content of the recording."""
        return self._identity

    async def grade(self, policy: Policy, pairs: Sequence[Pair]) -> AsyncIterator[Verdict]:
        """Yield the recorded verdicts in the order of ``pairs``, fitted to the dimensions of ``policy``.

        What was not recorded, or does not fit the scale of this policy, becomes a failed judgement.
        """
        for pair in pairs:
            verdict = self._verdicts.get(pair.id, Verdict(pair_id=pair.id, judgements=()))
            found = {judgement.dimension: judgement for judgement in verdict.judgements}
            fitted = tuple(_fitted(dimension, found.get(dimension.key)) for dimension in policy.dimensions)
            yield verdict.model_copy(update={"judgements": fitted})


def _from_score(dimension: Dimension, score: Any, rationale: Any) -> tuple[Judgement, str]:
    """Return the judgement, and ``outside`` or ``no score`` where it failed."""
    reason = rationale.strip() if isinstance(rationale, str) else ""
    if isinstance(score, str) and score.strip().casefold() in _NOT_APPLICABLE_WORDS:
        recorded = Judgement(dimension=dimension.key, grade=NOT_APPLICABLE, rationale=reason)
        fitted = _fitted(dimension, recorded)
        return fitted, "outside" if fitted.failed else ""
    number = _number(score)
    if number is None:
        shown = repr(score) if not isinstance(score, str) else f"'{score}'"
        return _failed(
            dimension, f"the recorded score is {shown[:60]}, which is no number", reason
        ), "no score"
    if not dimension.scale[0] <= number <= dimension.scale[-1]:
        return _failed(dimension, _outside(dimension, f"score {number:g}"), reason), "outside"
    grade = math.floor(number + 0.5)
    expected = None if number == grade else number
    return Judgement(dimension=dimension.key, grade=grade, expected=expected, rationale=reason), ""


def _fitted(dimension: Dimension, judgement: Judgement | None) -> Judgement:
    if judgement is None:
        return _failed(dimension, "no recorded answer for this pair")
    if judgement.not_applicable and not dimension.allow_na:
        return _failed(
            dimension, f"the recorded grade is N/A, which {dimension.key} does not allow", judgement.rationale
        )
    if judgement.grade not in {*dimension.scale, NOT_GRADED, NOT_APPLICABLE}:
        return _failed(dimension, _outside(dimension, f"grade {judgement.grade}"), judgement.rationale)
    if judgement.failed and not judgement.error:
        return judgement.model_copy(update={"error": "recorded as not graded"})
    return judgement


def _failed(dimension: Dimension, error: str, rationale: str = "") -> Judgement:
    return Judgement(dimension=dimension.key, grade=NOT_GRADED, rationale=rationale, error=error)


def _outside(dimension: Dimension, what: str) -> str:
    return f"the recorded {what} is outside the scale {dimension.scale[0]}–{dimension.scale[-1]}"


def _number(score: Any) -> float | None:
    if isinstance(score, bool) or score is None:
        return None
    try:
        number = float(score)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
