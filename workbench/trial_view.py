"""What a trial says, as HTML for a narrow column: one pair in full, or what changed over many."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from functools import lru_cache

from workbench import markup
from workbench.golden import NOT_GRADED, Pair
from workbench.policy import OVERALL, Layout
from workbench.trial_outcome import Figures, Kind, Outcome, figures, outcomes
from workbench.trials import Side, Trial

SIDES: tuple[Side, ...] = ("published", "draft")
MARKS: dict[Kind, str] = {
    "fixed": '<span class="wb-tag wb-fixed">fixed</span>',
    "broken": '<span class="wb-tag wb-broken">broken</span>',
    "changed": '<span class="wb-tag">changed</span>',
}


def pair_name(pair: Pair, length: int = 38) -> str:
    """Return a pair in a few words: the first text of each side."""
    sides = (
        [text.strip() for text in fields.values() if text.strip()] for fields in (pair.query, pair.document)
    )
    first = (" ".join(texts[0].split()) if texts else "–" for texts in sides)
    return " → ".join(text if len(text) <= length else text[: length - 1] + "…" for text in first)


def pair_texts(pair: Pair, layout: Layout) -> str:
    """Return both sides of a pair, folded."""
    sides = markup.pair_side(pair.query, layout.query.fields) + markup.pair_side(
        pair.document, layout.document.fields
    )
    return _folded("The texts of the pair", f'<div class="wb-side" style="margin:8px 0">{sides}</div>')


@lru_cache(maxsize=8)
def one_pair(trial: Trial, index: int, focus: str) -> str:
    """Return a pair's grades, the published side beside the draft's: overall, the focus and what changed; then the rest.

    Args:
        focus: the dimension being edited; it is never folded.
    """
    found = outcomes(trial)
    kinds = {o.key: o.changed[index] for o in found if index in o.changed}
    same = [o.key for o in found if o.shared and o.key not in kinds and _answered(trial, index, o.key)]
    rest = [key for key in same if key not in (OVERALL, focus)]
    # The answer first, then what is being worked on, then the policy's order.
    shown = sorted(
        (o.key for o in found if o.key not in rest), key=lambda key: (key != OVERALL, key != focus)
    )
    table = _grades_table(trial, index, shown, kinds)
    if not rest:
        return table
    folded = _grades_table(trial, index, rest, kinds)
    return f"{table}{_folded(f'The other {_dimensions(rest)}: same grades', folded)}"


def _answered(trial: Trial, index: int, key: str) -> bool:
    """Whether both sides gave an answer."""
    return all(trial.grades(side)[key][index] != NOT_GRADED for side in SIDES)


def _grades_table(trial: Trial, index: int, keys: Sequence[str], kinds: Mapping[str, Kind]) -> str:
    titles = _titles(trial)
    head = ["", "label", *([f"published v{trial.published.version}"] if trial.published else []), "draft"]
    rows = []
    for key in keys:
        cells = [
            f"{html.escape(titles[key])}<br>{MARKS[kinds[key]]}"
            if key in kinds
            else html.escape(titles[key]),
            _label(trial, index, key),
        ]
        if trial.published:
            cells.append(_answer(trial, index, key, "published"))
        rows.append([*cells, _answer(trial, index, key, "draft") + _cites(trial, index, key)])
    return markup.table(head, rows)


def _label(trial: Trial, index: int, key: str) -> str:
    policy = trial.draft if key == OVERALL or key in trial.draft.keys else trial.published
    grade = int(trial.human[key][index])
    hint = "nobody labelled it" if grade == NOT_GRADED else ""
    if key == OVERALL and trial.overall_derived and not hint:
        hint = "follows from the labels of the dimensions"
    return markup.chip(grade, policy.scale(key) if policy else (), hint)


def _answer(trial: Trial, index: int, key: str, side: Side) -> str:
    policy, pair_id = trial.policy(side), trial.pairs[index].id
    if policy is None or (key != OVERALL and key not in policy.keys):
        return '<span class="wb-muted wb-small">no such dimension</span>'
    if pair_id not in trial.verdicts[side]:
        return '<span class="wb-muted wb-small">not graded</span>'
    if key == OVERALL:
        return markup.chip(int(trial.grades(side)[OVERALL][index]), policy.scale(key), "by the overall rule")
    return markup.judgement(trial.judgement(side, pair_id, key), policy.scale(key), policy)


def _cites(trial: Trial, index: int, key: str) -> str:
    """Return which rules only one side cites; the citations themselves are part of the answers."""
    pair_id = trial.pairs[index].id
    before, after = (trial.judgement(side, pair_id, key) for side in SIDES)
    if before is None or after is None or before.failed or after.failed:
        return ""
    new = [f"+{cited}" for cited in after.cites if cited not in before.cites]
    gone = [f"−{cited}" for cited in before.cites if cited not in after.cites]
    said = html.escape(" ".join([*new, *gone]))
    return (
        f'<div class="wb-muted wb-small" title="rules that only one side cites">{said}</div>' if said else ""
    )


@lru_cache(maxsize=8)
def summary(trial: Trial, focus: str) -> str:
    """Return a table of what changed, and of agreement with the labels: overall, the focus, what changed; the rest."""
    titles, found, said = _titles(trial), outcomes(trial), figures(trial)
    shown = [o for o in found if o.key in (OVERALL, focus) or o.changed or not o.shared]
    shown.sort(key=lambda o: (o.key != OVERALL, o.key != focus))
    rest = [o for o in found if o not in shown]
    head = ["", "grades", "exact agreement", "κ, quadratic"]
    table = markup.table(head, [_row(o, said[o.key], titles[o.key]) for o in shown])
    if not rest:
        return table
    folded = markup.table(head, [_row(o, said[o.key], titles[o.key]) for o in rest])
    return f"{table}{_folded(f'The other {_dimensions(rest)}: no grade changed', folded)}"


def _row(found: Outcome, said: Figures, title: str) -> list[str]:
    name = f'{html.escape(title)}<div class="wb-muted wb-small">n = {said.n}</div>'
    if not found.shared:
        grades = '<span class="wb-muted wb-small">nothing to compare</span>'
    elif not found.changed:
        grades = f'<span class="wb-muted wb-small">{"none changed" if found.both else "–"}</span>'
    else:
        parts = (f"{MARKS[kind]} {found.count(kind)}" for kind in MARKS if found.count(kind))
        grades = "<br>".join(f'<span class="wb-nowrap">{part}</span>' for part in parts)
    return [name, grades, _statistic(said, "exact"), _statistic(said, "kappa_quadratic")]


def _statistic(said: Figures, name: str) -> str:
    """Return a statistic before and after, and the difference with its paired interval; one line where all is equal."""
    before, after = (
        [markup.estimate(getattr(side, name))] if side else [] for side in (said.before, said.after)
    )
    if before == after:
        return f'<span class="wb-nowrap">{after[0]}</span>' if after else ""
    lines = [*before, *(f"→ {text}" if before else text for text in after)]
    if said.delta:
        change = markup.estimate(getattr(said.delta, name), signed=True)
        lines.append(f'<b title="draft less published, paired">Δ</b> {change}')
    return "<br>".join(f'<span class="wb-nowrap">{line}</span>' for line in lines)


def _folded(title: str, body: str) -> str:
    return f'<details class="wb-small"><summary style="cursor:pointer">{title}</summary>{body}</details>'


def _dimensions(some: Sequence[object]) -> str:
    return "dimension" if len(some) == 1 else f"{len(some)} dimensions"


@lru_cache(maxsize=8)
def changed_pairs(trial: Trial, focus: str) -> str:
    """Return the pairs with a changed grade, each to be opened: those whose overall grade changed first."""
    found = outcomes(trial)
    moved: dict[int, list[Outcome]] = {}
    for outcome in found:
        for index in outcome.changed:
            moved.setdefault(index, []).append(outcome)
    order = sorted(moved, key=lambda i: (moved[i][0].key != OVERALL, -len(moved[i]), i))
    return "".join(_changed_pair(trial, index, moved[index], focus) for index in order)


def _changed_pair(trial: Trial, index: int, moved: Sequence[Outcome], focus: str) -> str:
    titles, pair = _titles(trial), trial.pairs[index]
    before, after = trial.grades("published"), trial.grades("draft")
    steps = []
    for outcome in moved:
        scale, kind = trial.draft.scale(outcome.key), outcome.changed[index]
        old, new = (markup.chip(int(side[outcome.key][index]), scale) for side in (before, after))
        steps.append(
            f'<span class="wb-nowrap">{html.escape(titles[outcome.key])} {old} → {new} {MARKS[kind]}</span>'
        )
    return (
        f'<details style="padding:6px 0;border-bottom:1px solid rgba(128,128,128,.16)">'
        f'<summary style="cursor:pointer">{html.escape(pair_name(pair))}<div class="wb-small">{" · ".join(steps)}</div></summary>'
        f'<div style="margin:8px 0 8px 12px">{one_pair(trial, index, focus)}{pair_texts(pair, trial.draft.pair)}</div></details>'
    )


def _titles(trial: Trial) -> dict[str, str]:
    gone = markup.titles(trial.published) if trial.published else {}
    return gone | markup.titles(trial.draft)
