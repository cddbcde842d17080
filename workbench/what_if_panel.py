"""What-if: move the overall rule of a draft with sliders and see at once, with no judging, what the grades would be.

Where the sliders stand is an unsaved selection of this session. It follows the draft's rule where nobody moved it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from workbench import draft_state, markup, rule_controls, what_if_result, what_if_sources, widgets
from workbench.policy import Body, Gate
from workbench.rule_controls import Controls, applied, controls_of, followed
from workbench.store import Draft
from workbench.what_if import AgreementChange, WhatIf, agreement_change, what_if
from workbench.what_if_sources import Graded, Source

WEIGHT_STEP, CUT_STEP = 0.5, 0.05
Rule = tuple[Controls, tuple[Gate, ...]]


@dataclass(frozen=True)
class Sliders:
    """Where the controls stand, and where the draft's rule stood when they were last drawn."""

    start: Controls
    now: Controls

    @property
    def moved(self) -> bool:
        """Whether any control is away from the draft's rule."""
        return self.now != self.start


@dataclass(frozen=True, eq=False)
class Shown:
    """What was computed last and for what: kept, because opening a pair changes none of it."""

    graded: Graded
    rules: tuple[Rule, Rule]
    found: WhatIf
    agreement: AgreementChange | None = None  # with intervals, once they are there


def draw(draft: Draft, base: Body) -> None:
    """Draw the sliders and what they do to the overall grades, about 900 px wide.

    Args:
        draft: what is being edited.
        base: what the draft started from, to compare with.
    """
    sources = what_if_sources.sources(widgets.workspace(), draft.name)
    if not sources:
        widgets.empty(
            "There are no grades to try a rule on.",
            "Publish a golden set with labels on the Golden set page, or run a judge on one on the Runs page.",
        )
        return
    _panel(draft, base, sources)


@st.fragment
def _panel(draft: Draft, base: Body, sources: list[Source]) -> None:
    at = sliders(draft)
    source, before, name = choices(draft, base, sources)
    names = (name, "with these sliders" if at.moved else "the draft's rule")
    graded = what_if_sources.graded(widgets.workspace(), source, draft.body)
    after = applied(draft.body, at.now)
    shown = computed(draft, graded, before, after)
    left, right = st.columns([5, 6], gap="medium")
    with left:
        controls(draft, at)
        buttons(draft, at)
    with right:
        interval_place = what_if_result.figures(graded, shown.found, shown.agreement, names)
        what_if_result.deciders(after, shown.found)
    what_if_result.changed_pairs(draft.body, graded, shown.found)
    if shown.agreement is None:
        # Last, so that all else is on the screen meanwhile; moving a slider begins anew.
        agreement = agreement_change(shown.found, graded.queries)
        st.session_state[f"what_if_shown:{draft.id}"] = replace(shown, agreement=agreement)
        if agreement is not None:
            interval_place.html(what_if_result.agreement_table(agreement, names))


# The sliders and their state


def sliders(draft: Draft) -> Sliders:
    """Return where the controls stand; those that were not moved follow the draft's rule."""
    key, rule = f"what_if:{draft.id}", controls_of(draft.body)
    held: Sliders | None = st.session_state.get(key)
    if held is None or held.start != rule:
        held = Sliders(rule, followed(held.now, held.start, rule) if held else rule)
        st.session_state[key] = held
    return held


def choices(draft: Draft, base: Body, sources: list[Source]) -> tuple[Source, Body, str]:
    """Draw whose grades are combined and what the sliders are compared with; return both."""
    by_key = {source.key: source for source in sources}
    left, right = st.columns([5, 6], gap="medium", vertical_alignment="bottom")
    with left:
        key = widgets.pick(
            st.selectbox, "Whose dimension grades", list(by_key), key="what_if_grades",
            format_func=lambda key: by_key[key].label,
        )  # fmt: skip
    rules = {"draft": (draft.body, "the draft's rule")}
    same_dimensions = {d.key: d.scale for d in base.dimensions} == {
        d.key: d.scale for d in draft.body.dimensions
    }
    if same_dimensions and rule_of(base) != rule_of(draft.body):
        published = f"the rule of v{draft.base_version}" if draft.base_version else "the rule it began with"
        rules = {"base": (base, published), **rules}
    chosen = next(iter(rules))
    if len(rules) > 1:
        with right:
            chosen = widgets.pick(
                st.segmented_control, "Compared with", list(rules), key="what_if_against",
                format_func=lambda name: rules[name][1],
            )  # fmt: skip
    elif not same_dimensions:
        right.caption(
            "Compared with the draft's rule: the version it is based on has other dimensions or levels."
        )
    return by_key[key], *rules[chosen]


def rule_of(body: Body) -> Rule:
    """Return all of a body that decides overall grades."""
    return controls_of(body), body.overall.gates


def controls(draft: Draft, at: Sliders) -> None:
    """Draw combine, a slider a weight, the cut points and the gates."""
    body, now = draft.body, at.now
    control(draft, "combine", st.segmented_control, "Combine", at, options=["weighted_mean", "minimum"],
            required=True, format_func=lambda how: how.replace("_", " "))  # fmt: skip
    weightless = now["combine"] == "minimum"
    st.html(
        '<div class="wb-eyebrow">weights</div>'
        + ('<div class="wb-small wb-muted">The minimum knows no weights.</div>' if weightless else "")
    )
    heaviest = max(float(rule[f"weight:{key}"]) for rule in (at.start, now) for key in body.keys)
    columns = st.columns(2, gap="small")
    for i, dimension in enumerate(body.dimensions):
        with columns[i % 2]:
            control(
                draft, f"weight:{dimension.key}", st.slider, markup.plain(dimension.title), at,
                min_value=0.0, max_value=max(5.0, float(math.ceil(heaviest))), step=WEIGHT_STEP, format="%g", disabled=weightless,
            )  # fmt: skip
    st.html('<div class="wb-eyebrow">cut points</div>')
    low, high = cut_range(body, at)
    columns = st.columns(2, gap="small")
    for i in range(len(rule_controls.cut_points(now))):
        with columns[i % 2]:
            control(
                draft, f"cut:{i}", st.slider, f"Grade {i + 1} from a score of", at,
                min_value=low, max_value=high, step=CUT_STEP, format="%g",
            )  # fmt: skip
    st.html('<div class="wb-eyebrow">gates</div>')
    if not body.overall.gates:
        st.caption("This rule has none; they are written in the overall form.")
    for gate in body.overall.gates:
        switch, bound = st.columns([4, 1.3], vertical_alignment="center")
        kind = "at most" if gate.at_most is not None else "at least"
        with switch:
            control(draft, f"gate:{gate.id}", st.checkbox, f"`{gate.when}`: {kind}", at, help=gate.id)
        with bound:
            control(
                draft, f"bound:{gate.id}", st.selectbox, f"Bound of {gate.id}", at,
                options=list(body.overall.scale), label_visibility="collapsed",
                disabled=not now[f"gate:{gate.id}"],
            )  # fmt: skip


def control(
    draft: Draft, name: str, widget: Callable[..., Any], label: str, at: Sliders, **options: Any
) -> None:
    """Draw one control where it stands."""
    key = f"what_if:{draft.id}:{name}"
    st.session_state[key] = at.now[name]
    widget(label, key=key, on_change=_move, args=(draft.id, name, cut_range(draft.body, at)), **options)


def cut_range(body: Body, at: Sliders) -> tuple[float, float]:
    """Return between what cut points are moved: the range of scores, and the cut points where they are outside."""
    cuts = [*rule_controls.cut_points(at.start), *rule_controls.cut_points(at.now)]
    low = min(dimension.scale[0] for dimension in body.dimensions)
    high = max(dimension.scale[-1] for dimension in body.dimensions)
    return float(min(low, *cuts)), float(max(high, *cuts))


def _move(draft_id: str, name: str, limits: tuple[float, float]) -> None:
    held: Sliders = st.session_state[f"what_if:{draft_id}"]
    value = st.session_state[f"what_if:{draft_id}:{name}"]
    now = held.now | {name: value}
    if name.startswith("cut:"):
        i = int(name.removeprefix("cut:"))
        cuts = rule_controls.pushed(
            rule_controls.cut_points(held.now), i, value, low=limits[0], high=limits[1], step=CUT_STEP
        )
        now |= {f"cut:{j}": cut for j, cut in enumerate(cuts)}
    st.session_state[f"what_if:{draft_id}"] = Sliders(held.start, now)


def buttons(draft: Draft, at: Sliders) -> None:
    """Draw the ways out: keep the rule in the draft, or go back to the draft's."""
    off = [gate.id for gate in draft.body.overall.gates if not at.now[f"gate:{gate.id}"]]
    with st.container(horizontal=True):
        kept = st.button(
            "Keep in the draft", type="primary", disabled=not at.moved, key=f"what_if_keep:{draft.id}",
            on_click=_keep, args=(draft.id,),
        )  # fmt: skip
        st.button(
            "Back to the draft's rule", disabled=not at.moved, key=f"what_if_back:{draft.id}",
            on_click=_back, args=(draft.id,),
        )  # fmt: skip
    if off:
        st.caption(f"Keeping it removes {', '.join(off)} from the draft for good: an id is not used again.")
    if kept:
        st.rerun()  # the page around this fragment shows the draft too


def _keep(draft_id: str) -> None:
    held: Sliders = st.session_state[f"what_if:{draft_id}"]

    def change(body: Body) -> Body:
        return applied(body, followed(held.now, held.start, controls_of(body)))

    if draft_state.keep(draft_id, change) is not None:
        widgets.say("success", "The rule is kept in the draft.")


def _back(draft_id: str) -> None:
    held: Sliders = st.session_state[f"what_if:{draft_id}"]
    st.session_state[f"what_if:{draft_id}"] = Sliders(held.start, held.start)


# What comes of it


def computed(draft: Draft, graded: Graded, before: Body, after: Body) -> Shown:
    """Return what the rules make of the grades; computed anew only where one of the three is another."""
    key, rules = f"what_if_shown:{draft.id}", (rule_of(before), rule_of(after))
    shown: Shown | None = st.session_state.get(key)
    if shown is None or shown.graded is not graded or shown.rules != rules:
        found = what_if(before, after, graded.table, graded.labels, label_scale=graded.label_scale)
        shown = Shown(graded, rules, found)
        st.session_state[key] = shown
    return shown
