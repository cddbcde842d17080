"""Open items of reviews: whose they are, from which decision, and doing them on the spot."""

from __future__ import annotations

import html

import streamlit as st

from workbench import follow_ups, markup, widgets
from workbench.follow_ups import OpenItem
from workbench.golden import NOT_APPLICABLE
from workbench.policy import OVERALL, Policy
from workbench.policy_diff import GENERAL

KINDS = {
    "label": "Correct the label",
    "comment": "Comment on the clause",
    "draft": "Edit in a draft",
    "precedent": "Add a precedent",
    "other": "To do",
}
EVERYBODY = "everybody"


def draw(golden: str) -> None:
    """Draw what is open on a golden set: the agenda of the next meeting."""
    space = widgets.workspace()
    found = follow_ups.open_items(space, golden)
    if not found:
        st.caption("Nothing is open: every decision has been followed up.")
        return
    owners = sorted({one.item.owner for one in found})
    owner = widgets.pick(st.selectbox, "Owner", [EVERYBODY, *owners], key="owner")
    policy = space.store.policy(space.store.policy_of(golden))
    pairs = space.store.pairs([one.decision.pair_id for one in found], golden)
    titles = markup.titles(policy)
    for one in found:
        if owner not in (EVERYBODY, one.item.owner):
            continue
        with st.container(border=True):
            said, act = st.columns([7, 3], vertical_alignment="center")
            pair = pairs.get(one.decision.pair_id)
            name = ""
            if pair is not None:
                sides = ((policy.pair.query, pair.query), (policy.pair.document, pair.document))
                name = " / ".join(texts.get(side.fields[0], "")[:90] for side, texts in sides)
            details = one.decision.details
            with said:
                st.html(
                    f"<div><b>{html.escape(KINDS[one.item.kind])}</b> · "
                    f"{html.escape(titles.get(one.decision.dimension, one.decision.dimension))} · "
                    f'<span class="wb-tag">{html.escape(one.decision.outcome)}</span> '
                    f'<span class="wb-muted">{html.escape(one.item.owner)}, {one.item.at:%d %b}</span></div>'
                    f"<div>{html.escape(name)}</div>"
                    f'<div class="wb-muted wb-small">label {markup.number(details.get("label"), 0)}, '
                    f"A {markup.number(details.get('a'), 0)}, B {markup.number(details.get('b'), 0)}"
                    f"{': ' + html.escape(one.item.note) if one.item.note else ''}</div>"
                )
            with act, st.popover("Do it", width="stretch"):
                _act(one, policy, golden)


def _act(one: OpenItem, policy: Policy, golden: str) -> None:
    """Draw how an item is done; a form, so that nothing is written before it is sent."""
    key = one.item.id
    if one.item.kind == "label":
        _label(one, policy, key)
    elif one.item.kind == "comment":
        _comment(one, policy, key)
    elif one.item.kind == "precedent":
        _precedent(one, policy, key)
    elif one.item.kind == "draft":
        st.page_link(
            "workbench/pages/draft.py", label="Open the draft page", icon=":material/edit_document:",
            query_params={"policy": policy.name},
        )  # fmt: skip
    with st.form(f"done_{key}", border=False):
        st.text_input("Done otherwise: what was done", key=f"said_{key}")
        st.form_submit_button("Mark as done", on_click=_done, args=(key,))


def _label(one: OpenItem, policy: Policy, key: str) -> None:
    scale = list(policy.scale(one.decision.dimension))
    allows = one.decision.dimension == OVERALL or policy.dimension(one.decision.dimension).allow_na
    options = [*scale, NOT_APPLICABLE] if allows else scale
    with st.form(f"label_{key}", border=False):
        st.selectbox(
            "Right grade", options, key=f"grade_{key}", index=None,
            format_func=lambda grade: "N/A" if grade == NOT_APPLICABLE else str(grade),
        )  # fmt: skip
        st.text_input("Reason", value=one.item.note, key=f"reason_{key}")
        st.form_submit_button("Record as adjudicated", type="primary", on_click=_correct, args=(key,))


def _comment(one: OpenItem, policy: Policy, key: str) -> None:
    section = one.decision.dimension if one.decision.dimension in policy.keys else GENERAL
    ids = [c.id for home, c in policy.clauses() if home in (section, GENERAL)]
    tied = [cited for cited in one.decision.details.get("clauses", ()) if cited in ids]
    homes = {c.id: home for home, c in policy.clauses()}
    options = ["", *sorted(ids, key=lambda cited: cited not in tied)]
    with st.form(f"comment_{key}", border=False):
        st.selectbox(
            "Clause", options, index=1 if tied else 0, key=f"clause_{key}",
            format_func=lambda cited: cited or "the dimension as a whole",
        )  # fmt: skip
        st.text_area("Comment", value=one.item.note, key=f"text_{key}")
        st.form_submit_button(
            "Comment", type="primary", on_click=_comment_on, args=(key, section, homes)
        )  # fmt: skip


def _precedent(one: OpenItem, policy: Policy, key: str) -> None:
    drafts = {draft.id: draft for draft in widgets.workspace().store.drafts(policy.name)}
    if not drafts:
        st.caption("There is no draft of this policy: start one on the Draft page.")
        return
    scale = list(policy.scale(one.decision.dimension))
    human = one.decision.details.get("label")
    with st.form(f"precedent_{key}", border=False):
        st.selectbox(
            "Draft", list(drafts), key=f"draft_{key}",
            format_func=lambda i: f"{drafts[i].title or i} · {drafts[i].updated_at:%d %b %H:%M}",
        )  # fmt: skip
        st.selectbox("Grade", scale, index=scale.index(human) if human in scale else None, key=f"grade_{key}")
        st.text_area("Because", value=one.item.note, key=f"because_{key}")
        st.form_submit_button("Add to the draft", type="primary", on_click=_add_precedent, args=(key,))


def _correct(key: str) -> None:
    grade = st.session_state.get(f"grade_{key}")
    if grade is None:
        widgets.say("error", "Choose the right grade.")
        return
    reason = st.session_state.get(f"reason_{key}") or ""
    widgets.attempt(follow_ups.correct_label, widgets.workspace(), key, grade, widgets.who(), reason)


def _comment_on(key: str, section: str, homes: dict[str, str]) -> None:
    clause = st.session_state.get(f"clause_{key}") or ""
    text = st.session_state.get(f"text_{key}") or ""
    widgets.attempt(
        follow_ups.comment_on_clause, widgets.workspace(), key, homes.get(clause, section), clause, text, widgets.who()
    )  # fmt: skip


def _add_precedent(key: str) -> None:
    space, grade = widgets.workspace(), st.session_state.get(f"grade_{key}")
    if grade is None:
        widgets.say("error", "Choose the grade of the precedent.")
        return
    draft = widgets.attempt(space.store.draft, st.session_state[f"draft_{key}"])
    if draft is not None:
        because = st.session_state.get(f"because_{key}") or ""
        widgets.attempt(follow_ups.precedent_in_draft, space, key, draft, grade, because, widgets.who())


def _done(key: str) -> None:
    said = st.session_state.get(f"said_{key}") or ""
    widgets.attempt(follow_ups.done_elsewhere, widgets.workspace(), key, said, widgets.who())
