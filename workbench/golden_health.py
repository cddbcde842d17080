"""The Health section of the Golden set page: what is wrong first, each with its next step, then the details."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
import streamlit as st

from workbench import health, markup, widgets
from workbench.health import THIN, Duplicates, PowerTable, Unseen
from workbench.labelling import Figures
from workbench.near_duplicates import DuplicateGroup
from workbench.policy import OVERALL, Policy

AT_ONCE = 5_000
"""Pairs up to which near-duplicates are looked for without being asked: one or two seconds, once."""
ONWARD = ":material/arrow_forward:"
SHOWN_SLICES = 12
SHOWN_GROUPS = 50
WANTED = 0.05
"""Difference of kappa that a set should be able to tell."""

Step = Literal["label", "import", ""]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, as Markdown with its number and what to do, and where to do it."""

    text: str
    step: Step = ""


def draw(found: Figures, policy: Policy) -> None:
    """Draw the findings, then slices, duplicates, unseen pairs, and what the set can tell."""
    info, space = found.info, widgets.workspace()
    if not info.pairs:
        widgets.empty("No pairs yet.", "Import some first.")
        return
    keys = health.slice_keys(space, info.name)
    with st.spinner("Examining the set"):
        cells = health.coverage_by_slice(space, info.name, "")
        nobody = health.unseen(space, info.name)
        power = health.power_table(space, info.name)
    twice = known_duplicates(info.name, info.pairs)
    titles = markup.titles(policy)
    what_is_wrong(findings(policy, cells, nobody, twice, power), info.name)
    slices(info.name, policy, keys, nobody)
    near_duplicates(info.name, info.pairs, twice, policy)
    what_it_tells(power, titles)


def findings(
    policy: Policy, cells: pd.DataFrame, nobody: Unseen, twice: Duplicates | None, power: PowerTable
) -> list[Finding]:
    """Return what is wrong with a set, worst first.

    Args:
        cells: :func:`health.coverage_by_slice` with one slice of all pairs.
        twice: None where duplicates were not looked for.
    """
    titles = markup.titles(policy)
    found = []
    if twice and twice.crossing:
        pairs = sum(len(group.pair_ids) for group in twice.crossing)
        found.append(
            Finding(
                f"**{markup.several(len(twice.crossing), 'group')} of near-duplicates, {pairs:,} pairs, in both splits.** "
                "Agreement on the holdout is too good by what dev gives away: leave one side out when you import the set "
                "again."
            )
        )
    for key, part in cells[cells["pairs"] == 0].groupby("dimension", sort=False):
        named = ", ".join(level_name(policy, str(key), level) for level in sorted(part["level"]))
        found.append(
            Finding(
                f"**No pair settles on {markup.plain(titles[str(key)])} {named}.** No judge can be measured there: import or "
                "label pairs that belong there.",
                "import",
            )
        )
    thin = cells[(cells["pairs"] > 0) & (cells["pairs"] < THIN)]
    if len(thin):
        named = ", ".join(
            f"{markup.plain(titles[str(x.dimension)])} {x.level} ({x.pairs})"
            for x in thin.head(6).itertuples()
        )
        dots = " …" if len(thin) > 6 else ""
        found.append(
            Finding(
                f"**{markup.several(len(thin), 'level')} with fewer than {THIN} pairs:** {named}{dots}. Their recall "
                "says little; add such pairs.",
                "import",
            )
        )
    if nobody.pair_ids:
        sides = nobody.by_slice.groupby("split")["unseen"].sum()
        named = ", ".join(f"{count:,} {split}" for split, count in sides.items() if count)
        found.append(
            Finding(
                f"**{len(nobody.pair_ids):,} of {markup.several(nobody.pairs, 'pair')} no labeler has seen** "
                f"({named}): label them.",
                "label",
            )
        )
    blunt = [row for row in power.rows if row.detectable is not None and row.detectable > WANTED]
    if blunt:
        worst = max(blunt, key=lambda row: row.detectable or 0)
        more = worst.pairs_needed(WANTED) - worst.pairs
        found.append(
            Finding(
                f"**{markup.several(len(blunt), 'dimension')} too small to tell a κ difference of {WANTED}:** "
                f"{markup.plain(titles[worst.dimension])} tells {worst.detectable:.2f} or more; about "
                f"{markup.roughly(more)} more labelled pairs would do.",
                "label",
            )
        )
    if twice and len(twice.groups) > len(twice.crossing):
        count = len(twice.groups) - len(twice.crossing)
        found.append(
            Finding(
                f"**{markup.several(count, 'group')} of near-duplicates within one split.** They count several times for "
                "one case; labels of one group should be equal."
            )
        )
    if twice is None:
        found.append(Finding("**Near-duplicates were not looked for yet:** compare the texts, further down."))
    return found


def what_is_wrong(found: Sequence[Finding], golden: str) -> None:
    """Draw the findings, one a line, each with the button that leads on."""
    if not found:
        st.markdown(
            "No finding for the set as a whole: every level has pairs, every pair was seen, no near-duplicate crosses the "
            "splits. Thin slices are below."
        )
    for i, finding in enumerate(found):
        line = st.columns([9, 1.4], vertical_alignment="center")
        line[0].markdown(finding.text)
        if finding.step == "import":
            line[1].button(
                "Import", key=f"health_step_{i}", on_click=open_import, icon=ONWARD, type="tertiary"
            )
        elif finding.step == "label" and line[1].button(
            "Label", key=f"health_step_{i}", icon=ONWARD, type="tertiary"
        ):
            st.switch_page("workbench/pages/label.py", query_params={"golden": golden})


def open_import() -> None:
    """Open the tab that imports pairs and labels."""
    st.session_state["tab"] = "Import"


def level_name(policy: Policy, key: str, value: int) -> str:
    """Return a level as its value and name."""
    levels = policy.dimension(key).levels if key != OVERALL else ()
    return next((f"{value} ({markup.plain(x.name)})" for x in levels if x.value == value), str(value))


def slices(golden: str, policy: Policy, keys: Mapping[str, int], nobody: Unseen) -> None:
    """Draw level × slice as a heat table, and what nobody has seen, for a metadata key of choice."""
    widgets.section("Coverage by slice")
    if not keys:
        st.caption("The pairs have no metadata that cuts them into slices; map such columns when you import.")
        key = ""
    else:
        key = widgets.pick(
            st.selectbox,
            "Slices by",
            list(keys),
            key="slices",
            width=280,
            format_func=lambda name: f"{name} ({markup.several(keys[name], 'value')})",
        )
    space = widgets.workspace()
    cells = health.coverage_by_slice(space, golden, key)
    if key:
        empty, thin = (cells["pairs"] == 0).sum(), ((cells["pairs"] > 0) & (cells["pairs"] < THIN)).sum()
        st.markdown(
            f"Of {markup.several(len(cells), 'cell')}, **{empty:,}** are empty and **{thin:,}** have fewer than {THIN} "
            "pairs."
        )
        gaps = cells[cells["pairs"] == 0]
        if len(gaps):
            titles = markup.titles(policy)
            named = ", ".join(
                f"{markup.plain(titles[str(x.dimension)])} {x.level} × {markup.plain(slice_name(str(x.slice), key))}"
                for x in gaps.head(12).itertuples()
            )
            st.caption(f"Empty: {named}{' …' if len(gaps) > 12 else ''}")
    st.html(heat_table(cells, policy))
    unseen = health.unseen(space, golden, key).by_slice if nobody.pair_ids else nobody.by_slice
    unseen = unseen[unseen["unseen"] > 0]
    if len(unseen):
        rows = [
            [str(x.split), html.escape(slice_name(str(x.slice), key)), f"{x.unseen:,}", f"{x.pairs:,}"]
            for x in unseen.head(20).itertuples()
        ]
        more = f" · the first 20 of {len(unseen)}" if len(unseen) > 20 else ""
        table = markup.table(["split", "slice", "unseen", "of pairs"], rows, numeric=[2, 3])
        st.html(
            f'<div class="wb-eyebrow">pairs that no labeler has seen{more}</div>'
            f'<div style="max-width: 560px">{table}</div>'
        )


def heat_table(cells: pd.DataFrame, policy: Policy) -> str:
    """Return pairs by dimension, level and slice; empty cells in orange, thin ones in yellow, others by their share."""
    sizes = cells.groupby("slice")["pairs"].sum().sort_values(ascending=False, kind="stable")
    names = sizes.index[:SHOWN_SLICES].tolist()
    counts = {
        (key, level, name): int(count)
        for key, name, level, count in zip(*(cells[column] for column in cells.columns), strict=True)
    }
    most = max([*counts.values(), 1])
    titles = markup.titles(policy)
    rows = []
    for key in [key for key in titles if key in set(cells["dimension"])]:
        for i, level in enumerate(policy.scale(key)):
            title = f"<b>{html.escape(titles[key])}</b>" if i == 0 else ""
            hint = markup.level_hint(policy, key, level)
            rows.append(
                [
                    title,
                    markup.chip(level, policy.scale(key), hint),
                    *(_cell(counts[key, level, name], most) for name in names),
                ]
            )
    more = (
        f'<div class="wb-muted wb-small">The {len(names)} largest of {len(sizes)} slices.</div>'
        if len(sizes) > len(names)
        else ""
    )
    many = len(names) > 1
    heads = ["", "", *(html.escape(slice_name(name, "it") if many else "pairs") for name in names)]
    table = markup.table(heads, rows, numeric=range(2, len(heads))) + more
    return f'<div style="max-width: {320 + 100 * len(names)}px">{table}</div>'


def _cell(count: int, most: int) -> str:
    colour = (
        "rgba(192,86,33,.30)"
        if not count
        else "rgba(255,200,60,.30)"
        if count < THIN
        else f"rgba(58,123,166,{0.06 + 0.4 * count / most:.2f})"
    )
    return f'<span style="background:{colour};border-radius:4px;padding:1px 8px;display:inline-block;min-width:3em">{count:,}</span>'


def slice_name(value: str, key: str) -> str:
    """Return a slice's value; pairs without the key are told apart, and one slice of all pairs is called so."""
    return value or ("without it" if key else "all pairs")


def known_duplicates(golden: str, pairs: int) -> Duplicates | None:
    """Return the near-duplicates if that takes no time: found before, or a small set."""
    space = widgets.workspace()
    if pairs > AT_ONCE:
        return health.kept_duplicates(space, golden)
    with st.spinner("Comparing texts"):
        return health.duplicates(space, golden)


def near_duplicates(golden: str, pairs: int, twice: Duplicates | None, policy: Policy) -> None:
    """Draw the groups of near-duplicates, and the closest two of the open one; or the button that finds them."""
    widgets.section("Near-duplicates")
    if twice is None:
        if st.button(f"Compare the texts of {markup.several(pairs, 'pair')}", key="find_duplicates"):
            with st.spinner(f"Comparing texts; about {max(pairs // 1500, 1):,} seconds"):
                health.duplicates(widgets.workspace(), golden)
            st.rerun()
        st.caption("Kept afterwards for as long as the set has these pairs.")
        return
    if not twice.groups:
        st.caption(f"No two pairs share {twice.threshold:.0%} of the word pairs of both query and document.")
        return
    shown = twice.groups[:SHOWN_GROUPS]
    found = widgets.workspace().store.pairs([one for group in shown for one in group.closest], golden)
    first = policy.pair.query.fields[0], policy.pair.document.fields[0]

    def row(group: DuplicateGroup) -> dict[str, object]:
        pair = found[group.closest[0]]
        return {
            "splits": "both" if group.crosses else group.splits[0],
            "pairs": len(group.pair_ids),
            "similarity": round(group.similarity, 2),
            policy.pair.query.name: pair.query.get(first[0], ""),
            policy.pair.document.name: pair.document.get(first[1], ""),
        }

    opened = widgets.open_row(
        pd.DataFrame([row(group) for group in shown]), [group.pair_ids[0] for group in shown], "duplicate",
        height=38 + 35 * min(len(shown), 8),
    )  # fmt: skip
    more = (
        f" The first {len(shown)} of {len(twice.groups):,}, those in both splits first."
        if len(twice.groups) > len(shown)
        else ""
    )
    st.caption(
        f"Pairs whose query and document both share {twice.threshold:.0%} or more of their runs of two words, directly or by "
        f"way of another pair. Select a row to see the closest two.{more}"
    )
    for group in shown:
        if group.pair_ids[0] == opened:
            split = dict(zip(group.pair_ids, group.splits, strict=True))
            for pair_id in group.closest:
                st.html(f'<div class="wb-eyebrow">{split[pair_id]} · {html.escape(pair_id)}</div>')
                widgets.pair_panes(found[pair_id], policy)


def what_it_tells(power: PowerTable, titles: Mapping[str, str]) -> None:
    """Draw the smallest difference of κ that each dimension can tell, and what smaller ones would cost."""
    widgets.section("What the set can tell apart")
    if power.reason:
        st.caption(power.reason)
        return
    deltas = health.DELTAS
    rows = []
    for row in power.rows:
        if row.detectable is None:
            note = f'{html.escape(titles[row.dimension])}<div class="wb-muted wb-small">{html.escape(row.reason)}</div>'
            rows.append([note, f"{row.queries:,}", f"{row.pairs:,}", *["–"] * (1 + len(deltas))])
            continue
        rows.append(
            [
                html.escape(titles[row.dimension]),
                f"{row.queries:,}",
                f"{row.pairs:,}",
                markup.number(row.detectable, 3),
                *(
                    f"{markup.roughly(row.needed[delta])}"
                    f'<div class="wb-muted wb-small">{_more(row.pairs_needed(delta) - row.pairs)}</div>'
                    for delta in deltas
                ),
            ]
        )
    heads = ["", "queries", "pairs", "smallest Δκ", *(f"queries for {delta}" for delta in deltas)]
    st.html(markup.table(heads, rows, numeric=range(1, len(heads))))
    st.caption(
        f"At 80 % power, two-sided 5 %, paired. Error of the difference between {markup.plain(power.basis)}, by bootstrap over "
        "queries; it shrinks with the square root of their number. Taken for granted: new queries like the present ones, "
        "with as many pairs each, and judges that differ about as these two do."
    )


def _more(pairs: int) -> str:
    return f"about {markup.roughly(pairs)} more pairs" if pairs > 0 else "enough now"
