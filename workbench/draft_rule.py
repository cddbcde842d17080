"""The overall rule of a draft as a form: weights, cut points and gates. Changing them needs no new judging."""

from __future__ import annotations

from typing import Any

import streamlit as st

from workbench import draft_state, policy_edit
from workbench.errors import BadInput
from workbench.policy import Body, Gate
from workbench.store import Draft

NEW = "new"


def draw(draft: Draft) -> None:
    """Draw the rule; it is kept as a whole, because half of it may make no sense."""
    rule = draft.body.overall
    with st.form("overall_form", border=False):
        st.segmented_control(
            "Combine", ["weighted_mean", "minimum"], default=rule.combine, required=True, key=_key(draft, "combine"),
            format_func=lambda how: how.replace("_", " "),
        )  # fmt: skip
        columns = st.columns(3)
        for i, dimension in enumerate(draft.body.dimensions):
            columns[i % 3].number_input(
                f"Weight of {dimension.title}", 0.0, 1000.0, dimension.weight, 0.5,
                key=_key(draft, f"weight:{dimension.key}"),
            )  # fmt: skip
        cuts = ", ".join(f"{cut:g}" for cut in rule.cut_points)
        st.text_input("Cut points, ascending, with commas", cuts, key=_key(draft, "cuts"))
        st.html('<div class="wb-eyebrow">gates, in their order (emptied ones are removed)</div>')
        for gate in [*rule.gates, None]:
            _gate(draft, gate)
        st.form_submit_button(
            "Keep this rule",
            type="primary",
            on_click=_save,
            args=(draft.id, draft.revision, draft.body),
            key="save_part",
        )
    st.caption(
        "A gate speaks of dimensions by their keys: "
        + ", ".join(f"`{key}`" for key in draft.body.keys)
        + ". It fires only where its condition is known to be true; ask for a missing grade with `na(key)`."
    )


def _gate(draft: Draft, gate: Gate | None) -> None:
    """Draw one gate, or the empty row for a new one."""
    name = gate.id if gate else NEW
    with st.container(border=True):
        when, bound, grade = st.columns([3, 1.5, 1.2])
        when.text_input(
            f"{name}: when",
            gate.when if gate else "",
            key=_key(draft, f"{name}:when"),
            placeholder="location == 0",
        )
        kind = "at_least" if gate and gate.at_least is not None else "at_most"
        bound.selectbox(
            "bound", ["at_most", "at_least"], index=["at_most", "at_least"].index(kind), key=_key(draft, f"{name}:kind"),
            format_func=lambda how: how.replace("_", " "),
        )  # fmt: skip
        top = draft.body.overall.scale[-1]
        current = (gate.at_least if gate.at_least is not None else gate.at_most) if gate else 1
        grade.number_input("grade", 0, top, current, key=_key(draft, f"{name}:grade"))
        st.text_input("because", gate.because if gate else "", key=_key(draft, f"{name}:because"))


def _key(draft: Draft, name: str) -> str:
    return _field(draft.id, draft.revision, name)


def _field(draft_id: str, revision: int, name: str) -> str:
    """A new revision starts with fresh fields."""
    return f"rule:{draft_id}:{revision}:{name}"


def _save(draft_id: str, revision: int, shown: Body) -> None:
    def given(name: str) -> Any:
        return st.session_state.get(_field(draft_id, revision, name))

    def change(body: Body) -> Body:
        gates = []
        for name in [*(gate.id for gate in shown.overall.gates), NEW]:
            if (given(f"{name}:when") or "").strip():
                row = {"when": given(f"{name}:when"), given(f"{name}:kind"): given(f"{name}:grade")}
                gates.append(
                    row | {"because": given(f"{name}:because")} | ({} if name == NEW else {"id": name})
                )
        try:
            cuts = [float(cut) for cut in given("cuts").split(",") if cut.strip()]
        except ValueError as error:
            raise BadInput(
                f"The cut points are no numbers ({error}).", "Write them as 0.8, 1.6, 2.4."
            ) from error
        weights = {key: given(f"weight:{key}") for key in shown.keys}
        return policy_edit.set_overall(
            body, weights=weights, cut_points=cuts, gates=gates, combine=given("combine")
        )

    draft_state.keep(draft_id, change)
