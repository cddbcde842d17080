"""The Import section of the Golden set page: files, a mapping to confirm, a preview, and the import itself."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from workbench import importing, labelling, markup, widgets
from workbench.column_mapping import ImportSpec
from workbench.errors import BadInput, WorkbenchError
from workbench.formats import ImportPreview
from workbench.importing import Guess
from workbench.pages.golden_mapping import form
from workbench.policy import OVERALL, Policy
from workbench.table_files import Files

SHOWN_PROBLEMS = 50
TYPES = ["csv", "tsv", "jsonl", "ndjson", "json", "parquet", "xlsx", "qrels", "txt", "gz"]
NEW = "import_new"
Contents = dict[str, bytes]


def import_section(default_policy: str = "") -> None:
    """Draw the steps of an import, each as soon as the one before it stands."""
    if not widgets.has_policy():
        return
    names = widgets.workspace().store.policy_names()
    policy_name = widgets.pick(
        st.selectbox, "Labelled by policy", names, key="import_policy", default=default_policy, width=320
    )
    uploads = st.file_uploader(
        "Files: CSV, TSV, JSON, JSONL, Parquet or Excel, each also with .gz",
        type=TYPES,
        accept_multiple_files=True,
        key=f"import_files_{st.session_state.get(NEW, 0)}",
    )
    if not uploads:
        st.caption(
            "One file is enough: a row a pair, with columns for its texts and, if there are any, its labels. "
            "The columns are matched in the next step and nothing is kept before you say so. "
            "A JSON file may be an export of Label Studio or Argilla; qrels are chosen together with their "
            "queries and documents (queries.jsonl, corpus.jsonl)."
        )
        return
    contents = {upload.name: upload.getvalue() for upload in uploads}
    content_hash = digest(contents)
    store = widgets.workspace().store
    try:
        if len(contents) < len(uploads):
            raise BadInput("Two of the files have the same name.", "Give them different names.")
        files = gathered(content_hash, contents) if len(contents) > 1 else contents
        spec = mapping(files, content_hash, store.policy(policy_name))
        if spec is None:
            return
        policy = store.policy(spec.policy)
        found = looked_at(spec.model_dump_json(), policy.content_hash, content_hash, files)
    except WorkbenchError as error:
        st.error(markup.problem(error), icon=":material/error:")
        st.button("Import", disabled=True, help=markup.plain(error.message), key="import_button")
        return
    preview(found, spec, policy)
    import_button(found, spec, files)


def digest(files: Contents) -> str:
    """Return what identifies uploaded files: their names and contents."""
    whole = hashlib.sha256()
    for name in sorted(files):
        whole.update(f"{name}\n{len(files[name])}\n".encode())
        whole.update(files[name])
    return whole.hexdigest()


@st.cache_data(max_entries=2, show_spinner="Reading the collection")
def gathered(content_hash: str, _contents: Contents) -> Files:
    """Return qrels with their queries and documents as one table, other files as they are."""
    return importing.gathered(_contents)


@st.cache_data(max_entries=4, show_spinner="Reading the file")
def guessed(
    _policy: Policy, policy_hash: str, name: str, _content: bytes | pd.DataFrame, content_hash: str
) -> Guess:
    """Return the guess at a file's mapping; read once a file and policy version."""
    return importing.guess_mapping(_content, name, _policy)


@st.cache_data(max_entries=4, show_spinner="Reading the rows")
def looked_at(spec: str, policy_hash: str, content_hash: str, _files: Files) -> ImportPreview:
    """Return the preview of an import; read once a mapping, policy version and content."""
    return labelling.preview_import(widgets.workspace(), ImportSpec.model_validate_json(spec), _files)


def mapping(files: Files, content_hash: str, policy: Policy) -> ImportSpec | None:
    """Draw the mapping as a form, or as YAML (the only way for several files), and return it checked."""
    how = "YAML" if len(files) > 1 else "Form"
    if len(files) == 1:
        how = st.segmented_control(
            "Mapping", ["Form", "YAML"], default="Form", required=True, key="import_how",
            help="The form fits one file. A YAML mapping can join several files; see golden_sets/mappings.",
        )  # fmt: skip
    if how == "YAML":
        text = st.text_area(
            "Mapping as YAML",
            key="import_yaml",
            height=260,
            placeholder="golden: my-set\npolicy: job-match\npairs: {file: pairs.csv}\nquery: {headline: member_headline}\n…",
        )
        if not text.strip():
            named = markup.plain(", ".join(files))
            st.caption(f"Paste the mapping of {named}; examples lie in golden_sets/mappings.")
            return None
        return importing.mapping_from_text(text)
    ((name, content),) = files.items()
    guess = guessed(policy, policy.content_hash, name, content, content_hash)
    spec = importing.checked_mapping(form(guess, policy, f"{content_hash[:12]}|{policy.name}"))
    with st.expander("This mapping as YAML", icon=":material/code:"):
        st.code(importing.mapping_text(spec), language="yaml")
    return spec


def preview(found: ImportPreview, spec: ImportSpec, policy: Policy) -> None:
    """Draw what the import would give: figures, grades, first pairs, and what is wrong with which row."""
    report = found.report
    count = sum(report.labels.values())
    st.html('<div class="wb-eyebrow">preview</div>')
    people = ", ".join(report.labelers[:6]) + (" …" if len(report.labelers) > 6 else "")
    parts = [
        markup.several(report.pairs, "pair"),
        markup.several(report.queries, "query", "queries"),
        markup.several(count, "label"),
        markup.several(len(report.labelers), "labeler") + (f" ({people})" if people else ""),
    ]
    st.markdown("**" + markup.plain(" · ".join(parts)) + "**")
    asides = [
        (report.merged_pairs, "rows had the texts of an earlier pair and were merged with it"),
        (report.duplicates, "label rows repeated an earlier row"),
        (report.repeated, "labels answer again about the same texts; the newest counts"),
        (report.blank, "empty cells are no labels"),
    ]
    said = "; ".join(f"{number:,} {what}" for number, what in asides if number)
    if said:
        st.caption(said[0].upper() + said[1:] + ".")
    if spec.recorded:
        st.caption("The recorded judgements of this mapping are read by `workbench golden import` only.")
    left, right = st.columns([3, 2], gap="large")
    with left:
        first = policy.pair.query.fields, policy.pair.document.fields
        rows = [
            [
                short(pair.query, first[0]),
                short(pair.document, first[1]),
                html.escape(", ".join(pair.meta.values())),
            ]
            for pair in found.sample[:6]
        ]
        heads = [html.escape(policy.pair.query.name), html.escape(policy.pair.document.name), "facts"]
        st.html(markup.table(heads, rows))
    with right:
        if count:
            st.html(grades(found, policy))
    if report.problems:
        problems(found)


def short(fields: dict[str, str], order: Sequence[str]) -> str:
    """Return the first filled field of a side, cut to one line."""
    text = next((fields[name] for name in order if fields.get(name)), "")
    return html.escape(text[:90] + (" …" if len(text) > 90 else ""))


def grades(found: ImportPreview, policy: Policy) -> str:
    """Return labels by dimension and grade as a table."""
    codes = sorted(found.grades.columns, key=lambda code: (code < 0, code))
    scale = policy.overall.scale if OVERALL in found.grades.index else policy.dimensions[0].scale
    heads = ["labels", *(markup.chip(int(code), scale) for code in codes)]
    titles = markup.titles(policy)
    rows = [
        [html.escape(titles[key]), *(f"{found.grades.at[key, code]:,}" for code in codes)]
        for key in titles
        if key in found.grades.index
    ]
    return markup.table(heads, rows, numeric=range(1, len(heads)))


def problems(found: ImportPreview) -> None:
    """Draw the rows that cannot be read, with what to do about each."""
    report = found.report
    kinds = ", ".join(f"{kind} ({count:,})" for kind, count in report.kinds.items())
    st.warning(
        f"**{len(report.problems):,} entries cannot be read:** {markup.plain(kinds)}.",
        icon=":material/rule:",
    )
    rows = [
        [html.escape(str(x)) for x in (x.file, x.row, x.column, x.message, x.remedy)]
        for x in report.problems[:SHOWN_PROBLEMS]
    ]
    more = len(report.problems) - len(rows)
    st.html(
        markup.table(["file", "row", "column", "what is wrong", "what to do"], rows, numeric=[1])
        + (f'<div class="wb-muted wb-small">and {more:,} more</div>' if more else "")
    )


def import_button(found: ImportPreview, spec: ImportSpec, files: Files) -> None:
    """Draw the button that imports; it says why where it cannot be pressed."""
    bad = len(found.report.problems)
    leave_out = (
        st.checkbox(f"Leave {markup.several(bad, 'bad entry', 'bad entries')} out", key="import_leave_out")
        if bad
        else False
    )
    reason = "The files hold no pair that can be read." if not found.report.pairs else ""
    if bad and not leave_out:
        reason = "Correct them in the file, or leave them out."
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            f"Import into {spec.golden}",
            type="primary",
            disabled=bool(reason),
            on_click=send,
            args=(spec, files, leave_out),
            key="import_button",
            icon=":material/upload:",
        )
        if reason:
            st.caption(reason)


def send(spec: ImportSpec, files: Files, leave_out: bool) -> None:
    """Import, and show the set that it went into."""
    done = widgets.attempt(
        labelling.import_golden,
        widgets.workspace(),
        spec,
        files,
        author=widgets.who(),
        skip_bad_rows=leave_out,
    )
    if done is None:
        return
    left_out = len(done.report.problems)
    widgets.say(
        "success",
        f"Added {markup.several(done.pairs_added, 'pair')} and {markup.several(done.labels_added, 'label')} "
        f"to {markup.plain(done.golden)}"
        + (f"; left out: {markup.several(left_out, 'bad entry', 'bad entries')}." if left_out else "."),
    )
    st.session_state[NEW] = st.session_state.get(NEW, 0) + 1  # an empty uploader
    st.session_state["golden"] = done.golden
    st.session_state["tab"] = "Coverage"
