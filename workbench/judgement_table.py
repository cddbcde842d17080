"""The judgements of a run, a page at a time: filtered, searched, each opening to its story."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from workbench import markup, widgets
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, Pair
from workbench.policy import Policy
from workbench.run import Run

A_PAGE = 50
_TEXT = 90
_ALL = ""
_FAILED = "failed"


def draw(run: Run) -> None:
    """Draw the table; a row that is chosen puts its pair into the URL (``?run=RUN&pair=PAIR``)."""
    if run.status in ("queued", "running") or not run.totals.judgements:
        return
    space = widgets.workspace()
    policy = space.store.policy(run.policy, run.policy_version)
    dimension, grade, text = _filters(run, policy)
    pair_ids = space.store.search_pairs(run.golden, text) if text.strip() else None
    failed = grade == _FAILED
    chosen = int(grade) if grade not in (_ALL, _FAILED) else None
    wanted: dict[str, Any] = {"dimension": dimension, "grade": chosen, "failed": failed, "pair_ids": pair_ids}
    _, count = space.store.judgement_page(run.id, **wanted, limit=0)
    if not count:
        st.caption("No judgement of this run is like that.")
        return
    pages = -(-count // A_PAGE)
    # Other filters make another list, which begins on its first page.
    page = (
        st.pagination(pages, key=f"judgements_page:{run.id}:{dimension}:{grade}:{text}") if pages > 1 else 1
    )
    rows, _ = space.store.judgement_page(run.id, **wanted, skip=(page - 1) * A_PAGE, limit=A_PAGE)
    pairs = space.store.pairs(list(dict.fromkeys(rows["pair_id"])), run.golden)
    st.caption(f"{markup.several(count, 'judgement')}. Select a row to open its story.")
    _open_row(run, rows, _view(rows, pairs, policy), f"{page}:{dimension}:{grade}:{text}")


def _filters(run: Run, policy: Policy) -> tuple[str, str, str]:
    first, second, third = st.columns([2, 2, 4])
    titles = markup.titles(policy)
    dimension = first.selectbox(
        "Dimension", [_ALL, *policy.keys], key=f"judgements_dimension:{run.id}",
        format_func=lambda key: titles.get(key, "all dimensions"),
    )  # fmt: skip
    asked = [policy.dimension(dimension)] if dimension else policy.dimensions
    levels = sorted({level for one in asked for level in one.scale})
    codes = [str(NOT_APPLICABLE)] if any(one.allow_na for one in asked) else []
    grade = second.selectbox(
        "Grade", [_ALL, *map(str, levels), *codes, _FAILED], key=f"judgements_grade:{run.id}",
        format_func=lambda value: {_ALL: "all grades", str(NOT_APPLICABLE): "N/A"}.get(value, value),
    )  # fmt: skip
    text = third.text_input(
        "Text in the pair", key=f"judgements_text:{run.id}", placeholder="words of either side"
    )
    return dimension, grade, text


def _view(rows: pd.DataFrame, pairs: dict[str, Pair], policy: Policy) -> pd.DataFrame:
    def words(pair_id: str, side: str, fields: tuple[str, ...]) -> str:
        pair = pairs.get(pair_id)
        texts: dict[str, str] = dict(getattr(pair, side)) if pair else {}
        return _short(" · ".join(texts[name] for name in fields if texts.get(name))) if pair else "–"

    query, document = policy.pair.query, policy.pair.document
    return pd.DataFrame(
        {
            query.name: [words(pair_id, "query", query.fields) for pair_id in rows["pair_id"]],
            document.name: [words(pair_id, "document", document.fields) for pair_id in rows["pair_id"]],
            "dimension": rows["dimension"],
            "grade": [_grade(grade) for grade in rows["grade"]],
            "reason or error": [
                _short(error or reason)
                for error, reason in zip(rows["error"], rows["rationale"], strict=True)
            ],
            "pair": [pair_id.removeprefix("pair-")[:10] for pair_id in rows["pair_id"]],
        }
    )


def _grade(grade: int) -> str:
    return {NOT_APPLICABLE: "N/A", NOT_GRADED: "failed"}.get(grade, str(grade))


def _short(text: str) -> str:
    line = " ".join(text[: 2 * _TEXT].split())
    return line if len(line) <= _TEXT else f"{line[: _TEXT - 1]}…"


def _open_row(run: Run, rows: pd.DataFrame, view: pd.DataFrame, place: str) -> None:
    """Draw the rows; several may be about one pair, so it is the row that is chosen and the pair that opens."""
    key = f"judgements:{run.id}:{place}"

    def choose() -> None:
        chosen = st.session_state[key]["selection"]["rows"]
        if chosen:
            st.query_params["pair"] = rows["pair_id"].iloc[chosen[0]]

    st.dataframe(view, hide_index=True, key=key, on_select=choose, selection_mode="single-row")
