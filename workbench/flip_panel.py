"""The flips of a comparison: clause by clause, filtered, searched, opened, taken into a review."""

from __future__ import annotations

import html
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from workbench import ablations, evaluation, flip_table, jobs, markup, review, widgets
from workbench.comparing import RunComparison
from workbench.errors import WorkbenchError
from workbench.flips import NOISE, ClauseRow, Flip, FlipFilter, by_clause
from workbench.golden import NOT_APPLICABLE
from workbench.policy import OVERALL
from workbench.policy_diff import Change

PAGE = 100
SHOWN_CHANGES = 15
OUTCOMES = {"broken": "broken", "fixed": "fixed", "changed": "changed"}
DIRECTIONS = {"": "up or down", "up": "up", "down": "down"}
EVERYTHING = "every change"


def draw(found: RunComparison, among: Mapping[str, str]) -> None:
    """Draw the clause table, the filters, the flips, the open pair."""
    space = widgets.workspace()
    tried = ablations.ablated(space, found)
    flips = flip_table.all_flips(space, found, tried)
    if not flips:
        widgets.empty("No pair changed its grade.", "A and B give the same grades to every pair.")
        return
    titles = markup.titles(found.policy_b)
    rows = by_clause([flip for flip in flips if flip.dimension != OVERALL], found.changes)
    if found.changes:
        widgets.section("What each change of the policy did")
        known = [row for row in rows if row.flips] or rows[:SHOWN_CHANGES]
        link = f"?view=flips&golden={found.truth.golden}&split={found.truth.split}&run={found.a.id}&vs={found.b.id}"
        st.html(clause_table(known[:SHOWN_CHANGES], link))
        st.caption(
            "A flip counts for a change by experiment (ablation), by citation, or as the only change read in its dimension; "
            "it may count for several. Possibly: several changes are read there and none is cited. Noise: nothing that the "
            "judge reads there changed."
        )
        rest = [row for row in rows if row not in known[:SHOWN_CHANGES]]
        if rest:
            with st.expander(f"{markup.several(len(rest), 'more change')} to which no flip is tied for sure"):
                st.html(clause_table(rest, link))
        _ablation(found)
    kept, chosen = _filtered(found, flips, rows, titles)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        widgets.section(f"Flips ({len(kept):,} of {len(flips):,})")
        _review_button(
            found, chosen, len([f for f in kept if f.dimension != OVERALL or chosen.dimensions]), among
        )
    if not kept:
        st.caption("No flip passes these filters.")
        return
    _table(found, kept, titles)


def clause_table(rows: Sequence[ClauseRow], link: str) -> str:
    """Return change → flips fixed, broken, net, how they are tied, examples, and the words that changed.

    Args:
        link: address of this view, to which ``&flip=…`` opens an example.
    """
    body = []
    for row in rows:
        net = f"{row.net:+d}".replace("-", "−") if row.net else "0"
        how = ", ".join(f"{count} {name}" for name, count in row.how.items() if name != "possible")
        if row.change is None:
            name, words = "noise", '<span class="wb-muted">nothing that the judge reads there changed</span>'
        else:
            name = f"{row.change.section} · {row.change.id}"
            words = (
                f'<details><summary class="wb-muted">{html.escape(row.change.kind)}</summary>'
                f'<div class="wb-words">{markup.words(row.change)}</div></details>'
            )
        body.append(
            [
                html.escape(name),
                f'<span class="wb-chip wb-fixed">{row.fixed}</span>',
                f'<span class="wb-chip wb-broken">{row.broken}</span>',
                str(row.changed),
                f"<b>{net}</b>",
                html.escape(how) or "–",
                f'<span class="wb-muted">{row.possible or ""}</span>',
                " ".join(
                    f'<a href="{html.escape(link)}&amp;flip={html.escape(pair_id)}/{html.escape(key)}" target="_self" '
                    f'title="{html.escape(key)}">{i}</a>'
                    for i, (pair_id, key) in enumerate(row.examples, start=1)
                ),
                words,
            ]
        )
    heads = ["change", "fixed", "broken", "changed", "net", "tied by", "possibly", "examples", "words"]
    return markup.table(heads, body, numeric=[1, 2, 3, 4, 6])


def _ablation(found: RunComparison) -> None:
    """Draw the experiment on the edit: its cost, its start, its progress."""
    space = widgets.workspace()
    with st.expander("Ablation: judge the flips again with one change at a time", icon=":material/science:"):
        running = ablations.ablation_state(space, found)
        if running is not None and running[1].status in ("queued", "running"):
            _watch(running[0].spec.id)
            return
        try:
            plan = ablations.plan_ablation(space, found)
        except WorkbenchError as error:
            st.caption(markup.problem(error))
            return
        if running is not None:
            st.caption(f"Last: {markup.plain(running[1].status)}, {running[0].spec.created_at:%d %b %H:%M}.")
        if not plan.edits:
            st.caption("No pair flipped where the policy changed by parts that can be tried alone.")
            return
        if plan.calls:
            cost = (
                markup.money(plan.cost_usd) if plan.cost_usd is not None else f"unknown: {plan.cost_unknown}"
            )
        else:
            cost = "none: every answer is known"
        lines = {
            "changes to try": str(len(plan.edits)),
            "answers": f"{plan.pairs:,}, {plan.known:,} of them known",
            "calls": f"{plan.calls:,}, about {markup.roughly(plan.input_tokens)} tokens",
            "cost": cost,
        }
        st.html(markup.facts("what it will take", lines))
        for one in plan.not_alone:
            st.caption(f"{markup.plain(one.change.id)} cannot be tried alone: {markup.plain(one.reason)}")
        key = st.session_state.setdefault("_ablation_key", secrets.token_hex(6))
        st.button(
            "Start ablation", key=f"ablate_{key}", icon=":material/play_arrow:", on_click=_start, args=(found, key)
        )  # fmt: skip


def _start(found: RunComparison, key: str) -> None:
    started = widgets.attempt(ablations.start_ablation, widgets.workspace(), found, widgets.who(), key)
    if started is not None:
        st.session_state["_ablation_key"] = secrets.token_hex(6)


@st.fragment(run_every=1.5)
def _watch(job_id: str) -> None:
    """Draw how far the ablation is, and the page anew when it has ended."""
    space = widgets.workspace()

    now = jobs.state(space, space.store.job(job_id))
    if now.status not in ("queued", "running"):
        st.rerun()
    st.progress(now.done / now.total if now.total else 0.0, text=f"{now.done:,} of {now.total:,} answers")


def _filtered(
    found: RunComparison, flips: Sequence[Flip], rows: Sequence[ClauseRow], titles: Mapping[str, str]
) -> tuple[list[Flip], review.Filters]:
    """Draw the filters, bound to the URL, and return what passes with the filters as a review takes them."""
    first = st.columns([3, 3, 2, 2, 3, 4], vertical_alignment="bottom", gap="small")
    with first[0]:
        outcomes = st.multiselect(
            "Outcome", list(OUTCOMES), key="outcomes", bind="query-params", placeholder="all"
        )
    with first[1]:
        keys = [key for key in titles if any(flip.dimension == key for flip in flips)]
        dimensions = st.multiselect(
            "Dimensions", keys, key="dimensions", bind="query-params", placeholder="all"
        )
    with first[2]:
        direction = widgets.pick(
            st.selectbox, "Direction", list(DIRECTIONS), key="direction", format_func=DIRECTIONS.get
        )
    with first[3]:
        pairs = sorted({(flip.a, flip.b) for flip in flips})
        names = ["any", *(f"{_grade(a)} → {_grade(b)}" for a, b in pairs)]
        levels = widgets.pick(st.selectbox, "Levels", names, key="levels")
    with first[4]:
        clauses = [EVERYTHING, *(row.key for row in rows if row.flips or row.possible)]
        clause = widgets.pick(
            st.selectbox, "Change", clauses, key="clause",
            format_func=lambda key: key if key in (EVERYTHING, NOISE) else key.replace("/clause/", " · "),
        )  # fmt: skip
    with first[5]:
        text = st.text_input(
            "Search", key="q", bind="query-params", placeholder="words in the pair or a reason"
        )
    filters = review.Filters(
        split=found.truth.split,
        outcomes=tuple(outcomes),
        dimensions=tuple(dimensions),
        direction=direction,
        levels=pairs[names.index(levels) - 1] if levels != "any" else None,
        clause="" if clause == EVERYTHING else clause,
        text=text or "",
    )
    wanted = FlipFilter(
        outcomes=frozenset(filters.outcomes),
        dimensions=frozenset(filters.dimensions),
        direction=filters.direction,
        levels=filters.levels,
        clause=filters.clause,
        pairs=flip_table.matching(widgets.workspace(), found, flips, filters.text)
        if filters.text.strip()
        else None,
    )
    return [flip for flip in flips if wanted.keeps(flip)], filters


def _review_button(
    found: RunComparison, filters: review.Filters, count: int, among: Mapping[str, str]
) -> None:
    """Draw the way into a meeting: its title and what it looks at."""
    with st.popover("Review these flips", icon=":material/groups:", disabled=count == 0):
        key = st.session_state.setdefault("_review_key", secrets.token_hex(6))
        with st.form(f"review_{key}", border=False):
            st.text_input(
                "Title", key=f"review_title_{key}",
                placeholder=f"{found.a.judge.name}: v{found.a.policy_version} against v{found.b.policy_version}",
            )  # fmt: skip
            st.toggle("Leave out what was decided before", key=f"review_rest_{key}", value=True)
            st.form_submit_button(
                f"Open a review of up to {count:,} flips", type="primary", on_click=_open_review,
                args=(found, filters.model_copy(update={"among": dict(among)}), key),
            )  # fmt: skip


def _open_review(found: RunComparison, filters: review.Filters, key: str) -> None:
    wanted = filters.model_copy(update={"undecided": bool(st.session_state.get(f"review_rest_{key}"))})
    opened = widgets.attempt(
        review.start_review, widgets.workspace(), found.a, found.b, wanted,
        title=st.session_state.get(f"review_title_{key}") or "", author=widgets.who(), key=key,
    )  # fmt: skip
    if opened is not None:
        st.session_state["_review_key"] = secrets.token_hex(6)
        widgets.leave_for("review", review=opened.id)


def _table(found: RunComparison, flips: Sequence[Flip], titles: Mapping[str, str]) -> None:
    """Draw one page of the flips; a row opens its pair below."""
    pages = -(-len(flips) // PAGE)
    start = 0
    if pages > 1:
        number = st.number_input("Page", 1, pages, 1, key="flip_page")
        start = (int(number) - 1) * PAGE
    shown = flips[start : start + PAGE]
    pairs = widgets.workspace().store.pairs(list({flip.pair_id for flip in shown}), found.truth.golden)
    policy = found.policy_b
    query, document = policy.pair.query, policy.pair.document
    view = pd.DataFrame(
        {
            "outcome": [flip.outcome for flip in shown],
            "dimension": [titles.get(flip.dimension, flip.dimension) for flip in shown],
            query.name: [pairs[flip.pair_id].query.get(query.fields[0], "") for flip in shown],
            document.name: [pairs[flip.pair_id].document.get(document.fields[0], "") for flip in shown],
            "human": [_grade(flip.human) for flip in shown],
            "A": [_grade(flip.a) for flip in shown],
            "B": [_grade(flip.b) for flip in shown],
            "tied to": [_tied(flip) for flip in shown],
        }
    )
    opened = widgets.open_row(
        view, [f"{flip.pair_id}/{flip.dimension}" for flip in shown], "flip", paged=pages > 1,
        height=min(38 + 35 * len(view), 380),
        column_config={name: st.column_config.TextColumn(width=54) for name in ("human", "A", "B")}
        | {name: st.column_config.TextColumn(width=84) for name in ("outcome", "dimension")}
        | {name: st.column_config.TextColumn(width=250) for name in (query.name, document.name)}
        | {"tied to": st.column_config.TextColumn(width=190)},
    )  # fmt: skip
    if opened is None:
        st.caption("Select a row to open the pair with its labels and both judgements.")
        return
    _neighbours([f"{flip.pair_id}/{flip.dimension}" for flip in shown], opened)
    pair_id, _, dimension = opened.partition("/")
    if pair_id in found.truth.pair_ids and dimension in found.comparisons:
        open_pair(found, pair_id, dimension)


def _neighbours(ids: Sequence[str], opened: str) -> None:
    """Draw the way to the flip before and after the open one, by the arrow keys too."""
    at = ids.index(opened) if opened in ids else -1
    with st.container(horizontal=True):
        for label, key, there in (("Previous flip", "left", at - 1), ("Next flip", "right", at + 1)):
            possible = at >= 0 and 0 <= there < len(ids)
            st.button(
                label, key=f"flip_{key}", shortcut=key, disabled=not possible, on_click=_open,
                args=(ids[there] if possible else opened,),
            )  # fmt: skip


def _open(flip: str) -> None:
    st.query_params["flip"] = flip


def open_pair(found: RunComparison, pair_id: str, key: str) -> None:
    """Draw one pair: texts, labels, and what A and B said of it."""
    story = evaluation.pair_story(widgets.workspace(), found.truth.golden, pair_id, [found.a.id, found.b.id])
    widgets.pair_panes(story.pair, found.policy_b)
    titles = markup.titles(found.policy_b)
    changes: dict[str, Change] = {change.id: change for change in found.changes}
    position = found.truth.pair_ids.index(pair_id)
    rows = []
    for name in [key, *(other for other in titles if other != key)]:
        scale = found.policy_b.scale(name)
        mine = story.labels[story.labels["dimension"] == name]
        people = " ".join(
            markup.chip(int(grade), scale, f"{who}{': ' + note if note else ''}")
            for who, grade, note in zip(mine["labeler"], mine["grade"], mine["note"], strict=True)
        )
        sides: list[str] = []
        sources: tuple[tuple[Any, Any, Any], ...] = (
            (found.a, found.policy_a, found.grades_a), (found.b, found.policy_b, found.grades_b),
        )  # fmt: skip
        for run, policy, grades in sources:
            if name == OVERALL:
                hint = "from the dimension grades by the overall rule"
                sides.append(markup.chip(int(grades[OVERALL][position]), scale, hint))
            else:
                sides.append(markup.judgement(story.judgements[run.id].get(name), scale, policy))
        title = html.escape(titles[name])
        rows.append(
            [
                f"<b>{title}</b>" if name == key else title,
                f'<span class="wb-nowrap">{people or "–"}</span>',
                *sides,
            ]
        )
    heads = [
        "",
        "labels (hover for who)",
        f"A · {html.escape(found.a.label)}",
        f"B · {html.escape(found.b.label)}",
    ]
    st.html(markup.table(heads, rows))
    cited = [changes[c] for j in story.judgements.values() if key in j for c in j[key].cites if c in changes]
    if cited:
        st.html('<div class="wb-eyebrow">changed clauses that were cited</div>')
        widgets.change_list(list({change.id: change for change in cited}.values()))


def _tied(flip: Flip) -> str:
    if flip.by_dimensions:
        return "follows from " + ", ".join(flip.by_dimensions)
    if not flip.causes:
        return "noise"
    ids = [cause.change.id for cause in flip.causes]
    more = f" and {len(ids) - 2} more" if len(ids) > 2 else ""
    return f"{', '.join(ids[:2])}{more} ({flip.causes[0].how})"


def _grade(grade: int) -> str:
    return "N/A" if grade == NOT_APPLICABLE else str(grade) if grade >= 0 else "–"
