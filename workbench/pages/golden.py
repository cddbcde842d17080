"""Golden set: its health, how far labelers agree, what to label and settle next, its pairs, in, out, publishing."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping

import streamlit as st

from workbench import (
    charts,
    golden_adjudicate,
    golden_health,
    golden_labelers,
    golden_out,
    golden_queues,
    golden_snapshots,
    golden_suspects,
    labelling,
    markup,
    widgets,
)
from workbench.labelling import Coverage, Figures
from workbench.pages.golden_browse import browse, choose_split
from workbench.pages.golden_import import import_section
from workbench.policy import Policy


def page() -> None:
    """Draw the choice of a set, its figures, and the open section."""
    widgets.header(
        "Golden set", "The pairs that people labelled: what judges and students are measured against."
    )
    widgets.flash()
    space = widgets.workspace()
    if not space.store.golden_names():
        widgets.empty("No golden sets yet.", "Import one here, or run `workbench golden import FILE`.")
        import_section()
        return
    top = st.columns([2, 7], vertical_alignment="bottom", gap="medium")
    with top[0]:
        golden = widgets.choose_golden()
    found = labelling.golden_figures(space, golden)
    with top[1]:
        figures(found)
    policy = space.store.policy(found.info.policy)
    tabs = st.tabs(
        list(SECTIONS),
        key="tab",
        bind="query-params",
        on_change="rerun",
    )
    for tab, section in zip(tabs, SECTIONS.values(), strict=True):
        if tab.open:
            with tab:
                section(found, policy)


def figures(found: Figures) -> None:
    """Draw the size of a set in one line, with its tags."""
    info = found.info
    splits = ", ".join(f"{count:,} {split}" for split, count in found.pairs.items())
    newest = f"v{info.snapshots[-1]}" if info.snapshots else "none yet"
    counted = [
        markup.several(info.pairs, "pair") + (f" ({splits})" if splits else ""),
        markup.several(sum(found.queries.values()), "query", "queries"),
        markup.several(info.labels, "label"),
        markup.several(info.labelers, "labeler"),
    ]
    parts = [*(text.split(" ", 1) for text in counted), [newest, "newest snapshot"]]
    tags = [f"policy {info.policy}", *(["sample"] if info.sample else [])]
    st.html(
        '<div class="wb-figures">'
        + "".join(f"<div><b>{html.escape(a)}</b><span>{html.escape(b)}</span></div>" for a, b in parts)
        + "".join(f'<span class="wb-tag">{html.escape(tag)}</span>' for tag in tags)
        + "</div>"
    )
    if info.sample:
        st.caption(
            "Sample: a language model wrote these texts and labels. Nothing here measures a real system."
        )


@st.cache_data(max_entries=8, show_spinner="Counting settled grades")
def counted(_space: object, golden: str, split: str, mark: int, pairs: int) -> Coverage:
    """Return the coverage; ``mark`` and ``pairs`` change whenever labels or pairs are added."""
    return labelling.golden_coverage(widgets.workspace(), golden, split=split)


def coverage(found: Figures, policy: Policy) -> None:
    """Draw how many pairs settle on each level, and name the levels that are empty."""
    split = choose_split()
    space, info = widgets.workspace(), found.info
    covered = counted(space, info.name, split, space.store.labels_mark(info.name), info.pairs)
    if not info.labels:
        widgets.empty("No labels yet.", "Label pairs on the Label page, or import labels here.")
        return
    titles = markup.titles(policy)
    counts = {key: covered.counts.loc[key].to_dict() for key in covered.counts.index}
    scales = {key: policy.scale(key) for key in counts}
    st.plotly_chart(
        charts.level_bars(counts, titles, scales),
        key=f"bars_{info.name}_{split}",
        config={"displayModeBar": False},
    )
    sizes = (
        f"{markup.several(covered.pairs, 'pair')} over {markup.several(covered.queries, 'query', 'queries')}"
    )
    st.caption(f"{sizes}; a bar is where today's labels settle.")
    where = "" if split == "all" else f" in {split}"
    empty = labelling.empty_levels(policy, covered)
    if not empty:
        st.markdown(f"Every level of every dimension has a pair{where}.")
    for key, levels in empty.items():
        named = ", ".join(golden_health.level_name(policy, key, level) for level in levels)
        st.markdown(f"- No pair settles on **{markup.plain(titles[key])}** {named}{where}.")
    if empty:
        st.caption(
            "A judge cannot be measured on a level without pairs: import or label pairs that belong there."
        )


def publish(found: Figures, policy: Policy) -> None:
    """Draw the form that freezes the set, and the snapshots there are."""
    left, right = st.columns([2, 3], gap="large")
    with left, st.form("publish", clear_on_submit=False):
        last = found.snapshots[0] if found.snapshots else None
        if last:
            st.caption(
                f"Since v{last.version}: {found.info.pairs - last.pairs:+,} pairs, "
                f"{found.info.labels - last.labels:+,} labels."
            )
        st.text_input("What does this snapshot add?", key="publish_message", max_chars=300)
        st.form_submit_button(
            f"Publish v{(last.version if last else 0) + 1}",
            type="primary",
            on_click=send_publish,
            args=(found.info.name,),
            key="publish_button",
        )
        st.caption("A snapshot never changes. Runs name the snapshot that they were started on.")
    with right:
        rows = [
            [
                f"<b>v{x.version}</b>",
                f"{x.published_at:%d %b %Y}",
                html.escape(x.author),
                html.escape(x.message),
                f"{x.pairs:,}",
                f"{x.labels:,}",
            ]
            for x in found.snapshots
        ]
        if rows:
            st.html(markup.table(["", "published", "by", "message", "pairs", "labels"], rows, numeric=[4, 5]))
        else:
            st.caption("No snapshot yet. Judge runs need one.")


def send_publish(golden: str) -> None:
    """Publish the next snapshot with the message of the form."""
    message = st.session_state.get("publish_message") or ""
    done = widgets.attempt(
        labelling.publish_golden, widgets.workspace(), golden, message=message, author=widgets.who()
    )
    if done is not None:
        st.session_state["publish_message"] = ""
        widgets.say(
            "success", f"Published {markup.plain(done.label)}: {markup.several(len(done.pairs), 'pair')}."
        )


def snapshots(found: Figures, policy: Policy) -> None:
    """Draw publishing, and what two snapshots differ in."""
    publish(found, policy)
    golden_snapshots.draw(found, policy)


def bring_in(_found: Figures, policy: Policy) -> None:
    """Draw the import of more pairs and labels."""
    import_section(policy.name)


SECTIONS: Mapping[str, Callable[[Figures, Policy], None]] = {
    "Health": golden_health.draw,
    "Coverage": coverage,
    "Labelers": golden_labelers.draw,
    "Queues": golden_queues.draw,
    "Adjudicate": golden_adjudicate.draw,
    "Suspects": golden_suspects.draw,
    "Browse": browse,
    "Import": bring_in,
    "Export": golden_out.draw,
    "Publish": snapshots,
}

page()
