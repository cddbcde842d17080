"""A judge's quality on a page: whether its probabilities are true, whether it agrees with itself, what quality costs."""

from __future__ import annotations

import html

import streamlit as st

from workbench import markup, quality_charts, widgets
from workbench.calibration import Method, Temperature
from workbench.errors import WorkbenchError
from workbench.judge_quality import AfterMap, CalibrationReport, SelfAgreement, calibration_of, self_agreement
from workbench.policy import OVERALL
from workbench.quality_cost import QualityCost, quality_cost
from workbench.resampling import Estimate
from workbench.run import Run

METHOD_NAMES: dict[Method, str] = {"temperature": "temperature", "isotonic": "isotonic"}


# Calibration


def draw_calibration(run: Run, *, prefix: str = "calibration") -> None:
    """Draw how true a run's probabilities are on dev, before and after calibration.

    Args:
        prefix: of the widgets' keys, different for each run that is drawn on one page.
    """
    space = widgets.workspace()
    try:
        reports = calibration_of(space, run)
        titles = markup.titles(space.store.policy(run.policy, run.policy_version))
    except WorkbenchError as error:
        st.error(markup.problem(error))
        return
    shown = [key for key, report in reports.items() if report.n]
    if not shown:
        reasons = dict.fromkeys(report.reason for report in reports.values())
        widgets.empty("Nobody knows how true its probabilities are.", markup.plain(" ".join(reasons)))
        return
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        key = widgets.pick(
            st.selectbox, "Dimension", shown, key=f"{prefix}_dimension", format_func=lambda k: titles[k]
        )
    with right:
        method: Method = widgets.pick(
            st.segmented_control, "Calibrated by", list(METHOD_NAMES), key=f"{prefix}_method",
            format_func=lambda name: METHOD_NAMES[name],
        )  # fmt: skip
    report = reports[key]
    way = report.by[method]
    if run.judge.kind == "calibrated":
        st.caption(
            "This run is calibrated already: “as it says” is after that, and another map seldom helps."
        )
    st.html(f'<div style="margin:2px 0 6px">{html.escape(calibration_words(way))}</div>')
    curves = {"as it says": report.before.reliability}
    if way.after is not None:
        curves["calibrated"] = way.after.reliability
    chart, reading = st.columns([2, 1], gap="medium")
    chart.plotly_chart(quality_charts.reliability(curves), key=f"{prefix}_curve")
    reading.caption(
        "Points on the dotted line are true: of the pairs to which the judge gives a level with 0.8, 8 of 10 have it. Below "
        "the line it is surer than it is right. Each point is about as many pairs; its bar is the 95 % interval over "
        "queries. Every pair is calibrated by a map that saw no label of its query."
    )
    st.html(calibration_table({titles[name]: found for name, found in reports.items()}, method))
    st.caption(
        "The calibration error (ECE) is above 0 by chance alone; “by chance” is what it would be if all probabilities were "
        "true. Whether a map helps is told by the ranked probability score (RPS) and the log loss: a change below 0 is "
        "better."
    )


def calibration_words(way: AfterMap) -> str:
    """Return in a sentence what a map does and whether it helps."""
    if way.change is None:
        return f"Not calibrated. {way.reason}"
    moved = way.change.log_loss
    if moved.value is None or moved.low is None or moved.high is None:
        helps = "whether it helps cannot be said"
    elif moved.high < 0:
        helps = "its probabilities become truer"
    elif moved.low > 0:
        helps = "its probabilities become less true, so leave it as it is"
    else:
        helps = "no clear difference"
    if isinstance(way.map, Temperature):
        does = "less sure" if way.map.t > 1 else "surer"
        return f"Temperature {way.map.t:.2f} makes it {does}: {helps}."
    return f"Isotonic curves: {helps}."


def calibration_table(reports: dict[str, CalibrationReport], method: Method) -> str:
    """Return calibration error and proper scores of every dimension; names are its title."""
    rows = []
    for title, report in reports.items():
        way, before = report.by[method], report.before
        note = report.reason or way.reason
        small = f'<div class="wb-muted wb-small">{html.escape(note)}</div>' if note else ""
        rows.append(
            [
                html.escape(title) + small,
                f"{report.n:,}",
                markup.estimate(before.reliability.ece),
                markup.number(before.reliability.ece_by_chance),
                markup.estimate(way.after.reliability.ece if way.after else None),
                markup.number(before.rps.value, 3),
                _change(way.change.rps if way.change else None),
                markup.number(before.log_loss.value, 3),
                _change(way.change.log_loss if way.change else None),
            ]
        )
    heads = ["", "n", "ECE", "by chance", "calibrated", "RPS", "change", "log loss", "change"]
    return markup.table(heads, rows, numeric=range(1, 9))


def _change(found: Estimate | None) -> str:
    """Return a change of a score to three digits: they are small."""
    if found is None or found.value is None:
        return markup.estimate(found)
    text = markup.number(found.value, 3, signed=True)
    if found.low is None:
        return text
    bounds = f"{markup.number(found.low, 3, signed=True)}, {markup.number(found.high, 3, signed=True)}"
    return f'{text} <span class="wb-interval">[{bounds}]</span>'


# Self-agreement


def draw_self_agreement(run: Run) -> None:
    """Draw how far the judge of a run says the same when it is asked again."""
    space = widgets.workspace()
    try:
        found = self_agreement(space, run)
        titles = markup.titles(space.store.policy(run.policy, run.policy_version))
    except WorkbenchError as error:
        st.error(markup.problem(error))
        return
    known = [one for one in found.values() if one.n]
    if not known:
        reasons = dict.fromkeys(one.reason for key, one in found.items() if key != OVERALL)
        widgets.empty("Nobody asked this judge twice.", markup.plain(" ".join(reasons)))
        return
    st.html(self_table({titles[key]: one for key, one in found.items()}))
    first = known[0]
    where = (
        f"{first.repeats} runs that differ in the repeat index"
        if first.source == "runs"
        else f"the {first.repeats} answers that it draws to each question, of those that name a level"
    )
    st.caption(f"Any two answers about a dev pair are compared, from {where}.")


def self_table(found: dict[str, SelfAgreement]) -> str:
    """Return the share of equal answers and their kappa, one row a dimension; names are its title."""
    rows = [
        [html.escape(title), f"{one.n:,}", markup.estimate(one.equal), markup.estimate(one.kappa)]
        for title, one in found.items()
    ]
    heads = ["agreement with itself on dev", "pairs", "equal answers", "quadratic κ"]
    return markup.table(heads, rows, numeric=range(1, 4))


# Quality against cost


def draw_quality_cost(golden: str, *, prefix: str = "quality") -> None:
    """Draw the finished runs over a golden set: agreement with people against what 1,000 pairs cost."""
    space = widgets.workspace()
    try:
        policy = space.store.policy(space.store.policy_of(golden))
        titles = markup.titles(policy)
        dimension = widgets.pick(
            st.selectbox, "Agreement in", [OVERALL, *policy.keys], key=f"{prefix}_dimension",
            format_func=lambda key: titles[key],
        )  # fmt: skip
        rows = quality_cost(space, golden, dimension=dimension)
    except WorkbenchError as error:
        st.error(markup.problem(error))
        return
    if not rows:
        widgets.empty(
            "No finished runs.", "Start one on the Runs page, and its agreement and cost stand here."
        )
        return
    if any(row.usd is not None and row.kappa.value is not None for row in rows):
        st.plotly_chart(quality_charts.quality_cost(rows), key=f"{prefix}_chart")
    else:
        st.caption("No run has both a known cost and an agreement, so there is nothing to draw.")
    st.html(cost_table(rows, titles[dimension], whole=dimension == OVERALL))
    st.caption(
        "Filled points are beaten by no other run: none is as cheap and better, or as good and cheaper. Where intervals "
        "overlap, the order of two runs is not sure. Labels say the policy version. Cost and time are those of pairs "
        "that were asked about; answers from the verdict cache take nothing. An unknown cost is not drawn."
    )


def cost_table(rows: list[QualityCost], title: str, *, whole: bool) -> str:
    """Return agreement, cost and time of each run; unknown costs with their reason.

    Args:
        title: of the dimension that agreement is in.
        whole: whether that is the overall grade, which then needs no column of its own.
    """
    cells = []
    for row in rows:
        small = f'<div class="wb-muted wb-small">{html.escape(row.source)}</div>' if row.source else ""
        cells.append(
            [
                f"{html.escape(row.run.label)}{' <span class=wb-tag>not beaten</span>' if row.front else ''}{small}",
                f"{html.escape(row.run.golden)} v{row.run.golden_version}",
                f"{row.n:,}",
                markup.estimate(row.kappa),
                *([] if whole else [markup.estimate(row.overall)]),
                "$0" if row.usd == 0 else markup.money(row.usd),
                "–" if row.seconds is None else f"{row.seconds:,.0f} s",
            ]
        )
    heads = [
        "", "golden set", "n", f"κ {html.escape(title)}", *([] if whole else ["κ overall"]), "cost of 1,000",
        "time of 1,000",
    ]  # fmt: skip
    return markup.table(heads, cells, numeric=range(2, len(heads)))
