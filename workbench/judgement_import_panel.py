"""Bringing in judgements made elsewhere, on the Runs page: a file, what it would become, and the import."""

from __future__ import annotations

import hashlib
import html

import pandas as pd
import streamlit as st

from workbench import markup, widgets
from workbench.errors import WorkbenchError
from workbench.judgement_files import JudgementFile, read_judgements, suffixes
from workbench.judgement_imports import SHOWN_COLUMNS, SHOWN_ROWS, Preview, import_judgements, preview
from workbench.policy import Body

NEW = "_judgement_import"
AS_IN_FILE = 0
"""No version of a policy: the first is 1."""
SHOWN_TEXT = 80


def draw() -> None:
    """Draw the steps of an import, each as soon as the one before it stands."""
    space = widgets.workspace()
    sets = {name: info for name in space.store.golden_names() if (info := space.store.golden(name)).snapshots}
    if not sets:
        widgets.empty(
            "No published golden set yet.", "Publish one on the Golden set page; runs are made on it."
        )
        return
    golden = widgets.pick(st.selectbox, "Golden set", list(sets), key="into", width=320)
    policy = sets[golden].policy
    versions = [known.version for known in space.store.policy_versions(policy)]
    upload = st.file_uploader(
        "Judgements made elsewhere", type=list(suffixes()), key=f"{NEW}_file_{st.session_state.get(NEW, 0)}"
    )
    if upload is None:
        st.caption(
            "A table (CSV, TSV, JSON, JSONL, Parquet, Excel) with `pair_id` and one column a dimension, or with "
            "`pair_id`, `dimension` and `score`; promptfoo results; Langfuse scores; an inspect-ai log. "
            "A column `rationale` comes along. Nothing is kept before you say so."
        )
        return
    left, right = st.columns(2, gap="medium")
    judge = left.text_input(
        "Judge",
        key=f"{NEW}_judge",
        placeholder="as the file names it",
        help="What its runs are called on Compare.",
    )
    version = right.selectbox(
        f"Version of {policy}", [AS_IN_FILE, *reversed(versions)], key=f"{NEW}_version",
        format_func=lambda number: f"v{number}" if number else f"as the file says, else v{versions[-1]}",
        help="The policy version under which the judgements were made.",
    )  # fmt: skip
    content = upload.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    try:
        document = space.store.policy(policy, version or None)
        file = read(digest, upload.name, document.content_hash, document, content)
        if not judge.strip() and (file.rows["judge"] == "").any():
            st.info("The file does not name its judge. Give it a name above.", icon=":material/edit:")
            st.html(_rows(file.rows[SHOWN_COLUMNS].head(SHOWN_ROWS)))
            return
        found = preview(
            space, file, policy=policy, golden=golden, judge=judge, policy_version=version or None
        )
    except WorkbenchError as error:
        st.error(markup.problem(error), icon=":material/error:")
        return
    draw_preview(found)
    draw_button(found, file, policy, golden, judge, version or None)


@st.cache_data(max_entries=4, show_spinner="Reading the file")
def read(digest: str, name: str, policy_hash: str, _policy: Body, _content: bytes) -> JudgementFile:
    """Return the judgements of an upload; read once a content, name and policy version."""
    return read_judgements(_content, name, policy=_policy)


def draw_preview(found: Preview) -> None:
    """Draw what the file would become: figures, runs, its first rows, and what is left out or fails."""
    parts = [
        found.format,
        markup.several(found.rows, "judgement"),
        f"{found.known:,} of {markup.several(found.golden_pairs, 'pair')} of {found.golden}",
        markup.several(len(found.runs), "run"),
    ]
    st.markdown("**" + markup.plain(" · ".join(parts)) + "**")
    if found.runs:
        st.html(_runs(found))
    asides = found.asides()
    if asides:
        listed = "\n".join(f"- {markup.plain(aside)}" for aside in asides)
        st.warning(listed, icon=":material/rule:")
    st.html(_rows(found.first))


def _runs(found: Preview) -> str:
    rows = [
        [
            html.escape(planned.run.judge.name),
            html.escape(f"{planned.run.policy} v{planned.run.policy_version}"),
            f"{planned.run.totals.pairs:,}",
            f"{planned.run.totals.judgements:,}",
            f"{planned.run.totals.failed:,}",
            "imported before" if planned.known else "new",
        ]
        for planned in found.runs
    ]
    heads = ["run", "policy", "pairs", "judgements", "failed", ""]
    return markup.table(heads, rows, numeric=range(2, 5))


def _rows(first: pd.DataFrame) -> str:
    heads = [name for name in first.columns if (first[name] != "").any()]
    rows = [[html.escape(_short(row[name])) for name in heads] for row in first.to_dict("records")]
    names = [html.escape(name.replace("_", " ").replace("place", "in the file")) for name in heads]
    return f'<div class="wb-eyebrow">first rows</div>{markup.table(names, rows)}'


def _short(text: str) -> str:
    text = text[:18] + "…" if text.startswith("pair-") and len(text) > 20 else text
    return text[:SHOWN_TEXT] + (" …" if len(text) > SHOWN_TEXT else "")


def draw_button(
    found: Preview, file: JudgementFile, policy: str, golden: str, judge: str, version: int | None
) -> None:
    """Draw the button that imports; it says why where it cannot be pressed."""
    skip = False
    if found.unknown:
        skip = st.checkbox(
            f"Leave {markup.several(len(found.unknown), 'unknown pair')} out", key=f"{NEW}_skip"
        )
    reason = ""
    if not found.runs:
        reason = "The file grades no pair of this golden set on a dimension of this policy."
    elif found.unknown and not skip:
        reason = "Correct the ids in the file, or leave these pairs out."
    elif all(planned.known for planned in found.runs):
        reason = "All of it is imported already."
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            f"Import {markup.several(len(found.runs), 'run')}", type="primary", icon=":material/upload:",
            key=f"{NEW}_button", disabled=bool(reason), on_click=send,
            args=(file, policy, golden, judge, version, skip),
        )  # fmt: skip
        if reason:
            st.caption(reason)


def send(file: JudgementFile, policy: str, golden: str, judge: str, version: int | None, skip: bool) -> None:
    """Import (a callback), and open the first of the runs."""
    runs = widgets.attempt(
        import_judgements, widgets.workspace(), file, policy=policy, golden=golden, judge=judge,
        policy_version=version, author=widgets.who(), skip_unknown=skip,
    )  # fmt: skip
    if runs is None:
        return
    new = [planned.run for planned in runs if not planned.known]
    said = f"Imported {markup.several(len(new), 'run')} from {markup.plain(file.name)}."
    widgets.say(
        "success", said if new else f"{markup.plain(file.name)} was imported before: nothing changed."
    )
    st.session_state[NEW] = st.session_state.get(NEW, 0) + 1  # an empty uploader
    st.session_state[f"{NEW}_judge"] = ""
    st.query_params["run"] = runs[0].run.id
