"""Policy: read a version as a document, its history, and the difference of any two versions by clause."""

from __future__ import annotations

import html
from collections.abc import Sequence

import streamlit as st

from workbench import authoring, evaluation, markup, widgets
from workbench.documents import policy_text
from workbench.policy import OVERALL, Clause, Dimension, Policy
from workbench.policy_diff import Change, sections_to_judge

WHOLE = "whole document"


def page() -> None:
    """Draw the chosen view of the chosen policy."""
    if not widgets.has_policy():
        return
    space = widgets.workspace()
    top = st.columns([2, 2, 3], vertical_alignment="bottom")
    with top[0]:
        name = widgets.choose_policy()
    versions = space.store.policy_versions(name)
    with top[1]:
        view = widgets.pick(st.segmented_control, "View", ["Read", "History", "Difference"], key="view")
    with top[2], st.container(horizontal=True, horizontal_alignment="right"):
        st.page_link("workbench/pages/draft.py", label="Edit a draft", icon=":material/edit:")
    {"Read": read, "History": history, "Difference": difference}[view or "Read"](versions)


def read(versions: Sequence[Policy]) -> None:
    """Draw one version as a document."""
    numbers = [policy.version for policy in versions][::-1]
    left, right = st.columns([1, 4], gap="large")
    with left:
        number = widgets.pick(st.selectbox, "Version", numbers, key="version", format_func="v{}".format)
        policy = next(policy for policy in versions if policy.version == number)
        sections = [WHOLE, "general", *policy.keys, OVERALL]
        titles = markup.titles(policy) | {
            WHOLE: "Whole document",
            "general": "General rules",
            OVERALL: "Overall rule",
        }
        section = widgets.pick(st.radio, "Section", sections, key="section", format_func=titles.get)
        st.download_button(
            "YAML", policy_text(policy), f"{policy.name}-v{policy.version}.yaml", icon=":material/download:"
        )
    with right:
        date = f"{policy.published_at:%d %B %Y}" if policy.published_at else ""
        widgets.header(policy.title, f"{policy.author}, {date}. {policy.message}", [policy.label])
        for key in sections[1:]:
            if section in (WHOLE, key):
                document_section(policy, key)


def document_section(policy: Policy, key: str) -> None:
    """Draw one section of a policy as people read it."""
    if key == "general":
        if policy.purpose:
            st.markdown(policy.purpose)
        if policy.terms:
            with st.expander(f"Terms ({len(policy.terms)})"):
                st.html("".join(markup.clause(term.term, markup.md(term.meaning)) for term in policy.terms))
        if policy.general:
            st.subheader("General rules")
            st.html(clause_list(policy.general))
    elif key == OVERALL:
        overall_rule(policy)
    else:
        dimension_section(policy, policy.dimension(key))


def dimension_section(policy: Policy, dimension: Dimension) -> None:
    """Draw one dimension: question, levels, clauses, precedents."""
    st.subheader(dimension.title, anchor=dimension.key)
    na = "N/A allowed" if dimension.allow_na else "always graded"
    st.markdown(f"**{dimension.question}**")
    st.caption(
        f"weight {dimension.weight:g} · {na} · considers {', '.join(dimension.considers) or 'everything'}"
    )
    rows = [
        [
            markup.chip(level.value, dimension.scale),
            f"<b>{html.escape(level.name)}</b>",
            markup.md(level.criteria),
        ]
        for level in reversed(dimension.levels)
    ]
    levels = markup.table(["grade", "name", "criteria"], rows)
    st.html(f'<div class="wb-doc">{levels}{clause_list(dimension.clauses)}</div>')
    if dimension.precedents:
        with st.expander(f"Precedents ({len(dimension.precedents)})"):
            for precedent in dimension.precedents:
                grade = precedent.grade if precedent.grade is not None else -2
                sides = "".join(
                    f'<div class="wb-small"><b>{html.escape(side)}.{html.escape(field)}</b>: {html.escape(text)}</div>'
                    for side, fields in (
                        (policy.pair.query.name, precedent.pair.query),
                        (policy.pair.document.name, precedent.pair.document),
                    )
                    for field, text in fields.items()
                )
                cites = " ".join(f'<span class="wb-tag">{html.escape(c)}</span>' for c in precedent.cites)
                body = f"{sides}<p>{markup.chip(grade, dimension.scale)} {html.escape(precedent.because)} {cites}</p>"
                st.html(markup.clause(precedent.id, body))


def overall_rule(policy: Policy) -> None:
    """Draw how the dimension grades combine."""
    rule = policy.overall
    st.subheader("Overall rule")
    how = (
        "weighted mean of the dimension grades"
        if rule.combine == "weighted_mean"
        else "lowest dimension grade"
    )
    cuts = ", ".join(f"{cut:g}" for cut in rule.cut_points)
    st.markdown(f"The {how}, cut at {cuts} into grades 0–{rule.scale[-1]}; then the gates, in this order.")
    weights = [[html.escape(d.title), f"{d.weight:g}"] for d in policy.dimensions]
    gates = [
        markup.clause(
            gate.id,
            f"when <code>{html.escape(gate.when)}</code>: "
            + (f"at most {gate.at_most}" if gate.at_most is not None else f"at least {gate.at_least}")
            + f'<div class="wb-muted wb-small">{html.escape(gate.because)}</div>',
        )
        for gate in rule.gates
    ]
    left, right = st.columns([1, 2], gap="large")
    left.html(markup.table(["dimension", "weight"], weights, numeric=[1]))
    right.html("".join(gates) or '<span class="wb-muted">no gates</span>')


def clause_list(clauses: Sequence[Clause]) -> str:
    """Return numbered rules as HTML."""
    return "".join(
        markup.clause(c.id, markup.md(c.text), f"split from {c.split_from}" if c.split_from else "")
        for c in clauses
    )


def history(versions: Sequence[Policy]) -> None:
    """Draw all versions with their messages and the agreement of the newest run of each."""
    space = widgets.workspace()
    widgets.header("History", "Every published version, newest first; a published version never changes.")
    newest_run = {}
    for run in reversed(space.store.runs(policy=versions[0].name)):
        if run.status == "finished" and run.judge.kind != "checkpoint":
            newest_run[run.policy_version] = run
    rows = []
    for policy in reversed(versions):
        run = newest_run.get(policy.version)
        kappa = evaluation.run_agreement(space, run)[OVERALL].kappa_quadratic if run else None
        date = f"{policy.published_at:%d %b %Y}" if policy.published_at else "–"
        rows.append(
            [
                f"<b>v{policy.version}</b>",
                date,
                html.escape(policy.author),
                html.escape(policy.message),
                str(len(list(policy.clauses()))),
                markup.estimate(kappa),
                html.escape(run.judge.name) if run else '<span class="wb-muted">not run</span>',
            ]
        )
    headers = ["", "published", "by", "message", "clauses", "overall κ (dev)", "judge"]
    st.html(markup.table(headers, rows, numeric=[4, 5]))


def difference(versions: Sequence[Policy]) -> None:
    """Draw the difference of two versions side by side, by clause."""
    if len(versions) < 2:
        widgets.empty(
            "There is only one version.", "Edit a draft and publish it; the difference is shown here."
        )
        return
    by_number = {policy.version: policy for policy in versions}
    numbers = list(by_number)
    left, right, _ = st.columns([1, 1, 3])
    with left:
        before = widgets.pick(
            st.selectbox, "From", numbers, key="from", default=numbers[-2], format_func="v{}".format
        )
    with right:
        after = widgets.pick(
            st.selectbox, "To", numbers, key="to", default=numbers[-1], format_func="v{}".format
        )
    changes = authoring.changes_between(widgets.workspace(), versions[0].name, before, after)
    new = by_number[after]
    widgets.header(f"v{before} → v{after}: {len(changes)} changes", new.message)
    if not changes:
        st.caption("Both say the same.")
        return
    judged = sections_to_judge(changes, new.keys)
    titles = markup.titles(new)
    again = ", ".join(titles[key] for key in judged)
    st.caption(
        f"Verdicts may change on: {again}."
        if judged
        else "No verdict can change: only the overall rule or weights differ."
    )
    names = {"document": "Document", "general": "General rules", "overall": "Overall rule"} | {
        k: titles[k] for k in new.keys
    }
    for section in [
        "document",
        "general",
        *dict.fromkeys(c.section for c in changes if c.section in new.keys),
        "overall",
    ]:
        mine = [change for change in changes if change.section == section]
        if mine:
            st.html(
                f'<div class="wb-eyebrow" style="margin-top:10px">{html.escape(names.get(section, section))}</div>'
            )
            st.html(side_by_side(mine))
    gone = [change for change in changes if change.section not in names]
    if gone:
        st.html(side_by_side(gone))


def side_by_side(changes: Sequence[Change]) -> str:
    """Return changes as rows: what, before with removed words marked, after with added words marked."""
    rows = []
    for change in changes:
        origin = f" from {change.origin}" if change.origin else ""
        what = f'{html.escape(change.id)}<br><span class="wb-tag">{change.kind}{html.escape(origin)}</span>'
        halves = {"-": "", "+": ""}
        whole = change.kind in ("added", "removed", "split", "moved")
        for op, text in [("-", change.before), ("+", change.after)] if whole else change.words:
            escaped = html.escape(text)
            for side, mark in (("-", "del"), ("+", "ins")):
                if op in ("=", side):
                    halves[side] += f"<{mark}>{escaped}</{mark}>" if op == side and not whole else escaped
        rows.append([what, *(f'<div class="wb-words wb-small">{text}</div>' for text in halves.values())])
    return (
        '<style>.wb-diff td:first-child{width:9rem}.wb-diff td{width:45%}</style><div class="wb-diff">'
        + markup.table(["", "before", "after"], rows)
        + "</div>"
    )


page()
