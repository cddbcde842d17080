"""What another overall rule would do, drawn: figures, agreement, what decides, and the pairs that change."""

from __future__ import annotations

import html

import numpy as np
import pandas as pd
import streamlit as st

from workbench import charts, markup, what_if_sources, widgets
from workbench.golden import NOT_APPLICABLE, NOT_GRADED
from workbench.policy import OVERALL, Body
from workbench.what_if import AgreementChange, WhatIf
from workbench.what_if_sources import Graded

SHOWN_PAIRS = 50
OPEN = "what_if_pair"
"""The open pair's name in the URL."""

_CODES = {NOT_APPLICABLE: "N/A", NOT_GRADED: "no grade"}


def figures(
    graded: Graded, found: WhatIf, agreement: AgreementChange | None, names: tuple[str, str]
) -> st.delta_generator.DeltaGenerator:
    """Draw how many pairs change and how agreement and levels move; return where the intervals are to appear.

    Args:
        agreement: with intervals, where they have been computed.
        names: what the two rules are called.
    """
    total = len(graded.pair_ids)
    parts = [(f"<b>{len(found.changed):,}</b>", f"of {markup.several(total, 'dev pair')} change")]
    if found.fixed is not None and found.broken is not None:
        parts += [
            (f'<b class="wb-chip wb-fixed">{len(found.fixed):,}</b>', "fixed"),
            (f'<b class="wb-chip wb-broken">{len(found.broken):,}</b>', "broken"),
        ]
    st.html(
        f'<div class="wb-figures">{"".join(f"<div>{b}<span>{text}</span></div>" for b, text in parts)}</div>'
    )
    place = st.empty()
    if found.agreement is not None:
        place.html(agreement_table(agreement or found.agreement, names))
    st.caption(" ".join(cautions(graded, found)))
    bars = {level: str(level) for level in max(found.before.scale, found.after.scale, key=len)}
    counts = found.before.counts, found.after.counts
    bars |= {code: name for code, name in _CODES.items() if any(side.get(code) for side in counts)}
    st.plotly_chart(
        charts.before_after(*counts, bars, *names), key="what_if_bars", config={"displayModeBar": False}
    )
    return place


def agreement_table(change: AgreementChange, names: tuple[str, str]) -> str:
    """Return agreement under both rules and the difference as an HTML table."""
    rows = []
    for name, title in (
        ("kappa_quadratic", "quadratic κ"),
        ("kappa_linear", "linear κ"),
        ("exact", "exact"),
    ):
        before, after, delta = (getattr(side, name) for side in (change.before, change.after, change.delta))
        rows.append(
            [
                title,
                f'<span title="{html.escape(before.reason)}">{markup.number(before.value)}</span>',
                f'<span title="{html.escape(after.reason)}">{markup.number(after.value)}</span>',
                markup.estimate(delta, signed=True),
            ]
        )
    headers = [
        f'<span title="pairs with a grade under both rules and a label">n {change.n:,}</span>',
        *map(html.escape, names),
        "difference [95 %]",
    ]
    return markup.table(headers, rows, numeric=[1, 2, 3])


def cautions(graded: Graded, found: WhatIf) -> list[str]:
    """Return the sentences that keep a reader from taking the figures for more than they are."""
    if not graded.derived:
        said = [
            "Labels are the overall grades that people gave. A rule moved until κ rises fits these dev pairs; only "
            "the holdout tells whether it holds."
        ]
    elif graded.labels is not None:
        said = [
            "Nobody labelled the overall grade: the label is what the same rule makes of people's dimension grades, "
            "so it moves with the sliders. A higher κ says that the judge is nearer to people under that rule, not "
            "that the rule is better."
        ]
    else:
        said = [
            "Nobody labelled the overall grade, and these are people's own dimension grades: there is no agreement "
            "to measure, and nothing here says which rule is right."
        ]
    if found.agreement is None and graded.labels is not None:
        said.append(f"{found.no_agreement} Grades on two scales are not compared with one label.")
    if graded.missing:
        names = ", ".join(graded.missing)
        said.append(f"No grades for {names} on the draft's levels: taken as not applicable to any pair.")
    left_out = len(graded.pair_ids) - found.n_graded
    if left_out:
        said.append(f"{markup.several(left_out, 'pair')} without a grade on some dimension get none overall.")
    if graded.sample:
        said.append("Sample: texts and labels were written for the project.")
    return said


def deciders(after: Body, found: WhatIf) -> None:
    """Draw how many pairs each weight and each gate decides under the rule that is tried."""
    left, right = st.columns(2, gap="medium")
    if after.overall.combine == "weighted_mean":
        weights = [[html.escape(d.title), f"{found.contributions[d.key]:,}"] for d in after.dimensions]
        tip = "pairs that would change if the weight were 0"
        left.html(markup.table(["weight of", f'<span title="{tip}">decides</span>'], weights, numeric=[1]))
    gates = [
        [
            f"<code>{html.escape(gate.when)}</code> "
            + (f"at most {gate.at_most}" if gate.at_most is not None else f"at least {gate.at_least}"),
            f"{found.after.gates[gate.id]:,}",
        ]
        for gate in after.overall.gates
    ]
    tip = "pairs whose grade the gate moves, after the gates above it"
    if gates:
        right.html(markup.table(["gate", f'<span title="{tip}">moves</span>'], gates, numeric=[1]))


def changed_pairs(body: Body, graded: Graded, found: WhatIf) -> None:
    """Draw the pairs that change as a table that can be opened, broken ones first, and the pair that is open."""
    order, outcomes = ranked(found)
    more = f", the first {SHOWN_PAIRS} of them" if len(order) > SHOWN_PAIRS else ""
    widgets.section(f"Pairs that change ({len(order):,}{more})")
    shown = order[:SHOWN_PAIRS]
    ids = [graded.pair_ids[position] for position in shown]
    if ids:
        opened = widgets.open_row(
            pair_rows(body, graded, found, shown.tolist(), outcomes[:SHOWN_PAIRS]), ids, OPEN, paged=True,
            height=min(38 + 35 * len(ids), 300),
        )  # fmt: skip
    else:
        st.caption("None.")
        opened = st.query_params.get(OPEN)
    if opened is None or opened not in graded.pair_ids:  # one from elsewhere may be from the holdout
        return
    if opened not in ids:
        st.button("Close this pair", type="tertiary", icon=":material/close:", on_click=_close)
    open_pair(body, graded, found, graded.pair_ids.index(opened))


def ranked(found: WhatIf) -> tuple[np.ndarray, list[str]]:
    """Return the positions of pairs that change and what becomes of each, broken first, then by distance.

    Labels that move with the rule can fix or break a pair whose grade stays; such a pair is among them.
    """
    nothing = np.array([], dtype=np.int_)
    broken, fixed = (nothing if part is None else part for part in (found.broken, found.fixed))
    other = np.setdiff1d(found.changed, np.concatenate([broken, fixed]))
    parts = {"broken": broken, "fixed": fixed, "changed": other}
    far = np.abs(found.after.grades - found.before.grades)
    ordered = [part[np.argsort(-far[part], kind="stable")] for part in parts.values()]
    names = [name for name, part in parts.items() for _ in range(len(part))]
    return np.concatenate(ordered), names


def pair_rows(
    body: Body, graded: Graded, found: WhatIf, positions: list[int], outcomes: list[str]
) -> pd.DataFrame:
    """Return the table of changed pairs: first fields of both sides, grades and label."""
    pairs = what_if_sources.pairs(widgets.workspace(), graded, positions)
    query, document = body.pair.query, body.pair.document
    columns: dict[str, list[str]] = {
        "outcome": outcomes,
        "before": [_said(found.before.grades[i]) for i in positions],
        "after": [_said(found.after.grades[i]) for i in positions],
    }
    if found.before.labels is not None and found.after.labels is not None:
        labels = [(_said(found.before.labels[i]), _said(found.after.labels[i])) for i in positions]
        columns["label"] = [a if a == b else f"{a} → {b}" for a, b in labels]
    # Texts last: they may be wider than the page.
    columns[query.name] = [pair.query.get(query.fields[0], "") for pair in pairs]
    columns[document.name] = [pair.document.get(document.fields[0], "") for pair in pairs]
    return pd.DataFrame(columns)


def open_pair(body: Body, graded: Graded, found: WhatIf, position: int) -> None:
    """Draw one pair: what each rule makes of it, its dimension grades as chips, its texts."""
    grades = graded.pair_grades(position)
    titles = markup.titles(body)
    chips = [
        f'<span class="wb-nowrap">{html.escape(titles[d.key])} '
        f"{markup.chip(grades[d.key], d.scale, markup.level_hint(body, d.key, grades[d.key]))}</span>"
        for d in body.dimensions
    ]
    before, after = found.before, found.after
    sides = [("before", before.grades, before.scale), ("after", after.grades, after.scale)]
    if before.labels is not None and after.labels is not None:
        if before.labels[position] == after.labels[position]:
            sides.append(("label", after.labels, after.scale))
        else:  # labels that move with the rule
            sides.insert(1, ("label before", before.labels, before.scale))
            sides.append(("label after", after.labels, after.scale))
    overall = [
        f'<span class="wb-nowrap">{titles[OVERALL] if i == 0 else ""} {name} '
        f"{markup.chip(int(grades_of[position]), scale)}</span>"
        for i, (name, grades_of, scale) in enumerate(sides)
    ]
    lines = (
        f'<div style="display:flex;flex-wrap:wrap;gap:6px 18px">{"".join(x)}</div>' for x in (overall, chips)
    )
    st.html("".join(lines))
    widgets.pair_panes(what_if_sources.pairs(widgets.workspace(), graded, [position])[0], body)


def _close() -> None:
    st.query_params.pop(OPEN, None)


def _said(grade: int) -> str:
    return _CODES.get(int(grade), str(grade))
