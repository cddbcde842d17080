"""Flips and what made them: which clauses changed between two policies, and which verdicts may have flipped by that.

A flip in a dimension can come only from a change that judges read there: one of the dimension itself, or one of what
stands before all dimensions (general rules, terms, the layout). Among these, in this order:

1. *ablation*: the judge was asked again with only that change applied, and the grade flipped by it alone
   (:mod:`workbench.ablations`). This is an experiment, the others are readings.
2. *cited*: one of the two judgements cites the changed clause or precedent (a split counts for the clause it was split
   from as well).
3. *only change*: nothing that changed is cited, and there is one change only.
4. *possible*: nothing that changed is cited, and there are several; each is possible.

Where no change is read in the dimension, the flip is the judge's own noise (or that of another judge, model or
sampling). An overall grade is not judged: it follows from the dimensions by the rule, so its flips come from the
dimensions that flipped, or from the rule where none did.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from workbench.policy import OVERALL
from workbench.policy_diff import DOCUMENT, GENERAL, OVERALL_RULE, Change

FlipOutcome = Literal["broken", "fixed", "changed"]
How = Literal["ablation", "cited", "only change", "possible"]
HOW: tuple[How, ...] = get_args(How)
"""How a change is tied to a flip, the surest first."""
NOISE = "noise"
"""Key of the flips that no change of the policy is tied to."""


@dataclass(frozen=True)
class Cause:
    """One change of the policy that a flip may come from."""

    change: Change
    how: How


@dataclass(frozen=True)
class Flip:
    """A pair whose grade differs between two runs. Grades may be N/A (-2)."""

    pair_id: str
    query_id: str
    dimension: str
    outcome: FlipOutcome
    human: int
    a: int
    b: int
    causes: tuple[Cause, ...] = ()
    by_dimensions: tuple[str, ...] = ()  # of an overall grade: the dimensions that flipped on this pair

    @property
    def noise(self) -> bool:
        """Whether nothing that the judge reads for this dimension changed."""
        return not self.causes and not self.by_dimensions

    @property
    def up(self) -> bool:
        """Whether B grades higher; N/A counts as below every level."""
        return self.b > self.a


def name_of(change: Change) -> str:
    """Return the key of a change among those of one difference, such as ``skills/clause/skills.3``."""
    return f"{change.section}/{change.part}/{change.id}"


def read_in(changes: Iterable[Change], dimension: str) -> tuple[Change, ...]:
    """Return the changes that a judge reads when it grades ``dimension``."""
    return tuple(
        change
        for change in changes
        if change.judged and change.section in (dimension, GENERAL, DOCUMENT) and dimension != OVERALL
    )


def causes(
    changes: Sequence[Change],
    dimension: str,
    cited: Collection[str],
    ablated: Mapping[str, bool] | None = None,
) -> tuple[Cause, ...]:
    """Return what a flip in ``dimension`` may come from; empty where nothing read there changed.

    Args:
        changes: all changes from the policy of A to that of B.
        cited: ids of clauses and precedents that either judgement cites.
        ablated: :func:`name_of` a change -> whether the grade flipped with that change alone, where this was tried.
    """
    candidates = read_in(changes, dimension)
    alone = tuple(
        Cause(change, "ablation") for change in candidates if (ablated or {}).get(name_of(change), False)
    )
    if alone:
        return alone
    # What was tried without effect is not what did it, unless it takes several changes together.
    left = [change for change in candidates if (ablated or {}).get(name_of(change), True)] or list(candidates)
    named = tuple(Cause(change, "cited") for change in left if _ids(change) & set(cited))
    if named:
        return named
    how: How = "only change" if len(left) == 1 else "possible"
    return tuple(Cause(change, how) for change in left)


def overall_causes(
    changes: Sequence[Change], flipped: Collection[str]
) -> tuple[tuple[Cause, ...], tuple[str, ...]]:
    """Return what an overall flip comes from: changes of the rule where no dimension flipped, else the dimensions."""
    if flipped:
        return (), tuple(flipped)
    rule = [c for c in changes if c.section == OVERALL_RULE or c.part == "weight"]
    how: How = "only change" if len(rule) == 1 else "possible"
    return tuple(Cause(change, how) for change in rule), ()


@dataclass(frozen=True)
class ClauseRow:
    """One change of the policy and the flips tied to it. A flip tied to several changes counts in each of them.

    What is merely possible counts beside the rest, in ``possible``: it would drown what is known.
    """

    change: Change | None  # None: flips that no change is tied to
    fixed: int
    broken: int
    changed: int
    possible: int
    how: Mapping[How, int]
    examples: tuple[tuple[str, str], ...]  # (pair id, dimension): broken first, the widest first

    @property
    def key(self) -> str:
        """The row's name among the others."""
        return NOISE if self.change is None else name_of(self.change)

    @property
    def flips(self) -> int:
        """How many flips are tied to the change by experiment, by citation or because it is the only one."""
        return self.fixed + self.broken + self.changed

    @property
    def net(self) -> int:
        """Fixed minus broken."""
        return self.fixed - self.broken


EXAMPLES = 5


def by_clause(flips: Sequence[Flip], changes: Sequence[Change]) -> list[ClauseRow]:
    """Return one row a judged change of the policy, those with most flips tied to them first; a last one for noise.

    Changes to which no flip is tied have a row too: that an edit moved nothing is an answer. Overall grades are left
    out, as they follow from the dimensions; changes of the rule have rows where overall flips are tied to them.
    """
    rows = []
    for change in changes:
        mine = [f for f in flips if any(name_of(c.change) == name_of(change) for c in f.causes)]
        if change.judged or mine:
            rows.append(_row(change, mine))
    rows.sort(key=lambda row: (-row.flips, -row.possible))
    noise = [flip for flip in flips if flip.noise]
    return [*rows, _row(None, noise)] if noise else rows


def _row(change: Change | None, flips: Sequence[Flip]) -> ClauseRow:
    how = {name: [f for f in flips if change is not None and (change_in(f, change) == name)] for name in HOW}
    sure = [f for f in flips if change is None or change_in(f, change) != "possible"]
    tally = {outcome: sum(f.outcome == outcome for f in sure) for outcome in get_args(FlipOutcome)}
    order = {"broken": 0, "fixed": 1, "changed": 2}
    first = sorted(sure or flips, key=lambda f: (order[f.outcome], -abs(f.b - f.a), f.pair_id))[:EXAMPLES]
    return ClauseRow(
        change=change,
        fixed=tally["fixed"],
        broken=tally["broken"],
        changed=tally["changed"],
        possible=len(how["possible"]),
        how={name: len(found) for name, found in how.items() if found},
        examples=tuple((f.pair_id, f.dimension) for f in first),
    )


def change_in(flip: Flip, change: Change) -> How | None:
    """Return how a flip is tied to a change, None where it is not."""
    return next((cause.how for cause in flip.causes if name_of(cause.change) == name_of(change)), None)


@dataclass(frozen=True)
class FlipFilter:
    """Which flips are looked at; an empty field lets all through."""

    outcomes: frozenset[FlipOutcome] = frozenset()
    dimensions: frozenset[str] = frozenset()
    direction: Literal["", "up", "down"] = ""
    levels: tuple[int, int] | None = None  # grade of A, grade of B
    clause: str = ""  # ClauseRow.key
    pairs: frozenset[str] | None = None  # ids, such as those of a slice or of a text search

    def keeps(self, flip: Flip) -> bool:
        """Whether a flip is among those looked at."""
        return (
            (not self.outcomes or flip.outcome in self.outcomes)
            and (not self.dimensions or flip.dimension in self.dimensions)
            and (not self.direction or flip.up == (self.direction == "up"))
            and (self.levels is None or (flip.a, flip.b) == self.levels)
            and (not self.clause or self._tied(flip))
            and (self.pairs is None or flip.pair_id in self.pairs)
        )

    def _tied(self, flip: Flip) -> bool:
        if self.clause == NOISE:
            return flip.noise
        return any(name_of(cause.change) == self.clause for cause in flip.causes)


def _ids(change: Change) -> set[str]:
    return {change.id, *([change.origin] if change.origin else ())}
