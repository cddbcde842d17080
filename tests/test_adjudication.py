"""Adjudication: which pairs are open, what was decided and why, from a decision to a precedent, the consensus rule.

``tea-match`` has taste 0-2, strength 0-1 or N/A, overall 0-2. Five pairs a to e, e in the holdout:

- a: taste 0, 2 and 1: two levels apart; strength 1 and N/A: the whole scale, which is one level.
- b: taste 1 and 2, one level apart.
- c: taste 2 and 2, they agree; strength 0 and 0.
- d: taste 2 and unrateable: one answer only.
- e: taste 0 and 2, overall 0 and 1.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from workspace_samples import NAME, label, pair

from workbench import adjudication, authoring, evaluation, labelling, queues
from workbench.adjudication import Case
from workbench.errors import BadInput, NotFound, Refused
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, UNRATEABLE, Pair, Split, adjudicated, settle
from workbench.workspace import Workspace

NA, UN, NONE = NOT_APPLICABLE, UNRATEABLE, NOT_GRADED
A, B, C, D, E = (pair(f"wish {name}", f"tea {name}") for name in "abcde")
REASON = "Smoke counts as a taste."


@pytest.fixture
def tea(workspace: Workspace) -> Workspace:
    """The workspace with the golden set described above."""
    splits: dict[str, Split] = {p.id: "holdout" if p == E else "dev" for p in (A, B, C, D, E)}
    workspace.store.create_golden("tea", NAME)
    workspace.store.add_pairs("tea", [A, B, C, D, E], splits)
    workspace.store.add_labels(
        "tea",
        [
            label(A, "taste", 0, "ann", note="too smoky"),
            label(A, "taste", 2, "bob"),
            label(A, "taste", 1, "cem"),
            label(A, "strength", 1, "ann"),
            label(A, "strength", NA, "bob"),
            label(B, "taste", 1, "ann"),
            label(B, "taste", 2, "bob"),
            label(C, "taste", 2, "ann"),
            label(C, "taste", 2, "bob"),
            label(C, "strength", 0, "ann"),
            label(C, "strength", 0, "bob"),
            label(D, "taste", 2, "ann"),
            label(D, "taste", UN, "bob"),
            label(E, "taste", 0, "ann"),
            label(E, "taste", 2, "bob"),
            label(E, "overall", 0, "ann"),
            label(E, "overall", 1, "bob"),
        ],
    )
    return workspace


def pairs_of(cases: tuple[Case, ...]) -> list[str]:
    return [case.pair_id for case in cases]


def decide(workspace: Workspace, some: Pair, reason: str = REASON, author: str = "Ida", **grades: int) -> int:
    return adjudication.adjudicate(workspace, "tea", some.id, grades, reason=reason, author=author)


# Which cases are open


def test_the_widest_cases_come_first(tea: Workspace) -> None:
    # By 1 or more: a (2 on taste and 1 on strength) before e (2 and 1): both sum to 3, and a comes first in the set.
    cases = adjudication.open_cases(tea, "tea", least=1)
    assert pairs_of(cases) == [A.id, E.id, B.id]
    assert [dict(case.widths) for case in cases] == [
        {"taste": 2, "strength": 1},
        {"taste": 2, "overall": 1},
        {"taste": 1},
    ]
    assert [dict(case.answers) for case in cases] == [
        {"taste": (0, 1, 2), "strength": (1, NA)}, {"taste": (0, 2), "overall": (0, 1)}, {"taste": (1, 2)},
    ]  # fmt: skip
    assert [(case.width, case.labelers, case.split) for case in cases] == [
        (2, 3, "dev"), (2, 2, "holdout"), (1, 2, "dev"),
    ]  # fmt: skip


def test_cases_can_be_narrowed(tea: Workspace) -> None:
    assert pairs_of(adjudication.open_cases(tea, "tea")) == [A.id, E.id]
    assert [dict(case.widths) for case in adjudication.open_cases(tea, "tea")] == [{"taste": 2}] * 2
    assert pairs_of(adjudication.open_cases(tea, "tea", split="holdout")) == [E.id]
    assert pairs_of(adjudication.open_cases(tea, "tea", dimension="strength", least=1)) == [A.id]
    assert pairs_of(adjudication.open_cases(tea, "tea", dimension="overall", least=1)) == [E.id]
    assert adjudication.open_cases(tea, "tea", dimension="overall") == ()


def test_na_against_a_level_is_the_whole_scale(tea: Workspace) -> None:
    tea.store.add_labels("tea", [label(C, "taste", NA, "cem")])  # as an older version allowed
    [case] = adjudication.open_cases(tea, "tea", split="dev")[1:]
    assert (case.pair_id, dict(case.widths)) == (C.id, {"taste": 2})


def test_a_newer_answer_counts_and_a_withdrawn_one_does_not(tea: Workspace) -> None:
    tea.store.add_labels("tea", [label(A, "taste", 1, "ann", 1), label(A, "taste", NONE, "bob", 1)])
    assert pairs_of(adjudication.open_cases(tea, "tea", least=1, dimension="taste")) == [E.id, B.id]


def test_a_level_that_the_policy_does_not_have_is_not_looked_at(tea: Workspace) -> None:
    tea.store.add_labels("tea", [label(C, "taste", 4, "cem"), label(C, "colour", 0, "cem")])
    assert C.id not in pairs_of(adjudication.open_cases(tea, "tea", least=1))


def test_what_was_decided_is_closed_until_somebody_labels_it_again(tea: Workspace) -> None:
    assert decide(tea, A, taste=2) == 1
    assert pairs_of(adjudication.open_cases(tea, "tea")) == [E.id]
    assert [dict(c.widths) for c in adjudication.open_cases(tea, "tea", least=1) if c.pair_id == A.id] == [
        {"strength": 1}
    ]
    assert labelling.submit_labels(tea, "tea", A.id, {"taste": 0}, labeler="dan") == 1
    assert pairs_of(adjudication.open_cases(tea, "tea")) == [A.id, E.id]


def test_a_set_without_labels_has_no_case(workspace: Workspace) -> None:
    workspace.store.create_golden("tea", NAME)
    workspace.store.add_pairs("tea", [A])
    assert adjudication.open_cases(workspace, "tea", least=1) == ()


def test_what_cannot_be_asked_is_said(tea: Workspace) -> None:
    with pytest.raises(NotFound, match="colour"):
        adjudication.open_cases(tea, "tea", dimension="colour")
    with pytest.raises(BadInput, match="by 0 levels"):
        adjudication.open_cases(tea, "tea", least=0)
    with pytest.raises(NotFound):
        adjudication.open_cases(tea, "coffee")


def test_a_hundred_thousand_labels_take_no_minute(workspace: Workspace) -> None:
    """25,000 pairs, two labelers, two dimensions; on every fifth pair they are two levels apart on taste."""
    pairs = [pair(f"wish {i}", "tea") for i in range(25_000)]
    workspace.store.create_golden("tea", NAME)
    workspace.store.add_pairs("tea", pairs)
    ids = np.array([p.id for p in pairs])
    frame = pd.DataFrame(
        {
            "pair_id": np.tile(ids, 4),
            "dimension": np.repeat(["taste", "taste", "strength", "strength"], len(ids)),
            "grade": np.concatenate([np.zeros(len(ids), int), np.where(np.arange(len(ids)) % 5, 1, 2), np.ones(2 * len(ids), int)]),
            "labeler": np.repeat(["ann", "bob", "ann", "bob"], len(ids)),
            "at": label(A, "taste", 0).at, "note": "", "source": "human",
        }
    )  # fmt: skip
    workspace.store.add_labels("tea", frame)
    start = time.perf_counter()
    first = adjudication.open_cases(workspace, "tea")
    cold = time.perf_counter() - start
    assert len(first) == 5_000
    start = time.perf_counter()
    assert adjudication.open_cases(workspace, "tea", dimension="taste") == first
    warm = time.perf_counter() - start
    print(f"cold {cold:.2f} s, warm {warm:.2f} s")
    assert cold < 20
    assert warm < 5  # several people share the machine: some ten times what it takes alone


# One case, and what is decided


def test_a_case_tells_all_that_was_said(tea: Workspace) -> None:
    story = adjudication.case(tea, "tea", A.id)
    assert (story.pair, story.split, story.labelers()) == (A, "dev", ["ann", "bob", "cem"])
    assert story.open == ("taste", "strength")
    assert dict(story.settled) == {}
    said = story.votes[["labeler", "dimension", "grade", "note"]].values.tolist()
    assert ["ann", "taste", 0, "too smoky"] in said
    assert len(said) == 5
    assert dict(adjudication.case(tea, "tea", C.id).settled) == {"taste": 2, "strength": 0}
    # d: 2 and unrateable are no difference, and no agreement.
    assert (adjudication.case(tea, "tea", D.id).open, dict(adjudication.case(tea, "tea", D.id).settled)) == (
        (),
        {},
    )
    with pytest.raises(NotFound, match="no pair"):
        adjudication.case(tea, "tea", "pair-x")


def test_a_decision_is_a_label_with_its_reason_and_the_newest_holds(tea: Workspace) -> None:
    decide(tea, A, taste=2, strength=NA)
    decide(tea, A, "On second thoughts, it is too much smoke.", author="Bo", taste=0)
    story = adjudication.case(tea, "tea", A.id)
    assert story.open == ()
    assert dict(story.settled) == {"taste": 0, "strength": NA}
    assert story.decided[["labeler", "dimension", "grade", "note"]].values.tolist()[0] == [
        "Bo", "taste", 0, "On second thoughts, it is too much smoke.",
    ]  # fmt: skip
    assert len(story.decided) == 3
    labels = tea.store.labels("tea", pair_id=A.id)
    assert len(labels) == 8  # nothing was changed or removed
    assert set(labels["source"].tail(3)) == {"adjudicated"}
    assert settle(labels, "taste", [A.id]).tolist() == [0]
    assert tea.store.events()[0]["what"] == "adjudicated"


def test_a_double_click_decides_once(tea: Workspace) -> None:
    assert decide(tea, A, taste=2) == 1
    assert decide(tea, A, taste=2) == 0
    assert len(adjudicated(tea.store.labels("tea"))) == 1


def test_an_adjudicator_keeps_their_own_vote(tea: Workspace) -> None:
    decide(tea, A, author="ann", taste=2)
    story = adjudication.case(tea, "tea", A.id)
    assert ["ann", "taste", 0] in story.votes[["labeler", "dimension", "grade"]].values.tolist()


@pytest.mark.parametrize(
    ("grades", "reason", "problem"),
    [
        ({}, REASON, "No grade"),
        ({"taste": 1}, "  ", "reason"),
        ({"taste": 3}, REASON, "no level"),
        ({"taste": NA}, REASON, "cannot be N/A"),
        ({"taste": NONE}, REASON, "no level"),
        ({"colour": 1}, REASON, "colour"),
    ],
)
def test_a_decision_that_is_none_is_refused(
    tea: Workspace, grades: dict[str, int], reason: str, problem: str
) -> None:
    with pytest.raises((BadInput, NotFound), match=problem):
        decide(tea, A, reason, **grades)
    assert adjudicated(tea.store.labels("tea")).empty


def test_a_pair_of_another_set_cannot_be_decided(tea: Workspace) -> None:
    with pytest.raises(NotFound):
        decide(tea, pair("other", "tea"), taste=1)


# Precedents


def test_a_decision_becomes_a_precedent_of_a_draft(tea: Workspace) -> None:
    decide(tea, A, taste=2, strength=NA)
    draft = authoring.start_draft(tea, NAME, "Bo")
    saved = adjudication.to_precedent(tea, "tea", A.id, "taste", draft.id, "Ida")
    new = saved.body.dimension("taste").precedents[-1]
    # taste considers guest.wishes and tea.notes
    assert (new.grade, new.because) == (2, REASON)
    assert (new.pair.query, new.pair.document) == ({"wishes": "wish a"}, {"notes": "tea a tea"})
    assert (saved.revision, saved.updated_by) == (draft.revision + 1, "Ida")
    saved = adjudication.to_precedent(tea, "tea", A.id, "strength", draft.id, "Ida")
    assert saved.body.dimension("strength").precedents[-1].grade is None
    with pytest.raises(Refused, match=rf"precedent {new.id}"):
        adjudication.to_precedent(tea, "tea", A.id, "taste", draft.id, "Ida")


def test_a_pair_of_the_holdout_becomes_no_precedent(tea: Workspace) -> None:
    decide(tea, E, taste=2)
    draft = authoring.start_draft(tea, NAME, "Bo")
    with pytest.raises(Refused, match="holdout"):
        adjudication.to_precedent(tea, "tea", E.id, "taste", draft.id, "Ida")
    assert tea.store.draft(draft.id).revision == draft.revision


def test_what_was_not_decided_becomes_no_precedent(tea: Workspace) -> None:
    draft = authoring.start_draft(tea, NAME, "Bo")
    decide(tea, A, strength=UN, overall=1)
    for key, problem in {
        "taste": "not adjudicated",
        "strength": "unrateable",
        "overall": "no precedents",
    }.items():
        with pytest.raises(BadInput, match=problem):
            adjudication.to_precedent(tea, "tea", A.id, key, draft.id, "Ida")
    with pytest.raises(NotFound):
        adjudication.to_precedent(tea, "tea", A.id, "taste", "draft-x", "Ida")


def test_a_draft_of_another_policy_is_refused(tea: Workspace) -> None:
    decide(tea, A, taste=2)
    other = authoring.new_draft(tea, "coffee-match", tea.store.policy(NAME).body(), "Bo")
    with pytest.raises(Refused, match="coffee-match"):
        adjudication.to_precedent(tea, "tea", A.id, "taste", other.id, "Ida")


# The consensus rule


def test_the_effect_of_each_rule_is_counted(tea: Workspace) -> None:
    """One more pair, b, with N/A, N/A, 0 and 1 on strength: a majority says N/A; the median, with N/A not above a half, 0.

    Everything else settles alike: with two answers a tie is their lower one, which is their lower median.
    Graded: taste on five pairs, strength on a, b, c, overall on e: nine.
    """
    tea.store.add_labels(
        "tea", [label(B, "strength", g, who) for who, g in zip(("ann", "bob", "cem", "dan"), (NA, NA, 0, 1), strict=True)]
    )  # fmt: skip
    majority, median, dawid_skene = adjudication.rule_effects(tea, "tea")
    assert (majority.rule, median.rule, dawid_skene.rule) == ("majority", "median", "dawid_skene")
    assert (majority.graded, median.graded, dawid_skene.graded) == (9, 9, 9)
    assert dict(majority.changed) == {"taste": 0, "strength": 0, "overall": 0}
    assert dict(median.changed) == {"taste": 0, "strength": 1, "overall": 0}
    decide(tea, B, strength=0)
    assert sum(adjudication.rule_effects(tea, "tea")[1].changed.values()) == 0


def test_a_set_settles_by_its_rule_everywhere(tea: Workspace) -> None:
    labelling.publish_golden(tea, "tea", message="First", author="Ida")
    labels = [
        label(B, "strength", g, who)
        for who, g in zip(("ann", "bob", "cem", "dan"), (NA, NA, 0, 1), strict=True)
    ]
    tea.store.add_labels("tea", labels)

    def settled() -> tuple[int, int, int, int]:
        frame, _ = labelling.browse(tea, "tea")
        return (
            int(evaluation.truth(tea, "tea").human["strength"][1]),
            int(evaluation.truth(tea, "tea", labels="snapshot").human["strength"][1]),
            int(frame.loc[frame["pair_id"] == B.id, "strength"].iloc[0]),
            int(labelling.golden_coverage(tea, "tea").counts.loc["strength", NA]),
        )

    # a settles on 1 (a tie of 1 and N/A is the level), so N/A is only b's; the snapshot was published without b's.
    assert settled() == (NA, NONE, NA, 1)
    assert adjudication.choose_rule(tea, "tea", "median", "Ida")
    assert settled() == (0, NONE, 0, 0)
    assert not adjudication.choose_rule(tea, "tea", "median", "Ida")
    assert tea.store.golden("tea").consensus == "median"
    assert (tea.store.events()[0]["what"], tea.store.events()[0]["detail"]) == (
        "changed the consensus rule", "majority to median",
    )  # fmt: skip


def test_a_change_of_rule_is_seen_by_whatever_is_kept_of_settled_grades(tea: Workspace) -> None:
    mark = tea.store.labels_mark("tea")
    adjudication.choose_rule(tea, "tea", "median", "Ida")
    assert tea.store.labels_mark("tea") != mark
    adjudication.choose_rule(tea, "tea", "majority", "Ida")
    assert tea.store.labels_mark("tea") == mark
    for rule in ("dawid_skene", "majority"):  # one more label is newer than any rule
        before = tea.store.labels_mark("tea")
        tea.store.add_labels("tea", [label(D, "strength", len(rule) % 2, "dan", len(rule))])
        adjudication.choose_rule(tea, "tea", rule, "Ida")
        assert tea.store.labels_mark("tea") > before


def test_by_dawid_skene_a_page_of_pairs_settles_as_the_whole_set(tea: Workspace) -> None:
    adjudication.choose_rule(tea, "tea", "dawid_skene", "Ida")
    labels = tea.store.labels("tea")
    ids = [p.id for p in (A, B, C, D, E)]
    whole = settle(labels, "taste", ids, rule="dawid_skene").tolist()
    pages = [labelling.browse(tea, "tea", page=i, size=1)[0]["taste"].iloc[0] for i in range(5)]
    assert pages == whole


def test_a_rule_that_is_none_is_refused(tea: Workspace) -> None:
    with pytest.raises(NotFound, match="guess"):
        adjudication.choose_rule(tea, "tea", "guess", "Ida")  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        adjudication.choose_rule(tea, "coffee", "median", "Ida")


def test_who_is_still_asked_for_a_blind_label_is_not_shown_the_others(tea: Workspace) -> None:
    queue = queues.create_queue(
        tea, "tea", "random", name="Again", size=tea.store.golden("tea").pairs, author="Ida"
    )
    with pytest.raises(Refused, match="Queue 'Again' still asks you for a blind label"):
        adjudication.case(tea, "tea", A.id, "newcomer")
    queues.close_queue(tea, queue.id, author="Ida")
    assert adjudication.case(tea, "tea", A.id, "newcomer").pair.id == A.id
