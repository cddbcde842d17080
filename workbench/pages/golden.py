"""Golden set: what it covers, how far its labelers agree, its pairs, importing more, publishing a snapshot."""

from __future__ import annotations

import html
from collections.abc import Mapping

import streamlit as st

from workbench import charts, evaluation, labelling, markup, widgets
from workbench.labelers import THE_REST, LabelerAgreement
from workbench.labelling import Coverage, Figures
from workbench.pages.golden_browse import browse, choose_split
from workbench.pages.golden_import import import_section
from workbench.policy import OVERALL, Policy

SHOWN_PAIRS_OF_LABELERS = 30


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
        ["Coverage", "Labelers", "Browse", "Import", "Publish"],
        key="tab",
        bind="query-params",
        on_change="rerun",
    )
    sections = (coverage, labelers, browse, lambda *_: import_section(policy.name), publish)
    for tab, section in zip(tabs, sections, strict=True):
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
        named = ", ".join(level_name(policy, key, level) for level in levels)
        st.markdown(f"- No pair settles on **{markup.plain(titles[key])}** {named}{where}.")
    if empty:
        st.caption(
            "A judge cannot be measured on a level without pairs: import or label pairs that belong there."
        )


def level_name(policy: Policy, key: str, value: int) -> str:
    """Return a level as its value and name."""
    levels = policy.dimension(key).levels if key != OVERALL else ()
    return next((f"{value} ({markup.plain(x.name)})" for x in levels if x.value == value), str(value))


def labelers(found: Figures, policy: Policy) -> None:
    """Draw who labelled how much and how far people agree, for each dimension and each two of them."""
    info = found.info
    progress = labelling.labeler_progress(widgets.workspace(), info.name)
    if progress.empty:
        widgets.empty("Nobody has labelled yet.", "Label pairs on the Label page, or import labels here.")
        return
    split = choose_split()
    human = evaluation.human_agreement(widgets.workspace(), info.name, split=split, working=True)
    titles = markup.titles(policy)
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.html('<div class="wb-eyebrow">agreement by dimension</div>' + agreement_table(human, titles))
        st.caption(
            "Ceiling: mean quadratic κ over each two labelers, weighted by shared pairs. α: Krippendorff, ordinal, all "
            "labelers at once. Intervals: 95 %, bootstrap over queries. n: pairs with two grades or more."
        )
    with right:
        rows = [
            [html.escape(x.labeler), f"{x.pairs:,}", f"{x.finished:,}"]
            for x in progress.head(50).itertuples()
        ]
        more = f" · the first 50 of {len(progress):,}" if len(progress) > 50 else ""
        st.html(
            f'<div class="wb-eyebrow">labelers{more}</div>'
            + markup.table(["", "pairs", "answered in full"], rows, numeric=[1, 2])
        )
    if any(human.values()):
        st.html(
            '<div class="wb-eyebrow">each two labelers, and each against the rest</div>'
            + pair_table(human, titles)
        )


def agreement_table(human: Mapping[str, LabelerAgreement | None], titles: Mapping[str, str]) -> str:
    """Return n, ceiling and alpha of each dimension as a table."""
    rows = [
        [
            html.escape(titles[key]),
            f"{found.n:,}" if found else "0",
            markup.estimate(found.ceiling if found else None) if found else "– fewer than two labelers",
            markup.estimate(found.alpha if found else None),
        ]
        for key, found in human.items()
    ]
    return markup.table(["", "n", "ceiling κ", "α"], rows, numeric=[1, 2, 3])


def pair_table(human: Mapping[str, LabelerAgreement | None], titles: Mapping[str, str]) -> str:
    """Return κ of each two labelers, and of each against the rest, by dimension; those who shared most first."""
    cells: dict[tuple[str, str], dict[str, str]] = {}
    shared: dict[tuple[str, str], int] = {}
    for key, found in human.items():
        for two in (*found.pairwise, *found.against_rest) if found else ():
            who = (two.first, two.second)
            n = f'<div class="wb-muted wb-small">n {two.n:,}</div>'
            cells.setdefault(who, {})[key] = f"{markup.estimate(two.kappa)}{n}" if two.n else "–"
            shared[who] = shared.get(who, 0) + two.n
    order = sorted(cells, key=lambda who: (who[1] == THE_REST, -shared[who]))[:SHOWN_PAIRS_OF_LABELERS]
    rows = [
        [f"{html.escape(a)} · {html.escape(b)}", *(cells[a, b].get(key, "–") for key in human)]
        for a, b in order
    ]
    more = (
        f'<div class="wb-muted wb-small">The first {len(order)} of {len(cells):,}, those who share most pairs first.</div>'
        if len(cells) > len(order)
        else ""
    )
    heads = ["", *(html.escape(titles[key]) for key in human)]
    return markup.table(heads, rows, numeric=range(1, len(heads))) + more


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


page()
