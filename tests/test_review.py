"""The review meeting: its queue, decisions, what follows from them, the minutes."""

from __future__ import annotations

from typing import Any

import pytest
from workspace_samples import golden_set, pair, recorded_run, version

from workbench import authoring, comments, follow_ups, minutes, review
from workbench.errors import BadInput, NotFound, Refused
from workbench.golden import NOT_APPLICABLE
from workbench.run import Run
from workbench.store import Review
from workbench.workspace import Workspace

P = [pair(f"wish {i}", f"tea {i}", shop="corner" if i < 3 else "market") for i in range(6)]
HUMAN = (0, 1, 2, 2, 1, 0)


def graded(*taste: int) -> list[Any]:
    return [(p, {"taste": t, "strength": 1}) for p, t in zip(P, taste, strict=True)]


@pytest.fixture
def runs(workspace: Workspace) -> tuple[Run, Run]:
    """Taste flips on pairs 0 (broken by two levels), 1 (broken), 3 (fixed) and 5 (holdout, broken)."""
    golden_set(workspace, graded(*HUMAN), holdout=[P[5]])
    workspace.store.add_policy(version(2))
    a = recorded_run(workspace, "a", graded(0, 1, 2, 1, 1, 0))
    return a, recorded_run(workspace, "b", graded(2, 2, 2, 2, 1, 1), policy_version=2)


def opened(workspace: Workspace, runs: tuple[Run, Run], **filters: Any) -> Review:
    return review.start_review(workspace, *runs, review.Filters(**filters), title="", author="Ida", key="r")


def item(workspace: Workspace, found: Review, position: int) -> review.Item:
    return review.meeting(workspace, found.id).items[position]


def test_the_queue_has_broken_ones_first_and_stays_as_it_is(
    workspace: Workspace, runs: tuple[Run, Run]
) -> None:
    found = opened(workspace, runs)
    assert found.title == "judge · tea-match v1 against v2"
    meeting = review.meeting(workspace, found.id)
    # By the dimension: broken (widest first), then fixed. The overall grade is no item of its own.
    assert [i.key for i in meeting.items] == [f"{P[i].id}/taste" for i in (0, 1, 3)]
    assert found.showing == {"item": f"{P[0].id}/taste", "revealed": False}
    review.decide(workspace, found, meeting.items[0].flip, "judge wrong", who="Bo")
    again = review.meeting(workspace, found.id)
    assert [i.key for i in again.items] == [i.key for i in meeting.items]
    assert (again.decided, again.items[0].decision.outcome) == (1, "judge wrong")
    assert again.position(f"{P[3].id}/taste") == 2
    assert again.position("gone/taste") is None


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"outcomes": ("fixed",)}, [3]),
        ({"direction": "up", "levels": (0, 2)}, [0]),
        ({"among": {"shop": "market"}}, [3]),
        ({"text": "TEA 1"}, [1]),
        ({"pairs": (f"{P[3].id}/taste", f"{P[0].id}/taste")}, [3, 0]),
        ({"split": "all"}, [0, 1, 5, 3]),
    ],
)
def test_filters(
    workspace: Workspace, runs: tuple[Run, Run], filters: dict[str, Any], expected: list[int]
) -> None:
    found = opened(workspace, runs, **filters)
    assert [i.key for i in review.meeting(workspace, found.id).items] == [
        f"{P[i].id}/taste" for i in expected
    ]


def test_a_look_at_the_holdout_is_written_down(workspace: Workspace, runs: tuple[Run, Run]) -> None:
    opened(workspace, runs)
    assert workspace.store.looks("tea").empty
    review.start_review(workspace, *runs, review.Filters(split="holdout"), title="", author="Ida")
    assert list(workspace.store.looks("tea")["place"]) == ["Review", "Review"]


def test_what_was_decided_before_can_stay_out(workspace: Workspace, runs: tuple[Run, Run]) -> None:
    first = opened(workspace, runs)
    review.decide(workspace, first, item(workspace, first, 0).flip, "fine", who="Bo")
    second = review.start_review(workspace, *runs, review.Filters(undecided=True), title="Rest", author="Ida")
    assert [i.key for i in review.meeting(workspace, second.id).items] == [f"{P[i].id}/taste" for i in (1, 3)]
    for i in (1, 2):
        review.decide(workspace, first, item(workspace, first, i).flip, "fine", who="Bo")
    with pytest.raises(Refused, match="No flip passes"):
        review.start_review(workspace, *runs, review.Filters(undecided=True), title="", author="Ida")


def test_a_double_click_opens_and_decides_once(workspace: Workspace, runs: tuple[Run, Run]) -> None:
    found = opened(workspace, runs)
    assert opened(workspace, runs).id == found.id
    assert len(workspace.store.reviews("tea")) == 1
    flip = item(workspace, found, 0).flip
    for _ in range(2):
        review.decide(workspace, found, flip, "label wrong", who="Bo", note="It is strong.", key="k")
    assert len(workspace.store.review_decisions("tea", found.id)) == 1
    assert [(i.kind, i.done_at) for i in workspace.store.follow_ups("tea")] == [("label", None)]


def test_each_outcome_has_its_next_step(workspace: Workspace, runs: tuple[Run, Run]) -> None:
    found = opened(workspace, runs)
    flips = [i.flip for i in review.meeting(workspace, found.id).items]
    review.decide(workspace, found, flips[0], "label wrong", who="Bo", owner="Cy", note="Look again.")
    review.decide(workspace, found, flips[1], "policy ambiguous", who="Bo", next_step="draft")
    review.decide(workspace, found, flips[2], "fine", who="Bo")
    todo = follow_ups.open_items(workspace, "tea")
    assert [(o.item.kind, o.item.owner, o.decision.outcome) for o in todo] == [
        ("label", "Cy", "label wrong"),
        ("draft", "Bo", "policy ambiguous"),
    ]
    assert [o.item.owner for o in follow_ups.open_items(workspace, "tea", owner="Cy")] == ["Cy"]
    with pytest.raises(BadInput, match="settles nothing"):
        review.decide(workspace, found, flips[0], "open", who="Bo")


def test_deciding_anew_takes_the_open_item_back(workspace: Workspace, runs: tuple[Run, Run]) -> None:
    found = opened(workspace, runs)
    flip = item(workspace, found, 0).flip
    review.decide(workspace, found, flip, "label wrong", who="Bo", note="It is strong.")
    review.decide(workspace, found, flip, "judge wrong", who="Cy")
    assert [o.item.kind for o in follow_ups.open_items(workspace, "tea")] == ["precedent"]
    review.take_back(workspace, found, flip, "Cy")
    assert item(workspace, found, 0).decision is None
    assert follow_ups.open_items(workspace, "tea") == []
    assert len(workspace.store.review_decisions("tea", found.id)) == 3  # the log forgets nothing


def test_a_correction_goes_through_adjudication_and_ends_the_flip(
    workspace: Workspace, runs: tuple[Run, Run]
) -> None:
    found = opened(workspace, runs)
    review.decide(
        workspace, found, item(workspace, found, 0).flip, "label wrong", who="Bo", note="It is strong."
    )
    (todo,) = follow_ups.open_items(workspace, "tea")
    with pytest.raises(BadInput, match="label as it is"):
        follow_ups.correct_label(workspace, todo.item.id, 0, "Cy")
    with pytest.raises(BadInput):
        follow_ups.correct_label(workspace, todo.item.id, 9, "Cy")
    follow_ups.correct_label(workspace, todo.item.id, 2, "Cy")
    labels = workspace.store.labels("tea", pair_id=P[0].id)
    newest = labels[labels["source"] == "adjudicated"].iloc[-1]
    assert (newest.grade, newest.labeler, newest.note) == (2, "Cy", "It is strong.")
    done = workspace.store.follow_up(todo.item.id)
    assert (done.done_by, done.result["said"]) == ("Cy", "label set to 2")
    with pytest.raises(Refused, match="Cy did this already"):
        follow_ups.correct_label(workspace, todo.item.id, 1, "Bo")
    # The pair is fixed now, not broken: it is still in the queue that was opened.
    assert item(workspace, found, 0).flip.outcome == "fixed"


def test_a_doubt_becomes_a_comment_and_a_case_a_precedent(
    workspace: Workspace, runs: tuple[Run, Run]
) -> None:
    found = opened(workspace, runs)
    flips = [i.flip for i in review.meeting(workspace, found.id).items]
    review.decide(workspace, found, flips[0], "policy ambiguous", who="Bo", note="What is strong?")
    review.decide(workspace, found, flips[1], "judge wrong", who="Bo")
    doubt, case = follow_ups.open_items(workspace, "tea")
    follow_ups.comment_on_clause(workspace, doubt.item.id, "taste", "taste.1", "What is strong?", "Bo")
    policy = workspace.store.policy("tea-match")
    (thread,) = comments.threads(workspace, "tea-match", policy.body())
    assert (thread.section, thread.item, thread.first.text) == ("taste", "taste.1", "What is strong?")
    draft = authoring.start_draft(workspace, "tea-match", "Bo")
    before = len(draft.body.dimension("taste").precedents)
    saved = follow_ups.precedent_in_draft(workspace, case.item.id, draft, 1, "By taste.1.", "Bo")
    assert len(saved.body.dimension("taste").precedents) == before + 1
    assert follow_ups.open_items(workspace, "tea") == []


def test_the_holdout_shapes_no_policy(workspace: Workspace, runs: tuple[Run, Run]) -> None:
    found = opened(workspace, runs, split="holdout")
    flip = item(workspace, found, 0).flip
    review.decide(workspace, found, flip, "policy ambiguous", who="Bo")
    (todo,) = follow_ups.open_items(workspace, "tea")
    with pytest.raises(Refused, match="of the holdout"):
        follow_ups.comment_on_clause(workspace, todo.item.id, "taste", "taste.1", "Hm.", "Bo")
    draft = authoring.start_draft(workspace, "tea-match", "Bo")
    with pytest.raises(Refused):
        follow_ups.precedent_in_draft(workspace, todo.item.id, draft, 1, "Hm.", "Bo")
    with pytest.raises(BadInput, match="what was done"):
        follow_ups.done_elsewhere(workspace, todo.item.id, " ", "Bo")
    follow_ups.done_elsewhere(workspace, todo.item.id, "Found a dev pair like it.", "Bo")


def test_who_moves_presents_and_a_closed_review_stands_still(
    workspace: Workspace, runs: tuple[Run, Run]
) -> None:
    found = opened(workspace, runs)
    review.show(workspace, found.id, f"{P[1].id}/taste", "Bo", revealed=True)
    now = workspace.store.review(found.id)
    assert (now.presenter, now.showing) == ("Bo", {"item": f"{P[1].id}/taste", "revealed": True})
    workspace.store.close_review(found.id, "Ida")
    workspace.store.close_review(found.id, "Ida")
    with pytest.raises(Refused, match="closed"):
        review.show(workspace, found.id, f"{P[0].id}/taste", "Bo")
    with pytest.raises(Refused, match="closed"):
        review.decide(workspace, found, item(workspace, found, 0).flip, "fine", who="Bo")
    with pytest.raises(NotFound, match="no review"):
        review.meeting(workspace, "review-none")


def test_minutes_say_what_was_decided_and_what_is_open(workspace: Workspace, runs: tuple[Run, Run]) -> None:
    found = opened(workspace, runs)
    flips = [i.flip for i in review.meeting(workspace, found.id).items]
    review.decide(workspace, found, flips[1], "fine", who="Cy", note="A | pipe, *stars* and <b>")
    review.decide(workspace, found, flips[0], "label wrong", who="Bo", owner="Cy", note="It is strong.")
    said = minutes.minutes(workspace, found.id)
    assert (said.queue, dict(said.counts)) == (
        3,
        {"judge wrong": 0, "label wrong": 1, "policy ambiguous": 0, "fine": 1},
    )
    assert said.present == ("Bo", "Cy", "Ida")
    assert [(line.pair, line.label, line.a, line.b, line.outcome) for line in said.lines] == [
        ("wish 0 / tea 0", "0", "0", "2", "label wrong"),
        ("wish 1 / tea 1", "1", "1", "2", "fine"),
    ]
    text = minutes.as_markdown(said)
    assert "# Review: judge · tea-match v1 against v2" in text
    assert "| wish 1 / tea 1 | Taste | 1 | 1 | 2 | fine | A \\| pipe, \\*stars\\* and \\<b\\> |  |" in text
    assert f"- [ ] Cy: label for taste of `{P[0].id}` (label wrong) – It is strong." in text
    page = minutes.as_html(said)
    assert "A | pipe, *stars* and &lt;b&gt;" in page
    assert "<b>Cy</b>: label" in page
    (todo,) = follow_ups.open_items(workspace, "tea")
    follow_ups.correct_label(workspace, todo.item.id, 2, "Cy")
    after = minutes.as_markdown(minutes.minutes(workspace, found.id))
    assert "label: Cy (done: label set to 2)" in after
    assert "## Open items\n\nNone." in after


def test_not_applicable_is_named(workspace: Workspace, runs: tuple[Run, Run]) -> None:
    assert minutes._grade(NOT_APPLICABLE) == "N/A"
    assert [minutes._grade(grade) for grade in (None, -1, 3)] == ["–", "–", "3"]
