"""The History view of the Policy page: what each version changed, and the agreement of a judge beside it."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence

import streamlit as st

from workbench import authoring, markup, policy_history, policy_history_chart, widgets
from workbench.policy import OVERALL, Policy
from workbench.policy_diff import DOCUMENT, GENERAL
from workbench.policy_history import Series, VersionEntry


def history(versions: Sequence[Policy]) -> None:
    """Draw the figures of a judge over the versions, then every version, newest first."""
    space = widgets.workspace()
    name, newest = versions[0].name, versions[-1]
    widgets.header("History", "Every published version, newest first; a published version never changes.")
    of = choose_series(policy_history.series(space, name))
    entries = policy_history.timeline(space, name, of)
    if of is not None and any(entry.run for entry in entries):
        figures(entries, of, newest)
    for entry in reversed(entries):
        version(entry, newest.version)


def choose_series(found: Sequence[Series]) -> Series | None:
    """Draw the choice of the judge, and of the golden set where there are several."""
    if not found:
        st.caption(
            "No judge has been run with this policy yet, so there are no agreement figures. See the Runs page."
        )
        return None
    left, middle, _ = st.columns([2, 2, 4])
    judges = list(dict.fromkeys(one.judge for one in found))
    with left:
        judge = widgets.pick(st.selectbox, "Agreement of", judges, key="judge")
    sets = [one.golden for one in found if one.judge == judge]
    golden = sets[0]
    if len(sets) > 1:
        with middle:
            golden = widgets.pick(st.selectbox, "On golden set", sets, key="golden")
    return next(one for one in found if (one.judge, one.golden) == (judge, golden))


def figures(entries: Sequence[VersionEntry], of: Series, newest: Policy) -> None:
    """Draw κ over the versions, one small chart a dimension."""
    titles = {OVERALL: "Overall"} | {dimension.key: dimension.title for dimension in newest.dimensions}
    kappas = {
        key: {
            entry.policy.version: entry.agreements[key].kappa_quadratic
            for entry in entries
            if key in entry.agreements
        }
        for key in titles
    }
    ceilings = policy_history.ceilings(widgets.workspace(), of)
    st.plotly_chart(
        policy_history_chart.trends(kappas, titles, [entry.policy.version for entry in entries], ceilings),
        key="history_chart",
        config={"displayModeBar": False},
    )
    said = ["Quadratic κ of the newest run under each version on dev pairs, with its 95 % interval."]
    if ceilings:
        said.append("Grey: what labelers reach among themselves.")
    if of.trained:
        said.append("This judge was trained on dev labels, so these figures flatter it.")
    st.caption(" ".join(said))


def version(entry: VersionEntry, newest: int) -> None:
    """Draw one version: what it says it changed, what it changed, its figure, and what can be done with it."""
    policy = entry.policy
    with st.container(border=True):
        left, middle, right = st.columns([1.3, 5, 2.2])
        date = f"{policy.published_at:%d %b %Y}" if policy.published_at else "no date"
        left.html(
            f'<b style="font-size:1.1rem">v{policy.version}</b>'
            f'<div class="wb-small wb-muted">{date}<br>{html.escape(policy.author)}</div>'
        )
        middle.html(f"<div>{html.escape(policy.message) or '–'}</div>{changed(entry)}")
        with right:
            st.html(f'<div class="wb-small">{figure(entry)}</div>')
            with st.container(horizontal=True, gap="small"):
                if entry.parent is not None:
                    st.button(
                        f"Difference to v{entry.parent}", on_click=show_difference, args=(entry.parent, policy.version),
                        key=f"difference_{policy.version}", type="tertiary", icon=":material/difference:",
                    )  # fmt: skip
                if policy.version != newest:
                    st.button(
                        "Restore as draft", on_click=restore, args=(policy.name, policy.version),
                        key=f"restore_{policy.version}", type="tertiary", icon=":material/history:",
                        help=f"A draft of v{newest} that says again what v{policy.version} said.",
                    )  # fmt: skip


def changed(entry: VersionEntry) -> str:
    """Return how many changes of each kind a version made, and where, as HTML."""
    if entry.parent is None:
        clauses = markup.several(sum(1 for _ in entry.policy.clauses()), "clause")
        text = f"{markup.several(len(entry.policy.dimensions), 'dimension')}, {clauses}"
        return f'<div class="wb-small wb-muted" style="margin-top:4px">{text}</div>'
    kinds = Counter(change.kind for change in entry.changes)
    tags = " ".join(f'<span class="wb-tag">{count} {kind}</span>' for kind, count in kinds.most_common())
    titles = {DOCUMENT: "Document", GENERAL: "General rules", **markup.titles(entry.policy)}
    where = ", ".join(dict.fromkeys(titles.get(change.section, change.section) for change in entry.changes))
    return f'<div style="margin-top:4px">{tags} <span class="wb-small wb-muted">{html.escape(where)}</span></div>'


def figure(entry: VersionEntry) -> str:
    """Return the overall agreement under a version as HTML."""
    if entry.run is None:
        return '<span class="wb-muted">not run by this judge</span>'
    return f'<span class="wb-muted">overall κ</span> {markup.estimate(entry.agreements[OVERALL].kappa_quadratic)}'


def show_difference(before: int, after: int) -> None:
    """Open the difference of two versions (a callback)."""
    st.session_state.update({"view": "Difference", "from": before, "to": after})


def restore(name: str, number: int) -> None:
    """Begin a draft that says what an earlier version said, and open it (a callback)."""
    draft = widgets.attempt(authoring.restore, widgets.workspace(), name, number, widgets.who())
    if draft is not None:
        widgets.leave_for("draft", policy=draft.name, draft=draft.id)
