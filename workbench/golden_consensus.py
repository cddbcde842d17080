"""The consensus rule of a golden set: what each rule does, and how many settled grades it would change."""

from __future__ import annotations

import html

import streamlit as st

from workbench import adjudication, markup, widgets
from workbench.golden import CONSENSUS_RULES, ConsensusRule
from workbench.labelling import Figures
from workbench.policy import Policy

RULES: dict[ConsensusRule, tuple[str, str]] = {
    "majority": (
        "Majority",
        "The answer that more labelers gave than any other; where two tie, the lower median of the levels.",
    ),
    "median": (
        "Median",
        "The lower median of the levels, N/A only where more than half said so: one outlier moves it little.",
    ),
    "dawid_skene": (
        "Dawid–Skene",
        "The most probable answer given how often each labeler errs, learnt from all labels; it needs a few hundred "
        "pairs with several labelers.",
    ),
}
"""Name and what it does, for each consensus rule."""


def draw(found: Figures, policy: Policy) -> None:
    """Draw the choice of the consensus rule, with how many settled grades it would change."""
    info = found.info
    name = RULES[info.consensus][0]
    fold = st.expander(f"Consensus rule: {name}", key="consensus_rule", on_change="rerun")
    if not fold.open:
        return
    with fold:
        effects = {x.rule: x for x in adjudication.rule_effects(widgets.workspace(), info.name)}
        titles = markup.titles(policy)
        rows = []
        for rule in CONSENSUS_RULES:
            title, sentence = RULES[rule]
            effect = effects[rule]
            total = sum(effect.changed.values())
            where = ", ".join(f"{titles[key]} {n:,}" for key, n in effect.changed.items() if n)
            rows.append(
                [
                    f"<b>{html.escape(title)}</b>",
                    html.escape(sentence),
                    "in use" if rule == info.consensus else f"{total:,} of {effect.graded:,}",
                    html.escape(where) or "–",
                ]
            )
        st.html(markup.table(["", "", "settle otherwise", "where"], rows, numeric=[2]))
        st.caption(
            "What was adjudicated decides under every rule. The rule holds wherever today's labels are settled; a "
            "snapshot's own labels settle by majority."
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            chosen = st.segmented_control(
                "Rule",
                CONSENSUS_RULES,
                default=info.consensus,
                required=True,
                format_func=lambda rule: RULES[rule][0],
                key=f"rule|{info.name}|{info.consensus}",
                label_visibility="collapsed",
            )
            st.button(
                "Use this rule",
                key="use_rule",
                disabled=chosen == info.consensus,
                on_click=use_rule,
                args=(info.name, chosen),
            )


def use_rule(golden: str, rule: ConsensusRule) -> None:
    """Change the rule of a set."""
    if widgets.attempt(adjudication.choose_rule, widgets.workspace(), golden, rule, widgets.who()):
        widgets.say("success", f"Labels settle by {RULES[rule][0]} from now on.")
