"""What a judge may stand in for: labelers, and labels that nobody gave."""

from __future__ import annotations

import html
from collections.abc import Sequence

import streamlit as st

from workbench import markup, replacing, widgets
from workbench.alternative_annotator import EPSILON, AlternativeAnnotator
from workbench.evaluation import SplitChoice
from workbench.policy import OVERALL
from workbench.prediction_powered import Rate
from workbench.run import Run


def draw(runs: Sequence[Run], split: SplitChoice) -> None:
    """Draw the choice of a run, the test against labelers, and corrected rates."""
    by_id = {run.id: run for run in runs}
    left, right = st.columns([4, 3], vertical_alignment="bottom")
    with left:
        chosen = widgets.pick(
            st.selectbox, "Run", list(by_id), key="stand_in",
            format_func=markup.run_names(runs).get,
        )  # fmt: skip
    with right:
        skill = widgets.pick(
            st.selectbox, "Labelers are", list(EPSILON), key="skill", default="trained labelers",
            format_func=lambda name: f"{name} (ε {EPSILON[name]:g})",
            help="How much less often than a labeler of this skill a judge may win and still be preferred: it costs less.",
        )  # fmt: skip
    run = by_id[chosen]
    titles = markup.titles(widgets.workspace().store.policy(run.policy, run.policy_version))
    widgets.section("May it stand in for a labeler?")
    tests = replacing.alternative_tests(widgets.workspace(), run, epsilon=EPSILON[skill], split=split)
    st.html(_tests(tests, titles))
    st.caption(
        "Alternative annotator test (arXiv 2501.10970): each labeler in turn is left out; on every pair the judge or the "
        "labeler wins, whoever is nearer to the others. Winning rate: share of labelers that the judge may replace, from "
        "one half on it passes. Advantage: how often it is at least as near as a labeler drawn at random."
    )
    with st.expander("Labeler by labeler", icon=":material/people:"):
        _contests(tests, titles)
    widgets.section("How often, over all pairs?")
    keys = [key for key in titles if key != OVERALL or key in tests]
    key = widgets.pick(
        st.selectbox, "Dimension of the rates", keys, key="rate", format_func=lambda k: titles.get(k, k)
    )
    found = replacing.level_rates(widgets.workspace(), run, key, split=split)
    rows = [[f"level {level}", *_rate(rate, percent=True)] for level, rate in found.shares.items()]
    rows.append(["mean grade", *_rate(found.mean, percent=False)])
    st.html(markup.table(["", "judge taken for true", "labels alone", "corrected"], rows, numeric=[1, 2, 3]))
    mean = found.mean
    st.caption(
        f"{mean.labelled:,} pairs are labelled, {mean.unlabelled:,} are not. Corrected: the judge's answers over all "
        "pairs, put right by the labelled ones (prediction-powered inference), with its 95 % interval. It holds where "
        "the labelled pairs are a sample of all pairs."
    )


def _tests(tests: dict[str, AlternativeAnnotator], titles: dict[str, str]) -> str:
    rows = []
    for key, found in tests.items():
        if found.winning_rate is None or found.advantage is None:
            rows.append(
                [
                    html.escape(titles.get(key, key)),
                    "–",
                    "–",
                    f'<span class="wb-muted">{html.escape(found.reason)}</span>',
                ]
            )
            continue
        said = "may stand in" if found.passes else "may not"
        mark = f'<span class="wb-tag {"wb-fixed" if found.passes else "wb-broken"}">{said}</span>'
        rows.append(
            [html.escape(titles.get(key, key)), f"{found.winning_rate:.2f}", f"{found.advantage:.2f}", mark]
        )
    return markup.table(["", "winning rate", "advantage", ""], rows, numeric=[1, 2])


def _contests(tests: dict[str, AlternativeAnnotator], titles: dict[str, str]) -> None:
    rows = [
        [
            html.escape(titles.get(key, key)),
            html.escape(contest.labeler),
            f"{contest.pairs:,}",
            f"{contest.judge_wins:.2f}",
            f"{contest.labeler_wins:.2f}",
            f"{contest.p:.3f}",
            "replaceable" if contest.replaceable else "",
        ]
        for key, found in tests.items()
        for contest in found.contests
    ]
    if not rows:
        st.caption("No labeler graded enough pairs together with two others.")
        return
    heads = ["dimension", "labeler", "pairs", "judge wins", "labeler wins", "p", ""]
    st.html(markup.table(heads, rows, numeric=range(2, 6)))


def _rate(rate: Rate, *, percent: bool) -> list[str]:
    def shown(value: float | None) -> str:
        if value is None:
            return "–"
        return f"{value:.1%}" if percent else f"{value:.2f}"

    cells = [shown(rate.judge)]
    for found in (rate.labels, rate.corrected):
        if found.value is None:
            cells.append(f'<span class="wb-muted" title="{html.escape(found.reason)}">–</span>')
        elif found.low is None or found.high is None:
            cells.append(f'<span title="{html.escape(found.reason)}">{shown(found.value)}</span>')
        else:
            bounds = f"{shown(found.low)}, {shown(found.high)}"
            cells.append(f'{shown(found.value)} <span class="wb-interval">[{bounds}]</span>')
    return cells
