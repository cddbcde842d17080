"""Importing a click log in the browser: a file or a path, its columns, what the rows look like, and the import."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import streamlit as st

from workbench import click_logs, markup, widgets
from workbench.click_bias import PropensityKind
from workbench.click_columns import NAMES, NEEDED, likely_columns
from workbench.click_log_files import LIMIT, ReadReport
from workbench.click_log_rows import columns_of, file_format
from workbench.errors import BadInput, NotFound, WorkbenchError

MOST_MB = {"csv": 100, "tsv": 100, "gz": 15, "parquet": 100}
"""Largest file that a page reads. One million rows of CSV (31 MB) took 5.5 s on a busy two-core machine and of Parquet
(9 MB) 0.8 s, so that each of these stays under 20 s; the command line reads any size."""
TYPES = ["csv", "tsv", "gz", "parquet"]
NONE = ""
_SAYS: dict[PropensityKind, str] = {
    "examination": "that the position is looked at",
    "display": "that this document is shown there",
}


def draw() -> None:
    """Draw the steps of an import, each as soon as the one before it stands."""
    how = st.segmented_control(
        "Where the file is",
        ["Upload", "Path on the server"],
        default="Upload",
        required=True,
        key="clicks_how",
    )
    upload: Any = None
    path = ""
    if how == "Upload":
        upload = st.file_uploader(
            "CSV or TSV (also .gz) or Parquet, one impression a row",
            type=TYPES,
            key=f"clicks_file_{st.session_state.get('clicks_new', 0)}",
        )
    else:
        path = st.text_input("Path", key="clicks_path", placeholder="/data/impressions.parquet").strip()
    if upload is None and not path:
        st.caption(
            f"Needed: {', '.join(NEEDED)}; time, session and propensity where there are. Up to "
            f"{MOST_MB['csv']} MB ({MOST_MB['gz']} MB of .gz); nothing is kept before you say so. For more: "
            "`workbench clicks import FILE --name NAME`."
        )
        return
    given: Path | Any = upload if upload is not None else Path(path).expanduser()
    try:
        with as_file(given) as file:
            check_size(file)
            columns = columns_of(file)
    except WorkbenchError as error:
        st.error(markup.problem(error), icon=":material/error:")
        return
    mapping, kind, limit = mapping_form(columns)
    if lacking := [field for field in NEEDED if not mapping[field]]:
        st.info(f"Choose a column for {' and '.join(lacking)}.", icon=":material/view_column:")
        return
    mark = mark_of(given)
    try:
        report = looked_at(mark, given, mapping, kind, limit)
    except WorkbenchError as error:
        st.error(markup.problem(error), icon=":material/error:")
        return
    preview(report)
    send_form(given, mapping, kind, limit)


@contextmanager
def as_file(given: Any) -> Iterator[Path]:
    """Give a path that the verbs can read: a file of the server as it is, an upload in a folder for the moment."""
    if isinstance(given, Path):
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (Path(given.name.replace("\\", "/")).name or "upload")
        path.write_bytes(given.getbuffer())
        yield path


def mark_of(given: Any) -> str:
    """Return what tells this content from another: an upload's id, or a file's place, size and time of change."""
    if isinstance(given, Path):
        facts = given.stat()
        return f"{given}|{facts.st_size}|{facts.st_mtime_ns}"
    return str(given.file_id)


def check_size(file: Path) -> None:
    """Refuse what a page cannot read in reasonable time, and say the command that can.

    Raises:
        NotFound: if there is no such file.
        BadInput: if it is too large, or of an unknown format.
    """
    if not file.is_file():
        raise NotFound(f"There is no file {file} on the server.", "Check the path, or upload the file.")
    most = MOST_MB["gz" if file.name.lower().endswith(".gz") else file_format(file)]
    size = file.stat().st_size / 2**20
    if size > most:
        raise BadInput(
            f"{file.name} has {size:,.0f} MB; the page reads up to {most} MB.",
            f"Run `workbench clicks import {shlex.quote(str(file))} --name NAME`, which reads any size.",
        )


def mapping_form(columns: list[str]) -> tuple[dict[str, str], PropensityKind | None, float]:
    """Draw a choice for each field, and return field -> column, what a propensity says, and the limit."""
    guess = likely_columns(columns)
    key = "|".join(columns)
    st.html('<div class="wb-eyebrow">columns</div>')
    places = st.columns(4)
    mapping: dict[str, str] = {}
    for i, field in enumerate(NAMES):
        options = [NONE, *columns]
        with places[i % 4]:
            chosen = st.selectbox(
                field.replace("_", " ") + (" *" if field in NEEDED else ""),
                options,
                index=options.index(guess[field]),
                format_func=lambda name: name or "–",
                key=f"clicks_map_{field}_{key}",
                accept_new_options=True,
            )
        mapping[field] = chosen or NONE
    with places[len(NAMES) % 4]:
        limit = st.number_input(
            "share of rows that may be unusable", 0.0, 1.0, LIMIT, 0.01, key="clicks_limit"
        )
    st.caption("\\* needed. Choose a column, or type =text to give all rows one value.")
    kind: PropensityKind | None = None
    if mapping["propensity"]:
        kind = st.segmented_control(
            "The propensity is the probability", list(_SAYS), format_func=_SAYS.__getitem__, key="clicks_kind"
        )
    return mapping, kind, float(limit)


@st.cache_data(max_entries=8, show_spinner="Reading the rows")
def looked_at(
    mark: str, _given: Any, mapping: Mapping[str, str], kind: PropensityKind | None, limit: float
) -> ReadReport:
    """Return what an import would keep; read once a file and mapping."""
    with as_file(_given) as file:
        return click_logs.preview_clicks(file, mapping=mapping, propensity_is=kind, limit=limit)


def preview(report: ReadReport) -> None:
    """Draw how many rows can be used, and what is wrong with the others."""
    tag = " · simulated" if report.simulated else ""
    st.markdown(f"**{report.kept:,} of {report.rows:,} rows can be used{tag}**")
    for problem in report.problems:
        st.caption(f"Left out: {markup.plain(str(problem))}")


def send_form(given: Any, mapping: Mapping[str, str], kind: PropensityKind | None, limit: float) -> None:
    """Draw the name and the button that imports."""
    with st.form("clicks_import", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input("Name of the log", key="clicks_name", placeholder="shop", max_chars=80, width=320)
        st.form_submit_button(
            "Import", type="primary", icon=":material/upload:", on_click=send, key="clicks_import_button",
            args=(given, mapping, kind, limit),
        )  # fmt: skip


def send(given: Any, mapping: Mapping[str, str], kind: PropensityKind | None, limit: float) -> None:
    """Import the file under the name of the form, and open the log."""

    def imported() -> click_logs.ClickCard:
        with as_file(given) as file:
            check_size(file)
            return click_logs.import_clicks(
                widgets.workspace(),
                file,
                st.session_state["clicks_name"].strip(),
                author=widgets.who(),
                mapping=mapping,
                propensity_is=kind,
                limit=limit,
            )

    card = widgets.attempt(imported)
    if card is not None:
        st.session_state["clicks_new"] = st.session_state.get("clicks_new", 0) + 1  # an empty uploader
        st.query_params["log"] = card.name
        widgets.say("success", f"Kept {card.summary.rows:,} impressions as {markup.plain(card.name)}.")
