"""Compare: the matrix of runs, A against B, the flips and what made them, the release gate."""

from __future__ import annotations

import streamlit as st

from workbench import (
    against_panel,
    comparing,
    evaluation,
    flip_panel,
    gate_panel,
    markup,
    matrix_panel,
    quality_panel,
    replacing,
    replacing_panel,
    widgets,
)
from workbench.evaluation import LabelChoice, SplitChoice
from workbench.run import Run

VIEWS = {
    "matrix": "Matrix",
    "against": "A against B",
    "flips": "Flips",
    "several": "A against several",
    "cost": "Quality against cost",
    "gate": "Release gate",
    "labelers": "Replacing labelers",
}
WHOLE = "all pairs"


def page() -> None:
    """Draw the page from top to bottom."""
    widgets.follow()
    widgets.header(
        "Compare", "How each judge and policy version agrees with the human labels, and what changed."
    )
    widgets.flash()
    if not widgets.has_golden():
        return
    space = widgets.workspace()
    choice = st.columns([2, 2, 3, 3], vertical_alignment="bottom")
    with choice[0]:
        golden = widgets.choose_golden()
    if golden is None:
        return
    with choice[1]:
        split = widgets.pick(
            st.segmented_control, "Pairs", ["dev", "holdout", "all"], key="split",
            help="Judges and students may learn from dev labels. The holdout shows what is left of it; every look at "
            "it is counted.",
        )  # fmt: skip
    with choice[2]:
        labels = widgets.pick(
            st.segmented_control, "Labels", ["live", "snapshot"], key="labels",
            format_func={"live": "as of now", "snapshot": "frozen with the snapshot"}.get,
        )  # fmt: skip
    runs = [run for run in space.store.runs(golden=golden) if run.status == "finished"]
    if not runs:
        widgets.empty(
            "No finished runs on this golden set.", "Start one on the Runs page; the baseline needs no key."
        )
        return
    with choice[3]:
        among = choose_slice(golden)
    if split != "dev":
        looks(golden, split, runs)
    view = widgets.pick(
        st.segmented_control, "View", list(VIEWS), key="view", format_func=VIEWS.get, label_visibility="collapsed"
    )  # fmt: skip
    if space.store.golden(golden).sample:
        st.caption(
            "Sample: texts and labels of this golden set were written for the project. Not a measure of any real system."
        )
    if view == "matrix":
        matrix_panel.draw(runs, golden, split, labels, among)
    elif view == "cost":
        quality_panel.draw_quality_cost(golden)
    elif view == "gate":
        gate_panel.draw(golden)
    elif view == "labelers":
        replacing_panel.draw(runs, split)
    elif view == "several":
        several(runs, split, labels)
    else:
        pair_of_runs(runs, view, split, labels, among)


def choose_slice(golden: str) -> dict[str, str]:
    """Draw the choice of a slice, bound to the URL; {} for all pairs."""
    fields = comparing.slice_fields(widgets.workspace(), golden)
    options = {WHOLE: {}} | {
        f"{field}: {value}": {field: value} for field, values in fields.items() for value in values
    }
    if len(options) == 1:
        return {}
    return options[widgets.pick(st.selectbox, "Slice", list(options), key="slice")]


def looks(golden: str, split: str, runs: list[Run]) -> None:
    """Count a look at the holdout once a visit, and say how many there have been and what luck can do with them."""
    space = widgets.workspace()
    seen = st.session_state.setdefault("_looked", set())
    if (golden, split) not in seen:
        seen.add((golden, split))
        evaluation.record_look(space, runs, widgets.who(), "Compare")
    use = replacing.holdout_use(space, golden)
    people = markup.several(use.looks["who"].nunique(), "person", "people")
    said = (
        f"You are looking at the holdout of {golden}. Runs looked at so far: {len(use.looks)}, by {people}. The more often "
        "it is looked at, the less its figures mean."
    )
    if use.luck is not None:
        said += (
            f" The best of {use.luck.looks} policies that are all equally good would look better than it is by κ "
            f"{use.luck.expected:.3f} on average, by up to {use.luck.at_most:.3f} in 95 of 100 cases."
        )
    st.warning(said, icon=":material/visibility:")


def pair_of_runs(
    runs: list[Run], view: str, split: SplitChoice, labels: LabelChoice, among: dict[str, str]
) -> None:
    """Draw two runs side by side, or their flips."""
    a, b = choose_two(runs)
    if a is None or b is None:
        return
    found = comparing.compare_runs(widgets.workspace(), a, b, split=split, labels=labels, among=among or None)
    if view == "flips":
        flip_panel.draw(found, among)
    else:
        against_panel.against(found)


def several(runs: list[Run], split: SplitChoice, labels: LabelChoice) -> None:
    """Draw one run against several others."""
    ids = {
        run.id: run
        for run in sorted(runs, key=lambda run: (run.judge.name, run.policy_version, run.created_at))
    }
    left, right = st.columns([3, 7])

    names = markup.run_names(runs)
    with left:
        a = widgets.pick(st.selectbox, "A", list(ids), key="run", format_func=names.get)
    with right:
        chosen = st.multiselect(
            "B, several", [i for i in ids if i != a], key="others", format_func=names.get, max_selections=12
        )
    if not chosen:
        st.caption("Choose the runs to set beside A; p-values are corrected over all of them.")
        return
    others = [ids[i] for i in chosen]
    against_panel.several(
        comparing.against_several(widgets.workspace(), ids[a], others, split=split, labels=labels)
    )


def choose_two(runs: list[Run]) -> tuple[Run | None, Run | None]:
    """Draw the choice of A and B, bound to the URL; by default the two newest versions of one judge."""
    by_id = {run.id: run for run in runs}
    ordered = sorted(runs, key=lambda run: (run.judge.name, run.policy_version, run.created_at))
    ids = [run.id for run in ordered]
    first, second = default_two(ordered)
    left, right = st.columns(2)
    label = markup.run_names(runs)
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
