"""Labelling queues from end to end: what is drawn, blindness, submitting, rechecks, and figures for the whole set."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from workspace_samples import NAME, golden_set, label, pair, recorded_run

from workbench import labelling, queues
from workbench.errors import BadInput, Conflict, NotFound, Refused
from workbench.golden import NOT_GRADED, Pair
from workbench.queues import QueueParams
from workbench.run import Judgement, Run, Verdict
from workbench.store import places
from workbench.workspace import Workspace

PAIRS = [pair(f"wish {i // 2}", f"Tea {i}", country="cn" if i < 6 else "jp") for i in range(8)]
GOOD = {"taste": 1, "strength": 1, "overall": 1}


@pytest.fixture
def tea(workspace: Workspace) -> Workspace:
    """The set ``tea`` of eight pairs over four queries, the last query (two pairs) in the holdout; no labels."""
    workspace.store.create_golden("tea", NAME)
    workspace.store.add_pairs(
        "tea", PAIRS, {p.id: "holdout" if i > 5 else "dev" for i, p in enumerate(PAIRS)}
    )
    labelling.publish_golden(workspace, "tea", message="For tests", author="Ida")
    return workspace


def judged(workspace: Workspace, name: str) -> Run:
    """A run that gave every pair taste 1 and strength 1."""
    return recorded_run(workspace, name, [(p, {"taste": 1, "strength": 1}) for p in PAIRS])


def make(
    workspace: Workspace, kind: Any = "random", size: int = 8, k: int = 1, **params: Any
) -> queues.Queue:
    return queues.create_queue(
        workspace, "tea", kind, name=f"the {kind}", size=size, labelers_per_pair=k,
        params=QueueParams(**params), author="Ida",
    )  # fmt: skip


def make_named(workspace: Workspace, kind: Any, name: str, size: int, **params: Any) -> queues.Queue:
    return queues.create_queue(
        workspace, "tea", kind, name=name, size=size, params=QueueParams(**params), author="Ida"
    )


def ids_of(workspace: Workspace, queue: queues.Queue) -> set[str]:
    return set(workspace.store.queue_items(queue.id)["pair_id"])


# What is drawn


def test_a_random_queue_holds_pairs_of_its_split_with_their_weights(tea: Workspace) -> None:
    queue = make(tea, size=3, split="dev")
    items = tea.store.queue_items(queue.id)
    assert set(items["pair_id"]) < {p.id for p in PAIRS[:6]}
    assert items["weight"].tolist() == [2, 2, 2]  # 3 of 6
    assert queue.params["population"] == 6
    everything = make(tea, kind="overlap", size=100, k=2)
    assert (everything.size, everything.total) == (8, 16)
    assert queues.open_queues(tea, "tea") == [queue, everything]
    assert queues.close_queue(tea, queue.id, author="Ida")
    assert queues.open_queues(tea, "tea") == [everything]


def test_a_stratified_queue_takes_of_every_level_and_slice(tea: Workspace) -> None:
    run = recorded_run(
        tea, "a", [(p, {"taste": 2 if i == 0 else 1, "strength": 1}) for i, p in enumerate(PAIRS)]
    )
    queue = make(tea, "stratified", size=4, runs=(run.id,), dimension="taste", slice="country")
    items = tea.store.queue_items(queue.id)
    # Strata: taste 2 in cn (1 pair), taste 1 in cn (5), taste 1 in jp (2). Four pairs: one each, and one more to either
    # of the larger, whose quotients are equal; the first by name takes it.
    drawn = items.groupby("stratum").agg(n=("weight", "size"), total=("weight", "sum"))
    assert drawn["n"].to_dict() == {
        "taste 1 × country cn": 2, "taste 1 × country jp": 1, "taste 2 × country cn": 1,
    }  # fmt: skip
    assert drawn["total"].to_dict() == {
        "taste 1 × country cn": 5, "taste 1 × country jp": 2, "taste 2 × country cn": 1,
    }  # fmt: skip
    by_slice = make_named(tea, "stratified", "by slice", size=2, slice="country", split="holdout")
    assert set(tea.store.queue_items(by_slice.id)["stratum"]) == {"country jp"}


def test_a_boundary_queue_prefers_where_the_judge_is_split(tea: Workspace) -> None:
    run = judged(tea, "a")
    tea.store.add_verdicts(
        run.id,
        [
            Verdict(
                pair_id=p.id,
                judgements=(
                    # Pairs 0 and 1 are a tie by probabilities, pair 2 halfway by its expected grade; all others sure.
                    Judgement(
                        dimension="taste", grade=1, probabilities=(0, 0.5, 0.5) if i < 2 else (0, 1, 0)
                    ),
                    Judgement(dimension="strength", grade=1, expected=0.5 if i == 2 else 1.0),
                ),
            )
            for i, p in enumerate(PAIRS)
        ],
    )
    queue = make(tea, "boundary", size=4, runs=(run.id,))
    items = tea.store.queue_items(queue.id).set_index("pair_id")["weight"]
    # By hand: nine tenths over three equal scores is 0.3 each, a tenth over eight 0.0125: 4 × 0.3125 > 1, so these three
    # are certain, and one of the other five is drawn with a chance of a fifth.
    assert {p.id for p in PAIRS[:3]} < set(items.index)
    assert sorted(items.tolist()) == pytest.approx([1, 1, 1, 5])
    taste_only = make_named(tea, "boundary", "taste only", size=2, runs=(run.id,), dimension="taste")
    # Two scores: 0.45 + 0.0125 each, times two, is 0.925; six others share 2 - 1.85 = 0.15: 0.025 each.
    weights = tea.store.queue_items(taste_only.id)["weight"]
    assert all(w == pytest.approx(1 / 0.925) or w == pytest.approx(40) for w in weights)


def test_a_disagreement_queue_prefers_where_judges_differ(tea: Workspace) -> None:
    a = judged(tea, "a")
    b = recorded_run(
        tea, "b", [(p, {"taste": 1, "strength": 0 if i in (2, 7) else 1}) for i, p in enumerate(PAIRS)]
    )
    queue = make(tea, "disagreement", size=3, runs=(a.id, b.id))
    assert {PAIRS[2].id, PAIRS[7].id} < ids_of(tea, queue)


def test_only_unlabelled_pairs(tea: Workspace) -> None:
    tea.store.add_labels("tea", [label(PAIRS[0], "taste", 1)])
    queue = make(tea, unlabelled=True)
    assert ids_of(tea, queue) == {p.id for p in PAIRS[1:]}


def test_what_cannot_be_drawn_is_said(tea: Workspace) -> None:
    run = judged(tea, "a")
    running = recorded_run(tea, "r", [(PAIRS[0], {"taste": 1})], status="running")
    for error, match, kind, params in [
        (BadInput, "needs a judge run, a slice or both", "stratified", {}),
        (BadInput, "No pair has the slice 'moon'", "stratified", {"slice": "moon"}),
        (BadInput, "looks at one judge run", "boundary", {}),
        (BadInput, "gave neither probabilities nor expected grades", "boundary", {"runs": (run.id,)}),
        (BadInput, "No judge gives probabilities of the overall", "boundary", {"runs": (run.id,), "dimension": "overall"}),
        (BadInput, "Choose two or more runs", "disagreement", {"runs": (run.id,)}),
        (NotFound, "No dimension is called 'smell'", "boundary", {"runs": (run.id,), "dimension": "smell"}),
        (NotFound, "No run is called 'run-x'", "boundary", {"runs": ("run-x",)}),
        (Refused, "has not finished yet", "boundary", {"runs": (running.id,)}),
        (BadInput, "Name the labeler", "recheck", {}),
        (BadInput, "ann has finished no pair 7 days ago", "recheck", {"labeler": "ann"}),
        (BadInput, "two or more people a pair", "overlap", {}),
        (BadInput, "at least one pair", "random", {"size": 0}),
    ]:  # fmt: skip
        with pytest.raises(error, match=match):
            make(tea, kind, **params)
    with pytest.raises(BadInput, match="needs a name"):
        queues.create_queue(tea, "tea", "random", name=" ", size=1, author="Ida")
    assert queues.open_queues(tea, "tea") == []


# Blindness


def reachable(value: Any) -> Iterator[Any]:
    """Every value that can be reached from ``value`` through fields, attributes, keys and members."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, dict):
            waiting.extend([*one.keys(), *one.values()])
        elif isinstance(one, list | tuple | set | frozenset):
            waiting.extend(one)
        elif dataclasses.is_dataclass(one) or isinstance(one, BaseModel):
            waiting.extend(vars(one).values())


@pytest.mark.parametrize("kind", ["stratified", "disagreement", "recheck"])
def test_nothing_that_a_labeler_is_sent_comes_from_a_judge_or_a_colleague(tea: Workspace, kind: str) -> None:
    runs = []
    for name, taste in (("a", 2), ("b", 0)):
        run = judged(tea, name)
        verdicts = [
            Verdict(
                pair_id=p.id,
                judgements=(Judgement(dimension="taste", grade=taste, rationale="JUDGE-SAYS", probabilities=(0.125, 0.25, 0.625)),),
                raw="JUDGE-RAW",
            )
            for p in PAIRS
        ]  # fmt: skip
        tea.store.add_verdicts(run.id, verdicts)
        runs.append(run.id)
    for p in PAIRS:
        tea.store.add_labels(
            "tea",
            [
                label(p, "taste", 2, "ZOE-FOREIGN", note="FOREIGN-NOTE"),
                label(p, "strength", 0, "Ida", note="FOREIGN-DECISION", source="adjudicated"),
                label(p, "taste", 0, "bob", note="my own"),
                label(p, "strength", 1, "bob", note="my own"),
            ],
        )
    chosen = tuple(runs[:1] if kind == "stratified" else runs if kind == "disagreement" else ())
    queue = make(tea, kind, size=4, runs=chosen, labeler="bob" if kind == "recheck" else "")
    task = queues.next_in_queue(tea, queue.id, "bob")
    assert task is not None
    # The labeler's own answers, and only those; none in a recheck.
    assert task.answers == ({} if kind == "recheck" else {"taste": 0, "strength": 1})
    assert task.note == ("" if kind == "recheck" else "my own")
    strata = {stratum for stratum in tea.store.queue_items(queue.id)["stratum"] if stratum}
    assert (kind == "stratified") == bool(strata)
    secrets = {"JUDGE", "FOREIGN", "ZOE", queue.id, queue.name, *runs, *strata}
    values = list(reachable(task))
    assert task.pair in values
    for value in values:
        assert not isinstance(value, Judgement | Verdict | Run | queues.Queue)
        assert value not in (0.125, 0.25, 0.625) or isinstance(value, bool | int)
        if isinstance(value, str):
            assert not [secret for secret in secrets if secret in value]
        assert not isinstance(value, str) or value != "my own" or kind != "recheck"


# Labelling


def test_a_queue_is_labelled_from_end_to_end(tea: Workspace) -> None:
    queue = make(tea, "overlap", size=3, k=2)
    for n in range(3):
        task = queues.next_in_queue(tea, queue.id, "ann")
        assert task is not None
        assert (task.done, task.total) == (n, 3)
        assert queues.submit_in_queue(tea, queue.id, task.pair.id, GOOD, labeler="ann") == 3
        assert queues.submit_in_queue(tea, queue.id, task.pair.id, GOOD, labeler="ann") == 0  # a double click
    assert queues.next_in_queue(tea, queue.id, "ann") is None
    first = queues.next_in_queue(tea, queue.id, "bob")
    assert first is not None
    queues.submit_in_queue(tea, queue.id, first.pair.id, GOOD, labeler="bob", note="sure")
    progress = queues.queue_progress(tea, queue.id)
    assert (progress.done, progress.total, progress.by_labeler) == (4, 6, {"ann": 3, "bob": 1})
    assert tea.store.golden("tea").labels == 12


def test_a_skipped_pair_is_somebody_elses(tea: Workspace) -> None:
    queue = make(tea, size=2)
    task = queues.next_in_queue(tea, queue.id, "ann")
    assert task is not None
    queues.skip_in_queue(tea, queue.id, task.pair.id, "ann")
    other = queues.next_in_queue(tea, queue.id, "ann", skipped=[task.pair.id])
    assert other is not None
    assert other.pair.id != task.pair.id
    bobs = queues.next_in_queue(tea, queue.id, "bob")
    assert bobs is not None
    assert bobs.pair.id == task.pair.id


def test_answers_after_others_took_the_places_are_refused_and_not_kept(
    tea: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = make(tea, size=1)
    task = queues.next_in_queue(tea, queue.id, "ann")
    assert task is not None
    later = datetime.now(UTC) + timedelta(minutes=31)
    monkeypatch.setattr(places, "now", lambda: later)
    assert queues.next_in_queue(tea, queue.id, "bob") is not None
    with pytest.raises(Conflict, match="the answers were not kept"):
        queues.submit_in_queue(tea, queue.id, task.pair.id, GOOD, labeler="ann")
    assert tea.store.golden("tea").labels == 0
    assert queues.submit_in_queue(tea, queue.id, task.pair.id, GOOD, labeler="bob") == 3


def test_a_wrong_answer_keeps_the_place(tea: Workspace) -> None:
    queue = make(tea, size=1)
    task = queues.next_in_queue(tea, queue.id, "ann")
    assert task is not None
    for wrong in ({"taste": 9}, {}):
        with pytest.raises(BadInput):
            queues.submit_in_queue(tea, queue.id, task.pair.id, wrong, labeler="ann")
    again = queues.next_in_queue(tea, queue.id, "ann")
    assert again is not None
    assert again.pair.id == task.pair.id
    with pytest.raises(NotFound, match="has no pair pair-x"):
        queues.submit_in_queue(tea, queue.id, "pair-x", GOOD, labeler="ann")


def test_an_undo_takes_the_answers_back_and_holds_the_pair(tea: Workspace) -> None:
    queue = make(tea, size=1)
    task = queues.next_in_queue(tea, queue.id, "ann")
    assert task is not None
    queues.submit_in_queue(tea, queue.id, task.pair.id, GOOD, labeler="ann")
    assert queues.undo_in_queue(tea, queue.id, task.pair.id, "ann")
    assert not queues.undo_in_queue(tea, queue.id, task.pair.id, "ann")
    assert queues.next_in_queue(tea, queue.id, "bob") is None
    again = queues.next_in_queue(tea, queue.id, "ann")
    assert again is not None
    assert (again.pair.id, again.answers, again.done) == (task.pair.id, {}, 0)
    assert queues.submit_in_queue(tea, queue.id, task.pair.id, GOOD, labeler="ann") == 3


# Rechecks


def test_a_recheck_asks_one_labeler_again_and_keeps_equal_answers(tea: Workspace) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=30)
    for p, dimensions in (
        (PAIRS[0], ("taste", "strength")),
        (PAIRS[1], ("taste", "strength")),
        (PAIRS[2], ("taste",)),
    ):
        given = [label(p, key, 1, "ann").model_copy(update={"at": long_ago}) for key in dimensions]
        tea.store.add_labels("tea", given)
    fresh = [label(PAIRS[1], "taste", 2, "ann").model_copy(update={"at": datetime.now(UTC)})]
    tea.store.add_labels("tea", fresh)  # pair 1 was thought over today; pair 2 was never finished
    queue = make(tea, "recheck", labeler="ann", days=7)
    assert ids_of(tea, queue) == {PAIRS[0].id}
    assert queues.next_in_queue(tea, queue.id, "bob") is None
    with pytest.raises(Refused, match="asks ann only"):
        queues.submit_in_queue(tea, queue.id, PAIRS[0].id, GOOD, labeler="bob")
    task = queues.next_in_queue(tea, queue.id, "ann")
    assert task is not None
    assert (task.answers, task.note, task.done, task.total) == ({}, "", 0, 1)
    same = {"taste": 1, "strength": 1}
    assert queues.submit_in_queue(tea, queue.id, PAIRS[0].id, same, labeler="ann") == 2
    assert queues.submit_in_queue(tea, queue.id, PAIRS[0].id, same, labeler="ann") == 0
    kept = tea.store.labels("tea", pair_id=PAIRS[0].id)
    assert kept.groupby("dimension").size().to_dict() == {"strength": 2, "taste": 2}


# The whole set


def test_agreement_on_an_oversampled_queue_speaks_of_the_whole_set(workspace: Workspace) -> None:
    # Eighteen pairs on which the judge is right (nine of each level) and two on which it is wrong, each a query.
    pairs: list[Pair] = [
        pair(f"wish {i}", f"Tea {i}", kind="hard" if i < 2 else f"easy {i % 2}") for i in range(20)
    ]
    human = [i % 2 for i in range(20)]
    judge = [1 - level if i < 2 else level for i, level in enumerate(human)]
    golden_set(workspace, [(p, {"taste": level}) for p, level in zip(pairs, human, strict=True)])
    run = recorded_run(workspace, "a", [(p, {"taste": level}) for p, level in zip(pairs, judge, strict=True)])
    queue = make(workspace, "stratified", size=4, slice="kind")
    # Strata of 9, 9 and 2 pairs; four pairs: one each, then one to the first of equal quotients, easy 0: weights 4.5
    # twice, 9, and 2. The chosen hard pair is wrong, all others right: exact (9 + 9) / 20.
    before = queues.population_agreement(workspace, run, queue.id)
    assert before["taste"].n == 0  # nobody has labelled in the queue yet
    while task := queues.next_in_queue(workspace, queue.id, "ann"):
        queues.submit_in_queue(workspace, queue.id, task.pair.id, dict(task.answers), labeler="ann")
    found = queues.population_agreement(workspace, run, queue.id)["taste"]
    assert (found.n, found.population) == (4, 20)
    assert found.exact.value == pytest.approx(0.9)
    plain = queues.drawn_agreement(workspace, run, queue.id)["taste"]
    assert plain.exact.value == 0.75  # three of four
    with pytest.raises(Refused, match="ran on golden set 'elsewhere'"):
        queues.population_agreement(workspace, run.model_copy(update={"golden": "elsewhere"}), queue.id)


def test_the_holdout_is_left_out_unless_asked_for(tea: Workspace) -> None:
    run = judged(tea, "a")
    queue = make(tea)
    while task := queues.next_in_queue(tea, queue.id, "ann"):
        queues.submit_in_queue(tea, queue.id, task.pair.id, GOOD, labeler="ann")
    assert queues.population_agreement(tea, run, queue.id)["taste"].n == 6
    assert queues.population_agreement(tea, run, queue.id, split="all")["taste"].n == 8
    failed = recorded_run(tea, "f", [(p, {"taste": NOT_GRADED, "strength": 1}) for p in PAIRS])
    assert queues.population_agreement(tea, failed, queue.id)["taste"].n == 0
