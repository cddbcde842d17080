"""The rows of a data set: one page of them as a table, and the files to take along."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from workbench import dataset_view, markup
from workbench.dataset import DatasetRow
from workbench.dataset_files import CARD
from workbench.datasets import Dataset
from workbench.errors import WorkbenchError
from workbench.policy import Policy

MOST_DOWNLOAD_MB = 200
"""A larger file would be held in the server's memory for each download; its place is told instead."""


def downloads(found: Dataset) -> None:
    """Draw the ways to take the rows and the card along; each is read when it is asked for."""
    size = found.rows.stat().st_size / 2**20 if found.rows.exists() else 0.0
    if size > MOST_DOWNLOAD_MB:
        st.caption(f"{size:,.0f} MB, at `{found.rows}`")
    else:
        st.download_button(
            f"Parquet ({size:,.1f} MB)",
            data=partial(found.rows.read_bytes),
            file_name=f"{found.card.id}.parquet",
            mime="application/vnd.apache.parquet",
            icon=":material/download:",
            on_click="ignore",
            key="download_rows",
        )
    st.download_button(
        "Card",
        data=partial((found.folder / CARD).read_bytes),
        file_name=f"{found.card.id}.json",
        mime="application/json",
        icon=":material/download:",
        on_click="ignore",
        key="download_card",
    )


def draw(found: Dataset, policy: Policy) -> None:
    """Draw one page of the rows; no other is read."""
    st.html('<div class="wb-eyebrow">rows</div>')
    text = st.query_params.get("page", "1")
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 8 else 1
    try:
        shown = dataset_view.rows_page(found, number)
    except WorkbenchError as error:
        st.error(markup.problem(error), icon=":material/error:")
        return
    st.dataframe(frame(shown.rows, policy), hide_index=True, key=f"rows_{found.card.id}_{shown.number}")
    with st.container(horizontal=True, vertical_alignment="center"):
        for label, target, icon in (
            ("Previous", shown.number - 1, "chevron_left"),
            ("Next", shown.number + 1, "chevron_right"),
        ):
            st.button(
                label, icon=f":material/{icon}:", disabled=not 1 <= target <= shown.pages, on_click=turn,
                args=(target,), key=f"rows_{label}",
            )  # fmt: skip
        first = (shown.number - 1) * dataset_view.PAGE_ROWS
        st.caption(
            f"Rows {first + 1:,}–{first + len(shown.rows):,} of {found.card.counts.rows:,}. "
            "A grade is followed by its expected value where the judge gave probabilities."
        )


def turn(target: int) -> None:
    """Go to another page of rows."""
    st.query_params["page"] = str(target)


def frame(found: tuple[DatasetRow, ...], policy: Policy) -> pd.DataFrame:
    """Return rows as a table: what each is, its grades, its texts."""
    layout = policy.pair
    lines = []
    for row in found:
        line: dict[str, str] = {
            "split": row.split + (" · probe" if row.is_probe else ""),
        }
        for one in row.judgements:
            expected = f" ({one.expected:.2f})" if one.expected is not None and one.grade >= 0 else ""
            name = {-2: "N/A", -1: "failed"}.get(one.grade, str(one.grade))
            line[one.dimension] = name + expected
        for side, fields in ((layout.query, row.pair.query), (layout.document, row.pair.document)):
            line |= {f"{side.name}.{name}": fields.get(name, "") for name in side.fields}
        line |= {key: value for key, value in row.pair.meta.items() if key not in line}
        lines.append(line)
    return pd.DataFrame(lines).fillna("")
