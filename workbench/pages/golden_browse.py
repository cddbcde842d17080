"""The Browse section of the Golden set page: one page of pairs at a time, and the pair that is open."""

from __future__ import annotations

import html

import pandas as pd
import streamlit as st

from workbench import colours, evaluation, labelling, markup, widgets
from workbench.golden import NOT_APPLICABLE, NOT_GRADED
from workbench.labelling import Figures
from workbench.policy import OVERALL, Policy

ROWS = 25
SPLITS = {"all": "all pairs", "dev": "dev", "holdout": "holdout"}


def choose_split() -> str:
    """Draw the choice of a split, bound to the URL."""
    chosen: str = widgets.pick(
        st.segmented_control,
        "Pairs",
        list(SPLITS),
        key="split",
        format_func=SPLITS.get,
        label_visibility="collapsed",
        on_change=start_over,
    )
    return chosen


def start_over() -> None:
    """Another search or split starts at its first page, with no pair open."""
    st.query_params.pop("page", None)
    close_pair()


def close_pair() -> None:
    """Close the open pair: other rows come into sight."""
    st.query_params.pop("pair", None)


def browse(found: Figures, policy: Policy) -> None:
    """Draw one page of pairs, and the pair that is open."""
    info = found.info
    bar = st.columns([6, 5, 9], vertical_alignment="center")
    with bar[0]:
        text = st.text_input(
            "Search", key="q", bind="query-params", placeholder="Search the texts", label_visibility="collapsed",
            icon=":material/search:", on_change=start_over,
        )  # fmt: skip
    with bar[1]:
        split = choose_split()
    search = {"text": text or "", "split": split, "size": ROWS}
    key = f"page|{info.name}|{split}|{text}"
    number = page_number(key)
    frame, matches = labelling.browse(widgets.workspace(), info.name, page=number - 1, **search)
    pages = max(-(-matches // ROWS), 1)
    if number > pages:
        number = 1
        frame, _ = labelling.browse(widgets.workspace(), info.name, **search)
    with bar[2], st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
        st.caption(markup.several(matches, "pair"))
        st.pagination(pages, default=number, key=key, on_change=close_pair)
    if number > 1:
        st.query_params["page"] = str(number)
    else:
        st.query_params.pop("page", None)
    if frame.empty:
        widgets.empty("No pair matches.", "Search for less, or choose all pairs.")
    opened = table(frame, policy)
    if opened and widgets.workspace().store.members(info.name, pair_ids=[opened]).empty:
        st.warning(
            f"{markup.plain(info.name)} has no pair {markup.plain(opened)}. Select a row of the table."
        )
    elif opened:
        open_pair(info.name, opened, policy)
    elif not frame.empty:
        st.caption("Select a row to open the pair with its labels.")


def page_number(key: str) -> int:
    """Return the chosen page, which is needed before the number of pages is known: the widget's, else the URL's."""
    said = str(st.session_state.get(key) or st.query_params.get("page", "1"))
    return max(int(said), 1) if said.isascii() and said.isdecimal() else 1


def table(frame: pd.DataFrame, policy: Policy) -> str | None:
    """Draw a page of pairs with settled grades in their colours, and return the id of the open pair."""
    keys = [key for key in (*policy.keys, OVERALL) if key != OVERALL or (frame[key] != NOT_GRADED).any()]
    shown = frame.drop(columns=["pair_id", *(key for key in (OVERALL,) if key not in keys)])

    def paint(column: pd.Series) -> list[str]:
        ramp = colours.level_colours(policy.scale(str(column.name)))
        known = {grade: f"background-color: {x}; color: {colours.ink_on(x)}" for grade, x in ramp.items()}
        return [known.get(grade, "") for grade in column]

    styled = shown.style.apply(paint, subset=keys).format(
        lambda grade: {NOT_GRADED: "–", NOT_APPLICABLE: "N/A"}.get(grade, str(grade)), subset=keys
    )
    texts = (policy.pair.query.name, policy.pair.document.name)
    widths = dict.fromkeys(texts, 225) | {"split": 74, "labelers": 68} | dict.fromkeys(keys, 64)
    titles = markup.titles(policy)
    return widgets.open_row(
        styled,
        frame["pair_id"].tolist(),
        "pair",
        paged=True,
        # With a pair open, the table makes room for it.
        height=38 + 35 * min(len(shown), 8 if "pair" in st.query_params else ROWS),
        column_config={
            name: st.column_config.Column(width=width, help=titles.get(name))
            for name, width in widths.items()
        },
    )


def open_pair(golden: str, pair_id: str, policy: Policy) -> None:
    """Draw one pair with every labeler's newest answers."""
    story = evaluation.pair_story(widgets.workspace(), golden, pair_id, [])
    widgets.pair_panes(story.pair, policy)
    titles = markup.titles(policy)
    people = sorted(story.labels["labeler"].unique())
    if not people:
        st.caption("Nobody has labelled this pair.")
        return
    cells = {(x.dimension, x.labeler): x for x in story.labels.itertuples()}
    rows = [
        [
            html.escape(title),
            *(
                markup.chip(int(x.grade), policy.scale(key), markup.level_hint(policy, key, int(x.grade)))
                if (x := cells.get((key, who)))
                else "–"
                for who in people
            ),
        ]
        for key, title in titles.items()
    ]
    notes = {who: sorted({x.note for x in cells.values() if x.labeler == who and x.note}) for who in people}
    if any(notes.values()):
        said = ("<br>".join(map(html.escape, notes[who])) for who in people)
        rows.append(["notes", *(f'<span class="wb-small">{text}</span>' for text in said)])
    shown = markup.table(["", *map(html.escape, people)], rows)
    st.html(f'<div style="max-width: {240 + 150 * len(people)}px">{shown}</div>')
