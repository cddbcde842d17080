"""Draft: edit a policy part by part or as text, see lint and the difference, publish with a message."""

from __future__ import annotations

import html
from typing import Any

import streamlit as st

from workbench import authoring, markup, widgets
from workbench.errors import BadInput
from workbench.policy import OVERALL, Body, Clause
from workbench.policy_diff import diff
from workbench.store import Draft

NEW = "new"


def page() -> None:
    """Draw the author's draft: parts left, form in the middle, consequences right."""
    space = widgets.workspace()
    left, middle, right = st.columns([1, 3.6, 2], gap="medium")
    with left:
        name = widgets.choose_policy()
        if name is None:
            return
    draft = opened(name)
    with middle:
        widgets.flash()
    if draft is None:
        newest = space.store.policy(name)
        with middle:
            widgets.header(
                f"No draft of {name} is open", f"The newest version is {newest.label}: {newest.message}"
            )
            st.button(
                f"Start a draft from v{newest.version}",
                type="primary",
                on_click=start,
                args=(name,),
                key="start_draft",
            )
            for other in space.store.drafts(name):
                st.button(
                    f"Open the draft of {other.author}, saved {other.updated_at:%d %b %H:%M} UTC",
                    on_click=open_draft, args=(other,), key=f"open_{other.id}",
                )  # fmt: skip
        return
    base = space.store.policy(name, draft.base_version)
    with left:
        titles = markup.titles(draft.body)
        parts = ["general", *draft.body.keys, OVERALL, "text"]
        names = titles | {
            "general": "General rules",
            OVERALL: "Overall rule",
            "text": "Whole document as text",
        }
        changed = {change.section for change in diff(base, draft.body)}
        part = widgets.pick(
            st.radio,
            "Part",
            parts,
            key="part",
            format_func=names.get,
            captions=["changed" if key in changed else "" for key in parts],
        )
    with middle:
        widgets.header(
            f"Draft of {name}",
            f"From v{draft.base_version}, by {draft.author}; saved {draft.revision - 1} times.",
        )
        stale_notice(draft)
        {"general": general_form, OVERALL: overall_form, "text": text_form}.get(part, dimension_form)(
            draft, part
        )
    with right:
        consequences(draft, base)


def opened(name: str) -> Draft | None:
    """Return the draft this session has open, as it was when it was opened; None if there is none any more."""
    held = st.session_state.get("draft")
    if held is None or held.name != name:
        return None
    if all(draft.id != held.id for draft in widgets.workspace().store.drafts(name)):
        del st.session_state["draft"]
        return None
    return held


def start(name: str) -> None:
    """Open this person's draft, or a new one."""
    draft = widgets.attempt(authoring.open_draft, widgets.workspace(), name, widgets.who())
    if draft is not None:
        open_draft(draft)


def open_draft(draft: Draft) -> None:
    """Take a draft into this session, as it is now in the store."""
    st.session_state["draft"] = widgets.workspace().store.draft(draft.id)
    forget_fields()


def forget_fields() -> None:
    """Drop what the forms hold, so that they show the draft anew."""
    for key in [key for key in st.session_state if str(key).startswith("f:")]:
        del st.session_state[key]


def stale_notice(draft: Draft) -> None:
    """Say that somebody else saved meanwhile; what is typed here stays until their version is loaded."""
    now = widgets.workspace().store.draft(draft.id)
    if now.revision != draft.revision:
        st.warning(
            f"{now.updated_by} saved this draft at {now.updated_at:%H:%M:%S} UTC. Saving here is held back; copy what you "
            "typed, then load their version.",
            icon=":material/sync_problem:",
        )
        st.button("Load their version", on_click=open_draft, args=(draft,), key="load_theirs")


def keep(draft: Draft, body: Body | None) -> None:
    """Save an edited body as the next revision."""
    if body is None:
        return
    saved = widgets.attempt(authoring.save, widgets.workspace(), draft, body, widgets.who())
    if saved is None:
        return
    widgets.say(
        "success" if saved.revision != draft.revision else "info",
        "Saved." if saved.revision != draft.revision else "Nothing was changed.",
    )
    st.session_state["draft"] = saved
    forget_fields()


def field(draft: Draft, name: str) -> str:
    """Return the key of a form field; a new revision starts with fresh fields."""
    return f"f:{draft.id}:{draft.revision}:{name}"


def value(draft: Draft, name: str) -> Any:
    """Return what a form field holds."""
    return st.session_state.get(field(draft, name))


def clause_fields(draft: Draft, section: str, clauses: tuple[Clause, ...]) -> None:
    """Draw a text area a clause, with a mark to retire it, and one for a new clause."""
    st.html('<div class="wb-eyebrow" style="margin-top:6px">clauses</div>')
    for clause in clauses:
        text, retire = st.columns([9, 1.6], vertical_alignment="center")
        origin = f" (split from {clause.split_from})" if clause.split_from else ""
        with text:
            st.text_area(clause.id + origin, clause.text, key=field(draft, clause.id), height="content")
        with retire:
            st.checkbox("retire", key=field(draft, f"retire:{clause.id}"), help="Its id is never used again.")
    st.text_area(
        "New clause", key=field(draft, NEW), height=80, placeholder=f"becomes {draft.body.fresh_id(section)}"
    )
    st.selectbox(
        "Split from", [None, *(clause.id for clause in clauses)], key=field(draft, "split"),
        format_func=lambda found: found or "– (a rule of its own)",
    )  # fmt: skip


def clause_edits(draft: Draft, body: Body, section: str) -> Body:
    """Return ``body`` with the clause fields applied."""
    clauses = body.general if section == "general" else body.dimension(section).clauses
    for clause in clauses:
        if value(draft, f"retire:{clause.id}"):
            body = authoring.retire_clause(body, clause.id)
        elif (text := value(draft, clause.id)) is not None and text.strip() != clause.text:
            body = authoring.set_clause(body, clause.id, text)
    if (value(draft, NEW) or "").strip():
        body = authoring.add_clause(body, section, value(draft, NEW), split_from=value(draft, "split"))
    return body


def general_form(draft: Draft, _part: str) -> None:
    """Draw title, purpose and the general rules."""
    with st.form("general_form", border=False):
        st.text_input("Title", draft.body.title, key=field(draft, "title"))
        st.text_area("Purpose (Markdown)", draft.body.purpose, key=field(draft, "purpose"), height="content")
        clause_fields(draft, "general", draft.body.general)
        st.form_submit_button("Save", type="primary", on_click=save_general, args=(draft,), key="save_part")


def save_general(draft: Draft) -> None:
    """Save the general part."""

    def edited() -> Body:
        body = authoring.edit(draft.body, title=value(draft, "title"), purpose=value(draft, "purpose"))
        return clause_edits(draft, body, "general")

    keep(draft, widgets.attempt(edited))


def dimension_form(draft: Draft, key: str) -> None:
    """Draw one dimension: question, levels, clauses."""
    dimension = draft.body.dimension(key)
    with st.form(f"form_{key}", border=False):
        st.text_input("Title", dimension.title, key=field(draft, f"{key}.title"))
        st.text_area("Question", dimension.question, key=field(draft, f"{key}.question"), height="content")
        st.multiselect(
            "Considers",
            draft.body.pair.field_names(),
            list(dimension.considers),
            key=field(draft, f"{key}.considers"),
        )
        st.html('<div class="wb-eyebrow">levels</div>')
        for level in reversed(dimension.levels):
            name, criteria = st.columns([1, 4])
            name.text_input(f"Level {level.value}", level.name, key=field(draft, f"{key}.{level.value}.name"))
            criteria.text_area(
                "Criteria",
                level.criteria,
                key=field(draft, f"{key}.{level.value}.criteria"),
                height="content",
            )
        clause_fields(draft, key, dimension.clauses)
        st.form_submit_button(
            "Save", type="primary", on_click=save_dimension, args=(draft, key), key="save_part"
        )


def save_dimension(draft: Draft, key: str) -> None:
    """Save one dimension."""

    def edited() -> Body:
        body = draft.body
        for level in body.dimension(key).levels:
            spot = f"{key}.{level.value}"
            body = authoring.set_level(
                body,
                key,
                level.value,
                name=value(draft, f"{spot}.name"),
                criteria=value(draft, f"{spot}.criteria"),
            )
        names = ("title", "question", "considers")
        body = authoring.set_dimension(body, key, **{name: value(draft, f"{key}.{name}") for name in names})
        return clause_edits(draft, body, key)

    keep(draft, widgets.attempt(edited))


def overall_form(draft: Draft, _part: str) -> None:
    """Draw weights, cut points and gates. Changing them needs no new judging."""
    rule = draft.body.overall
    with st.form("overall_form", border=False):
        st.segmented_control(
            "Combine", ["weighted_mean", "minimum"], default=rule.combine, required=True, key=field(draft, "combine"),
            format_func=lambda how: how.replace("_", " "),
        )  # fmt: skip
        columns = st.columns(3)
        for i, dimension in enumerate(draft.body.dimensions):
            columns[i % 3].number_input(
                f"Weight of {dimension.title}",
                0.0,
                1000.0,
                dimension.weight,
                0.5,
                key=field(draft, f"weight:{dimension.key}"),
            )
        cuts = ", ".join(f"{cut:g}" for cut in rule.cut_points)
        st.text_input("Cut points, ascending, with commas", cuts, key=field(draft, "cuts"))
        st.html('<div class="wb-eyebrow">gates (emptied ones are removed)</div>')
        for gate in [*rule.gates, None]:
            gate_fields(draft, gate)
        st.form_submit_button("Save", type="primary", on_click=save_overall, args=(draft,), key="save_part")


def gate_fields(draft: Draft, gate: Any) -> None:
    """Draw one gate, or the empty row for a new one."""
    name = gate.id if gate else NEW
    when, bound, grade, because = st.columns([3, 1.4, 1, 4])
    when.text_input(
        f"{name}: when",
        gate.when if gate else "",
        key=field(draft, f"{name}:when"),
        placeholder="location == 0",
    )
    kind = "at_least" if gate and gate.at_least is not None else "at_most"
    bound.selectbox(
        "bound", ["at_most", "at_least"], index=["at_most", "at_least"].index(kind), key=field(draft, f"{name}:kind"),
        format_func=lambda how: how.replace("_", " "),
    )  # fmt: skip
    top = draft.body.overall.scale[-1]
    current = (gate.at_least if gate.at_least is not None else gate.at_most) if gate else 1
    grade.number_input("grade", 0, top, current, key=field(draft, f"{name}:grade"))
    because.text_input("because", gate.because if gate else "", key=field(draft, f"{name}:because"))


def save_overall(draft: Draft) -> None:
    """Save the overall rule."""

    def edited() -> Body:
        gates = []
        for name in [*(gate.id for gate in draft.body.overall.gates), NEW]:
            if (value(draft, f"{name}:when") or "").strip():
                row = {
                    "when": value(draft, f"{name}:when"),
                    value(draft, f"{name}:kind"): value(draft, f"{name}:grade"),
                }
                row |= {"because": value(draft, f"{name}:because")} | ({} if name == NEW else {"id": name})
                gates.append(row)
        try:
            cuts = [float(cut) for cut in value(draft, "cuts").split(",") if cut.strip()]
        except ValueError as error:
            raise BadInput(
                f"The cut points are no numbers ({error}).", "Write them as 0.8, 1.6, 2.4."
            ) from error
        weights = {key: value(draft, f"weight:{key}") for key in draft.body.keys}
        return authoring.set_overall(
            draft.body, weights=weights, cut_points=cuts, gates=gates, combine=value(draft, "combine")
        )

    keep(draft, widgets.attempt(edited))


def text_form(draft: Draft, _part: str) -> None:
    """Draw the whole document as YAML."""
    with st.form("text_form", border=False):
        st.text_area(
            "YAML",
            authoring.body_text(draft.body),
            key=field(draft, "yaml"),
            height=620,
            label_visibility="collapsed",
        )
        st.form_submit_button("Save", type="primary", on_click=save_text, args=(draft,), key="save_part")


def save_text(draft: Draft) -> None:
    """Save the document as it was typed; an error names the line and nothing is lost."""
    keep(draft, widgets.attempt(authoring.body_from_text, value(draft, "yaml")))


def consequences(draft: Draft, base: Any) -> None:
    """Draw what the draft changes, what lint says, and the way to publish."""
    changes = diff(base, draft.body)
    findings = authoring.findings(draft.body)
    errors = [finding for finding in findings if finding.severity == "error"]
    with st.container(border=True):
        st.html('<div class="wb-eyebrow">publish</div>')
        with st.form("publish_form", border=False):
            st.text_input("What changed and why", key="publish_message", placeholder="one sentence")
            st.form_submit_button(
                f"Publish as v{draft.base_version + 1}", type="primary", on_click=publish, args=(draft,),
                disabled=not changes or bool(errors), key="publish", help="Not possible while lint has errors or nothing changed.",
            )  # fmt: skip
        st.button("Discard this draft", type="tertiary", on_click=discard, args=(draft,), key="discard")
    changed, linted = st.tabs([f"Changes ({len(changes)})", f"Lint ({len(findings)})"])
    with changed:
        if not changes:
            st.caption(f"Says the same as v{draft.base_version}.")
        widgets.change_list(changes)
    with linted:
        if not findings:
            st.caption("Nothing to query.")
        for finding in findings:
            icon = ":material/error:" if finding.severity == "error" else ":material/help:"
            st.markdown(f"{icon} **{html.escape(finding.place)}** {html.escape(finding.message)}")


def publish(draft: Draft) -> None:
    """Publish the draft with its message."""
    policy = widgets.attempt(
        authoring.publish,
        widgets.workspace(),
        draft,
        message=st.session_state["publish_message"],
        author=widgets.who(),
    )
    if policy is not None:
        st.session_state.pop("draft", None)
        forget_fields()
        widgets.say(
            "success", f"Published {policy.label}. Run a judge with it on the Runs page, then compare."
        )


def discard(draft: Draft) -> None:
    """Remove the draft."""
    widgets.workspace().store.discard_draft(draft.id)
    st.session_state.pop("draft", None)
    forget_fields()
    widgets.say("info", "The draft was discarded.")


page()
