"""The Labelers section of the Golden set page: who labelled, how far people agree, over time, and with themselves."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import streamlit as st

from workbench import evaluation, labeler_charts, labeler_report, labelling, markup, widgets
from workbench.labeler_drift import LabelerDrift, SelfAgreement, Trend
from workbench.labelers import THE_REST, LabelerAgreement
from workbench.labelling import Figures
from workbench.policy import Policy

SHOWN_PAIRS_OF_LABELERS = 30
SHOWN_OVER_TIME = 8
SURE = 0.05
"""Corrected p below which a trend is named."""
SPLITS = {"all": "all pairs", "dev": "dev", "holdout": "holdout"}


def draw(found: Figures, policy: Policy) -> None:
    """Draw who labelled how much, how far people agree, whether any of them drifts, and self-agreement."""
    info = found.info
    progress = labelling.labeler_progress(widgets.workspace(), info.name)
    if progress.empty:
        widgets.empty("Nobody has labelled yet.", "Label pairs on the Label page, or import labels here.")
        return
    split = widgets.pick(
        st.segmented_control,
        "Pairs",
        list(SPLITS),
        key="split",
        format_func=SPLITS.get,
        label_visibility="collapsed",
    )
    human = evaluation.human_agreement(widgets.workspace(), info.name, split=split, working=True)
    titles = markup.titles(policy)
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.html('<div class="wb-eyebrow">agreement by dimension</div>' + agreement_table(human, titles))
        st.caption(
            "Ceiling: mean quadratic κ over each two labelers, weighted by shared pairs. α: Krippendorff, ordinal, all "
            "labelers at once. Intervals: 95 %, bootstrap over queries. n: pairs with two grades or more."
        )
    with right:
        rows = [
            [html.escape(str(x.labeler)), f"{x.pairs:,}", f"{x.finished:,}"]
            for x in progress.head(50).itertuples()
        ]
        more = f" · the first 50 of {len(progress):,}" if len(progress) > 50 else ""
        st.html(
            f'<div class="wb-eyebrow">labelers{more}</div>'
            + markup.table(["", "pairs", "answered in full"], rows, numeric=[1, 2])
        )
    if any(human.values()):
        st.html(
            '<div class="wb-eyebrow">each two labelers, and each against the rest</div>'
            + pair_table(human, titles)
        )
    over_time(info.name, split, human, titles)
    with_themselves(info.name, split, titles)


def agreement_table(human: Mapping[str, LabelerAgreement | None], titles: Mapping[str, str]) -> str:
    """Return n, ceiling and alpha of each dimension as a table."""
    rows = [
        [
            html.escape(titles[key]),
            f"{found.n:,}" if found else "0",
            markup.estimate(found.ceiling if found else None) if found else "– fewer than two labelers",
            markup.estimate(found.alpha if found else None),
        ]
        for key, found in human.items()
    ]
    return markup.table(["", "n", "ceiling κ", "α"], rows, numeric=[1, 2, 3])


def pair_table(human: Mapping[str, LabelerAgreement | None], titles: Mapping[str, str]) -> str:
    """Return κ of each two labelers, and of each against the rest, by dimension; those who shared most first."""
    cells: dict[tuple[str, str], dict[str, str]] = {}
    shared: dict[tuple[str, str], int] = {}
    for key, found in human.items():
        for two in (*found.pairwise, *found.against_rest) if found else ():
            who = (two.first, two.second)
            n = f'<div class="wb-muted wb-small">n {two.n:,}</div>'
            cells.setdefault(who, {})[key] = f"{markup.estimate(two.kappa)}{n}" if two.n else "–"
            shared[who] = shared.get(who, 0) + two.n
    order = sorted(cells, key=lambda who: (who[1] == THE_REST, -shared[who]))[:SHOWN_PAIRS_OF_LABELERS]
    rows = [
        [f"{html.escape(a)} · {html.escape(b)}", *(cells[a, b].get(key, "–") for key in human)]
        for a, b in order
    ]
    more = (
        f'<div class="wb-muted wb-small">The first {len(order)} of {len(cells):,}, those who share most pairs first.</div>'
        if len(cells) > len(order)
        else ""
    )
    heads = ["", *(html.escape(titles[key]) for key in human)]
    return markup.table(heads, rows, numeric=range(1, len(heads))) + more


def over_time(
    golden: str, split: str, human: Mapping[str, LabelerAgreement | None], titles: Mapping[str, str]
) -> None:
    """Draw each labeler against the rest over time, on one dimension, those with a trend first."""
    keys = [key for key, found in human.items() if found]
    if not keys:
        return
    widgets.section("Over time")
    dimension = widgets.pick(
        st.segmented_control,
        "Dimension",
        keys,
        key="over_time",
        format_func=titles.get,
        label_visibility="collapsed",
    )
    with st.spinner("Following labelers over time"):
        found = labeler_report.drift(widgets.workspace(), golden, dimension, split=split)
    ordered = sorted(found, key=lambda one: (least_p(one), -one.n))
    st.markdown(verdict(found))
    shown = [one for one in ordered if one.blocks][:SHOWN_OVER_TIME]
    left, right = st.columns([3, 2], gap="large")
    with left:
        if shown:
            st.plotly_chart(
                labeler_charts.drift(shown),
                key=f"drift|{golden}|{dimension}|{split}",
                config={"displayModeBar": False},
            )
        else:
            st.caption("No labeler has blocks to show; the table says why.")
    with right:
        st.html(trend_table(ordered))
    st.caption(
        "The rest: median of the other labelers. Blocks: equal parts of a labeler's own labels in the order of time, 20 or "
        "more each. Trends: Spearman's ρ of time, by query, with the distance from the rest and with the signed difference "
        "(shift). p: by permutation of queries, corrected over labelers and both trends (Holm). "
        "A trend is against the rest: where others drift, a steady labeler has one too."
    )


def least_p(one: LabelerDrift) -> float:
    """Return the smaller corrected p of both trends; 2 where neither was tested."""
    return min((p for p in (one.distance.p_holm, one.shift.p_holm) if p is not None), default=2.0)


def verdict(found: Sequence[LabelerDrift]) -> str:
    """Return in one sentence who drifts, as Markdown."""
    tested = [one for one in found if least_p(one) <= 1]
    if not tested:
        return "No labeler's work can be tested for a trend yet."
    said = []
    for one in tested:
        moves = [
            up if (trend.rho or 0) > 0 else down
            for trend, up, down in (
                (one.distance, "moves away from the rest", "comes nearer to the rest"),
                (one.shift, "grades higher and higher", "grades lower and lower"),
            )
            if trend.p_holm is not None and trend.p_holm < SURE
        ]
        if moves:
            said.append(f"**{markup.plain(one.labeler)}** {' and '.join(moves)}")
    tests = markup.several(len(tested), "labeler")
    if not said:
        return f"No trend over time: {tests} tested, none with p below {SURE}."
    return f"{len(said)} of {tests} with a trend: {'; '.join(said)}."


def trend_table(found: Sequence[LabelerDrift]) -> str:
    """Return each labeler's two trends, and why one has none."""
    rows = []
    for one in found[:SHOWN_PAIRS_OF_LABELERS]:
        notes = dict.fromkeys([one.reason or one.distance.reason, one.reason or one.shift.reason])
        small = "".join(f'<div class="wb-muted wb-small">{html.escape(note)}</div>' for note in notes if note)
        rows.append(
            [
                html.escape(one.labeler) + small,
                f"{one.n:,}",
                f"{one.distance.queries:,}",
                trend_cell(one.distance),
                trend_cell(one.shift),
            ]
        )
    return markup.table(["", "n", "queries", "distance ρ", "shift ρ"], rows, numeric=range(1, 5))


def trend_cell(trend: Trend) -> str:
    """Return a correlation with its corrected p."""
    if trend.p_holm is None:
        return '<span class="wb-muted">–</span>'
    p = f'<span class="wb-muted wb-small">p {trend.p_holm:.3f}</span>'
    return f"{markup.number(trend.rho, signed=True)}<br>{p}"


def with_themselves(golden: str, split: str, titles: Mapping[str, str]) -> None:
    """Draw how far labelers agree with their own earlier labels."""
    found = labeler_report.rechecks(widgets.workspace(), golden, split=split)
    widgets.section("Agreement with themselves")
    looked = {key: [one for one in people if one.n] for key, people in found.items()}
    if not any(looked.values()):
        st.caption(
            "Nobody has graded a pair a second time. A recheck queue on the Label page asks labelers for pairs that they "
            "have graded before."
        )
        return
    st.html(self_table(looked, titles))
    st.caption(
        "The first look at a pair against the second; a change within ten minutes is a correction of the same look. Outside "
        "a recheck queue an answer that repeats the one before is not kept, so that those pairs are all changes of mind: "
        "read these figures for labelers who worked through a recheck queue."
    )


def self_table(found: Mapping[str, Sequence[SelfAgreement]], titles: Mapping[str, str]) -> str:
    """Return exact agreement and kappa of each labeler with their own earlier labels, by dimension."""
    rows = [
        [
            html.escape(titles[key]),
            html.escape(one.labeler),
            f"{one.n:,}",
            markup.estimate(one.exact),
            markup.estimate(one.kappa),
            markup.number(one.days, 1),
        ]
        for key, people in found.items()
        for one in people
    ]
    return markup.table(["", "", "n", "exact", "κ", "days between"], rows, numeric=range(2, 6))
