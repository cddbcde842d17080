"""Draft: edit a policy part by part or as text, see at once what that changes, publish with a message."""

from __future__ import annotations

import html

import streamlit as st

from workbench import (
    authoring,
    draft_conflict,
    draft_editor,
    draft_outline,
    draft_rule,
    draft_side,
    draft_state,
    draft_text,
    markup,
    what_if_panel,
    widgets,
)
from workbench.policy import Body
from workbench.policy_diff import OVERALL_RULE, diff
from workbench.store import Draft

VIEWS = ["Write", "What-if", "Text"]


def page() -> None:
    """Draw the open draft, or the drafts there are."""
    widgets.follow()
    top = st.columns([1.2, 2, 2.1, 3], vertical_alignment="bottom")
    with top[0]:
        name = widgets.choose_policy_to_edit()
    if name is None:
        return
    with top[1]:
        draft = choose_draft(name)
    widgets.flash()
    if draft is None:
        begin(name)
        return
    with top[2]:
        view = widgets.pick(st.segmented_control, "View", VIEWS, key="view")
    base = authoring.base_body(widgets.workspace(), draft)
    with top[3], st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="bottom"):
        actions(draft, base)
    heading(draft)
    watch(draft.id, draft.revision)
    tell_news(draft)
    if clash := draft_state.clash(draft.id):
        draft_conflict.draw(draft, clash)
        return
    widgets.script("live_text.js")
    {"Write": write, "What-if": what_if_panel.draw, "Text": whole}[view](draft, base)


def tell_news(draft: Draft) -> None:
    """Say what others changed since this session looked; it stays until it is dismissed."""
    news = draft_state.news(draft)
    if not news:
        return
    lines = [
        f"{edit.author} changed {', '.join(dict.fromkeys(c.id for c in edit.changes))} at {edit.at:%H:%M} UTC."
        for edit in news
    ]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.info("  \n".join(markup.plain(line) for line in lines), icon=":material/group:")
        st.button(
            "I have seen it", on_click=draft_state.dismiss_news, args=(draft.id,), type="tertiary", key="seen"
        )


def choose_draft(name: str) -> Draft | None:
    """Draw the choice of a draft; none is open before one is chosen."""
    # In the order they were begun: a list that is reordered by every save would not hold still under the pointer.
    drafts = sorted(widgets.workspace().store.drafts(name), key=lambda draft: draft.created_at)
    by_id = {draft.id: draft for draft in drafts}
    if not drafts:
        st.query_params.pop("draft", None)
        return None
    titles = names_of(drafts)
    chosen = widgets.pick(
        st.selectbox, "Draft", ["", *by_id], key="draft", default="",
        format_func=lambda found: titles.get(found, f"choose among {len(drafts)}, or begin one"),
    )  # fmt: skip
    return by_id.get(chosen)


def names_of(drafts: list[Draft]) -> dict[str, str]:
    """Return draft id -> what it is called in a list. Streamlit tells choices apart by their text, so no two are alike."""
    found: dict[str, str] = {}
    for draft in drafts:
        name = f"{title_of(draft)} · {draft.author}"
        twins = sum(other == name or other.startswith(f"{name} (") for other in found.values())
        found[draft.id] = f"{name} ({twins + 1})" if twins else name
    return found


def title_of(draft: Draft) -> str:
    """Return what a draft is called."""
    return draft.title or (f"from v{draft.base_version}" if draft.base_version else "a new policy")


def begin(name: str) -> None:
    """Draw how to begin a draft, and those there are."""
    space = widgets.workspace()
    if name not in space.store.policy_names():
        st.caption(f"{name} has not been published yet. Choose its draft above.")
        return
    newest = space.store.policy(name)
    widgets.header(f"Drafts of {name}", f"The newest version is {newest.label}: {newest.message}")
    with st.form("begin", border=False):
        left, right = st.columns([3, 2], vertical_alignment="bottom")
        left.text_input(
            "What it is about", key="new_title", placeholder="Remote jobs and distance", max_chars=120
        )
        right.form_submit_button(
            f"Start a draft from v{newest.version}",
            type="primary",
            on_click=start,
            args=(name,),
            key="start_draft",
        )
    rows = [
        [
            html.escape(title_of(draft)),
            html.escape(draft.author),
            f"v{draft.base_version}" if draft.base_version else "new",
            f"{draft.updated_at:%d %b %H:%M} UTC by {html.escape(draft.updated_by)}",
        ]
        for draft in space.store.drafts(name)
    ]
    if rows:
        st.html(markup.table(["draft", "author", "from", "last saved"], rows))
    else:
        st.caption(
            "Nobody is working on a draft. Edits are kept as you type; judges and colleagues see them once published."
        )


def start(name: str) -> None:
    """Begin a draft and open it."""
    title = st.session_state.get("new_title", "")
    draft = widgets.attempt(authoring.start_draft, widgets.workspace(), name, widgets.who(), title=title)
    if draft is not None:
        st.session_state["draft"] = draft.id
        draft_state.open_draft(draft.id)


def heading(draft: Draft) -> None:
    """Draw what is being edited and when it was kept."""
    origin = (
        f"from v{draft.base_version} of {draft.name}"
        if draft.base_version
        else f"of {draft.name}, a new policy"
    )
    kept = f"kept {draft.updated_at:%H:%M:%S} UTC by {draft.updated_by}"
    st.caption(
        markup.plain(
            f"Draft {origin}, by {draft.author}; {kept if draft.revision > 1 else 'nothing changed yet'}."
        )
    )


def write(draft: Draft, base: Body) -> None:
    """Draw outline, editor and consequences side by side."""
    at = draft_state.focus(draft.body)
    left, middle, right = st.columns([1.15, 2.3, 2.3], gap="medium")
    findings = draft_side.findings(draft)
    with left:
        draft_outline.draw(draft, at, diff(base, draft.body), findings, draft_side.comments(draft))
    with middle, st.container(key="editor"):
        draft_rule.draw(draft) if at.section == OVERALL_RULE else draft_editor.draw(draft, at)
    with right, st.container(key="beside"):
        draft_side.draw(draft, base, at, findings)


def whole(draft: Draft, base: Body) -> None:
    """Draw the document as text, with consequences beside it."""
    left, right = st.columns([3, 2], gap="medium")
    with left:
        draft_text.draw(draft)
    with right, st.container(key="beside"):
        draft_side.draw(draft, base, draft_state.focus(draft.body), draft_side.findings(draft))


@st.fragment(run_every=4.0)
def watch(draft_id: str, drawn: int) -> None:
    """Say that somebody else saved meanwhile; edits here go on and are merged."""
    if not draft_state.exists(draft_id):
        st.warning("This draft was published or discarded meanwhile.", icon=":material/sync_problem:")
        return
    now = widgets.workspace().store.draft(draft_id)
    if now.revision != drawn and now.updated_by != widgets.who():
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f":material/group: {markup.plain(now.updated_by)} is editing this draft too.")
            if st.button("Show their edits", key="show_theirs", type="tertiary"):
                st.rerun()


# What is done with a draft


def actions(draft: Draft, base: Body) -> None:
    """Draw undo, rename, discard and publish."""
    st.button(
        "Undo",
        icon=":material/undo:",
        key="undo",
        on_click=undo,
        args=(draft.id,),
        disabled=draft.revision == 1,
    )
    with st.popover("More", icon=":material/more_horiz:", key="more"):
        st.text_input(
            "Called", draft.title, key=f"title:{draft.id}", on_change=rename, args=(draft.id,), max_chars=120
        )
        edits = authoring.edits(widgets.workspace(), draft)
        st.html('<div class="wb-eyebrow">edits, newest first</div>' + edit_list(edits[:20]))
        st.caption("Discarding removes the draft with all its edits, for everybody.")
        st.button(
            "Discard this draft", icon=":material/delete:", on_click=discard, args=(draft.id,), key="discard"
        )
    publish_popover(draft, base)


def edit_list(edits: list[authoring.Edit]) -> str:
    """Return who changed what as a table."""
    rows = [
        [
            f'<span class="wb-nowrap">{edit.at:%d %b %H:%M}</span>',
            html.escape(edit.author),
            html.escape(", ".join(dict.fromkeys(c.id for c in edit.changes)) or "nothing that is read"),
        ]
        for edit in edits
    ]
    return markup.table(["when (UTC)", "who", "what"], rows) if rows else "none yet"


def publish_popover(draft: Draft, base: Body) -> None:
    """Draw the way to publish: what stands in the way, what comes in, the message."""
    changes = diff(base, draft.body)
    errors = [finding for finding in draft_side.findings(draft) if finding.severity == "error"]
    incoming = authoring.incoming(widgets.workspace(), draft)
    number = (incoming[0].version if incoming else draft.base_version) + 1
    with st.popover("Publish …", type="primary", icon=":material/publish:", key="publish_menu"):
        if incoming:
            newest, theirs = incoming
            st.info(
                f"{newest.label} was published by {markup.plain(newest.author)} meanwhile ({markup.several(len(theirs), 'change')}). "
                "Publishing merges with it; bring it in first to see the outcome.",
                icon=":material/call_merge:",
            )  # fmt: skip
            st.button(
                f"Bring v{newest.version} into this draft", on_click=update, args=(draft.id,), key="update"
            )
        for finding in errors:
            st.error(
                f"{markup.plain(finding.place)} {markup.plain(finding.message)}", icon=":material/error:"
            )
        new = not draft.base_version
        with st.form("publish_form", border=False):
            st.text_area("What changed and why", key="publish_message", placeholder="one sentence", height=80)
            st.form_submit_button(
                f"Publish as v{number}", type="primary", on_click=publish, args=(draft,), key="publish",
                disabled=not (changes or new) or bool(errors),
                help="Not possible while lint has errors or nothing changed.",
            )  # fmt: skip
        st.caption(
            f"{markup.several(len(changes), 'change')} against {f'v{draft.base_version}' if not new else 'the start'}."
        )


def undo(draft_id: str) -> None:
    """Take back this person's newest edit."""
    space = widgets.workspace()
    draft_state.attempt(draft_id, lambda: authoring.undo(space, space.store.draft(draft_id), widgets.who()))


def rename(draft_id: str) -> None:
    """Give the draft another title."""
    space = widgets.workspace()
    title = st.session_state[f"title:{draft_id}"]
    widgets.attempt(lambda: authoring.rename(space, space.store.draft(draft_id), title, widgets.who()))


def update(draft_id: str) -> None:
    """Merge the newest version into the draft."""
    space = widgets.workspace()
    done = draft_state.attempt(
        draft_id, lambda: authoring.bring_up_to_date(space, draft_state.as_seen(draft_id), widgets.who())
    )
    if done is not None:
        widgets.say("success", f"The draft is now based on v{done.base_version}.")


def publish(draft: Draft) -> None:
    """Publish the draft as it was drawn, with its message."""
    message = st.session_state["publish_message"]
    space = widgets.workspace()
    made = []

    def published() -> Draft:
        made.append(authoring.publish(space, draft, message=message, author=widgets.who()))
        return draft

    if draft_state.attempt(draft.id, published) is not None:
        leave()
        widgets.say(
            "success", f"Published {made[0].label}. Run a judge with it on the Runs page, then compare."
        )


def discard(draft_id: str) -> None:
    """Remove the draft."""
    widgets.workspace().store.discard_draft(draft_id)
    leave()
    widgets.say("info", "The draft was discarded.")


def leave() -> None:
    """Open no draft."""
    st.session_state["draft"] = ""
    draft_state.open_draft(None)


page()
