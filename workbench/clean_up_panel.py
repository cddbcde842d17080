"""Disk use on the Jobs page: what takes room, what can go, what cannot and why; the clean-up is confirmed in a form."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from workbench import markup, widgets
from workbench.clean_up import CleanUp, Item, clean_up, plan_clean_up
from workbench.clean_up_rules import DEFAULT_KINDS, KINDS

_COLUMNS = {
    "what": st.column_config.TextColumn(width="medium"),
    "stays because": st.column_config.TextColumn(width="large"),
}
_HELP = {
    "runs": "files of judge runs: their judgements stay in the store, their raw replies do not",
    "unfinished": "what failed and stopped jobs kept: they can then not be resumed",
    "training states": "what trainings keep beside their weights to go on from",
    "data set jobs": "files of jobs whose data set lies in its place",
    "data sets": "data sets that nothing was made from",
    "caches": "what is computed again when it is missing",
}


def draw() -> None:
    """Draw the section, folded; nothing is measured before it is opened."""
    with st.expander(
        "Disk use and clean-up", icon=":material/delete_sweep:", key="disk", on_change="rerun"
    ) as section:
        if section.open:
            _section()


def _section() -> None:
    age, kinds = st.columns([1, 3.4], vertical_alignment="top")
    with age:
        days = st.number_input("Older than, in days", min_value=0, max_value=3650, value=30, key="days")
    with kinds:
        chosen = st.pills(
            "What may go", KINDS, selection_mode="multi", default=list(DEFAULT_KINDS), key="kinds",
            help="  \n".join(f"**{kind}**: {_HELP[kind]}" for kind in KINDS),
        )  # fmt: skip
    plan = plan_clean_up(widgets.workspace(), older_than_days=days, kinds=chosen)
    total, going = _bytes(plan.items), _bytes(plan.going)
    st.html(
        f'<div class="wb-figures"><div><b>{size(total)}</b><span>in jobs, data sets and caches</span></div>'
        f"<div><b>{size(going)}</b><span>can go</span></div></div>"
    )
    if plan.going:
        _confirm(plan)
    else:
        st.caption("Nothing can go: choose a lower age or more kinds, or see below why each thing stays.")
    if plan.staying:
        st.html('<div class="wb-eyebrow">stays</div>')
        table = _table(plan.staying)
        table["stays because"] = [item.keep for item in plan.staying]
        st.dataframe(table, hide_index=True, column_config=_COLUMNS)


def _confirm(plan: CleanUp) -> None:
    st.html('<div class="wb-eyebrow">can go</div>')
    st.dataframe(_table(plan.going), hide_index=True, column_config=_COLUMNS)
    with st.form("clean_up"):
        sure = f"Remove {markup.several(len(plan.going), 'thing')}, {size(_bytes(plan.going))}. There is no way back."
        st.checkbox(sure, key="sure")
        st.form_submit_button("Clean up", icon=":material/delete_sweep:", on_click=_clean_up, args=(plan,))


def _clean_up(plan: CleanUp) -> None:
    if not st.session_state.get("sure"):
        widgets.say("warning", "Nothing was removed: tick the box first.")
        return
    st.session_state["sure"] = False
    done = widgets.attempt(clean_up, widgets.workspace(), plan, widgets.who())
    if done is None:
        return
    widgets.say("success", f"Removed {markup.several(len(done.removed), 'thing')}, {size(done.freed)}.")
    for item in done.kept:
        widgets.say("warning", markup.plain(f"{item.thing.title} stays: {item.keep}."))


def _table(items: tuple[Item, ...]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "what": [item.thing.title for item in items],
            "kind": [item.thing.kind for item in items],
            "size": [size(item.bytes) for item in items],
            "from": [f"{item.thing.at:%d %b %Y}" for item in items],
        }
    )


def _bytes(items: tuple[Item, ...]) -> int:
    return sum(item.bytes for item in items)


def size(count: int) -> str:
    """Return bytes in a unit that a person reads: kB, MB or GB, of 1,000 each."""
    if count < 1e6:
        return f"{count / 1e3:,.0f} kB"
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.2f} GB"
