"""One data set as the Data page shows it: lineage, labels, agreement on the probes, what was left out, its rows."""

from __future__ import annotations

import html
import secrets

import streamlit as st

from workbench import data_charts, data_rows, datasets, job_cards, markup, widgets
from workbench.dataset import DatasetCard
from workbench.datasets import Dataset, DatasetCheck
from workbench.errors import WorkbenchError

_QUIET = {"displayModeBar": False}


def draw(found: Dataset) -> None:
    """Draw a data set from top to bottom."""
    card = found.card
    policy = widgets.workspace().store.policy(card.policy, card.policy_version)
    titles = markup.titles(policy)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        widgets.section(card.id, ["simulated"] if card.simulated else [])
        with st.container(horizontal=True, horizontal_alignment="right", width="content"):
            data_rows.downloads(found)
    if card.description:
        st.markdown(markup.plain(card.description))
    check_section(card)
    left, right = st.columns([1, 1], gap="large")
    left.html(markup.facts("where it comes from", lineage(card)))
    right.html(markup.facts("what it holds", holds(card)))
    if card.counts.dropped:
        right.html(
            markup.facts("left out", {reason: f"{count:,}" for reason, count in card.counts.dropped.items()})
        )
    if card.quality:
        quality(card, titles)
    if card.synthesis:
        synthesis(card)
    if card.summaries:
        summaries(card)
    for note in card.notes:
        st.caption(markup.plain(note))
    data_rows.draw(found, policy)


def lineage(card: DatasetCard) -> dict[str, str]:
    """Return what the rows descend from."""
    made = f"{card.made_at:%d %b %Y %H:%M} UTC by {card.author or 'nobody named'}"
    return {
        "policy": f"{card.policy} v{card.policy_version} ({_short(card.policy_hash)})",
        "judge": f"{card.judge.name} ({_short(card.judge.hash)})",
        **{
            f"source {source.name}": f"{source.rows:,} rows ({_short(source.content_hash)})"
            for source in card.sources
        },
        "golden set of the probes": f"{card.golden} ({_short(card.golden_hash)})" if card.golden else "none",
        **{
            f"holdout of {one.golden}": f"checked against {markup.several(one.holdout_pairs, 'pair')} "
            f"({_short(one.holdout_hash)})"
            for one in card.checked
        },
        "recipe": f"{card.dataset} ({_short(card.recipe_hash)})",
        "made": f"{made}, in {job_cards.duration(card.seconds)}",
        "judge's calls": f"{card.usage.calls:,}, cost {markup.money(card.usage.cost_usd)}"
        if card.usage.calls
        else "none",
        "code": card.code_revision or "unknown",
    }


def _short(identity: str) -> str:
    return identity.rpartition("-")[2][:8] or "no hash"


def holds(card: DatasetCard) -> dict[str, str]:
    """Return how many pairs there were at each step."""
    counts = card.counts
    found = {
        "pairs in the pool": f"{counts.found:,}",
        "graded": f"{counts.graded:,}",
        "rows": f"{counts.rows:,} of {markup.several(counts.queries, 'query', 'queries')}",
        "of them validation": f"{counts.validation:,}",
        "of them probes": f"{counts.probes:,}",
        "of them synthetic": f"{counts.synthetic:,}",
    }
    if counts.of_holdout_documents:
        found["with a document that the holdout has too"] = f"{counts.of_holdout_documents:,}"
    return found


def quality(card: DatasetCard, titles: dict[str, str]) -> None:
    """Draw levels by dimension, agreement on the probes, and the pool's rates."""
    st.html('<div class="wb-eyebrow">how the judge agrees with people on the probes, and what it said</div>')
    heads = [
        "dimension",
        "probes",
        "κ (quadratic)",
        "exact",
        "with probabilities",
        "entropy, bits",
        "N/A",
        "failed",
    ]
    lines = [
        [
            html.escape(titles.get(one.dimension, one.dimension)),
            f"{one.probes:,}",
            _reasoned(markup.estimate(one.kappa_quadratic), one.kappa_quadratic.reason if one.kappa_quadratic.value is None else ""),
            markup.estimate(one.exact),
            f"{one.soft:,}",
            markup.number(one.entropy_bits),
            f"{one.not_applicable:,}",
            f"{one.failed:,}",
        ]
        for one in card.quality
    ]  # fmt: skip
    st.html(markup.table(heads, lines, numeric=range(1, len(heads))))
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.html('<div class="wb-eyebrow">rows by level, probes left out</div>')
        st.plotly_chart(data_charts.level_shares(card.quality, titles), key="level_shares", config=_QUIET)
    with right:
        if any(one.rates for one in card.quality):
            st.html('<div class="wb-eyebrow">how often each level holds in the graded pool</div>')
            st.plotly_chart(data_charts.level_rates(card.quality, titles), key="level_rates", config=_QUIET)
            why_not = data_charts.uncorrected(card.quality)
            st.caption(
                f"Ring: share of the judge's grades. Dot: share of people's labels on the probes, not corrected. {why_not}"
                if why_not
                else "Ring: share of the judge's grades. Dot: corrected by the probes that people labelled "
                "(prediction-powered inference), with its 95 % interval."
            )


def _reasoned(cell: str, reason: str) -> str:
    return f'{cell} <span class="wb-muted wb-small">{html.escape(reason)}</span>' if reason else cell


def check_section(card: DatasetCard) -> None:
    """Draw the button that checks rows and holdouts as they are now, and what the last check on this page found."""
    asked = st.session_state.get("checked", "")
    st.button(
        "Check for leaks and damage",
        icon=":material/policy:",
        key="check_button",
        on_click=ask_check,
        args=(card.id,),
        help="Compares the rows with their card, and with the holdouts of today: golden sets grow.",
    )
    name, _, _token = asked.partition("|")
    if name != card.id:
        return
    try:
        found = checked(asked, card.id)
    except WorkbenchError as error:
        st.error(markup.problem(error), icon=":material/error:")
        return
    verdict(found)


def ask_check(name: str) -> None:
    """Have the page check a data set when it is drawn next, and not again on later drawings."""
    st.session_state["checked"] = f"{name}|{secrets.token_hex(4)}"


@st.cache_data(max_entries=16, show_spinner="Comparing the rows with the holdouts")
def checked(asked: str, name: str) -> DatasetCheck:
    """Return the check that one press of the button asked for."""
    return datasets.check(widgets.workspace(), name)


def verdict(found: DatasetCheck) -> None:
    """Say what a check found."""
    sets = ", ".join(f"{one.golden} ({one.holdout_pairs:,})" for one in found.checked)
    against = f"the holdout pairs of {sets}" if sets else "no golden set: there is none of this policy"
    if found.sound:
        st.success(
            f"No leak, rows as written: {markup.several(found.rows, 'row')} checked against {markup.plain(against)}.",
            icon=":material/verified:",
        )
    if found.damaged:
        st.error(f"**Damaged.** {markup.plain(found.damaged)} Make the data set again.")
    if found.leaks:
        said = "; ".join(f"{markup.plain(reason)}: {count:,}" for reason, count in found.leaks.items())
        such = f" Such as {', '.join(f'`{one}`' for one in found.examples)}." if found.examples else ""
        st.error(f"**Leaks.** {said}.{such} Make the data set again: those pairs are then left out.")
    for golden in found.grown:
        st.warning(f"The holdout of {markup.plain(golden)} has changed since the data set was made.")
    if found.newest_policy != found.policy_version:
        st.info(f"Made under policy v{found.policy_version}; the newest is v{found.newest_policy}.")


def synthesis(card: DatasetCard) -> None:
    """Draw who wrote the pool, and what became of each cell that was asked for."""
    found = card.synthesis
    if found is None:
        return
    st.html('<div class="wb-eyebrow">written by a model</div>')
    st.caption(
        markup.plain(
            f"{found.model.name}, after seeds from {found.seeds}: {found.calls:,} calls ({found.failed_calls:,} failed), "
            f"{found.misfits:,} pairs did not fit the policy's layout; cost {markup.money(found.usage.cost_usd)}."
        )
    )
    heads = [
        "asked for",
        "labelled by people",
        "wanted",
        "written",
        "graded",
        "graded as asked",
        "share",
        "rows",
    ]
    lines = [
        [
            html.escape(one.cell.name),
            *(f"{count:,}" for count in (one.have, one.wanted, one.written, one.graded, one.as_asked)),
            markup.number(one.share_as_asked),
            f"{one.rows:,}",
        ]
        for one in found.cells
    ]
    st.html(markup.table(heads, lines, numeric=range(1, len(heads))))
    for problem in found.problems:
        st.caption(f"Such as: {markup.plain(problem)}")


def summaries(card: DatasetCard) -> None:
    """Draw which fields a model shortened, and by how much."""
    short = card.summaries
    if short is None:
        return
    st.html('<div class="wb-eyebrow">shortened by a model after grading</div>')
    st.caption(
        markup.plain(
            f"{short.model} in {short.words} words, {short.usage.calls:,} calls, cost {markup.money(short.usage.cost_usd)}. "
            "Labels are those of the full texts."
        )
    )
    heads = ["field", "texts", "short enough", "failed", "tokens before", "tokens after"]
    lines = [
        [
            html.escape(one.field),
            *(f"{count:,}" for count in (one.texts, one.short_enough, one.failed, one.tokens_before, one.tokens_after)),
        ]
        for one in short.fields
    ]  # fmt: skip
    st.html(markup.table(heads, lines, numeric=range(1, len(heads))))
    for reason in short.failures:
        st.caption(f"Failed: {markup.plain(reason)}")
