"""Judges under names of their own: which there are, whether they answer, adding, changing and retiring them; their cards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from workbench import judge_registry, markup, probe_panel, widgets
from workbench.errors import WorkbenchError
from workbench.judge_form import KINDS, fill, judge_form
from workbench.judge_registry import TestOutcome
from workbench.judge_words import KIND_NAMES, judge_words
from workbench.run import JudgeSpec
from workbench.store import StoredJudge
from workbench.yamltext import validate

ADDED_KINDS = tuple(kind for kind in KINDS if kind != "saved")
CHANGING = "_changing_judge"
COLUMNS = {"since (UTC)": st.column_config.DatetimeColumn(format="D MMM HH:mm")}


def draw() -> None:
    """Draw the list, the card of the judge that is open, and the form for another one."""
    every = widgets.workspace().store.judges(retired=True)
    retired = [judge for judge in every.values() if judge.retired_at]
    shown = list(every.values())
    if retired and not st.toggle("Show retired judges", key="retired"):
        shown = [judge for judge in shown if judge.retired_at is None]
    if not every:
        widgets.empty(
            "No judges are saved yet.",
            "Describe one below: it can then be chosen by its name on the Runs page, and be part of an ensemble or a "
            "cascade.",
        )
    elif shown:
        name = widgets.open_row(
            _table(shown), [judge.name for judge in shown], "card", width="stretch", column_config=COLUMNS
        )
        if name is None:
            st.caption(
                "Select a row for the card of a judge: test it, change it, see how far it can be moved."
            )
        else:
            _card(every[name])
    with st.expander("Add a judge", expanded=not every, icon=":material/add_circle:"):
        describe("add_")


def _table(judges: list[StoredJudge]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "name": [judge.name for judge in judges],
            "kind": [KIND_NAMES[judge.spec.kind] for judge in judges],
            "judge": [judge_words(judge.spec) for judge in judges],
            "last test": [_last_test(judge) for judge in judges],
            "note": [judge.note for judge in judges],
            "by": [judge.author for judge in judges],
            "since (UTC)": [judge.at for judge in judges],
            "state": ["retired" if judge.retired_at else "in use" for judge in judges],
        }
    )


def _card(judge: StoredJudge) -> None:
    """Draw one judge: what it is, how its last test ended, how far it can be moved, what can be done with it."""
    space = widgets.workspace()
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        widgets.section(judge.name, ["retired"] if judge.retired_at else [])
        with st.container(horizontal=True, horizontal_alignment="right"):
            st.button(
                "Test", icon=":material/network_check:", key="judge_test", on_click=_test, args=(judge.name,)
            )
            st.button("Change", icon=":material/edit:", key="judge_change", on_click=_change, args=(judge,))
            verb = judge_registry.restore if judge.retired_at else judge_registry.retire
            st.button(
                "Restore" if judge.retired_at else "Retire", icon=":material/archive:", key="judge_retire",
                help="A retired judge is not offered any more. What it graded stays as it is.",
                on_click=widgets.attempt, args=(verb, space, judge.name, widgets.who()),
            )  # fmt: skip
    left, right = st.columns(2, gap="large")
    with left:
        lines = {"judge": judge_words(judge.spec), "note": judge.note or "–", "saved by": judge.author}
        st.html(markup.facts(KIND_NAMES[judge.spec.kind], lines))
    with right:
        outcome = _outcome(judge.tested)
        if outcome is None:
            st.caption("It was not tested since it was changed.")
        elif outcome.works:
            st.success(markup.plain(outcome.said), icon=":material/check_circle:")
        else:
            st.error(f"{markup.plain(outcome.said)} {markup.plain(outcome.hint)}", icon=":material/error:")
    if st.session_state.get(CHANGING) == judge.name:
        with st.container(border=True):
            describe("change_", judge)
    part = st.expander(
        "How far it can be moved", icon=":material/shield:", key="probe_part", on_change="rerun"
    )
    if part.open:
        with part:
            probe_panel.draw(judge.spec, prefix=f"probe_{judge.name}")


def describe(prefix: str, judge: StoredJudge | None = None) -> None:
    """Draw the form of a judge with its name; saving it asks it once, and keeps it whatever comes of that.

    Args:
        judge: the one that is changed; none for another one.
    """
    try:
        spec = judge_form(prefix, kinds=ADDED_KINDS)
        if spec is not None:
            _save_form(prefix, spec, judge)
    except WorkbenchError as error:
        st.error(markup.problem(error))
    if judge is not None:
        st.button("Leave it as it is", key=f"{prefix}leave", type="tertiary", on_click=_leave)


def _save_form(prefix: str, spec: JudgeSpec, judge: StoredJudge | None) -> None:
    with st.form(f"{prefix}save", border=False):
        columns = st.columns([2, 4, 1.6], vertical_alignment="bottom")
        if judge is None:
            columns[0].text_input("Name", key=f"{prefix}name", max_chars=64)
        columns[1].text_input(
            "Note", value=judge.note if judge else "", key=f"{prefix}note", placeholder="what it is for"
        )
        # What is saved is the judge of this drawing: a field changed just before the click has drawn the page anew.
        pressed = columns[2].form_submit_button("Save and test", type="primary", icon=":material/save:")
    if not pressed:
        return
    space, note = widgets.workspace(), st.session_state[f"{prefix}note"]
    with st.spinner("Asking it once"):
        if judge is None:
            saved = judge_registry.add(space, st.session_state[f"{prefix}name"], spec, note, widgets.who())
        else:
            saved = judge_registry.change(
                space, judge.name, spec, note, widgets.who(), revision=judge.revision
            )
        outcome = judge_registry.test_saved(space, saved.name)
    _say(saved.name, outcome)
    st.session_state.pop(CHANGING, None)
    st.query_params["card"] = saved.name
    st.rerun()


def _say(name: str, outcome: TestOutcome) -> None:
    """Leave the outcome of a test call for the next drawing of the page."""
    if outcome.works:
        widgets.say("success", f"{markup.plain(name)}: {markup.plain(outcome.said)}")
    else:
        widgets.say(
            "warning", f"{markup.plain(name)} is saved, but does not answer: {markup.plain(outcome.said)}"
        )


def _test(name: str) -> None:
    outcome = widgets.attempt(judge_registry.test_saved, widgets.workspace(), name)
    if outcome is not None:
        _say(name, outcome)


def _outcome(tested: Mapping[str, Any] | None) -> TestOutcome | None:
    return None if tested is None else validate(TestOutcome, tested, "the last test call")


def _last_test(judge: StoredJudge) -> str:
    outcome = _outcome(judge.tested)
    if outcome is None:
        return "–"
    return f"works, {outcome.at:%d %b %H:%M}" if outcome.works else f"fails: {outcome.said}"


def _change(judge: StoredJudge) -> None:
    fill("change_", judge.spec)
    st.session_state[CHANGING] = judge.name


def _leave() -> None:
    st.session_state.pop(CHANGING, None)
