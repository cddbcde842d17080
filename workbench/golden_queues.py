"""The Queues section of the Golden set page: open queues with their progress, the form that makes one, what one shows."""

from __future__ import annotations

import html
import secrets
from collections.abc import Sequence
from datetime import date

import streamlit as st

from workbench import labelling, markup, queues, widgets
from workbench.agreement import Agreement
from workbench.errors import WorkbenchError
from workbench.labelling import Figures
from workbench.policy import OVERALL, Policy
from workbench.queue_sampling import QueueKind
from workbench.queues import QueueParams
from workbench.run import Run
from workbench.store.queues import Queue
from workbench.weighted_agreement import WeightedAgreement
from workbench.workspace import Workspace

KINDS: dict[QueueKind, str] = {
    "random": "Every pair has the same chance. The plain choice, and the yardstick of all others.",
    "stratified": "Some of every predicted level and slice, so that rare levels are labelled too.",
    "boundary": "Mostly pairs on which a judge is split between two levels: where the policy may be unclear.",
    "disagreement": "Mostly pairs on which judges differ: at least one of them is wrong there.",
    "overlap": "Random pairs, each labelled by several people: how far people agree, the ceiling of every judge.",
    "recheck": "One labeler's own earlier pairs, without the earlier answers: how far they agree with themselves.",
}
SPLITS = {"all": "all pairs", "dev": "dev", "holdout": "holdout"}
ALLOCATIONS = {"equal": "as many of each stratum", "proportional": "by size, one at least"}
_EVERY = "every dimension"
_NONE = "–"
_LOOKED_AT = 200
"""Pairs whose metadata name the slices on offer."""


def draw(found: Figures, policy: Policy) -> None:
    """Draw the open queues beside the form for a new one, and below what a queue says of the whole set."""
    widgets.follow()
    golden = found.info.name
    kept = widgets.workspace().store.queues(golden)
    left, right = st.columns([5, 4], gap="large")
    with left:
        _open_queues([queue for queue in kept if queue.closed_at is None])
    with right, st.container(border=True):
        _form(found, policy, {queue.name for queue in kept if queue.closed_at is None})
    drawn = [queue for queue in kept if queue.done and queue.kind != "recheck"]
    runs = _runs(golden)
    if drawn and runs:
        _population(drawn, runs, policy)


def _open_queues(kept: Sequence[Queue]) -> None:
    st.html('<div class="wb-eyebrow">open queues</div>')
    if not kept:
        widgets.empty("No queue is open.", "Draw one here; people then find it on the Label page.")
    for queue in kept:
        with st.container(border=True, key=f"queue_{queue.id}"):
            _queue(queue)


def _queue(queue: Queue) -> None:
    people = f"{queue.labelers_per_pair} people a pair" if queue.labelers_per_pair > 1 else ""
    only = f"for {queue.params['labeler']}" if queue.kind == "recheck" else ""
    facts = [markup.several(queue.size, "pair"), people, only, f"by {queue.author}"]
    st.html(
        f'<b>{html.escape(queue.name)}</b> <span class="wb-tag">{html.escape(queue.kind)}</span>'
        f'<div class="wb-muted wb-small">{html.escape(" · ".join(fact for fact in facts if fact))}</div>'
    )
    what = f" ({queue.size:,} × {queue.labelers_per_pair} people)" if people else ""
    st.progress(queue.done / queue.total, text=f"{queue.done:,} of {queue.total:,} done{what}")
    by_labeler = queues.queue_progress(widgets.workspace(), queue.id).by_labeler
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Label",
            key=f"label_{queue.id}",
            icon=":material/edit:",
            on_click=widgets.leave_for,
            args=("label",),
            kwargs={"golden": queue.golden, "queue": queue.id},
        )
        with st.popover("Close"):
            st.caption("A closed queue gives out no more pairs and stays closed. All labels are kept.")
            st.button(
                "Close this queue", key=f"close_{queue.id}", on_click=_close, args=(queue.id, queue.name)
            )
        if by_labeler:
            st.caption(markup.plain(" · ".join(f"{who} {count:,}" for who, count in by_labeler.items())))


def _close(queue_id: str, name: str) -> None:
    if widgets.attempt(queues.close_queue, widgets.workspace(), queue_id, author=widgets.who()):
        widgets.say("success", f"Closed {markup.plain(name)}.")


def _form(found: Figures, policy: Policy, taken: set[str]) -> None:
    """Draw the choices of a new queue; what each kind needs follows from the kind."""
    golden = found.info.name
    st.html('<div class="wb-eyebrow">new queue</div>')
    kind: QueueKind = st.selectbox("Kind", list(KINDS), key=_key(golden, "kind"), format_func=str.capitalize)
    st.caption(KINDS[kind])
    ready = _choices(golden, kind, policy)
    left, right = st.columns(2)
    with left:
        st.number_input(
            "Pairs", 1, max(found.info.pairs, 1), min(100, max(found.info.pairs, 1)), key=_key(golden, "size")
        )
    with right:
        least = 2 if kind == "overlap" else 1
        if kind != "recheck":
            st.number_input("People a pair", least, 20, least, key=_key(golden, "people", kind))
    st.segmented_control(
        "Drawn from",
        list(SPLITS),
        default="all",
        required=True,
        key=_key(golden, "split"),
        format_func=SPLITS.__getitem__,
    )
    if kind != "recheck":
        st.checkbox("Only pairs without any label", key=_key(golden, "unlabelled"))
    st.text_input(
        "Name", _free_name(kind, taken), key=_key(golden, "name", kind, str(len(taken))), max_chars=80
    )
    # A double click sends the same token twice; the second one finds it spent.
    token = st.session_state.setdefault(_key(golden, "token"), secrets.token_hex(4))
    st.button(
        "Open queue",
        type="primary",
        key="open_queue",
        disabled=not (ready and found.info.pairs),
        on_click=_create,
        args=(golden, kind, len(taken), token),
    )


def _choices(golden: str, kind: QueueKind, policy: Policy) -> bool:
    """Draw what only some kinds ask for; return whether there is what the kind needs."""
    titles = markup.titles(policy)
    runs = {run.id: run for run in _runs(golden)}

    def named(run_id: str) -> str:
        return f"{runs[run_id].label} · {runs[run_id].created_at:%d %b %H:%M}" if run_id in runs else run_id

    least = {"boundary": 1, "disagreement": 2}.get(kind, 0)
    if len(runs) < least:
        st.info(
            f"This needs {markup.several(least, 'finished judge run')} on {markup.plain(golden)}: see the Runs page."
        )
        return False
    if kind == "boundary":
        st.selectbox("Judge run", list(runs), key=_key(golden, "run", kind), format_func=named)
    elif kind == "disagreement":
        newest = list(runs)[:2]
        st.multiselect(
            "Judge runs, two or more", list(runs), newest, key=_key(golden, "runs", kind), format_func=named
        )
    elif kind == "stratified":
        keys = _slices(golden)
        if not (runs or keys):
            st.info("This needs a finished judge run, or pairs with metadata to slice by.")
            return False
        first, second = st.columns(2)
        with first:
            st.selectbox("Level of run", [*runs, _NONE], key=_key(golden, "run", kind), format_func=named)
        with second:
            st.selectbox("Slice", [_NONE, *keys], key=_key(golden, "slice"), index=0 if runs else 1)
        st.segmented_control(
            "Share", list(ALLOCATIONS), default="equal", required=True, key=_key(golden, "share"),
            format_func=ALLOCATIONS.__getitem__,
        )  # fmt: skip
    elif kind == "recheck":
        labelers = labelling.labeler_progress(widgets.workspace(), golden)["labeler"].tolist()
        if not labelers:
            st.info("Nobody has labelled yet.")
            return False
        first, second = st.columns(2)
        with first:
            st.selectbox("Labeler", labelers, key=_key(golden, "labeler"))
        with second:
            st.number_input("Answered so many days ago or earlier", 0, 3650, 7, key=_key(golden, "days"))
    if kind in ("boundary", "disagreement", "stratified"):
        every = [OVERALL] if kind == "stratified" else [_EVERY]
        more = [OVERALL] if kind == "disagreement" else []
        st.selectbox(
            "Dimension", [*every, *policy.keys, *more], key=_key(golden, "dimension", kind),
            format_func=lambda key: titles.get(key, key),
        )  # fmt: skip
    return True


def _create(golden: str, kind: QueueKind, taken: int, token: str) -> None:
    """Draw and open the queue that the form describes."""
    state = st.session_state
    if state.get(_key(golden, "token")) != token:
        return

    def said(name: str, *more: str) -> str:
        value = state.get(_key(golden, name, *more))
        return "" if value in (None, _NONE, _EVERY) else str(value)

    chosen = state.get(_key(golden, "runs", kind)) or [said("run", kind)]
    try:
        params = QueueParams(
            split=state.get(_key(golden, "split")) or "all",
            runs=tuple(run_id for run_id in chosen if run_id),
            dimension=said("dimension", kind),
            slice=said("slice") if kind == "stratified" else "",
            allocation=state.get(_key(golden, "share")) or "equal",
            labeler=said("labeler") if kind == "recheck" else "",
            days=state.get(_key(golden, "days"), 7),
            unlabelled=bool(state.get(_key(golden, "unlabelled"))) and kind != "recheck",
        )
        queue = queues.create_queue(
            widgets.workspace(),
            golden,
            kind,
            name=said("name", kind, str(taken)),
            size=int(state[_key(golden, "size")]),
            labelers_per_pair=int(state.get(_key(golden, "people", kind)) or 1),
            params=params,
            author=widgets.who(),
        )
    except WorkbenchError as error:
        widgets.say("error", markup.problem(error))
        return
    state[_key(golden, "token")] = secrets.token_hex(4)
    widgets.say("success", f"Opened {markup.plain(queue.name)}: {markup.several(queue.size, 'pair')}.")


def _population(kept: Sequence[Queue], runs: Sequence[Run], policy: Policy) -> None:
    """Draw a run's agreement on a queue's pairs, weighted to all the pairs they were drawn from and unweighted."""
    st.html('<div class="wb-eyebrow">what a queue says of all the pairs it was drawn from</div>')
    by_id, run_by_id = {queue.id: queue for queue in kept}, {run.id: run for run in runs}
    left, right = st.columns(2)
    with left:
        queue = by_id[
            st.selectbox("Queue", list(by_id), format_func=lambda x: by_id[x].name, key="weigh_queue")
        ]
    with right:
        run = run_by_id[
            st.selectbox(
                "Judge run", list(run_by_id), format_func=lambda x: run_by_id[x].label, key="weigh_run"
            )
        ]
    space = widgets.workspace()
    mark = space.store.labels_mark(queue.golden)
    weighted, plain = _agreements(space, run.model_dump_json(), queue.id, queue.done, mark)
    if not any(found.n for found in weighted.values()):
        st.caption("No dev pair of this queue has both a settled label and an answer of this run yet.")
        return
    st.html(_weighted_table(weighted, plain, markup.titles(policy)))
    st.caption(
        "Dev pairs that were labelled in the queue. Weighted, a pair counts for as many as it was drawn from, so that a "
        "queue of hard pairs does not make a judge look worse than it is on all. Intervals: 95 %, bootstrap over "
        "queries. Effective n: as many pairs drawn at random would say as much."
    )


@st.cache_data(max_entries=16, show_spinner="Weighing the queue's pairs")
def _agreements(
    _space: Workspace, run_json: str, queue_id: str, done: int, mark: int
) -> tuple[dict[str, WeightedAgreement], dict[str, Agreement]]:
    """Return both agreements; ``done`` and ``mark`` change whenever the queue or the labels do."""
    run = Run.model_validate_json(run_json)
    return (
        queues.population_agreement(_space, run, queue_id),
        queues.drawn_agreement(_space, run, queue_id),
    )


def _weighted_table(
    weighted: dict[str, WeightedAgreement], plain: dict[str, Agreement], titles: dict[str, str]
) -> str:
    rows = [
        [
            html.escape(titles.get(key, key)),
            f"{found.n:,}",
            markup.number(found.n_effective, 1),
            markup.estimate(found.kappa_quadratic),
            markup.estimate(plain[key].kappa_quadratic),
            markup.estimate(found.exact),
            markup.estimate(plain[key].exact),
        ]
        for key, found in weighted.items()
    ]
    heads = [
        "",
        "n",
        "effective n",
        "κ, weighted",
        "κ, unweighted",
        "exact, weighted",
        "exact, unweighted",
    ]
    return markup.table(heads, rows, numeric=range(1, 7))


def _runs(golden: str) -> list[Run]:
    return [run for run in widgets.workspace().store.runs(golden=golden) if run.status == "finished"]


def _slices(golden: str) -> list[str]:
    store = widgets.workspace().store
    ids, _ = store.member_page(golden, "all", 0, _LOOKED_AT)
    return sorted({key for meta in store.members(golden, pair_ids=ids)["meta"] for key in meta})


def _free_name(kind: QueueKind, taken: set[str]) -> str:
    name = first = f"{kind.capitalize()} {date.today():%d %b}"
    number = 1
    while name in taken:
        number += 1
        name = f"{first} ({number})"
    return name


def _key(golden: str, *parts: str) -> str:
    return "|".join(("queue", golden, *parts))
