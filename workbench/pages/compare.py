"""Compare: the matrix of runs, and the choice of two of them."""

from __future__ import annotations

import html

import streamlit as st

from workbench import charts, comparing, evaluation, markup, widgets
from workbench.evaluation import MatrixRow
from workbench.pages.compare_runs import against
from workbench.run import Run


def page() -> None:
    """Draw the page from top to bottom."""
    widgets.header(
        "Compare", "How each judge and policy version agrees with the human labels, and what changed."
    )
    if not widgets.has_golden():
        return
    space = widgets.workspace()
    choice = st.columns([2, 2, 3])
    with choice[0]:
        golden = widgets.choose_golden()
    with choice[1]:
        split = widgets.pick(
            st.segmented_control,
            "Pairs",
            ["dev", "holdout", "all"],
            key="split",
            help="Judges and students may learn from dev labels. The holdout shows what is left of it; every look at "
            "it is counted.",
        )
    with choice[2]:
        labels = widgets.pick(
            st.segmented_control,
            "Labels",
            ["live", "snapshot"],
            key="labels",
            format_func={"live": "as of now", "snapshot": "frozen with the snapshot"}.get,
        )
    runs = [run for run in space.store.runs(golden=golden) if run.status == "finished"]
    if not runs:
        widgets.empty(
            "No finished runs on this golden set.", "Start one on the Runs page; the baseline needs no key."
        )
        return
    if split != "dev":
        looks(golden, split, runs)
    rows = evaluation.matrix(space, runs, split=split, labels=labels)
    if space.store.golden(golden).sample:
        st.caption(
            "Sample: texts and labels of this golden set were written for the project. Not a measure of any real system."
        )
    matrix(rows, golden, split)
    a, b = choose_two(runs)
    if a is None or b is None:
        return
    against(comparing.compare_runs(space, a, b, split=split, labels=labels))


def looks(golden: str, split: str, runs: list[Run]) -> None:
    """Count a look at the holdout once a visit, and say how many there have been."""
    space = widgets.workspace()
    seen = st.session_state.setdefault("_looked", set())
    if (golden, split) not in seen:
        seen.add((golden, split))
        evaluation.record_look(space, runs, widgets.who(), "Compare")
    ledger = space.store.looks(golden)
    people = markup.several(ledger["who"].nunique(), "person", "people")
    st.warning(
        f"You are looking at the holdout of {golden}. Runs looked at so far: {len(ledger)}, by {people}. The more often "
        "it is looked at, the less its figures mean.",
        icon=":material/visibility:",
    )


def matrix(rows: list[MatrixRow], golden: str, split: str) -> None:
    """Draw runs × dimensions: quadratic κ with its interval, coloured against the human ceiling."""
    space = widgets.workspace()
    newest = space.store.policy(space.store.golden(golden).policy)
    titles = markup.titles(newest)
    ceilings = evaluation.human_agreement(space, golden, split=split)
    body = []
    for row in rows:
        run = row.run
        name = (
            f'<span class="wb-nowrap"><b>{html.escape(run.judge.name)}</b>{trained_on_dev(run, split)}</span>'
        )
        cells = [name, f"v{run.policy_version}", str(max((a.n for a in row.agreements.values()), default=0))]
        cells.append(str(run.totals.failed) if run.totals.failed else '<span class="wb-muted">0</span>')
        for key in titles:
            found = row.agreements.get(key)
            ceiling = ceilings.get(key)
            cells.append(
                shaded(found.kappa_quadratic if found else None, ceiling.ceiling.value if ceiling else None)
            )
        body.append(cells)
    people = ['<span class="wb-muted">labelers among themselves</span>', "", "", ""]
    people += [markup.estimate(ceilings[key].ceiling if ceilings.get(key) else None) for key in titles]
    st.html(
        markup.table(
            ["judge", "policy", "n", "failed", *(html.escape(title) for title in titles.values())],
            [*body, people],
            numeric=range(1, 4 + len(titles)),
        )
        + '<div class="wb-muted wb-small" style="margin-top:6px">Quadratic κ with 95 % interval (bootstrap over queries, '
        "2,000 resamples). Shading: how near the judge comes to what labelers reach among themselves. "
        "n: most comparable pairs on a dimension.</div>"
    )
    versions = {run.policy_version for run in (row.run for row in rows)}
    if len(versions) > 1:
        with st.expander("Trend over policy versions", icon=":material/show_chart:"):
            key = st.selectbox(
                "Dimension", list(titles), format_func=titles.get, index=len(titles) - 1, key="trend"
            )
            newest_first = sorted(rows, key=lambda row: row.run.created_at)
            points = {
                (row.run.judge.name, row.run.policy_version): row.agreements[key].kappa_quadratic
                for row in newest_first
                if key in row.agreements
            }
            band = ceilings.get(key)
            st.plotly_chart(
                charts.trend(
                    [{"judge": j, "version": v, "estimate": e} for (j, v), e in points.items()],
                    band.ceiling if band else None,
                ),
                key="trend_chart",
                config={"displayModeBar": False},
            )


def trained_on_dev(run: Run, split: str) -> str:
    """Return a mark for judges that learnt from the very labels they are measured against."""
    if run.judge.kind == "checkpoint" and split != "holdout":
        return (
            ' <span class="wb-tag" title="It was trained on the dev labels, so its dev figures flatter it. '
            'Look at the holdout.">trained on dev</span>'
        )
    if run.judge.kind == "baseline" and split != "holdout":
        return (
            ' <span class="wb-tag" title="Calibrated on dev labels; every dev pair is graded by a model that '
            'did not see its query.">out of fold</span>'
        )
    return ""


def shaded(found, ceiling: float | None) -> str:
    """Return κ on a background that darkens as it nears the human ceiling."""
    text = markup.estimate(found)
    if found is None or found.value is None or not ceiling or ceiling <= 0:
        return text
    share = min(max(found.value / ceiling, 0), 1)
    return f'<span style="display:inline-block;padding:1px 6px;border-radius:4px;background:rgba(58,123,166,{0.05 + 0.33 * share:.2f})">{text}</span>'


def choose_two(runs: list[Run]) -> tuple[Run | None, Run | None]:
    """Draw the choice of A and B, bound to the URL; by default the two newest versions of one judge."""
    st.html('<h2 style="font-size:1.15rem;font-weight:640;margin:14px 0 0">A against B</h2>')
    by_id = {run.id: run for run in runs}
    ordered = sorted(runs, key=lambda run: (run.judge.name, run.policy_version, run.created_at))
    ids = [run.id for run in ordered]
    first, second = default_two(ordered)
    left, right = st.columns(2)
    label = {run.id: f"{run.label} · {run.created_at:%d %b %H:%M}" for run in runs}
    with left:
        a = widgets.pick(st.selectbox, "A", ids, key="run", default=ids[first], format_func=label.get)
    with right:
        b = widgets.pick(st.selectbox, "B", ids, key="vs", default=ids[second], format_func=label.get)
    if len(runs) < 2:
        widgets.empty(
            "There is only one run to see.", "Run the judge with another policy version, then compare."
        )
        return None, None
    if a == b:
        st.info("A and B are the same run; choose another for one of them.")
        return None, None
    return by_id.get(a), by_id.get(b)


def default_two(ordered: list[Run]) -> tuple[int, int]:
    """Return positions of the last two policy versions of the judge that has most runs."""
    for i in range(len(ordered) - 1, 0, -1):
        if (
            ordered[i].judge.name == ordered[i - 1].judge.name
            and ordered[i].policy_version != ordered[i - 1].policy_version
        ):
            return i - 1, i
    return 0, min(1, len(ordered) - 1)


page()
