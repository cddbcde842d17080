"""The Prompt tab beside the editor: what the judge will see, what it weighs by part, and what 1,000 pairs cost."""

from __future__ import annotations

import html
from collections.abc import Sequence
from itertools import groupby

import streamlit as st

from workbench import markup, prompt_costs, widgets
from workbench.errors import WorkbenchError
from workbench.policy import OVERALL, Body
from workbench.policy_diff import DOCUMENT, GENERAL
from workbench.prices import price_list
from workbench.prompt_costs import JudgeCost, PairTokens, PromptTokens
from workbench.prompt_parts import ANSWER, FIELDS, INSTRUCTIONS, PURPOSE, TERMS, PromptPart, prompt_parts
from workbench.store import Draft
from workbench.token_count import COUNTED_WITH

_DOCUMENT_TITLES = {
    INSTRUCTIONS: "Instructions",
    PURPOSE: "Title and purpose",
    TERMS: "Terms",
    FIELDS: "Fields of a pair",
    ANSWER: "Form of the answer",
}


def draw(draft: Draft, base: Body, section: str, item: str) -> None:
    """Draw the tab for the part that is being edited."""
    pair: PairTokens | None = None
    try:
        tokens = prompt_costs.prompt_tokens(draft.body, base)
        _size(tokens, draft.body, section, item)
        pair = _pair(draft)
        _costs(draft, tokens.total, pair)
    except (
        WorkbenchError
    ) as error:  # the tokenizer or the price list is not there; the prompt itself still is
        st.warning(markup.problem(error))
    _text(draft.body, section, item, pair)


def _size(tokens: PromptTokens, body: Body, section: str, item: str) -> None:
    """Draw the size of the prompt and one bar a section, the one that is being edited lit."""
    st.html(
        f'<div class="wb-figures"><div><b>{tokens.total:,} tokens</b><span>{_change(tokens.change)}</span></div></div>'
        f'<div class="wb-muted wb-small">System prompt, sent with every pair; {COUNTED_WITH}.</div>'
    )
    sums: dict[str, tuple[int, int]] = {}
    mine = (0, 0)
    for part in tokens.parts:
        group = _group(part.section, part.item)
        now, before = sums.get(group, (0, 0))
        sums[group] = (now + part.tokens, before + part.before)
        if (part.section, part.item) == (section, item):
            mine = (mine[0] + part.tokens, mine[1] + part.before)
    names = _group_titles(body)
    most = max(now for now, _ in sums.values())
    rows = [
        _bar(names.get(group, f"{group} (removed)"), *sums[group], most, lit=group == _group(section, item))
        for group in [
            *(name for name in names if name in sums),
            *(name for name in sums if name not in names),
        ]
    ]
    st.html(markup.table(["part", "", "tokens", "change"], rows, numeric=(2, 3)))
    if section == OVERALL:
        st.caption(
            "Weights, gates and cut points are not in the prompt: changing them costs nothing and needs no new judging."
        )
    elif item:
        st.html(
            f'<div class="wb-small"><b>{html.escape(item)}</b> {mine[0]:,} tokens '
            f'<span class="wb-muted">{_change(mine[0] - mine[1])}</span></div>'
        )


def _group(section: str, item: str) -> str:
    """Name the row a part is counted in: a section, or an item of the document."""
    return f"{DOCUMENT} {item}" if section == DOCUMENT else section


def _group_titles(body: Body) -> dict[str, str]:
    document = {_group(DOCUMENT, item): title for item, title in _DOCUMENT_TITLES.items()}
    answer = {_group(DOCUMENT, ANSWER): document.pop(_group(DOCUMENT, ANSWER))}
    dimensions = {dimension.key: dimension.title for dimension in body.dimensions}
    return document | {GENERAL: "General rules"} | dimensions | answer


def _bar(title: str, now: int, before: int, most: int, *, lit: bool) -> list[str]:
    colour = "#1f6280" if lit else "rgba(128,128,128,.38)"
    name = f"<b>{html.escape(title)}</b>" if lit else html.escape(title)
    width = 100 * now / most if most else 0
    bar = f'<div style="height:9px;width:{width:.1f}%;min-width:1px;background:{colour};border-radius:2px"></div>'
    return [
        name,
        f'<div style="width:150px;padding-top:5px">{bar}</div>',
        f"{now:,}",
        f'<span class="{"" if now != before else "wb-muted"}">{_signed(now - before) if now != before else ""}</span>',
    ]


def _signed(count: int) -> str:
    return f"{count:+,}".replace("-", "−")


def _change(count: int) -> str:
    return f"{_signed(count)} tokens against the base" if count else "as in the base"


def _pair(draft: Draft) -> PairTokens | None:
    """Return what an average pair weighs, with the golden set chosen by name where a policy has several."""
    space = widgets.workspace()
    sets = prompt_costs.golden_sets(space, draft.name)
    if not sets:
        return None
    golden = sets[0]
    if len(sets) > 1:
        golden = st.selectbox("Pairs of", sets, key="prompt_golden") or golden
    return prompt_costs.pair_tokens(space, golden, draft.body)


def _costs(draft: Draft, system: int, pair: PairTokens | None) -> None:
    """Draw the cost of 1,000 pairs by each judge that has run here, and by one that can be named."""
    space = widgets.workspace()
    st.html('<div class="wb-eyebrow" style="margin-top:8px">cost of 1,000 pairs</div>')
    named = st.text_input(
        "Price another model",
        key="prompt_model",
        placeholder="openai/gpt-5-mini",
        help="As its provider names it. List prices; nothing is sent.",
    ).strip()
    runs = space.store.runs()
    wanted = list(dict.fromkeys([*([(named, "")] if named else []), *prompt_costs.judges(runs)]))
    if not wanted:
        st.caption(
            "No language model has graded pairs in this workspace yet. Name one above to see what it costs."
        )
        return
    own_first = sorted(runs, key=lambda run: run.policy != draft.name)  # each newest first, as they came
    found = []
    for model, endpoint in wanted:
        answer = prompt_costs.answer_tokens(space.store, draft.body, own_first, model, endpoint)
        found.append(prompt_costs.judge_cost(model, system, pair, answer, endpoint=endpoint))
    st.html(markup.table(["judge", "no cache", "cached", "saved"], map(_row, found), numeric=(1, 2, 3)))
    sample = (
        f"An average pair has {pair.mean:,.0f} tokens ({markup.several(pair.pairs, 'dev pair')} of {pair.golden})."
        if pair
        else ""
    )
    st.caption(f"{markup.plain(sample)} {prompt_costs.ASSUMPTION} List prices of {price_list()}.")


def _row(cost: JudgeCost) -> list[str]:
    notes = [
        f"answer {'~' if cost.answer.estimated else ''}{cost.answer.tokens:,.0f} tokens, {cost.answer.source}"
    ]
    if cost.endpoint:
        notes.insert(0, cost.endpoint)
    if cost.unknown:
        notes.append(cost.unknown)
    if cost.cache_note:
        notes.append(cost.cache_note)
    if cost.fits is True:
        notes.append(f"fits: at most {cost.largest_input:,} of its {cost.context:,} tokens of input")
    lines = "; ".join(map(html.escape, notes))
    warning = ""
    if cost.fits is False:
        warning = (
            f'<div class="wb-small wb-broken">Does not fit: up to {cost.largest_input:,} tokens, '
            f"and the model takes {cost.context:,}.</div>"
        )
    return [
        f'<span style="overflow-wrap:anywhere">{html.escape(cost.model)}</span>{warning}'
        f'<div class="wb-muted wb-small">{lines}</div>',
        markup.money(cost.plain_usd),
        markup.money(cost.cached_usd),
        "unknown" if cost.saved is None else f"{cost.saved:.0%}",
    ]


def _text(body: Body, section: str, item: str, pair: PairTokens | None) -> None:
    """Draw the exact text, folded by parts, the one that is being edited open; the message of one pair at the end."""
    st.html('<div class="wb-eyebrow" style="margin-top:8px">exactly what the judge sees</div>')
    names = _group_titles(body)
    with st.container(gap="xsmall"):
        for group, parts in _grouped(prompt_parts(body)):
            lit = group == _group(section, item)
            with st.expander(markup.plain(names[group]), expanded=lit, key=f"prompt_{group}"):
                for mine, run in groupby(parts, key=lambda part: bool(item) and part.item == item and lit):
                    if mine and len(parts) > 1:
                        st.html(f'<div class="wb-eyebrow">{html.escape(item)}, being edited</div>')
                    st.code("".join(part.text for part in run).rstrip("\n"), language=None, wrap_lines=True)
        if pair is not None:
            with st.expander(
                f"One pair of {markup.plain(pair.golden)}, as the user message", key="prompt_pair"
            ):
                message = prompt_costs.example_message(widgets.workspace(), body, pair)
                st.code(message, language=None, wrap_lines=True)


def _grouped(parts: Sequence[PromptPart]) -> list[tuple[str, list[PromptPart]]]:
    groups: dict[str, list[PromptPart]] = {}
    for part in parts:
        groups.setdefault(_group(part.section, part.item), []).append(part)
    return list(groups.items())
