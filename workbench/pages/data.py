"""Data: the sets that models learn from, making one, and click logs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st

from workbench import data_click_panel, data_make_panel, data_sets_panel, widgets


def page() -> None:
    """Draw the section that is open."""
    widgets.script("live_text.js")
    widgets.header(
        "Data", "What teachers and students learn from: pairs graded by a judge, and what people clicked."
    )
    widgets.flash()
    tabs = st.tabs(list(SECTIONS), key="tab", bind="query-params", on_change="rerun")
    for tab, section in zip(tabs, SECTIONS.values(), strict=True):
        if tab.open:
            with tab:
                section()


SECTIONS: Mapping[str, Callable[[], None]] = {
    "Data sets": data_sets_panel.draw,
    "Make one": data_make_panel.draw,
    "Click logs": data_click_panel.draw,
}

page()
