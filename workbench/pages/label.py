"""Label: one pair left, the form right. Blind: nothing of any judge or colleague is fetched, so nothing can show."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from workbench import label_form, labelling, markup, queues, widgets
from workbench.errors import NotFound
from workbench.labelling import Task
from workbench.policy import OVERALL, Policy

ASKED = "_label_asked"
ALL_PAIRS = "all"


@dataclass(frozen=True)
class Work:
    """What is being labelled, by whom: a whole golden set, or one queue of it."""

    golden: str
    labeler: str
    queue: str = ""
    recheck: bool = False

    def kept(self, what: str) -> list[str]:
        """Return a list of pair ids that this visit keeps: those put off (``aside``) or sent (``trail``)."""
        found: list[str] = st.session_state.setdefault(
            f"_{what}|{self.golden}|{self.queue}|{self.labeler}", []
        )
        return found

    def stem(self, pair_id: str) -> str:
        """Return what tells the form of a pair from that of another."""
        return f"{self.golden}|{self.queue}|{self.labeler}|{pair_id}"


def page() -> None:
    """Draw the next pair, or the one named in the URL, with its form."""
    top = st.columns([5, 4, 5, 6, 9], vertical_alignment="bottom", gap="small")
    with top[0]:
        widgets.header("Label", "Blind: no judge, nobody else's labels.")
    with top[1]:
        golden = widgets.choose_golden()
    if golden is None:
        return
    with top[2]:
        work = choose_work(golden)
    widgets.flash()
    task = chosen_task(work)
    if task is None:
        with top[4]:
            actions(work, None)
        nothing_left(work)
        return
    with top[3]:
        progress(work, task)
    with top[4]:
        actions(work, task.policy)
    left, right = st.columns(2, gap="small")
    with left, st.container(key="label_pair"):
        label_form.panes(task)
    with right, st.container(key="label_form"):
        stem = work.stem(task.pair.id)
        asked = st.session_state.get(ASKED)
        label_form.form(
            task,
            stem,
            asked[1] if asked and asked[0] == stem else (),
            submit=submit,
            skip=skip,
            args=(work, task.pair.id, task.policy),
        )
    widgets.script("label_keys.js")
    if not work.queue:
        look_ahead(work, task)


def choose_work(golden: str) -> Work:
    """Draw the choice of a queue, bound to the URL."""
    found = {queue.id: queue for queue in queues.open_queues(widgets.workspace(), golden)}
    if (wanted := st.query_params.get("queue", ALL_PAIRS)) not in (ALL_PAIRS, *found):
        widgets.say("warning", f"{golden} has no open queue '{markup.plain(wanted)}': this is the whole set.")
    chosen = widgets.pick(
        st.selectbox,
        "Queue",
        [ALL_PAIRS, *found],
        key="queue",
        format_func=lambda key: found[key].name if key in found else "all pairs",
    )
    if chosen == ALL_PAIRS:
        return Work(golden, widgets.who())
    return Work(golden, widgets.who(), chosen, recheck=found[chosen].kind == "recheck")


def chosen_task(work: Work) -> Task | None:
    """Return the pair of the URL, else the next one that is not set aside."""
    space = widgets.workspace()
    wanted = st.query_params.get("pair")
    if wanted:
        try:
            task = labelling.open_task(space, work.golden, work.labeler, wanted)
            # A recheck asks again without showing what was said before.
            return replace(task, answers={}, note="") if work.recheck else task
        except NotFound as error:
            st.warning(markup.problem(error))
    if work.queue:
        return queues.next_in_queue(space, work.queue, work.labeler, skipped=work.kept("aside"))
    return labelling.next_task(space, work.golden, work.labeler, skipped=work.kept("aside"))


def look_ahead(work: Work, task: Task) -> None:
    """Lay out the pair that comes next, while this one is read.

    Only for a whole set: looking ahead in a queue would take a place there from somebody else.
    """
    skipped = [*work.kept("aside"), task.pair.id]
    ahead = labelling.upcoming_pair(widgets.workspace(), work.golden, work.labeler, skipped=skipped)
    if ahead:
        label_form.pair_html(ahead.id, task.policy.content_hash, ahead, task.policy)


def progress(work: Work, task: Task) -> None:
    """Draw how far the labeler is, how fast, and how long the rest takes at that pace."""
    share = task.done / task.total if task.total else 0.0
    st.progress(share, text=f"{task.done:,} of {task.total:,} done by you")
    pace = labelling.pace(widgets.workspace(), work.golden, work.labeler, now=local_time())
    said = [f"{pace.today:,} today"]
    left = pace.time_for(task.total - task.done)
    if pace.seconds is not None and left is not None:
        said += [f"{pace.seconds:.0f} s a pair", f"about {in_words(left)} left"]
    st.html(f'<div class="wb-muted wb-small">{" · ".join(said)}</div>')


def local_time() -> datetime:
    """Return the time where the labeler's browser is."""
    try:
        return datetime.now(ZoneInfo(st.context.timezone or "UTC"))
    except (ZoneInfoNotFoundError, ValueError):
        return datetime.now(UTC)


def in_words(time: timedelta) -> str:
    """Return a time as a person would say it: ``40 min``, ``3 h 10 min``, ``55 h``."""
    minutes = max(round(time.total_seconds() / 60), 1)
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest and hours < 10 else f"{round(minutes / 60):,} h"


def actions(work: Work, policy: Policy | None) -> None:
    """Draw what can be done besides grading: undo, guidelines, keys."""
    with st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        sent = work.kept("trail")
        st.button(
            "Undo",
            key="undo",
            on_click=undo,
            args=(work,),
            disabled=not sent,
            help="Take back what you sent last, and correct it."
            if sent
            else "You have sent no pair in this visit.",
            icon=":material/undo:",
        )
        if policy:
            label_form.guidelines(policy)
            label_form.keys_help()


def nothing_left(work: Work) -> None:
    """Say why there is no pair: none at all, only what was put off, or all done."""
    put_off = work.kept("aside")
    if not work.queue and not widgets.workspace().store.golden(work.golden).pairs:
        widgets.empty(f"{work.golden} has no pairs.", "Import some on the Golden set page.")
    elif put_off:
        count = markup.several(len(put_off), "pair")
        widgets.empty(f"Only what you put off is left: {count}.", "Have another look, or leave it at that.")
        st.button("Show them again", on_click=put_off.clear, icon=":material/replay:")
    elif work.queue:
        widgets.empty(
            "No pair of this queue is left for you.",
            "The rest is done, or somebody else has it open. Choose another queue above.",
        )
    else:
        widgets.empty(
            f"You have labelled every pair of {work.golden}.",
            "See how far labelers agree on the Golden set page, or publish a snapshot there.",
        )


def submit(work: Work, pair_id: str, policy: Policy) -> None:
    """Send the form's answers; where some are missing, ask once before."""
    stem = work.stem(pair_id)
    given = {key: st.session_state.get(label_form.grade_key(key, stem)) for key in (*policy.keys, OVERALL)}
    answers = {key: value for key, value in given.items() if value is not None}
    sent = work.kept("trail")
    if not answers and pair_id in sent[-1:]:
        return  # The second click of a double click: the form is gone, its answers are kept.
    missing = tuple(labelling.unanswered(policy, answers))
    if answers and missing and st.session_state.get(ASKED) != (stem, missing):
        st.session_state[ASKED] = (stem, missing)
        return
    note = st.session_state.get(label_form.note_key(stem)) or ""
    space = widgets.workspace()
    verb, where = (
        (queues.submit_in_queue, work.queue) if work.queue else (labelling.submit_labels, work.golden)
    )
    added = widgets.attempt(verb, space, where, pair_id, answers, labeler=work.labeler, note=note)
    if added is None:
        return
    if pair_id not in sent[-1:]:
        sent.append(pair_id)
    leave(work, pair_id if missing else "")


def skip(work: Work, pair_id: str, _policy: Policy) -> None:
    """Put a pair off for this visit; in a queue, somebody else may have it."""
    if work.queue:
        widgets.attempt(queues.skip_in_queue, widgets.workspace(), work.queue, pair_id, work.labeler)
    leave(work, pair_id)


def undo(work: Work) -> None:
    """Take back what was sent last, and open it again with the same answers filled in."""
    sent, space = work.kept("trail"), widgets.workspace()
    if not sent:
        return  # The second click of a double click.
    pair_id = sent[-1]
    before = widgets.attempt(labelling.open_task, space, work.golden, work.labeler, pair_id)
    verb, where = (queues.undo_in_queue, work.queue) if work.queue else (labelling.withdraw, work.golden)
    if before is None or widgets.attempt(verb, space, where, pair_id, work.labeler) is None:
        return
    sent.pop()
    stem = work.stem(pair_id)
    for key, grade in before.answers.items():
        st.session_state[label_form.grade_key(key, stem)] = grade
    st.session_state[label_form.note_key(stem)] = before.note
    st.session_state.pop(ASKED, None)
    if pair_id in work.kept("aside"):
        work.kept("aside").remove(pair_id)
    st.query_params["pair"] = pair_id


def leave(work: Work, put_off: str) -> None:
    """Go on to the next pair; ``put_off`` does not come back in this visit."""
    st.session_state.pop(ASKED, None)
    st.query_params.pop("pair", None)
    if put_off and put_off not in work.kept("aside"):
        work.kept("aside").append(put_off)


page()
