"""What another overall rule would make of dimension grades that are there already: no judging, so at once.

Moving a slider changes the rule and none of the grades. Pairs with equal dimension grades get equal overall grades, so
a :class:`GradeTable`, made once, keeps the distinct combinations of grades (100,000 pairs graded alike on eight
dimensions have far fewer), and remembers on which of them a gate's expression is true. :func:`what_if` then works on
combinations and takes well under 300 ms for 100,000 pairs of eight dimensions, even where every combination is
distinct. Intervals draw queries 2,000 times, which is as much work again: they are a call of their own,
:func:`agreement_change`, made when the sliders rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from workbench import confusion
from workbench.agreement import Headline
from workbench.confusion import Counts, Floats, Grades, Statistic, checked, confusions, same_length
from workbench.expression import Expression, combinations
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, UNRATEABLE
from workbench.overall import overall_grades
from workbench.policy import Body
from workbench.resampling import Clusters, Estimate, Resampled, numbered, resample

Positions = npt.NDArray[np.int_]

_kappa_quadratic = confusion.unless_one_class(confusion.kappa_quadratic)
_kappa_linear = confusion.unless_one_class(confusion.kappa_linear)


@dataclass(frozen=True, eq=False)
class GradeTable:
    """Dimension grades of pairs as their distinct combinations. *Unrateable* is kept as ``NOT_GRADED``."""

    rows: dict[str, Grades]  # dimension -> grade in each combination, shape (combinations,)
    which: npt.NDArray[np.int_]  # the combination of each pair, shape (pairs,)
    _fires: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, grades: Mapping[str, Grades]) -> GradeTable:
        """Return the table of some grades: dimension -> grades, shape (pairs,), at least one dimension.

        Raises:
            ValueError: for arrays of different lengths or of anything but whole numbers.
        """
        columns = {key: np.asarray(column) for key, column in grades.items()}
        same_length(**columns)
        for key, column in columns.items():
            if column.size and column.dtype.kind not in "iu":
                raise ValueError(f"the grades of {key} must be integers, not {column.dtype}")
        columns = {
            key: np.where(c == UNRATEABLE, NOT_GRADED, c.astype(np.int_)) for key, c in columns.items()
        }
        first, which = combinations(list(columns.values()))
        return cls({key: column[first] for key, column in columns.items()}, which)

    @cached_property
    def sizes(self) -> npt.NDArray[np.int_]:
        """How many pairs have each combination, shape (combinations,)."""
        return np.bincount(self.which, minlength=len(next(iter(self.rows.values()))))

    def fires(self, when: str) -> npt.NDArray[np.bool_]:
        """Return in which combinations a gate's expression is known to be true; each text is evaluated once."""
        if when not in self._fires:
            expression = Expression(when)
            if expression.names:
                part = GradeTable.of({name: self.rows[name] for name in expression.names})
                self._fires[when] = expression.mask(part.rows, len(part.sizes))[part.which]
            else:
                self._fires[when] = expression.mask({}, len(self.sizes))
        return self._fires[when]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one rule makes of the pairs."""

    scale: tuple[int, ...]
    grades: Grades  # overall grades, shape (pairs,)
    counts: dict[int, int]  # pairs on each level, N/A and not graded included
    gates: dict[str, int]  # gate id -> pairs whose grade it moved at its turn, after the gates before it
    labels: Grades | None  # the overall labels to compare with; NOT_GRADED where there is none


@dataclass(frozen=True)
class AgreementChange:
    """Agreement with the overall labels under both rules, on the ``n`` pairs that have a level on all sides."""

    n: int
    before: Headline
    after: Headline
    delta: Headline  # after - before, paired intervals


@dataclass(frozen=True, eq=False)
class WhatIf:
    """One rule beside another. Positions are ascending; ``fixed`` and ``broken`` are None without labels."""

    before: Outcome
    after: Outcome
    changed: Positions  # pairs whose overall grade differs; becoming N/A is a change too
    fixed: Positions | None  # not as labelled before, as labelled after
    broken: Positions | None
    n_graded: int  # pairs with an answer on every dimension; no rule gives the others a grade
    contributions: dict[
        str, int
    ]  # dimension -> pairs that would change, under ``after``, if its weight were 0
    agreement: AgreementChange | None  # without intervals
    no_agreement: str  # why there is none


def what_if(
    before: Body,
    after: Body,
    grades: GradeTable,
    labels: Grades | GradeTable | None = None,
    *,
    label_scale: Sequence[int] | None = None,
) -> WhatIf:
    """Return what happens to the overall grades where ``after`` takes the place of ``before``.

    Only the overall rules and the weights of the two bodies are read. Rules with another number of cut points give
    grades on another scale. Pairs are then still counted as changed where the number differs, but overall labels that
    people gave on one scale say nothing about the other: agreement, fixed and broken pairs are None.

    Args:
        before, after: bodies with the same dimensions.
        grades: the dimension grades that are combined.
        labels: the overall labels, shape (pairs,), one of the codes of :mod:`workbench.golden` where there is none;
            or people's dimension grades, where nobody labelled the overall grade: each rule then makes the labels as
            it makes the grades, so they move with it; or None.
        label_scale: the overall levels that labels were given on, those of ``before`` by default.

    Raises:
        ValueError: for bodies with different dimensions, or labels outside their scale or of another length.
    """
    if set(before.keys) != set(after.keys):
        raise ValueError(f"the rules combine different dimensions: {before.keys} and {after.keys}")
    old, old_gates = _combined(before, grades)
    new, new_gates = _combined(after, grades)
    scales = before.overall.scale, after.overall.scale
    sides, reason = _labels(before, after, labels, tuple(label_scale or scales[0]), len(grades.which))
    outcomes = [
        Outcome(scale, found[grades.which], _counts(found, grades, scale), gates, given)
        for scale, found, gates, given in zip(
            scales, (old, new), (old_gates, new_gates), sides or (None, None), strict=True
        )
    ]
    fixed = broken = None
    if sides:
        # A pair that nobody graded or labelled has no grade or label under either rule, and so is neither.
        right, right_now = (outcome.grades == label for outcome, label in zip(outcomes, sides, strict=True))
        fixed, broken = np.flatnonzero(~right & right_now), np.flatnonzero(right & ~right_now)
    found = WhatIf(
        before=outcomes[0],
        after=outcomes[1],
        changed=np.flatnonzero((old != new)[grades.which]),
        fixed=fixed,
        broken=broken,
        n_graded=int(grades.sizes[new != NOT_GRADED].sum()),
        contributions=_contributions(after, grades, new),
        agreement=None,
        no_agreement=reason,
    )
    # Which query a pair belongs to does not matter to the values, and one query is the fastest to sum.
    one = np.zeros(len(grades.which), dtype=np.int_)
    return replace(found, agreement=agreement_change(found, one, resamples=0))


def agreement_change(
    found: WhatIf, clusters: Clusters, *, resamples: int = 2000, seed: int = 0
) -> AgreementChange | None:
    """Return the agreement under both rules with paired intervals, or None where there are no labels.

    Each resample draws the same queries for both rules. This is the slow part: call it when the sliders rest.

    Args:
        found: from :func:`what_if`.
        clusters: the query of each pair, shape (pairs,).
        resamples: bootstrap draws over queries; 0 for values without intervals.
        seed: the same seed gives the same intervals.

    Raises:
        ValueError: where ``clusters`` has another length.
    """
    old, new = found.before, found.after
    if old.labels is None or new.labels is None:
        return None
    same_length(grades=old.grades, clusters=clusters)
    scale = max(old.scale, new.scale, key=len)  # levels that nobody uses leave kappa and exact as they are
    kept = (old.grades >= 0) & (new.grades >= 0) & (old.labels >= 0) & (new.labels >= 0)
    queries = numbered(clusters, kept)
    sides = (old.labels, old.grades), (new.labels, new.grades)
    matrices = [confusions(human[kept], rule[kept], *queries, scale) for human, rule in sides]
    sums = resample(np.stack(matrices, axis=1), resamples=resamples, seed=seed)
    n = int(kept.sum())
    nothing = "No pair has both an overall grade and a label." if n == 0 else ""
    one_class = nothing or "All labels are one level; kappa needs at least two."

    def estimated(statistic: Statistic, reason: str) -> list[Estimate]:
        # The statistic of all resamples once, then both values and their difference from it.
        values = Resampled(statistic(sums.total[None])[0], statistic(sums.draws), sums.no_interval)
        both_and_delta: list[Callable[[Counts], Floats]] = [
            lambda pair: pair[..., 0],
            lambda pair: pair[..., 1],
            lambda pair: pair[..., 1] - pair[..., 0],
        ]
        return [values.estimate(side, reason) for side in both_and_delta]

    columns = zip(
        estimated(_kappa_quadratic, one_class),
        estimated(_kappa_linear, one_class),
        estimated(confusion.exact, nothing),
        strict=True,
    )
    return AgreementChange(n, *(Headline(*estimates) for estimates in columns))


def _combined(body: Body, table: GradeTable) -> tuple[Grades, dict[str, int]]:
    """Return the overall grade of each combination, and how many pairs each gate moved at its turn.

    As :func:`workbench.overall.overall_grades`, which a test compares it with; gates are applied here, because each
    expression is evaluated once for all bodies and the pairs are counted between one gate and the next.
    """
    bare = body.overall.model_copy(update={"gates": ()})
    grades = overall_grades(body.model_copy(update={"overall": bare}), table.rows)
    moved = {}
    for gate in body.overall.gates:
        bounded = grades
        if gate.at_most is not None:
            bounded = np.minimum(grades, gate.at_most)
        elif gate.at_least is not None:
            bounded = np.maximum(grades, gate.at_least)
        after = np.where(table.fires(gate.when) & (grades >= 0), bounded, grades)
        moved[gate.id] = int(table.sizes[after != grades].sum())
        grades = after
    return grades, moved


def _contributions(body: Body, table: GradeTable, grades: Grades) -> dict[str, int]:
    found = {}
    for i, dimension in enumerate(body.dimensions):
        found[dimension.key] = 0
        if dimension.weight > 0 and body.overall.combine == "weighted_mean":
            without = [*body.dimensions]
            without[i] = dimension.model_copy(update={"weight": 0.0})
            other, _ = _combined(body.model_copy(update={"dimensions": tuple(without)}), table)
            found[dimension.key] = int(table.sizes[other != grades].sum())
    return found


def _labels(
    before: Body, after: Body, labels: Grades | GradeTable | None, scale: tuple[int, ...], pairs: int
) -> tuple[tuple[Grades, Grades] | None, str]:
    """Return the overall labels to compare each rule with, or why there are none."""
    if labels is None:
        return None, "There are no overall labels."
    if isinstance(labels, GradeTable):
        same_length(grades=range(pairs), labels=labels.which)
        return (_combined(before, labels)[0][labels.which], _combined(after, labels)[0][labels.which]), ""
    given = checked(labels, scale, "people")
    same_length(grades=range(pairs), labels=given)
    for body in (before, after):
        if body.overall.scale != scale:
            top = body.overall.scale[-1]
            return None, f"People labelled on 0–{scale[-1]}, and the rule grades on 0–{top}."
    return (given, given), ""


def _counts(found: Grades, table: GradeTable, scale: Sequence[int]) -> dict[int, int]:
    return {code: int(table.sizes[found == code].sum()) for code in (*scale, NOT_APPLICABLE, NOT_GRADED)}
