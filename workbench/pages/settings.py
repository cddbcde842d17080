"""Settings: the judges that are saved, keys, where things are kept and run, who acts, the audit log."""

from __future__ import annotations

import html
import os
import platform

import streamlit as st

from workbench import job_cards, judge_registry, judge_settings, markup, widgets
from workbench.workspace import code_revision

SECTIONS = {
    "judges": "Judges",
    "providers": "Keys",
    "place": "Executor and folders",
    "people": "People",
    "log": "Audit log",
}
ANYBODY = ""
LONGEST_SUBJECT = 44
LINES = 50  # of the audit log on one page


def page() -> None:
    """Draw the section that the URL names."""
    widgets.header("Settings", "Judges under names of their own, and what this workbench stands on.")
    widgets.flash()
    section = widgets.pick(
        st.segmented_control,
        "Section",
        list(SECTIONS),
        format_func=SECTIONS.__getitem__,
        key="section",
        label_visibility="collapsed",
    )
    {
        "judges": judge_settings.draw,
        "providers": providers,
        "place": place,
        "people": people,
        "log": audit_log,
    }[section]()


def providers() -> None:
    """Draw which keys are there; their values are never read here."""
    rows = [
        [
            f"<code>{html.escape(state.variable)}</code>",
            "set" if state.is_set else '<span class="wb-muted">not set</span>',
            html.escape(", ".join(state.used_by)) or '<span class="wb-muted">–</span>',
        ]
        for state in judge_registry.provider_keys(widgets.workspace())
    ]
    st.html(markup.table(["environment variable", "where this app runs", "used by"], rows))
    st.caption(
        "Keys are read from the environment where a judge runs, at the moment of asking. They are shown, stored and "
        "logged nowhere. To set one, export the variable and start the app again."
    )


def place() -> None:
    """Draw where things are kept and where jobs run."""
    space = widgets.workspace()
    settings = space.settings
    kept = {
        "database": space.store.name,  # without its password
        "documents": str(settings.root),
        "jobs": str(space.jobs_folder),
        "cache of verdicts": f"{space.cache_folder}: {_size(space.cache_folder / 'verdicts.sqlite')}",
    }
    runs = {
        "executor": f"{settings.executor}: jobs are processes of this machine that outlive the app",
        "processors": str(os.cpu_count() or "unknown"),
        "code": code_revision() or "unknown: this is no git checkout",
        "Python": platform.python_version(),
    }
    left, right = st.columns(2, gap="large")
    with left:
        st.html(markup.facts("where things are kept", kept))
    with right:
        st.html(markup.facts("where jobs run", runs))
    st.caption(
        "Set with `WORKBENCH_ROOT`, `WORKBENCH_HOME`, `WORKBENCH_DATABASE_URL` and `WORKBENCH_EXECUTOR`; "
        "`workbench doctor` checks them."
    )


def _size(file: os.PathLike[str]) -> str:
    try:
        return f"{os.stat(file).st_size / 1e6:,.1f} MB"
    except FileNotFoundError:
        return "empty"


def people() -> None:
    """Draw who has acted, as the audit log names them."""
    found = widgets.workspace().store.actors()
    if not found:
        widgets.empty("Nobody has acted yet.", "Names appear here with the first draft, label or run.")
        return
    rows = [
        [
            html.escape(actor.name),
            f"{actor.first:%d %b %Y}",
            html.escape(job_cards.ago(actor.last)),
            f"{actor.events:,}",
        ]
        for actor in found
    ]
    st.html(markup.table(["who", "first", "last", "entries in the audit log"], rows, numeric=[3]))
    st.caption(
        "Who is signed in acts under the name that the sign-in gives; without a sign-in, under the name typed in the "
        "sidebar. Labels are kept with their labeler and are counted on the Golden set page."
    )


def audit_log() -> None:
    """Draw a page of the audit log, newest first, narrowed by the fields above it."""
    store = widgets.workspace().store
    columns = st.columns([2, 3, 3, 1.3])
    with columns[0]:
        who = widgets.pick(
            st.selectbox,
            "Who",
            [ANYBODY, *sorted(actor.name for actor in store.actors())],
            format_func=lambda name: name or "anybody",
            key="by",
        )
    what = columns[1].text_input(
        "Did what", key="did", bind="query-params", placeholder="published, resumed …"
    )
    subject = columns[2].text_input(
        "To what", key="about", bind="query-params", placeholder="name of a policy, id of a run …"
    )
    number = int(columns[3].number_input("Page", 1, step=1, key="log_page"))
    found, total = store.event_page(
        who=who, what=what.strip(), subject=subject.strip(), skip=(number - 1) * LINES, limit=LINES
    )
    if not total:
        narrowed = who or what.strip() or subject.strip()
        st.caption("No entry is like that." if narrowed else "Nothing has happened yet.")
        return
    if not found:
        st.caption(f"The last page is {-(-total // LINES):,}.")
        return
    rows = [
        [
            f'<span style="white-space:nowrap">{event.at:%d %b %Y %H:%M:%S}</span>',
            html.escape(event.who),
            f'<span style="white-space:nowrap">{html.escape(event.what)}</span>',
            f'<span style="white-space:nowrap">{html.escape(_short(event.subject))}</span>',
            f'<span class="wb-small">{html.escape(event.detail)}</span>',
        ]
        for event in found
    ]
    st.html(markup.table(["when (UTC)", "who", "did", "to what", "detail"], rows))
    first = (number - 1) * LINES + 1
    st.caption(f"{first:,} to {first + len(found) - 1:,} of {markup.several(total, 'entry', 'entries')}.")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_SUBJECT else text[: LONGEST_SUBJECT - 1] + "…"


page()
