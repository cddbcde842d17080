"""The minutes of a review: what was compared, what was decided about which pair, what is to be done by whom."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from importlib import resources

from jinja2 import Environment, StrictUndefined, Template

from workbench.follow_ups import OpenItem, open_items
from workbench.golden import NOT_APPLICABLE, Pair
from workbench.policy import OVERALL, Policy
from workbench.review import meeting
from workbench.store import Decision, FollowUp, Review
from workbench.workspace import Workspace

LONGEST_NAME = 120


@dataclass(frozen=True)
class Line:
    """One decision as the minutes have it."""

    pair: str  # the first field of both sides
    pair_id: str
    dimension: str  # title
    label: str
    a: str
    b: str
    outcome: str
    note: str
    author: str
    at: datetime
    clauses: tuple[str, ...]
    follow_up: FollowUp | None


@dataclass(frozen=True)
class Minutes:
    """All that the minutes say."""

    review: Review
    a: str
    b: str
    golden: str
    changes: tuple[str, ...]  # what changed in the policy, a line each
    deltas: tuple[tuple[str, str], ...]  # dimension, B - A of kappa with its interval
    present: tuple[str, ...]
    queue: int
    counts: tuple[tuple[str, int], ...]
    lines: tuple[Line, ...]
    agenda: tuple[OpenItem, ...]  # open items of earlier reviews and of this one, the oldest first


def minutes(workspace: Workspace, review_id: str) -> Minutes:
    """Return the minutes of a review, finished or not; of decisions that were replaced, the newest stands.

    Raises:
        NotFound: if there is no such review.
    """
    found = meeting(workspace, review_id)
    review, comparison, policy = found.review, found.comparison, found.comparison.policy_b
    made: dict[tuple[str, str], Decision] = {}
    for decision in workspace.store.review_decisions(review.golden, review_id):
        made.setdefault((decision.pair_id, decision.dimension), decision)
    standing = [decision for decision in made.values() if decision.outcome != "open"]
    pairs = workspace.store.pairs([decision.pair_id for decision in standing], review.golden)
    items = {
        item.decision_id: item for item in workspace.store.follow_ups(review.golden, review_id=review_id)
    }
    order = {(item.flip.pair_id, item.flip.dimension): i for i, item in enumerate(found.items)}
    standing.sort(key=lambda d: order.get((d.pair_id, d.dimension), len(order)))
    lines = tuple(
        Line(
            pair=_name(pairs.get(decision.pair_id), policy),
            pair_id=decision.pair_id,
            dimension=_title(policy, decision.dimension),
            label=_grade(decision.details.get("label")),
            a=_grade(decision.details.get("a")),
            b=_grade(decision.details.get("b")),
            outcome=decision.outcome,
            note=decision.note,
            author=decision.author,
            at=decision.at,
            clauses=tuple(decision.details.get("clauses", ())),
            follow_up=items.get(decision.id),
        )
        for decision in standing
    )
    tally = Counter(line.outcome for line in lines)
    return Minutes(
        review=review,
        a=comparison.a.label,
        b=comparison.b.label,
        golden=f"{review.golden} ({comparison.truth.split}, {len(comparison.truth.pair_ids):,} pairs)",
        changes=tuple(f"{change.id} ({change.section}): {change.kind}" for change in comparison.changes),
        deltas=tuple(
            (_title(policy, key), _interval(one.delta.kappa_quadratic))
            for key, one in comparison.comparisons.items()
        ),
        present=tuple(sorted({review.author, *(line.author for line in lines)})),
        queue=len(found.items),
        counts=tuple(
            (name, tally[name]) for name in ("judge wrong", "label wrong", "policy ambiguous", "fine")
        ),
        lines=lines,
        agenda=tuple(open_items(workspace, review.golden)),
    )


def as_markdown(found: Minutes) -> str:
    """Return the minutes as Markdown; what people wrote cannot break out of its line or cell."""
    return _template("minutes.md.jinja2").render(m=found, cell=_cell).strip() + "\n"


def as_html(found: Minutes) -> str:
    """Return the minutes as one HTML page to print."""
    return _template("minutes.html.jinja2").render(m=found)


@lru_cache(maxsize=4)
def _template(name: str) -> Template:
    source = (resources.files("workbench") / "templates" / name).read_text(encoding="utf-8")
    environment = Environment(
        undefined=StrictUndefined, autoescape=".html." in name, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(source)


def _cell(text: str) -> str:
    """Return a text for a cell of a Markdown table: one line, its marks shown and not obeyed."""
    line = " ".join(text.split())
    for mark in "\\`*_[]<>|#":
        line = line.replace(mark, "\\" + mark)
    return line


def _name(pair: Pair | None, policy: Policy) -> str:
    if pair is None:
        return "a pair that is gone"
    sides = ((policy.pair.query, pair.query), (policy.pair.document, pair.document))
    names = [" ".join(texts.get(side.fields[0], "").split())[:LONGEST_NAME] for side, texts in sides]
    return " / ".join(filter(None, names)) or pair.id


def _title(policy: Policy, key: str) -> str:
    if key == OVERALL:
        return "Overall"
    return policy.dimension(key).title if key in policy.keys else key


def _grade(grade: object) -> str:
    if not isinstance(grade, int):
        return "–"
    if grade == NOT_APPLICABLE:
        return "N/A"
    return str(grade) if grade >= 0 else "–"


def _interval(estimate: object) -> str:
    value, low, high = (getattr(estimate, name) for name in ("value", "low", "high"))
    if value is None:
        return "–"
    return f"{value:+.2f}" + (f" [{low:+.2f}, {high:+.2f}]" if low is not None else "")
