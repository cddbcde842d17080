"""The lower part of Compare: run A against run B, down to single pairs."""

from __future__ import annotations

import html

import pandas as pd
import streamlit as st

from workbench import charts, evaluation, markup, widgets
from workbench.comparing import RunComparison
from workbench.policy import OVERALL

SHOWN_FLIPS = 400
PART_NAMES = {
    "fixed": "fixed: A wrong, B right",
    "broken": "broken: A right, B wrong",
    "changed": "changed: both wrong",
}


def against(found: RunComparison) -> None:
    """Draw A against B: the answer in words, the deltas, then one dimension in depth."""
    titles = markup.titles(found.policy_b)
    st.markdown(verdict(found, titles))
    chart, deltas = st.columns([4, 7], gap="medium")
    ceilings = evaluation.human_agreement(widgets.workspace(), found.truth.golden, split=found.truth.split)
    with chart:
        st.plotly_chart(
            charts.dumbbells(
                found.comparisons,
                titles,
                f"A · v{found.a.policy_version}",
                f"B · v{found.b.policy_version}",
                {key: value.ceiling if value else None for key, value in ceilings.items()},
            ),
            key="dumbbells",
            config={"displayModeBar": False},
        )
    with deltas:
        st.html(delta_table(found, titles))
        if found.truth.overall_derived:
            st.caption(
                "Nobody labelled the overall grade; it follows from the settled dimensions by the newest rule."
            )
    key = widgets.pick(
        st.segmented_control,
        "Look into",
        list(found.comparisons),
        key="dimension",
        default=most_flips(found),
        format_func=titles.get,
    )
    if key in found.comparisons:
        depth(found, key, titles[key])


def verdict(found: RunComparison, titles: dict[str, str]) -> str:
    """Return the comparison in one or two sentences; only differences whose interval leaves 0 out count."""
    better, worse, noisy = [], [], []
    for key, comparison in found.comparisons.items():
        delta = comparison.delta.kappa_quadratic
        if delta.value is None or delta.low is None or delta.high is None:
            continue
        text = f"{titles[key]} ({markup.number(delta.value, signed=True)})"
        noise = found.noise_a.get(key)
        if noise is not None and abs(delta.value) <= noise:
            noisy.append(text)
        elif delta.low > 0:
            better.append(text)
        elif delta.high < 0:
            worse.append(text)
    parts = []
    if better:
        parts.append(f"**B agrees better** on {', '.join(better)}.")
    if worse:
        parts.append(f"**B agrees worse** on {', '.join(worse)}.")
    if not better and not worse:
        parts.append("**No clear difference**: every interval of B − A includes 0.")
    elif len(better) + len(worse) < len(found.comparisons):
        parts.append("No clear difference elsewhere.")
    if noisy:
        parts.append(f"Within the judge's own noise: {', '.join(noisy)}.")
    if found.policy_a.content_hash != found.policy_b.content_hash and found.a.policy == found.b.policy:
        judged = [titles[key] for key in found.judged]
        parts.append(
            f"The policy changed in {len(found.changes)} places, read by judges in: {', '.join(judged) or 'none'}."
        )
    return " ".join(parts)


def delta_table(found: RunComparison, titles: dict[str, str]) -> str:
    """Return the table of B − A for each dimension."""
    rows = []
    for key, c in found.comparisons.items():
        delta = c.delta.kappa_quadratic
        clear = delta.low is not None and delta.high is not None and (delta.low > 0 or delta.high < 0)
        text = markup.estimate(delta, signed=True)
        failed = f"{c.n_failed_a} / {c.n_failed_b}"
        rows.append(
            [
                html.escape(titles[key]),
                markup.number(c.a.kappa_quadratic.value),
                markup.number(c.b.kappa_quadratic.value),
                f"<b>{text}</b>" if clear else text,
                markup.estimate(c.delta.exact, signed=True),
                markup.number(c.p_holm, 3),
                f'<span class="wb-chip wb-fixed">{c.counts["fixed"]}</span> '
                f'<span class="wb-chip wb-broken">{c.counts["broken"]}</span> '
                f'<span class="wb-chip wb-chip-none">{c.counts["changed"]}</span>',
                str(c.n),
                failed if c.n_failed_a or c.n_failed_b else '<span class="wb-muted">0 / 0</span>',
            ]
        )
    return markup.table(
        [
            "",
            "κ A",
            "κ B",
            "Δκ",
            "Δ exact",
            '<span title="exact McNemar test on exact match, corrected over dimensions by Holm">p</span>',
            "fixed · broken · changed",
            '<span title="pairs graded by both runs and by people">n</span>',
            '<span title="labelled pairs without an answer, A / B">failed</span>',
        ],
        rows,
        numeric=range(1, 9),
    )


def most_flips(found: RunComparison) -> str:
    """Return the dimension with the most fixed and broken pairs, the overall grade left aside."""
    keys = [key for key in found.comparisons if key != OVERALL] or list(found.comparisons)
    return max(
        keys, key=lambda key: found.comparisons[key].counts["fixed"] + found.comparisons[key].counts["broken"]
    )


def depth(found: RunComparison, key: str, title: str) -> None:
    """Draw one dimension: both confusions, what the policy says anew, and the flips."""
    left, middle, right = st.columns([3, 3, 5], gap="medium")
    for column, side, name in ((left, found.agreements_a, "A"), (middle, found.agreements_b, "B")):
        with column:
            st.plotly_chart(
                charts.confusion(side[key], f"{name}: κ {markup.number(side[key].kappa_quadratic.value)}, "
                f"linear {markup.number(side[key].kappa_linear.value)}, bias {markup.number(side[key].bias.value, signed=True)}", dark=widgets.dark()),
                key=f"confusion_{name}",
                config={"displayModeBar": False},
            )  # fmt: skip
    with right:
        policy_changes(found, key, title)
    flips(found, key)


def policy_changes(found: RunComparison, key: str, title: str) -> None:
    """Draw what changed in the policy for this dimension."""
    section = "overall" if key == OVERALL else key
    mine = [c for c in found.changes if c.section == section]
    general = [c for c in found.changes if c.section in ("general", "document")]
    st.html(f'<div class="wb-eyebrow">policy changes: {html.escape(title)} ({len(mine)})</div>')
    if not mine and not general:
        st.caption("Both runs used the same rules here.")
        return
    with st.container(height=290, border=False):
        widgets.change_list([*mine, *general])


def flips(found: RunComparison, key: str) -> None:
    """Draw the flips as a table that can be opened, and the pair that is open."""
    frame = found.flips(key)
    st.html(f'<h3 style="font-size:1rem;font-weight:640;margin:6px 0 0">Flips ({len(frame)})</h3>')
    if frame.empty:
        st.caption("No pair changed its grade on this dimension.")
        return
    wanted = st.pills(
        "Show",
        list(PART_NAMES),
        selection_mode="multi",
        default=list(PART_NAMES),
        format_func=PART_NAMES.get,
        key="outcomes",
    )
    shown = frame[frame["outcome"].isin(wanted or list(PART_NAMES))].head(SHOWN_FLIPS)
    pairs = widgets.workspace().store.pairs(shown["pair_id"].tolist(), found.truth.golden)
    policy = found.policy_b
    first, second = policy.pair.query.fields[0], policy.pair.document.fields[0]
    view = pd.DataFrame(
        {
            "outcome": shown["outcome"].tolist(),
            policy.pair.query.name: [pairs[i].query.get(first, "") for i in shown["pair_id"]],
            policy.pair.document.name: [pairs[i].document.get(second, "") for i in shown["pair_id"]],
            "human": shown["human"].tolist(),
            "A": shown["a"].tolist(),
            "B": shown["b"].tolist(),
        }
    ).replace({-2: None, -1: None})
    state = st.dataframe(
        view,
        hide_index=True,
        height=min(38 + 35 * len(view), 330),
        on_select="rerun",
        selection_mode="single-row",
        key=f"flips_{key}_{found.a.id}_{found.b.id}",
        column_config={
            "human": st.column_config.NumberColumn(width="small", help="settled label"),
            "A": st.column_config.NumberColumn(width="small"),
            "B": st.column_config.NumberColumn(width="small"),
            "outcome": st.column_config.TextColumn(width="small"),
        },
    )
    picked = state.selection.rows
    if not picked:
        st.caption("Select a row to open the pair with its labels and both judgements.")
        return
    open_pair(found, str(shown["pair_id"].iloc[picked[0]]), key)


def open_pair(found: RunComparison, pair_id: str, key: str) -> None:
    """Draw one pair: texts, labels, and what A and B said of it."""
    story = evaluation.pair_story(widgets.workspace(), found.truth.golden, pair_id, [found.a.id, found.b.id])
    widgets.pair_panes(story.pair, found.policy_b)
    titles = markup.titles(found.policy_b)
    keys = [key, *(other for other in titles if other != key)]
    rows = []
    for name in keys:
        scale = found.policy_b.scale(name)
        mine = story.labels[story.labels["dimension"] == name]
        people = " ".join(
            markup.chip(int(row.grade), scale, f"{row.labeler}{': ' + row.note if row.note else ''}")
            for row in mine.itertuples()
        )
        sides = []
        for run, policy, grades in (
            (found.a, found.policy_a, found.grades_a),
            (found.b, found.policy_b, found.grades_b),
        ):
            if name == OVERALL:
                position = found.truth.pair_ids.index(pair_id)
                sides.append(
                    markup.chip(
                        int(grades[OVERALL][position]), scale, "from the dimension grades by the overall rule"
                    )
                )
            else:
                sides.append(markup.judgement(story.judgements[run.id].get(name), scale, policy))
        rows.append(
            [
                f"<b>{html.escape(titles[name])}</b>" if name == key else html.escape(titles[name]),
                f'<span class="wb-nowrap">{people or "–"}</span>',
                *sides,
            ]
        )
    st.html(
        markup.table(
            [
                "",
                "labels (hover for who)",
                f"A · {html.escape(found.a.label)}",
                f"B · {html.escape(found.b.label)}",
            ],
            rows,
        )
    )
