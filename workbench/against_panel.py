"""Run A against run B: the answer in words, the differences, one dimension in depth, slices, what both took."""

from __future__ import annotations

import html

import streamlit as st

from workbench import charts, compare_charts, comparing, evaluation, markup, widgets
from workbench.agreement import Agreement, Comparison
from workbench.comparing import RunComparison
from workbench.policy import OVERALL

NO_SLICE = "all pairs"


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
    _slices(found, titles)
    _effort(found)


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
        noise = found.noise_a.get(key)
        if noise is not None and delta.value is not None and abs(delta.value) <= noise:
            text += f' <span class="wb-tag" title="A repeated by itself moves by up to {noise:.2f}">within noise</span>'
        failed = f"{c.n_failed_a} / {c.n_failed_b}"
        rows.append(
            [
                html.escape(titles[key]),
                markup.number(c.a.kappa_quadratic.value),
                markup.number(c.b.kappa_quadratic.value),
                f"<b>{text}</b>" if clear else text,
                markup.estimate(c.delta.exact, signed=True),
                markup.number(c.p_holm, 3),
                outcome_chips(c),
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


def outcome_chips(c: Comparison) -> str:
    """Return how many pairs were fixed, broken and changed, as chips."""
    return (
        f'<span class="wb-chip wb-fixed">{c.counts["fixed"]}</span> '
        f'<span class="wb-chip wb-broken">{c.counts["broken"]}</span> '
        f'<span class="wb-chip wb-chip-none">{c.counts["changed"]}</span>'
    )


def most_flips(found: RunComparison) -> str:
    """Return the dimension with the most fixed and broken pairs, the overall grade left aside."""
    keys = [key for key in found.comparisons if key != OVERALL] or list(found.comparisons)
    return max(
        keys, key=lambda key: found.comparisons[key].counts["fixed"] + found.comparisons[key].counts["broken"]
    )


def depth(found: RunComparison, key: str, title: str) -> None:
    """Draw one dimension: both confusions and their difference, recall and bias by level, what the policy says anew."""
    columns = st.columns(3, gap="medium")
    a, b = found.agreements_a[key], found.agreements_b[key]
    for column, side, name in ((columns[0], a, "A"), (columns[1], b, "B")):
        kappa = markup.number(side.kappa_quadratic.value)
        bias = markup.number(side.bias.value, signed=True)
        with column:
            st.plotly_chart(
                charts.confusion(side, f"{name}: κ {kappa}, bias {bias}", dark=widgets.dark()),
                key=f"confusion_{name}",
                config={"displayModeBar": False},
            )
    if a.levels == b.levels:
        with columns[2]:
            st.plotly_chart(
                compare_charts.confusion_difference(a, b, dark=widgets.dark()),
                key="confusion_difference",
                config={"displayModeBar": False},
            )
    left, right = st.columns([5, 6], gap="medium")
    with left:
        st.html(level_table(a, b))
        reliability = [
            [name, markup.estimate(getattr(a, field)), markup.estimate(getattr(b, field))]
            for name, field in (
                ("linear κ", "kappa_linear"),
                ("Krippendorff's α", "alpha"),
                ("Gwet's AC2", "ac2"),
            )
        ]
        st.html(markup.table(["reliability", "A", "B"], reliability, numeric=[1, 2]))
    with right:
        policy_changes(found, key, title)
    _power(found, key, title)


def level_table(a: Agreement, b: Agreement) -> str:
    """Return recall and bias at each human level, A beside B."""
    rows = [
        [
            str(level),
            markup.estimate(a.recall[level]) if level in a.recall else "–",
            markup.estimate(b.recall[level]),
            markup.estimate(a.bias_at[level], signed=True) if level in a.bias_at else "–",
            markup.estimate(b.bias_at[level], signed=True),
        ]
        for level in b.levels
    ]
    return markup.table(
        ["human level", "recall A", "recall B", "bias A", "bias B"], rows, numeric=range(1, 5)
    )


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


def _power(found: RunComparison, key: str, title: str) -> None:
    """Say what the set can tell about this difference."""
    power = comparing.power_of(found, key)
    if power.detects is None:
        st.caption(f"What this set can tell: {power.reason}")
        return
    said = f"This set detects a true difference of {power.detects:.3f} in {markup.plain(title)} (four times in five)"
    if power.more_pairs:
        said += (
            f"; about {power.more_pairs:,} more labelled pairs ({power.more_queries:,} queries) would detect "
            f"{power.target:.2f}"
        )
    st.caption(said + ".")


def _slices(found: RunComparison, titles: dict[str, str]) -> None:
    """Draw the difference slice by slice, with one correction over all of them."""
    version = max(found.a.golden_version, found.b.golden_version)
    fields = comparing.slice_fields(widgets.workspace(), found.truth.golden, version)
    if not fields:
        return
    with st.expander("By slice", icon=":material/pie_chart:"):
        field = widgets.pick(st.selectbox, "Field", list(fields), key="slice_by")
        keys = list(found.comparisons)
        key = widgets.pick(
            st.selectbox,
            "Dimension of the slices",
            keys,
            key="slice_dimension",
            default=keys[-1],
            format_func=titles.get,
        )
        rows = []
        for row in comparing.slices(widgets.workspace(), found, field):
            c = row.comparisons[key]
            delta = c.delta.kappa_quadratic
            clear = delta.low is not None and delta.high is not None and (delta.low > 0 or delta.high < 0)
            text = markup.estimate(delta, signed=True)
            rows.append(
                [
                    html.escape(row.value),
                    f"{row.pairs:,} / {row.queries:,}",
                    markup.number(c.a.kappa_quadratic.value),
                    markup.number(c.b.kappa_quadratic.value),
                    f"<b>{text}</b>" if clear else text,
                    markup.number(c.p_holm, 3),
                    outcome_chips(c),
                    str(c.n),
                ]
            )
        heads = [
            html.escape(field),
            "pairs / queries",
            "κ A",
            "κ B",
            "Δκ",
            "p",
            "fixed · broken · changed",
            "n",
        ]
        st.html(markup.table(heads, rows, numeric=range(1, 8)))
        st.caption("p: exact McNemar, corrected by Holm over all slices and dimensions together.")


def _effort(found: RunComparison) -> None:
    """Draw what both runs took for 1,000 pairs."""
    a, b = comparing.effort(found.a), comparing.effort(found.b)
    rows = []
    for name, unit in (
        ("usd", "cost"),
        ("seconds", "seconds"),
        ("input_tokens", "tokens in"),
        ("output_tokens", "tokens out"),
    ):
        pair = [getattr(side, name) for side in (a, b)]
        if any(value is not None for value in pair):
            rows.append([unit, *(_amount(name, value) for value in pair)])
    if rows:
        with st.expander("What both took, for 1,000 pairs", icon=":material/payments:"):
            st.html(markup.table(["", "A", "B"], rows, numeric=[1, 2]))
            st.caption("Answers from the verdict cache took nothing and are left out.")


def _amount(name: str, value: float | None) -> str:
    if value is None:
        return "unknown"
    return markup.money(value) if name == "usd" else f"{value:,.0f}" if value >= 10 else f"{value:,.1f}"


def several(found: list[RunComparison]) -> None:
    """Draw A against several: one row a run, differences with one correction over all of them."""
    titles = markup.titles(found[0].policy_b)
    rows = []
    for one in found:
        cells = [f"{html.escape(one.b.judge.name)} · v{one.b.policy_version}"]
        for key in titles:
            c = one.comparisons.get(key)
            if c is None:
                cells.append("–")
                continue
            delta = c.delta.kappa_quadratic
            clear = delta.low is not None and delta.high is not None and (delta.low > 0 or delta.high < 0)
            text = markup.estimate(delta, signed=True)
            cells.append(f"<b>{text}</b>" if clear else text)
        cells.append(
            " ".join(markup.number(c.p_holm, 3) for k, c in one.comparisons.items() if k == OVERALL) or "–"
        )
        rows.append(cells)
    heads = [
        f"B − A, A is {html.escape(found[0].a.label)}",
        *(html.escape(t) for t in titles.values()),
        "p overall",
    ]
    st.html(markup.table(heads, rows, numeric=range(1, len(heads))))
    st.caption(
        "Δ quadratic κ with paired 95 % intervals; bold where the interval leaves 0 out. p: exact McNemar of the overall "
        "grade, corrected by Holm over all runs and dimensions."
    )
