"""The Export section of the Golden set page: a snapshot, or the set as it is now, as a file for another tool."""

from __future__ import annotations

from functools import partial

import streamlit as st

from workbench import golden_history, markup, widgets
from workbench.golden_export import FORMATS, file_name
from workbench.labelling import Figures
from workbench.policy import Policy
from workbench.workspace import Workspace

NOW = 0
_ONE_FILE = "One file."
_ZIP = "A zip archive of several files."


def draw(found: Figures, policy: Policy) -> None:
    """Draw the choice of content and format, what the format leaves out, and the button that downloads it."""
    info = found.info
    if not info.pairs:
        widgets.empty("There is nothing to export yet.", "Import pairs first.")
        return
    left, right = st.columns([2, 3], gap="large")
    with left:
        messages = {x.version: f"v{x.version} · {x.message}" for x in found.snapshots}
        versions = [NOW, *messages]
        version = st.selectbox(
            "Export",
            versions,
            index=1 if found.snapshots else 0,
            format_func=lambda number: messages.get(number, "the set as it is now"),
            key="export_version",
        )
        key = st.selectbox(
            "Format", list(FORMATS), format_func=lambda k: FORMATS[k].title, key="export_format"
        )
        chosen = FORMATS[key]
        dimension, possible = "", True
        if chosen.needs_dimension:
            titles = markup.titles(policy)
            known = labelled(widgets.workspace(), info.name, version, info.labels)
            possible = bool(known)
            picked = st.selectbox(
                "Dimension", known, format_func=lambda key: titles.get(key, key), key="export_dimension"
            )
            dimension = picked or ""
        name = file_name(info.name, version, key)
        # A callable: the file is made when it is asked for, on a thread of its own that knows no session.
        st.download_button(
            "Download",
            data=partial(
                golden_history.export_bytes,
                widgets.workspace(),
                info.name,
                version or None,
                key,
                dimension=dimension,
                author=widgets.who(),
            ),
            file_name=name,
            on_click="ignore",
            type="primary",
            icon=":material/download:",
            key="export_download",
            disabled=not possible,
            help=None if possible else "Nothing is labelled yet.",
        )
    with right:
        st.html(
            markup.facts(
                chosen.title,
                {
                    "file": f"{name} · {_ONE_FILE if chosen.suffix else _ZIP}",
                    "what it leaves out": chosen.leaves_out or "Nothing but withdrawn labels.",
                    "on the command line": _command(info.name, version, key, dimension),
                },
            )
        )
        if key.startswith("csv"):
            st.caption(
                "Texts that begin with = + - @ get an apostrophe before them, so that no spreadsheet runs them as "
                "formulas. Importing the file here takes it off again."
            )


@st.cache_data(max_entries=8, show_spinner=False)
def labelled(_workspace: Workspace, golden: str, version: int, labels: int) -> list[str]:
    """Return the dimensions that have labels; read anew when the set as it is now has other ``labels``."""
    return golden_history.labelled_dimensions(_workspace, golden, version or None)


def _command(name: str, version: int, key: str, dimension: str) -> str:
    which = f"{name}@{version}" if version else name
    return f"workbench golden export {which} --format {key}" + (
        f" --dimension {dimension}" if dimension else ""
    )
