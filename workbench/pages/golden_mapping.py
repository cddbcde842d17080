"""The form of an import: which column of a file is what. It starts from a guess and a person confirms it."""

from __future__ import annotations

import html
from typing import Any

import streamlit as st

from workbench import markup, widgets
from workbench.column_mapping import constant
from workbench.importing import Guess
from workbench.mapping_guess import guess_grades, meta_columns
from workbench.policy import Policy, Side

NONE = "(not in the file)"
ALWAYS = "(the same for every row)"
SHAPES = {
    "none": "none",
    "long": "one row a label",
    "wide": "one column a dimension",
    "several": "one column a dimension and labeler",
}
Drawn = tuple[dict[str, Any], list[tuple[str, str]]]
"""A part of the mapping, and the (dimension, column) of each column of grades in it."""


def form(guess: Guess, policy: Policy, stem: str) -> dict[str, Any]:
    """Draw the guess as an editable form and return what it says, in the shape of an ``ImportSpec``."""
    data = dict(guess.mapping)
    known = widgets.workspace().store.golden_names()
    left, middle, right = st.columns(3, gap="large")
    with left:
        st.html(f'<div class="wb-eyebrow">query: {html.escape(policy.pair.query.name)}</div>')
        data["query"] = side(policy.pair.query, guess, "query", stem)
    with middle:
        st.html(f'<div class="wb-eyebrow">document: {html.escape(policy.pair.document.name)}</div>')
        data["document"] = side(policy.pair.document, guess, "document", stem)
    with right:
        st.html('<div class="wb-eyebrow">golden set</div>')
        data["golden"] = st.text_input(
            "Name", value=guess.mapping["golden"], key=f"name|{stem}", max_chars=80,
            help="Lower-case letters, digits and hyphens. A name that exists gets the pairs and labels added.",
        )  # fmt: skip
        st.caption("Adds to the set of this name." if data["golden"] in known else "Makes a new set.")
        names = meta_columns(guess.columns)
        chosen = st.multiselect(
            "Facts to slice by", list(names), default=list(guess.mapping.get("meta", {}).values()),
            key=f"meta|{stem}", help="Kept beside the pair; no judge reads them.",
        )  # fmt: skip
        given = {column: key for key, column in guess.mapping.get("meta", {}).items()}
        if "split" in data:
            st.caption("Its splits are taken over; a query that the set has keeps its own.")
        data["meta"] = {given.get(column, names[column]): column for column in chosen}
    st.html('<div class="wb-eyebrow">labels</div>')
    data["labels"] = labels(guess, policy, stem)
    return data


def side(chosen: Side, guess: Guess, which: str, stem: str) -> dict[str, str]:
    """Draw a choice of column for each field of one side."""
    before = guess.mapping.get(which, {})
    picked = {
        name: column_choice(name.replace("_", " "), guess, before.get(name), f"{which}.{name}|{stem}")
        for name in chosen.fields
    }
    return {name: column for name, column in picked.items() if column}


def column_choice(label: str, guess: Guess, before: str | None, key: str) -> str | None:
    """Draw a choice among the file's columns; None for a column that the file does not have."""
    options = [NONE, *guess.columns]
    index = options.index(before) if before in options else 0
    found = st.selectbox(label, options, index=index, key=key)
    return None if found == NONE else found


def labels(guess: Guess, policy: Policy, stem: str) -> list[dict[str, Any]]:
    """Draw how labels are written, and return the one source of labels, or none."""
    before = next(iter(guess.mapping.get("labels", [])), {})
    known = before.get("wide") or before.get("long") or {}
    several = isinstance(known.get("columns"), list)
    shapes = [shape for shape in SHAPES if shape != "several" or several]
    start = "several" if several else next((shape for shape in ("wide", "long") if shape in before), "none")
    shape = st.segmented_control(
        "Labels in this file",
        shapes,
        default=start,
        required=True,
        format_func=SHAPES.get,
        key=f"shape|{stem}",
    )
    if shape == "none":
        return []
    left, middle, right = st.columns(3, gap="large")
    with left:
        columns, graded = {"long": long, "wide": wide, "several": wide_several}[shape](
            guess, policy, known, stem
        )
    with middle:
        if shape != "several" or any("labeler" not in column for column in columns["columns"]):
            columns["labeler"] = constant_or_column("Labeler", guess, known.get("labeler"), f"labeler|{stem}")
    with right:
        columns["note"] = column_choice("Note", guess, known.get("note"), f"note|{stem}")
        columns["at"] = column_choice("Time of the label", guess, known.get("at"), f"at|{stem}")
    written = guess_grades(guess.columns, guess.rows, policy, graded)
    with middle:
        for role, label in (("na", "N/A is written as"), ("unrateable", "Unrateable is written as")):
            text = st.text_input(
                label,
                value=", ".join(dict.fromkeys([*before.get(role, []), *written.get(role, [])])),
                key=f"{role}|{stem}",
                help="Several, with commas between.",
            )
            written[role] = [part.strip() for part in text.split(",") if part.strip()]
    source = {"wide" if shape == "several" else shape: {k: v for k, v in columns.items() if v}, **written}
    kept = {role: before[role] for role in ("source", "source_column") if role in before}
    return [source | kept]


def long(guess: Guess, policy: Policy, known: dict[str, Any], stem: str) -> Drawn:
    """Draw the columns of labels in rows."""
    always = {f"={key}": f"always {title}" for key, title in markup.titles(policy).items()}
    options = [*guess.columns, *always]
    before = known.get("dimension")
    dimension = st.selectbox(
        "Dimension", options, index=options.index(before) if before in options else None,
        format_func=lambda option: always.get(option, option), key=f"dimension|{stem}",
    )  # fmt: skip
    grade = column_choice("Grade", guess, known.get("grade"), f"grade|{stem}")
    said = constant(dimension) if dimension else None
    return {"dimension": dimension, "grade": grade}, [(said or "", grade)] if grade else []


def wide(guess: Guess, policy: Policy, known: dict[str, Any], stem: str) -> Drawn:
    """Draw a choice of column for each dimension."""
    before = known.get("columns", {}) if isinstance(known.get("columns"), dict) else {}
    picked = {
        key: column_choice(title, guess, before.get(key), f"wide.{key}|{stem}")
        for key, title in markup.titles(policy).items()
    }
    columns = {key: column for key, column in picked.items() if column}
    return {"columns": columns}, list(columns.items())


def wide_several(guess: Guess, policy: Policy, known: dict[str, Any], stem: str) -> Drawn:
    """Draw the columns that hold one labeler's grades on one dimension; some may be left out."""
    found = {entry["column"]: entry for entry in known["columns"]}
    chosen = st.multiselect(
        "Columns of grades", list(found), default=list(found), key=f"several|{stem}",
        help="Recognised by names like skills_anna. Columns named otherwise need a YAML mapping.",
    )  # fmt: skip
    people = sorted({found[column]["labeler"] for column in chosen if "labeler" in found[column]})
    st.caption(f"Labelers: {markup.plain(', '.join(people))}" if people else "No column names a labeler.")
    return {"columns": [found[c] for c in chosen]}, [(found[c]["dimension"], c) for c in chosen]


def constant_or_column(label: str, guess: Guess, before: str | None, key: str) -> str | None:
    """Draw a choice among columns with a text for every row as the other way; returns a column or ``=text``."""
    options = [ALWAYS, *guess.columns]
    found = st.selectbox(label, options, index=options.index(before) if before in options else 0, key=key)
    if found != ALWAYS:
        return found
    start = constant(before) if before else None
    text = st.text_input(f"{label}: name", value=start or widgets.who(), key=f"{key}|text", max_chars=60)
    return f"={text.strip()}" if text.strip() else None
