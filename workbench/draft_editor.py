"""The middle of the Draft page: the part being edited, with what it will read like."""

from __future__ import annotations

import html
from collections.abc import Callable
from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from workbench import (
    authoring,
    draft_state,
    markup,
    policy_edit,
    policy_view,
    trial_pairs,
    trial_view,
    widgets,
)
from workbench.draft_fields import choice_field, new_text, text_field
from workbench.draft_state import Focus
from workbench.golden import Pair
from workbench.policy import Body, Clause, Dimension, Level, Precedent
from workbench.policy_diff import GENERAL
from workbench.store import Draft


def draw(draft: Draft, at: Focus) -> None:
    """Draw the fields of the open part and its preview."""
    body, section, item = draft.body, at.section, at.item
    if item.startswith("term "):
        term(draft, item.removeprefix("term "))
    elif section == GENERAL and not item:
        general(draft)
    elif item.startswith("level "):
        level(draft, section, int(item.removeprefix("level ")))
    elif any(clause.id == item for _, clause in body.clauses()):
        clause(draft, section, item)
    elif item:
        precedent(draft, section, item)
    else:
        dimension(draft, section)


# The document and its terms


def general(draft: Draft) -> None:
    """Draw title, purpose, and ways to add rules and terms."""
    text_field(
        draft,
        "title",
        "Title",
        lambda b: b.title,
        lambda b, text: policy_edit.edit(b, title=text),
        area=False,
    )
    text_field(
        draft, "purpose", "Purpose (Markdown)", lambda b: b.purpose,
        lambda b, text: policy_edit.edit(b, purpose=text),
    )  # fmt: skip
    new_text(
        draft, "general", "New general rule", "Add the rule", partial(_add_clause, section=GENERAL),
        opens=lambda b, _: (GENERAL, b.fresh_id(GENERAL)), placeholder=f"becomes {draft.body.fresh_id('general')}",
    )  # fmt: skip
    with st.popover("Add a term", icon=":material/add:", type="tertiary"):
        new_text(
            draft, "term", "The term", "Add", lambda b, text: policy_edit.add_term(b, _line(text), "To be defined."),
            opens=lambda _, text: (GENERAL, f"term {_line(text)}"),
        )  # fmt: skip
    with preview():
        st.html(f'<div class="wb-doc">{markup.md(draft.body.purpose)}</div>')
        st.html(policy_view.clause_list(draft.body.general))


def term(draft: Draft, name: str) -> None:
    """Draw one defined term."""

    def meaning(body: Body) -> str:
        return next((t.meaning for t in body.terms if t.term == name), "")

    part_title(f"Term: {name}")
    text_field(
        draft, f"term:{name}", "Meaning (Markdown)", meaning,
        lambda b, text: policy_edit.set_term(b, name, meaning=text),
    )  # fmt: skip
    with st.container(horizontal=True):
        with st.popover("Rename", icon=":material/edit:"):
            new_text(
                draft, f"rename:{name}", "New name", "Rename", partial(_rename_term, name=name),
                opens=lambda _, text: (GENERAL, f"term {_line(text)}"),
            )  # fmt: skip
        act(draft, "Remove", ":material/delete:", lambda b: policy_edit.remove_term(b, name), GENERAL)
    with preview():
        st.html(markup.clause(name, markup.md(meaning(draft.body))))


def _rename_term(body: Body, text: str, *, name: str) -> Body:
    meaning = next(t.meaning for t in body.terms if t.term == name)
    return policy_edit.set_term(body, name, meaning=meaning, rename=_line(text))


def _add_clause(body: Body, text: str, *, section: str) -> Body:
    return policy_edit.add_clause(body, section, text)


def _line(text: str) -> str:
    return " ".join(text.split())


# Dimensions


def dimension(draft: Draft, key: str) -> None:
    """Draw one dimension's own fields, and ways to add to it."""

    def field(name: str, label: str, *, area: bool = True) -> None:
        text_field(
            draft, f"{key}.{name}", label, lambda b: getattr(b.dimension(key), name),
            lambda b, text: policy_edit.set_dimension(b, key, **{name: text}), area=area,
        )  # fmt: skip

    found = draft.body.dimension(key)
    field("title", "Title", area=False)
    field("question", "Question (Markdown)")
    weight, na = st.columns([1, 2], vertical_alignment="bottom")
    with weight:
        choice_field(
            draft, f"{key}.weight", "Weight", lambda b: float(b.dimension(key).weight),
            lambda b, value: policy_edit.set_dimension(b, key, weight=value), st.number_input,
            min_value=0.0, max_value=1000.0, step=0.5,
        )  # fmt: skip
    with na:
        choice_field(
            draft, f"{key}.allow_na", "May be not applicable (N/A)", lambda b: b.dimension(key).allow_na,
            lambda b, value: policy_edit.set_dimension(b, key, allow_na=value), st.checkbox,
        )  # fmt: skip
    choice_field(
        draft, f"{key}.considers", "Considers", lambda b: b.dimension(key).considers,
        lambda b, value: policy_edit.set_dimension(b, key, considers=tuple(value)), st.multiselect,
        options=draft.body.pair.field_names(), placeholder="everything",
    )  # fmt: skip
    new_text(
        draft, f"{key}.clause", "New clause", "Add the clause", partial(_add_clause, section=key),
        opens=lambda b, _: (key, b.fresh_id(key)), placeholder=f"becomes {draft.body.fresh_id(key)}",
    )  # fmt: skip
    with st.container(horizontal=True):
        at = draft.body.keys.index(key)
        act(draft, "Up", ":material/arrow_upward:", partial(policy_edit.move_dimension, key=key, position=at - 1),
            key, disabled=at == 0)  # fmt: skip
        act(draft, "Down", ":material/arrow_downward:", partial(policy_edit.move_dimension, key=key, position=at + 1),
            key, disabled=at == len(draft.body.keys) - 1)  # fmt: skip
        with st.popover("Add a level", icon=":material/add:"):
            new_text(
                draft, f"{key}.level", f"Name of level {found.scale[-1] + 1}", "Add",
                lambda b, text: policy_edit.add_level(b, key, name=_line(text)),
                opens=lambda b, _: (key, f"level {b.scale(key)[-1] + 1}"),
            )  # fmt: skip
        with st.popover("Remove", icon=":material/delete:"):
            st.caption(f"Removes {found.title} with its levels and clauses; their ids are never used again.")
            act(
                draft,
                "Remove the dimension",
                ":material/delete:",
                lambda b: policy_edit.remove_dimension(b, key),
                GENERAL,
            )
    with preview():
        st.html(
            policy_view.question(found)
            + policy_view.level_table(found)
            + policy_view.clause_list(found.clauses)
        )


def level(draft: Draft, key: str, value: int) -> None:
    """Draw one level."""

    def found(body: Body) -> Level:
        return next(level for level in body.dimension(key).levels if level.value == value)

    def changed(body: Body, **texts: str) -> Body:
        now = found(body)
        return policy_edit.set_level(
            body, key, value, **({"name": now.name, "criteria": now.criteria} | texts)
        )

    dimension = draft.body.dimension(key)
    part_title(f"{dimension.title}: level {value}")
    text_field(
        draft, f"{key}.{value}.name", "Name", lambda b: found(b).name,
        lambda b, text: changed(b, name=text), area=False,
    )  # fmt: skip
    text_field(
        draft, f"{key}.{value}.criteria", "Criteria (Markdown)", lambda b: found(b).criteria,
        lambda b, text: changed(b, criteria=text),
    )  # fmt: skip
    if value == dimension.scale[-1] and len(dimension.levels) > 2:
        act(draft, "Remove this level", ":material/delete:", lambda b: policy_edit.remove_level(b, key), key)
    with preview():
        st.html(policy_view.level_table(dimension, lit=value))


# Clauses and precedents


def clause(draft: Draft, section: str, clause_id: str) -> None:
    """Draw one clause: its text, its place, splitting and retiring it."""

    def found(body: Body) -> Clause | None:
        return next((clause for _, clause in body.clauses() if clause.id == clause_id), None)

    now = found(draft.body)
    assert now is not None
    part_title(clause_id, f"split from {now.split_from}" if now.split_from else "")
    text_field(
        draft, clause_id, "Text (Markdown)", lambda b: getattr(found(b), "text", ""),
        lambda b, text: policy_edit.set_clause(b, clause_id, text), label_visibility="collapsed",
    )  # fmt: skip
    clauses = draft.body.general if section == GENERAL else draft.body.dimension(section).clauses
    at = [c.id for c in clauses].index(clause_id)
    with st.container(horizontal=True):
        shift = policy_edit.shift_clause
        act(
            draft,
            "Up",
            ":material/arrow_upward:",
            lambda b: shift(b, clause_id, -1),
            section,
            clause_id,
            disabled=at == 0,
        )
        act(draft, "Down", ":material/arrow_downward:", lambda b: shift(b, clause_id, 1), section, clause_id,
            disabled=at == len(clauses) - 1)  # fmt: skip
        with st.popover("Split", icon=":material/call_split:"):
            split_form(draft, section, now)
        with st.popover("Move", icon=":material/drive_file_move:"):
            move_form(draft, section, clause_id)
        with st.popover("Retire", icon=":material/delete:"):
            st.caption(
                f"{clause_id} leaves the policy; its id is never used again, and precedents stop citing it."
            )
            act(
                draft,
                "Retire it",
                ":material/delete:",
                lambda b: policy_edit.retire_clause(b, clause_id),
                section,
            )
    with preview():
        st.html(policy_view.clause_list(clauses, lit=clause_id))


def split_form(draft: Draft, section: str, clause: Clause) -> None:
    """Draw two fields for the halves of a clause."""
    key = f"split:{draft.id}:{clause.id}"
    new_id = draft.body.fresh_id(section)
    with st.form(key, border=False):
        st.text_area(f"{clause.id} keeps", clause.text, key=f"{key}:first", height=140)
        st.text_area(f"{new_id} says", "", key=f"{key}:second", height=140)
        st.form_submit_button(
            "Split", type="primary", on_click=_split, args=(draft.id, section, clause.id, key)
        )


def _split(draft_id: str, section: str, clause_id: str, key: str) -> None:
    first, second = st.session_state[f"{key}:first"], st.session_state[f"{key}:second"]

    def change(body: Body) -> Body:
        return policy_edit.split_clause(body, clause_id, first, second)

    if draft_state.keep(draft_id, change) is not None:
        draft_state.go(section, clause_id)


def move_form(draft: Draft, section: str, clause_id: str) -> None:
    """Draw the choice of another section for a clause; its id goes with it."""
    titles = {GENERAL: "General rules"} | {d.key: d.title for d in draft.body.dimensions}
    key = f"move:{draft.id}:{clause_id}"
    others = [name for name in titles if name != section]
    st.selectbox("To the end of", others, key=key, format_func=titles.__getitem__)
    st.caption(f"It stays {clause_id}: verdicts and precedents that cite it still find it.")
    st.button("Move it", on_click=_move, args=(draft.id, clause_id, key), key=f"do:{key}")


def _move(draft_id: str, clause_id: str, key: str) -> None:
    target = st.session_state[key]

    def change(body: Body) -> Body:
        there = body.general if target == GENERAL else body.dimension(target).clauses
        return policy_edit.move_clause(body, clause_id, section=target, position=len(there))

    if draft_state.keep(draft_id, change) is not None:
        draft_state.go(target, clause_id)


def precedent(draft: Draft, key: str, precedent_id: str) -> None:
    """Draw one settled example."""

    def found(body: Body) -> Precedent | None:
        return next((p for p in body.dimension(key).precedents if p.id == precedent_id), None)

    dimension = draft.body.dimension(key)
    now = found(draft.body)
    assert now is not None
    part_title(precedent_id)
    grades: list[int | None] = [*dimension.scale, *([None] if dimension.allow_na else [])]
    choice_field(
        draft, f"{precedent_id}.grade", "Grade", lambda b: getattr(found(b), "grade", None),
        lambda b, value: policy_edit.set_precedent(b, precedent_id, grade=value), st.selectbox,
        options=grades, format_func=lambda grade: "N/A" if grade is None else str(grade),
    )  # fmt: skip
    text_field(
        draft, f"{precedent_id}.because", "Because", lambda b: getattr(found(b), "because", ""),
        lambda b, text: policy_edit.set_precedent(b, precedent_id, because=text),
    )  # fmt: skip
    choice_field(
        draft, f"{precedent_id}.cites", "Cites", lambda b: getattr(found(b), "cites", ()),
        lambda b, value: policy_edit.set_precedent(b, precedent_id, cites=tuple(value)), st.multiselect,
        options=[clause.id for _, clause in draft.body.clauses()],
    )  # fmt: skip
    with st.expander("Its pair, shortened to what matters"):
        example_fields(draft, key, precedent_id, now)
    with st.popover("Remove", icon=":material/delete:"):
        act(
            draft,
            "Remove it",
            ":material/delete:",
            lambda b: policy_edit.remove_precedent(b, precedent_id),
            key,
        )
    with preview():
        st.html(policy_view.precedent(draft.body, dimension, now))


def precedent_form(draft: Draft, dimension: Dimension) -> None:
    """Draw the search for a golden pair and what makes it a settled example."""
    space, key = widgets.workspace(), f"precedent:{draft.id}:{dimension.key}"
    sets = trial_pairs.published_sets(space, draft.name)
    if not sets:
        st.caption("Precedents are made of golden pairs; this policy has no published golden set yet.")
        return
    golden = st.selectbox("Golden set", sets, key=f"{key}:golden")
    text = st.text_input("Pair id, or words in its texts", key=f"{key}:search")
    found = {pair.id: pair for pair in trial_pairs.find_pairs(space, golden, text, limit=12)}
    if not found:
        st.caption("No dev pair holds these words. Pairs of the holdout never become precedents.")
        return
    chosen = st.selectbox(
        "Pair", list(found), key=f"{key}:pair", format_func=lambda id: trial_view.pair_name(found[id])
    )
    grades: list[int | None] = [*dimension.scale, *([None] if dimension.allow_na else [])]
    st.segmented_control(
        "Grade", grades, key=f"{key}:grade", format_func=lambda grade: "N/A" if grade is None else str(grade)
    )
    st.text_area("Because", key=f"{key}:because", height=90)
    st.button(
        "Add the precedent",
        key=f"{key}:add",
        on_click=_add_precedent,
        args=(draft, dimension, key, found[chosen]),
    )


def _add_precedent(draft: Draft, dimension: Dimension, key: str, pair: Pair) -> None:
    grade, because = st.session_state[f"{key}:grade"], st.session_state[f"{key}:because"]
    place: list[str] = []

    def change(body: Body) -> Body:
        place.append(body.fresh_id(dimension.key, prefix="p"))
        return authoring.with_precedent(
            widgets.workspace(), draft.name, body, dimension.key, pair, grade=grade, because=because
        )

    if draft_state.keep(draft.id, change) is not None:
        st.session_state[f"{key}:because"] = ""
        draft_state.go(dimension.key, place[-1])


def example_fields(draft: Draft, key: str, precedent_id: str, now: Precedent) -> None:
    """Draw the texts of a precedent's pair, which may be shortened to what matters."""
    for side in ("query", "document"):
        for name in getattr(now.pair, side):

            def read(body: Body, side: str = side, name: str = name) -> str:
                found = next((p for p in body.dimension(key).precedents if p.id == precedent_id), None)
                return getattr(found.pair, side).get(name, "") if found else ""

            def change(body: Body, text: str, side: str = side, name: str = name) -> Body:
                found = next(p for p in body.dimension(key).precedents if p.id == precedent_id)
                texts = {**getattr(found.pair, side), name: text}
                pair = found.pair.model_copy(update={side: {n: t for n, t in texts.items() if t.strip()}})
                return policy_edit.set_precedent(body, precedent_id, pair=pair)

            label = f"{getattr(draft.body.pair, side).name}.{name}"
            text_field(draft, f"{precedent_id}.{side}.{name}", label, read, change)


# Pieces


def act(
    draft: Draft,
    label: str,
    icon: str,
    change: Callable[[Body], Body],
    section: str,
    item: str = "",
    *,
    disabled: bool = False,
) -> None:
    """Draw a button that edits the draft and then opens a part."""
    st.button(
        label, icon=icon, disabled=disabled, on_click=_act, args=(draft.id, change, section, item),
        key=f"act:{draft.id}:{label}:{section}:{item}",
    )  # fmt: skip


def _act(draft_id: str, change: Callable[[Body], Body], section: str, item: str) -> None:
    if draft_state.keep(draft_id, change) is not None:
        draft_state.go(section, item)


def part_title(text: str, note: str = "") -> None:
    """Draw what is being edited."""
    tag = f' <span class="wb-tag">{html.escape(note)}</span>' if note else ""
    st.html(f'<div style="font-weight:640">{html.escape(text)}{tag}</div>')


def preview() -> DeltaGenerator:
    """Return the box in which a part is drawn as it will read."""
    box = st.container(border=True, key="preview")
    box.html('<div class="wb-eyebrow">reads like</div>')
    return box
