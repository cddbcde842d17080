"""The Snapshots section of the Golden set page: what changed between two of them, and each pair that changed."""

from __future__ import annotations

import html
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from workbench import golden_history, markup, widgets
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, UNRATEABLE, ConsensusRule, Pair
from workbench.golden_diff import SnapshotDiff
from workbench.labelling import Figures
from workbench.policy import OVERALL, Policy
from workbench.workspace import Workspace

SHOWN_CHANGES = 500
SHOWN_PAIRS = 50
_CODES = {NOT_GRADED: "not settled", NOT_APPLICABLE: "N/A", UNRATEABLE: "unrateable"}


def draw(found: Figures, policy: Policy) -> None:
    """Draw the choice of two snapshots and the difference between them."""
    versions = [x.version for x in found.snapshots]
    if len(versions) < 2:
        widgets.empty(
            "There is nothing to compare yet.", "A set with two published snapshots has a difference."
        )
        return
    named = {x.version: f"v{x.version} · {x.published_at:%d %b %Y} · {x.message}" for x in found.snapshots}
    left, right = st.columns(2, gap="large")
    with left:
        before = widgets.pick(
            st.selectbox, "From", versions[1:], key="from", format_func=named.get, default=versions[1]
        )
    later = [version for version in versions if version > before]
    with right:
        after = widgets.pick(st.selectbox, "To", later, key="to", format_func=named.get, default=later[0])
    diff = difference(widgets.workspace(), found.info.name, before, after, found.info.consensus)
    counts(diff)
    if diff.nothing:
        return
    if diff.breaches:
        st.error(
            f"{markup.several(len(diff.breaches), 'pair')} moved into or out of the holdout. What was seen in dev "
            "is no holdout any more: figures on this holdout are not comparable with earlier ones.",
            icon=":material/gpp_bad:",
        )
    grades, labels = st.columns([3, 2], gap="large")
    with grades:
        transitions(diff, policy)
    with labels:
        label_counts(diff, policy)
    changed(diff, policy, found.info.name)
    for title, pairs in (("Pairs added", diff.added), ("Pairs removed", diff.removed)):
        if pairs:
            with st.expander(f"{title} ({len(pairs):,})"):
                pair_list(pairs, policy)


@st.cache_data(max_entries=8, show_spinner="Comparing the snapshots")
def difference(
    _workspace: Workspace, golden: str, before: int, after: int, rule: ConsensusRule
) -> SnapshotDiff:
    """Return the difference between two snapshots; they never change, so that it is computed once."""
    return golden_history.snapshot_diff(_workspace, golden, before, after)


def counts(diff: SnapshotDiff) -> None:
    """Draw the difference as one line of figures."""
    if diff.nothing:
        st.caption(f"{diff.before} and {diff.after} hold the same pairs, splits and labels.")
        return
    parts = [
        f"{len(diff.added):+,} / −{len(diff.removed):,} pairs",
        f"{sum(diff.labels_added.values()):+,} / −{sum(diff.labels_removed.values()):,} labels",
        f"{markup.several(len(diff.changes), 'settled grade')} changed over "
        f"{markup.several(diff.compared, 'pair')} in both",
    ]
    st.markdown("**" + markup.plain(" · ".join(parts)) + "**")
    people = ", ".join(diff.new_labelers)
    asides = [f"New labelers: {people}."] if people else []
    moved = len(diff.moves) - len(diff.breaches)
    asides += [f"{markup.several(moved, 'pair')} changed split."] if moved else []
    asides += [f"{markup.several(len(diff.reworded), 'pair')} changed facts."] if diff.reworded else []
    if asides:
        st.caption(markup.plain(" ".join(asides)))


def scale_of(policy: Policy, dimension: str) -> Sequence[int]:
    """Return a dimension's levels; none for one that today's policy does not have."""
    return policy.scale(dimension) if dimension in (*policy.keys, OVERALL) else ()


def transitions(diff: SnapshotDiff, policy: Policy) -> None:
    """Draw from which grade to which how many pairs went, by dimension."""
    st.html('<div class="wb-eyebrow">settled grades</div>')
    titles = markup.titles(policy)
    rows = []
    for dimension in dict.fromkeys(change.dimension for change in diff.changes):
        scale = scale_of(policy, dimension)
        steps = [
            f"{markup.chip(old, scale, _CODES.get(old, ''))} → {markup.chip(new, scale, _CODES.get(new, ''))} "
            f'<span class="wb-muted">{count:,}</span>'
            for (old, new), count in diff.transitions(dimension).items()
        ]
        total = sum(diff.transitions(dimension).values())
        cells = f'<div style="display:flex;flex-wrap:wrap;gap:4px 16px">{"".join(f"<span>{x}</span>" for x in steps)}</div>'
        rows.append([html.escape(titles.get(dimension, dimension)), f"{total:,}", cells])
    if rows:
        st.html(markup.table(["", "changed", "from → to"], rows, numeric=[1]))
    else:
        st.caption("No settled grade changed.")


def label_counts(diff: SnapshotDiff, policy: Policy) -> None:
    """Draw how many labels came and went, by dimension."""
    st.html('<div class="wb-eyebrow">labels</div>')
    titles = markup.titles(policy)
    keys = list(dict.fromkeys([*titles, *diff.labels_added, *diff.labels_removed]))
    rows = [
        [html.escape(titles.get(key, key)), f"{added:,}", f"{removed:,}"]
        for key in keys
        if (added := diff.labels_added.get(key, 0)) + (removed := diff.labels_removed.get(key, 0))
    ]
    if rows:
        st.html(markup.table(["", "added", "gone"], rows, numeric=[1, 2]))
    else:
        st.caption("The labels are the same.")


def changed(diff: SnapshotDiff, policy: Policy, golden: str) -> None:
    """Draw the pairs whose settled grades changed as rows that open."""
    ids = list(dict.fromkeys(change.pair_id for change in diff.changes))[:SHOWN_CHANGES]
    if not ids:
        return
    st.html('<div class="wb-eyebrow">changed pairs</div>')
    pairs = widgets.workspace().store.pairs(ids, golden)
    by_pair: dict[str, dict[str, str]] = {pair_id: {} for pair_id in ids}
    titles = markup.titles(policy)
    for change in diff.changes:
        if change.pair_id in by_pair:
            step = f"{_name(change.before)} → {_name(change.after)}"
            by_pair[change.pair_id][titles.get(change.dimension, change.dimension)] = step
    view = pd.DataFrame(
        [
            {
                policy.pair.query.name: first(pairs[pair_id].query, policy.pair.query.fields),
                policy.pair.document.name: first(pairs[pair_id].document, policy.pair.document.fields),
                **by_pair[pair_id],
            }
            for pair_id in ids
        ]
    ).fillna("")
    opened = widgets.open_row(view, ids, "changed")
    more = len({change.pair_id for change in diff.changes}) - len(ids)
    if more > 0:
        st.caption(f"The first {len(ids):,}; {more:,} more.")
    if opened:
        widgets.pair_panes(pairs[opened], policy)


def pair_list(pairs: Sequence[Pair], policy: Policy) -> None:
    """Draw the first few pairs as a table."""
    rows = [
        [
            html.escape(first(pair.query, policy.pair.query.fields)),
            html.escape(first(pair.document, policy.pair.document.fields)),
        ]
        for pair in pairs[:SHOWN_PAIRS]
    ]
    heads = [html.escape(policy.pair.query.name), html.escape(policy.pair.document.name)]
    st.html(markup.table(heads, rows))
    if len(pairs) > len(rows):
        st.caption(f"and {len(pairs) - len(rows):,} more")


def first(fields: dict[str, str], order: Sequence[str]) -> str:
    """Return the first filled field of a side, cut to one line."""
    text = next((fields[name] for name in order if fields.get(name)), "")
    return text[:90] + (" …" if len(text) > 90 else "")


def _name(grade: int) -> str:
    return _CODES.get(grade, str(grade))
