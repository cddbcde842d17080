"""The Queues section of the Golden set page: opening each kind, progress, closing, the way to the Label page."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from job_samples import publish
from page_samples import text_of
from streamlit.testing.v1 import AppTest

from workbench import queues, widgets
from workbench.golden import Pair
from workbench.queues import QueueParams
from workbench.run import JudgeIdentity, Judgement, Run, RunTotals, Verdict
from workbench.workspace import Workspace


def section() -> None:
    from workbench import golden_queues, labelling, widgets

    space = widgets.workspace()
    found = labelling.golden_figures(space, "bakers")
    widgets.flash()
    golden_queues.draw(found, space.store.policy(found.info.policy))


def twice() -> None:
    import streamlit as st

    from workbench import golden_queues, widgets

    def key(*parts: str) -> str:
        return "|".join(("queue", "bakers", *parts))

    st.session_state.update({key("token"): "one", key("name", "random", "0"): "First look", key("size"): 3})
    for _ in range(2):  # the arguments of a button are those with which it was drawn
        golden_queues._create("bakers", "random", 0, "one")
        st.session_state[key("name", "random", "0")] = "Second look"
    widgets.flash()


def opened() -> AppTest:
    page = AppTest.from_function(section, default_timeout=60).run()
    assert not page.exception, page.exception
    return page


def key(*parts: str) -> str:
    return "|".join(("queue", "bakers", *parts))


def run_of(space: Workspace, name: str, pairs: Sequence[Pair], skills: int = 1) -> Run:
    snapshot, policy = space.store.snapshot("bakers"), space.store.policy("fit")
    at = snapshot.labels["at"].iloc[0].to_pydatetime()
    run = Run(
        id=f"run-{name}", judge=JudgeIdentity(kind="llm", name=name), policy="fit", policy_version=1,
        policy_hash=policy.content_hash, golden="bakers", golden_version=1, golden_hash=snapshot.content_hash,
        status="finished", created_at=at, finished_at=at, totals=RunTotals(pairs=len(pairs)),
    )  # fmt: skip
    said = [
        Judgement(dimension="skills", grade=skills, probabilities=(0.1, 0.5, 0.4)),
        Judgement(dimension="wishes", grade=1),
    ]
    space.store.add_verdicts(run.id, [Verdict(pair_id=p.id, judgements=tuple(said)) for p in pairs])
    space.store.save_run(run)
    return run


@pytest.fixture
def judged(space: Workspace) -> list[Pair]:
    """``bakers`` v1, ten pairs labelled by anna, and two judges' runs."""
    pairs = publish(space)
    run_of(space, "split", pairs)
    run_of(space, "other", pairs, skills=0)
    return pairs


def test_a_random_queue_is_opened_once_however_often_the_button_is_pressed(
    space: Workspace, judged: list[Pair]
) -> None:
    page = opened()
    assert "No queue is open." in text_of(page)
    page.number_input(key("size")).set_value(4)
    page.text_input(key("name", "random", "0")).set_value("First look")
    page.button("open_queue").click().run()
    (queue,) = queues.open_queues(space, "bakers")
    assert (queue.name, queue.kind, queue.size, queue.author) == ("First look", "random", 4, "anna")
    assert [message.value for message in page.success] == ["Opened First look: 4 pairs."]
    assert "First look" in text_of(page)


def test_the_second_click_of_a_double_click_opens_nothing(space: Workspace, judged: list[Pair]) -> None:
    page = AppTest.from_function(twice, default_timeout=60).run()
    assert not page.exception, page.exception
    assert [queue.name for queue in queues.open_queues(space, "bakers")] == ["First look"]
    assert [len(page.success), len(page.error)] == [1, 0]


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("stratified", {"runs": ("run-split",), "dimension": "overall"}),
        ("boundary", {"runs": ("run-split",), "dimension": ""}),
        ("disagreement", {"runs": ("run-other", "run-split"), "dimension": ""}),
        ("overlap", {"runs": ()}),
        ("recheck", {"labeler": "anna", "runs": ()}),
    ],
)
def test_each_kind_is_opened_from_what_the_form_offers(
    space: Workspace, judged: list[Pair], kind: str, params: dict[str, object]
) -> None:
    page = opened()
    page.selectbox(key("kind")).set_value(kind).run()
    if kind == "stratified":
        page.selectbox(key("run", kind)).set_value("run-split").run()
    if kind == "boundary":
        page.selectbox(key("run", kind)).set_value("run-split").run()
    page.button("open_queue").click().run()
    assert not page.exception, page.exception
    assert not page.error, [error.value for error in page.error]
    (queue,) = queues.open_queues(space, "bakers")
    said = QueueParams.model_validate({x: queue.params[x] for x in QueueParams.model_fields}).model_dump()
    assert queue.kind == kind
    assert {name: sorted(said[name]) if name == "runs" else said[name] for name in params} == {
        name: sorted(value) if isinstance(value, tuple) else value for name, value in params.items()
    }
    assert queue.labelers_per_pair == (2 if kind == "overlap" else 1)


def test_what_cannot_be_drawn_is_said_and_nothing_is_opened(space: Workspace, judged: list[Pair]) -> None:
    page = opened()
    page.selectbox(key("kind")).set_value("disagreement").run()
    page.multiselect(key("runs", "disagreement")).set_value(["run-split"]).run()
    page.button("open_queue").click().run()
    assert "Choose two or more runs." in page.error[0].value
    assert queues.open_queues(space, "bakers") == []


def test_a_kind_without_its_runs_says_what_it_needs(golden: Workspace) -> None:
    page = opened()
    page.selectbox(key("kind")).set_value("boundary").run()
    assert "This needs 1 finished judge run on bakers" in page.info[0].value
    assert page.button("open_queue").disabled
    page.selectbox(key("kind")).set_value("recheck").run()
    assert page.info[0].value == "Nobody has labelled yet."


def test_progress_label_and_close(
    space: Workspace, judged: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = queues.create_queue(
        space, "bakers", "overlap", name="*Two* <b>", size=10, labelers_per_pair=2,
        params=QueueParams(split="dev"), author="ben",
    )  # fmt: skip
    for _ in range(3):
        task = queues.next_in_queue(space, queue.id, "anna")
        assert task is not None
        queues.submit_in_queue(space, queue.id, task.pair.id, dict(task.answers), labeler="anna")
    page = opened()
    text = text_of(page)
    assert "*Two* &lt;b&gt;" in text
    assert "6 pairs · 2 people a pair · by ben" in text
    assert "anna 3" in text
    # What it says of all pairs: three dev pairs, graded 1 by the judge.
    assert "what a queue says of all the pairs it was drawn from" in text
    assert "κ, weighted" in text
    monkeypatch.setattr(widgets, "follow", lambda: None)
    page.button(f"label_{queue.id}").click().run()
    assert page.session_state["_next_page"] == ("label", {"golden": "bakers", "queue": queue.id})
    page.button(f"close_{queue.id}").click().run()
    assert queues.open_queues(space, "bakers") == []
    assert "No queue is open." in text_of(page)
