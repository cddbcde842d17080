"""The validation pairs that a training is furthest off on and nearest to, with what was wanted and what it said."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from workbench import markup, training_watch, widgets
from workbench.errors import WorkbenchError
from workbench.policy import Policy
from workbench.store import StoredJob

SHOWN = 20
WORST, BEST = "Worst first", "Best first"
FOLD = 140
"""Characters from which a field is folded."""


def draw(job: StoredJob) -> None:
    """Draw the pairs of the newest evaluation as a table."""
    try:
        found = training_watch.errors(job)
        store = widgets.workspace().store
        run = store.run(job.spec.payload["run_id"])
        policy = store.policy(run.policy, run.policy_version)
    except WorkbenchError as error:
        st.error(markup.problem(error))
        return
    if not found.rows:
        st.caption("Pairs appear after the first evaluation, where queries are kept for validation.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        order = widgets.pick(
            st.segmented_control, "Order", [WORST, BEST], key="pairs", label_visibility="collapsed"
        )
        st.caption(
            f"Evaluation after epoch {found.epoch}. Loss is the mean cross-entropy over the dimensions; "
            "the percentage is the probability that the model gave to what was wanted."
        )
    rows = found.rows[:SHOWN] if order == WORST else tuple(reversed(found.rows))[:SHOWN]
    st.html(
        markup.table(
            ["loss", policy.pair.query.name, policy.pair.document.name, "wanted and answered"],
            [row_of(row, policy) for row in rows],
            numeric=(0,),
        )
    )


def row_of(row: Mapping[str, Any], policy: Policy) -> list[str]:
    """Return one pair as a row of the table."""
    titles = markup.titles(policy) | {"@click": "Clicks"}
    said = []
    for key, answer in (row.get("dimensions") or {}).items():
        wanted, given = answer["target"], answer["answer"]
        mark = "" if level(wanted) == level(given) else " wb-broken"
        names = level_names(policy, key, len(wanted))
        learnt = "" if answer["from"] == "golden" else f", {answer['from']}"
        said.append(
            f'<div style="margin-bottom:3px" title="{html.escape(spread(names, wanted, given))}">'
            f'<span class="wb-muted">{html.escape(titles.get(key, key))}</span> '
            f'wanted <b>{names[level(wanted)]}</b>, <span class="wb-tag{mark}" style="font-size:inherit">'
            f"said <b>{names[level(given)]}</b></span> "
            f'<span class="wb-muted">{given[level(wanted)]:.0%}{html.escape(str(learnt))}</span></div>'
        )
    if click := row.get("click"):
        said.append(
            f'<div><span class="wb-muted">Clicks</span> {click["rate"]:.1%} of {click["shown"]:g}, '
            f"said <b>{click['answer']:.1%}</b></div>"
        )
    sides = [
        markup.pair_side(fields, side.fields, fold=FOLD)
        for fields, side in ((row["query"], policy.pair.query), (row["document"], policy.pair.document))
    ]
    return [f"{row['loss']:.2f}", *(f'<div class="wb-small">{side}</div>' for side in sides),
            f'<div class="wb-small" style="min-width:17rem">{"".join(said)}</div>']  # fmt: skip


def level(probabilities: Sequence[float]) -> int:
    """Return the place of the most likely level."""
    return max(range(len(probabilities)), key=probabilities.__getitem__)


def level_names(policy: Policy, key: str, count: int) -> list[str]:
    """Return the levels of a dimension as they are written; the last may be N/A."""
    known = [str(one.value) for d in policy.dimensions if d.key == key for one in d.levels]
    return [*known, "N/A"][:count] if len(known) in (count, count - 1) else [str(i) for i in range(count)]


def spread(names: Sequence[str], wanted: Sequence[float], given: Sequence[float]) -> str:
    """Return both distributions in words."""
    return ", ".join(f"{n}: {w:.0%} → {g:.0%}" for n, w, g in zip(names, wanted, given, strict=True))
