"""Suggested edits beside the editor: ask a model for them, look at each with what it rests on, take or refuse it."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from functools import lru_cache

import streamlit as st

from workbench import markup, suggestions, widgets
from workbench.policy import Body
from workbench.store import Draft
from workbench.store.suggestions import StoredSuggestion
from workbench.suggestion import Disagreement, Settled, Suggestion, changes, misfit
from workbench.suggestion_form import ask, form_key, last_answer, watch

SHOWN = 5
"""Suggestions that are drawn at first."""
_ONE_LINE = "cursor:pointer;white-space:nowrap;overflow:hidden;text-overflow:ellipsis"
NAMES = {
    "reword": "reword",
    "add": "new clause",
    "split": "split",
    "level": "reword level",
    "precedent": "new precedent",
}


def draw(draft: Draft, base: Body, section: str, item: str) -> None:
    """Draw the suggestions for a draft, those for the part being edited first, and the form that asks for more."""
    space = widgets.workspace()
    widgets.attempt(suggestions.collect_suggestions, space, draft)
    asked = suggestions.suggestion_jobs(space, draft)
    under_way = [job for job in asked if job.final is None]
    found = space.store.suggestions(draft.name, draft.id) if asked else []
    models = {job.spec.id: str(job.spec.payload["model"]["model"]) for job in asked}
    unsettled = [stored for stored in found if stored.status == "open"]
    if under_way:
        st.fragment(watch, run_every=1.5)(tuple(job.spec.id for job in under_way))
    elif asked:
        last_answer(asked[0])
    with st.expander(
        "Ask a model for suggestions", expanded=not asked, key=form_key(draft), on_change="rerun"
    ) as form:
        if form.open:
            ask(draft, busy=bool(under_way))
    if not unsettled and asked and not under_way:
        st.caption("No suggestion waits for a decision.")
    here = sorted(unsettled, key=lambda stored: nearness(stored.suggestion, section, item))
    shown_key = f"suggest_shown:{draft.id}"
    shown = st.session_state.get(shown_key, SHOWN)
    for stored in here[:shown]:
        card(draft, stored, models.get(stored.job_id, ""))
    if len(here) > shown:
        st.button(
            f"Show {min(SHOWN, len(here) - shown)} more of {len(here) - shown}", type="tertiary",
            key=f"suggest_more:{draft.id}", on_click=show_more, args=(shown_key, shown + SHOWN),
        )  # fmt: skip
    decided(draft, [stored for stored in found if stored.status != "open"], models)


def nearness(suggestion: Suggestion, section: str, item: str) -> int:
    """Return how far a suggestion is from the part being edited: 0 the part itself, 1 its section, 2 elsewhere."""
    if suggestion.section != section:
        return 2
    return 0 if item and suggestion.item == item else 1


def show_more(key: str, count: int) -> None:
    """Draw more suggestions from now on."""
    st.session_state[key] = count


# Deciding


def card(draft: Draft, stored: StoredSuggestion, model: str) -> None:
    """Draw one open suggestion: the edit, whose it is and why, what it rests on, and the ways to decide."""
    suggestion = stored.suggestion
    problem = misfit(draft.body, suggestion)
    with st.container(border=True, key=f"suggestion_{stored.id}"):
        cases = suggestions.evidence(widgets.workspace(), stored)
        parts = (
            edit_html(suggestion, model),
            reason_html(suggestion),
            evidence_html(draft.body, suggestion, cases),
        )
        st.html("".join(parts))
        if problem:
            st.caption(f":material/sync_problem: It no longer fits: {markup.plain(problem)}")
        if st.session_state.get(f"suggest_editing:{stored.id}") and not problem:
            edit_fields(draft, stored)
        else:
            buttons(draft, stored, fits=not problem)


def buttons(draft: Draft, stored: StoredSuggestion, *, fits: bool) -> None:
    """Draw Take, Edit first and Refuse."""
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Take", type="primary", key=f"suggest_take:{stored.id}", disabled=not fits,
            on_click=take, args=(draft, stored.id),
        )  # fmt: skip
        st.button(
            "Edit first", key=f"suggest_edit:{stored.id}", disabled=not fits,
            on_click=edit, args=(stored.id, True),
        )  # fmt: skip
        with st.popover("Refuse"):
            st.text_input(
                "Why (for the record)", key=f"suggest_why:{stored.id}", placeholder="may stay empty"
            )
            st.button(
                "Refuse it", key=f"suggest_refuse:{stored.id}", on_click=refuse, args=(draft, stored.id)
            )


def edit_fields(draft: Draft, stored: StoredSuggestion) -> None:
    """Draw the suggested wording to be changed before it is taken."""
    suggestion = stored.suggestion
    label = {"split": f"{suggestion.item} keeps", "precedent": "Because"}.get(suggestion.kind, "Text")
    st.text_area(label, suggestion.text, key=f"suggest_text:{stored.id}", height="content")
    if suggestion.kind == "split":
        st.text_area("New clause", suggestion.second, key=f"suggest_second:{stored.id}", height="content")
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Take this wording", type="primary", key=f"suggest_take_edited:{stored.id}",
            on_click=take_edited, args=(draft, stored.id),
        )  # fmt: skip
        st.button("Back", key=f"suggest_back:{stored.id}", on_click=edit, args=(stored.id, False))


def edit(suggestion_id: str, editing: bool) -> None:
    """Open or close the fields of one suggestion (a callback)."""
    st.session_state[f"suggest_editing:{suggestion_id}"] = editing


def take(draft: Draft, suggestion_id: str) -> None:
    """Make the edit in the draft (a callback)."""
    widgets.attempt(suggestions.take, widgets.workspace(), draft, suggestion_id, widgets.who())


def take_edited(draft: Draft, suggestion_id: str) -> None:
    """Make the edit in the draft as it was reworded here (a callback)."""
    done = widgets.attempt(
        suggestions.take, widgets.workspace(), draft, suggestion_id, widgets.who(),
        text=st.session_state.get(f"suggest_text:{suggestion_id}"),
        second=st.session_state.get(f"suggest_second:{suggestion_id}"),
    )  # fmt: skip
    if done is not None:
        edit(suggestion_id, False)


def refuse(draft: Draft, suggestion_id: str) -> None:
    """Refuse a suggestion (a callback)."""
    why = st.session_state.get(f"suggest_why:{suggestion_id}", "")
    widgets.attempt(suggestions.refuse, widgets.workspace(), draft, suggestion_id, widgets.who(), why)


def decided(draft: Draft, found: Sequence[StoredSuggestion], models: Mapping[str, str]) -> None:
    """Draw what was decided before, folded, the newest first."""
    if not found:
        return
    key = f"suggest_decided:{draft.id}"
    with st.expander(f"Decided ({len(found)})", key=key, on_change="rerun") as box:
        if box.open:
            for stored in sorted(found, key=lambda s: s.decided_at or s.created_at, reverse=True):
                st.html(decided_html(stored, models.get(stored.job_id, "")))


# As HTML; all texts come from outside and are escaped


def edit_html(suggestion: Suggestion, model: str) -> str:
    """Return the edit with its words marked, under what it edits and the model that proposed it."""
    return _edit_html(suggestion.model_dump_json(by_alias=True), model)


@lru_cache(maxsize=256)
def _edit_html(suggestion_json: str, model: str) -> str:
    suggestion = Suggestion.model_validate_json(suggestion_json)
    parts = [
        f'<span class="wb-tag">{NAMES[suggestion.kind]}</span> <b class="wb-small">{html.escape(suggestion.place)}</b> '
        f'<span class="wb-muted wb-small">proposed by {html.escape(model)}</span>'
    ]
    for change in changes(suggestion):
        if change.kind == "split":
            parts.append('<div class="wb-eyebrow" style="margin-top:6px">split off as a new clause</div>')
        parts.append(f'<div class="wb-words wb-small" style="margin-top:4px">{markup.words(change)}</div>')
    if suggestion.precedent is not None:
        parts.append(_example_html(suggestion.precedent))
    return "".join(parts)


def _example_html(settled: Settled) -> str:
    grade = "N/A" if settled.grade is None else str(settled.grade)
    cites = "".join(f' <span class="wb-tag">{html.escape(cited)}</span>' for cited in settled.cites)
    sides = "".join(
        markup.pair_side(side, list(side)) for side in (settled.pair.query, settled.pair.document) if side
    )
    return (
        f'<div class="wb-small" style="margin-top:4px">Grade <b>{grade}</b>, as people gave it{cites}'
        f'<details><summary style="cursor:pointer" class="wb-muted">What it keeps of the pair</summary>'
        f'<div class="wb-side" style="margin:6px 0 4px">{sides}</div></details></div>'
    )


def reason_html(suggestion: Suggestion) -> str:
    """Return why it is proposed and what it should change."""
    effect = (
        f'<div class="wb-muted">Expected: {html.escape(suggestion.effect)}</div>' if suggestion.effect else ""
    )
    return f'<div class="wb-small" style="margin:8px 0"><div>{html.escape(suggestion.reason)}</div>{effect}</div>'


def evidence_html(body: Body, suggestion: Suggestion, cases: Sequence[Disagreement]) -> str:
    """Return the pairs that it rests on, each with its grades and to be opened."""
    names = markup.titles(body)
    title = html.escape(names.get(suggestion.dimension, suggestion.dimension))
    count = markup.several(len(suggestion.evidence), "pair")
    lost = len(suggestion.evidence) - len(cases)
    note = f' <span class="wb-muted">({lost} no longer kept)</span>' if lost else ""
    head = f'<div class="wb-eyebrow">rests on {count}, {title}{note}</div>'
    return head + "".join(case_html(body, suggestion, case) for case in cases)


def case_html(body: Body, suggestion: Suggestion, case: Disagreement) -> str:
    """Return one disagreement: both grades and the start of both texts; opened, all that the model saw of it."""
    known = suggestion.dimension in body.keys
    scale = body.scale(suggestion.dimension) if known else (case.label, case.judge)
    grades = f"people {markup.chip(case.label, scale)} judge {markup.chip(case.judge, scale)}"
    settles = suggestion.precedent is not None and suggestion.precedent.pair_id == case.pair.id
    tag = ' <span class="wb-tag">the precedent</span>' if settles else ""
    start = " → ".join(_first_words(fields) for fields in (case.pair.query, case.pair.document))
    notes = "".join(
        f'<div class="wb-field"><b>note of a labeler</b>{html.escape(note)}</div>' for note in case.notes
    )
    cites = "".join(f' <span class="wb-tag">{html.escape(cited)}</span>' for cited in case.cites)
    judged = html.escape(case.rationale) or '<span class="wb-muted">none given</span>'
    layout = body.pair
    return (
        f'<details class="wb-small"><summary style="{_ONE_LINE}">{grades}{tag} '
        f'<span class="wb-muted">{html.escape(start)}</span></summary>'
        f'<div class="wb-side" style="margin:6px 0 8px">{notes}'
        f'<div class="wb-field"><b>the judge\'s reason</b>{judged}{cites}</div>'
        f'<div class="wb-eyebrow">{html.escape(layout.query.name)}</div>'
        f"{markup.pair_side(case.pair.query, layout.query.fields)}"
        f'<div class="wb-eyebrow">{html.escape(layout.document.name)}</div>'
        f"{markup.pair_side(case.pair.document, layout.document.fields)}</div></details>"
    )


def _first_words(fields: dict[str, str]) -> str:
    text = " ".join(next((text for text in fields.values() if text.strip()), "").split())
    return text if len(text) <= 48 else f"{text[:48].rsplit(' ', 1)[0]} …"


def decided_html(stored: StoredSuggestion, model: str) -> str:
    """Return one decided suggestion: what was decided, by whom and why, above the edit."""
    when = f", {stored.decided_at:%d %b %H:%M} UTC" if stored.decided_at else ""
    why = f": {html.escape(stored.reason)}" if stored.reason else ""
    line = f"{stored.status} by {html.escape(stored.decided_by)}{when}{why}"
    return f'<div class="wb-muted wb-small">{line}</div>{edit_html(stored.suggestion, model)}'
