"""The matrix of Compare: runs × dimensions, κ with its interval, shaded by how near labelers themselves come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from workbench import charts, comparing, evaluation, markup, widgets
from workbench.agreement import Agreement, Estimate
from workbench.evaluation import LabelChoice, MatrixRow, SplitChoice
from workbench.identity import content_hash
from workbench.run import Run

SHADE = "rgba(58,123,166,{:.2f})"


def draw(
    runs: Sequence[Run], golden: str, split: SplitChoice, labels: LabelChoice, among: Mapping[str, str]
) -> None:
    """Draw the filters, the matrix, the open cell, the trend."""
    space = widgets.workspace()
    policy = space.store.policy(space.store.policy_of(golden))
    titles = markup.titles(policy)
    chosen, order = _filters(runs, titles)
    if not chosen:
        widgets.empty("No run passes these filters.", "Choose more judges or versions.")
        return
    rows = (
        comparing.matrix_among(space, chosen, split=split, labels=labels, among=among)
        if among
        else evaluation.matrix(space, chosen, split=split, labels=labels)
    )
    rows = _sorted(rows, order)
    ceilings = evaluation.human_agreement(space, golden, split=split)
    ceiling = {key: found.ceiling if found else None for key, found in ceilings.items()}
    newest = {row.run.judge.name: row.run for row in sorted(rows, key=lambda row: row.run.created_at)}
    noise = {name: comparing.noise_bands(space, run, split=split) for name, run in newest.items()}
    _table(rows, titles, ceiling, split)
    if len({row.run.policy_version for row in rows}) > 1:
        _trend(rows, titles, ceiling, noise)


def _filters(runs: Sequence[Run], titles: Mapping[str, str]) -> tuple[list[Run], str]:
    judges = sorted({run.judge.name for run in runs})
    versions = sorted({run.policy_version for run in runs}, reverse=True)
    columns = st.columns([4, 3, 3])
    with columns[0]:
        wanted = st.multiselect("Judges", judges, key="judges", bind="query-params", placeholder="all")
    with columns[1]:
        numbers = st.multiselect(
            "Policy versions", [f"v{v}" for v in versions], key="versions", bind="query-params", placeholder="all"
        )  # fmt: skip
    with columns[2]:
        order = widgets.pick(
            st.selectbox, "Sort by", ["newest", *titles], key="sort",
            format_func=lambda key: titles.get(key, "newest first"),
        )  # fmt: skip
    return [
        run
        for run in runs
        if (not wanted or run.judge.name in wanted) and (not numbers or f"v{run.policy_version}" in numbers)
    ], str(order)


def _sorted(rows: list[MatrixRow], order: str) -> list[MatrixRow]:
    def kappa(row: MatrixRow) -> float:
        found = row.agreements.get(order)
        value = found.kappa_quadratic.value if found else None
        return -2.0 if value is None else value

    return rows if order == "newest" else sorted(rows, key=kappa, reverse=True)


def _table(
    rows: Sequence[MatrixRow],
    titles: Mapping[str, str],
    ceiling: Mapping[str, Estimate | None],
    split: SplitChoice,
) -> None:
    """Draw the matrix as a table whose cells open."""
    view = pd.DataFrame(
        [
            {
                "judge": row.run.judge.name + _mark(row.run, split),
                "policy": f"v{row.run.policy_version}",
                "n": f"{max((a.n for a in row.agreements.values()), default=0):,}",
                "failed": f"{row.run.totals.failed:,}",
                **{
                    title: _cell(row.agreements[key].kappa_quadratic) if key in row.agreements else "–"
                    for key, title in titles.items()
                },
            }
            for row in rows
        ]
        + [
            {"judge": "labelers among themselves", "policy": "", "n": "", "failed": ""}
            | {title: _cell(ceiling.get(key)) for key, title in titles.items()}
        ]
    )
    shades = pd.DataFrame("", index=view.index, columns=view.columns)
    for i, row in enumerate(rows):
        for key, title in titles.items():
            found, top = row.agreements.get(key), ceiling.get(key)
            shades.loc[i, title] = _shade(found.kappa_quadratic if found else None, top)
    picked = st.dataframe(
        view.style.apply(lambda _: shades, axis=None),
        hide_index=True, on_select="rerun", selection_mode="single-cell",
        key=content_hash("matrix", [row.run.id for row in rows]), height="content",
        column_config={
            "failed": st.column_config.TextColumn(help="judgements without an answer", width=50),
            "policy": st.column_config.TextColumn(width=50), "n": st.column_config.TextColumn(width=50),
            "judge": st.column_config.TextColumn(width=170),
        }
        | {title: st.column_config.TextColumn(width=112) for title in titles.values()},
    )  # fmt: skip
    st.caption(
        "Quadratic κ with 95 % interval (bootstrap over queries, 2,000 resamples). Shading: how near the judge comes to "
        "what labelers reach among themselves. n: most comparable pairs on a dimension. Select a cell to open it."
    )
    cells = picked.selection.cells
    if not cells:
        return
    place, column = cells[0]
    opened = {title: key for key, title in titles.items()}.get(str(column))
    if opened is not None and place < len(rows) and opened in rows[place].agreements:
        _open_cell(rows[place], opened, titles[opened])


def _open_cell(row: MatrixRow, key: str, title: str) -> None:
    """Draw one cell: every statistic, the confusion matrix, recall and bias by level."""
    found: Agreement = row.agreements[key]
    with st.container(border=True):
        widgets.section(f"{title} · {row.run.label}")
        left, middle, right = st.columns([4, 4, 5], gap="medium")
        with left:
            names = {
                "quadratic κ": found.kappa_quadratic, "linear κ": found.kappa_linear, "exact": found.exact,
                "within one": found.within_one, "Krippendorff's α": found.alpha, "Gwet's AC2": found.ac2,
                "Spearman": found.spearman, "bias": found.bias,
            }  # fmt: skip
            rows = [[name, markup.estimate(value, signed=name == "bias")] for name, value in names.items()]
            rows.append(
                [
                    "failed / N/A by one",
                    f"{found.n_failed} / {found.n_not_applicable_judge + found.n_not_applicable_human}",
                ]
            )
            st.html(markup.table([f"n {found.n:,}", ""], rows, numeric=[1]))
        with middle:
            st.plotly_chart(
                charts.confusion(found, "human against judge", dark=widgets.dark()), key=f"cell_{key}",
                config={"displayModeBar": False},
            )  # fmt: skip
        with right:
            levels = [
                [
                    str(level),
                    markup.estimate(found.recall[level]),
                    markup.estimate(found.bias_at[level], signed=True),
                ]
                for level in found.levels
            ]
            st.html(markup.table(["human level", "recall", "bias there"], levels, numeric=[1, 2]))
        st.page_link(
            "workbench/pages/runs.py", label="Open the run", icon=":material/open_in_new:",
            query_params={"run": row.run.id},
        )  # fmt: skip


def _trend(
    rows: Sequence[MatrixRow],
    titles: Mapping[str, str],
    ceiling: Mapping[str, Estimate | None],
    noise: Mapping[str, Mapping[str, float | None]],
) -> None:
    with st.expander("Trend over policy versions", icon=":material/show_chart:"):
        keys = list(titles)
        key = str(
            widgets.pick(
                st.selectbox, "Dimension", keys, key="trend", default=keys[-1], format_func=titles.get
            )
        )
        points: dict[tuple[str, int], Any] = {}
        for row in sorted(rows, key=lambda row: row.run.created_at):
            if key in row.agreements:
                points[row.run.judge.name, row.run.policy_version] = row.agreements[key].kappa_quadratic
        bands = {judge: by_key.get(key) for judge, by_key in noise.items()}
        st.plotly_chart(
            charts.trend(
                [{"judge": j, "version": v, "estimate": e} for (j, v), e in points.items()],
                ceiling.get(key),
                bands,
            ),
            key="trend_chart",
            config={"displayModeBar": False},
        )
        said = [
            f"{markup.plain(judge)}, asked again about the same pairs, moved by up to {markup.number(band)}."
            for judge, band in bands.items()
            if band is not None
        ]
        st.caption(
            "Grey band: labelers among themselves. Band around a line: how far the judge moves when it is asked again. "
            + (" ".join(said) or "No judge here was asked again yet.")
        )


def _mark(run: Run, split: SplitChoice) -> str:
    """Return a mark for judges that learnt from the very labels they are measured against."""
    if run.judge.kind == "checkpoint" and split != "holdout":
        return " (trained on dev)"
    if run.judge.kind == "baseline" and split != "holdout":
        return " (out of fold)"
    return ""


def _cell(found: Estimate | None) -> str:
    if found is None or found.value is None:
        return "–"
    if found.low is None or found.high is None:
        return markup.number(found.value)
    low, high = (markup.number(bound).replace("0.", ".", 1) for bound in (found.low, found.high))
    return f"{markup.number(found.value)} [{low}, {high}]"


def _shade(found: Estimate | None, ceiling: Estimate | None) -> str:
    if found is None or found.value is None or ceiling is None or not ceiling.value or ceiling.value <= 0:
        return ""
    share = min(max(found.value / ceiling.value, 0.0), 1.0)
    return f"background-color: {SHADE.format(0.04 + 0.33 * share)}"
