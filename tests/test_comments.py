"""Comments hang on parts of a policy: through edits, moves, publishing and restoring, and none is lost."""

from __future__ import annotations

import pytest
from policy_samples import body
from workspace_samples import NAME

from workbench import authoring, comments, policy_edit
from workbench.comments import Thread
from workbench.errors import BadInput, NotFound
from workbench.policy import Body
from workbench.store.comments import Comment
from workbench.workspace import Workspace

BODY = body()


def say(space: Workspace, section: str, item: str, text: str = "Why?", author: str = "ann") -> Comment:
    return comments.comment(space, NAME, BODY, section, item, text, author)


def only(space: Workspace, now: Body) -> Thread:
    (thread,) = comments.threads(space, NAME, now)
    return thread


# What a part says


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (("general", ""), "Is this tea right for this guest?\nSays how well a tea suits a guest."),
        (("general", "general.1"), "Grade what the texts say."),
        (("general", "term green tea"), "Tea that was not oxidised."),
        (("taste", ""), "Taste: Does the taste suit?\nWeight: 3\nConsiders: guest.wishes, tea.notes"),
        (
            ("strength", ""),
            "Strength: Is it as strong as wished?\nWeight: 1\nConsiders: guest.mood, tea.notes\nMay be N/A",
        ),
        (("taste", "level 2"), "Wanted: The guest asked for this taste."),
        (("taste", "taste.1"), "Smoke counts as a taste."),
        (("taste", "taste.p1"), "2: Smoke was asked for. (taste.1)\nwishes: something smoky\ntitle: Lapsang"),
        (
            ("overall", ""),
            "Combine: weighted mean\nWeights: taste 3, strength 1\nCut points: 0.5, 1.5\n"
            "gate.1: when taste == 0, at most 0 – A clash is a clash.",
        ),
        (("overall", "gate.1"), "when taste == 0, at most 0 – A clash is a clash."),
    ],
)
def test_what_a_part_says_is_quoted(workspace: Workspace, place: tuple[str, str], text: str) -> None:
    made = say(workspace, *place)
    assert made.quoted == text
    thread = only(workspace, BODY)
    assert ((thread.section, thread.item), thread.text) == (place, text)
    assert (thread.stale, thread.gone, thread.resolved) == (False, False, False)


def test_every_part_of_a_body_can_be_commented_on() -> None:
    # 1 section, 1 rule, 1 term; taste: itself, 3 levels, 2 clauses, 1 precedent; strength: itself, 2 levels, 1
    # clause; the overall rule and its gate.
    assert len(comments.part_texts(BODY)) == 3 + 7 + 4 + 2


# What is refused


@pytest.mark.parametrize("text", ["", "  \n\t "])
def test_an_empty_comment_is_refused(workspace: Workspace, text: str) -> None:
    first = say(workspace, "taste", "taste.1")
    for refused in (
        lambda: say(workspace, "taste", "taste.1", text),
        lambda: comments.reply(workspace, first.id, text, "bob"),
    ):
        with pytest.raises(BadInput, match="The comment is empty"):
            refused()
    assert workspace.store.comments(NAME) == [first]


def test_a_very_long_comment_is_refused_and_the_longest_is_kept(workspace: Workspace) -> None:
    assert len(say(workspace, "taste", "", "x" * 10_000).text) == 10_000
    with pytest.raises(BadInput, match="has 10,001 characters; it may have 10,000"):
        say(workspace, "taste", "", "x" * 10_001)
    assert len(workspace.store.comments(NAME)) == 1


@pytest.mark.parametrize(
    "place", [("taste", "taste.9"), ("strength", "taste.1"), ("tast", ""), ("taste", "level 3")]
)
def test_a_part_that_is_not_there_cannot_be_commented_on(
    workspace: Workspace, place: tuple[str, str]
) -> None:
    with pytest.raises(NotFound, match=f"There is no part '{place[1] or place[0]}'"):
        say(workspace, *place)


def test_an_answer_needs_a_thread(workspace: Workspace) -> None:
    first = say(workspace, "taste", "taste.1")
    answer = comments.reply(workspace, first.id, "Because.", "bob")
    for missing in ("comment-none", answer.id):
        for verb in (
            lambda id: comments.reply(workspace, id, "x", "bob"),
            lambda id: comments.resolve(workspace, id, "bob"),
            lambda id: comments.reopen(workspace, id, "bob"),
        ):
            with pytest.raises(NotFound, match=f"There is no comment {missing}"):
                verb(missing)


# Threads


def test_a_thread_has_its_answers_in_order_and_its_state(workspace: Workspace) -> None:
    first = say(workspace, "taste", "taste.1", "  Why smoke?\n")
    other = say(workspace, "strength", "", "N/A?")
    answers = [comments.reply(workspace, first.id, text, "bob", draft_id="d") for text in ("One", "Two")]
    assert (first.text, first.author, first.reply_to) == ("Why smoke?", "ann", "")
    assert {(a.policy, a.section, a.item, a.draft_id) for a in answers} == {(NAME, "taste", "taste.1", "d")}
    one, two = comments.threads(workspace, NAME, BODY)
    assert (one.first, one.replies) == (first, tuple(answers))
    assert (two.first, two.replies) == (other, ())
    assert comments.open_counts((one, two)) == {("taste", "taste.1"): 1, ("strength", ""): 1}
    comments.resolve(workspace, first.id, "eve")
    one, two = comments.threads(workspace, NAME, BODY)
    assert (one.resolved, one.first.resolved_by, two.resolved) == (True, "eve", False)
    assert comments.open_counts((one, two)) == {("strength", ""): 1}
    comments.reopen(workspace, first.id, "eve")
    assert comments.open_counts(comments.threads(workspace, NAME, BODY))["taste", "taste.1"] == 1
    comments.resolve(workspace, first.id, "eve")
    comments.reply(workspace, first.id, "Not yet.", "ann")
    assert not comments.threads(workspace, NAME, BODY)[0].resolved


def test_several_threads_on_one_part_are_counted(workspace: Workspace) -> None:
    for _ in range(3):
        say(workspace, "taste", "level 1")
    assert comments.open_counts(comments.threads(workspace, NAME, BODY)) == {("taste", "level 1"): 3}


def test_a_key_adds_one_comment_only(workspace: Workspace) -> None:
    made = [
        comments.comment(workspace, NAME, BODY, "taste", "taste.1", "Why?", "ann", key="k1") for _ in range(2)
    ]
    answers = [comments.reply(workspace, made[0].id, "So.", "bob", key="k2") for _ in range(2)]
    assert (made[0], answers[0]) == (made[1], answers[1])
    assert workspace.store.comments(NAME) == [made[0], answers[0]]


# Through edits


def test_a_reworded_part_is_stale_until_it_says_the_same_again(workspace: Workspace) -> None:
    first = say(workspace, "taste", "taste.1")
    reworded = policy_edit.set_clause(BODY, "taste.1", "Smoke and salt count as tastes.")
    thread = only(workspace, reworded)
    assert (thread.stale, thread.gone, thread.text) == (True, False, "Smoke and salt count as tastes.")
    assert thread.first == first
    assert not only(workspace, policy_edit.set_clause(reworded, "taste.1", first.quoted)).stale
    # Another part's wording does not matter.
    assert not only(workspace, policy_edit.set_clause(BODY, "taste.2", "Else.")).stale


def test_text_that_no_database_keeps_does_not_make_a_part_stale(workspace: Workspace) -> None:
    odd = policy_edit.set_clause(BODY, "taste.1", "Smoke\0 counts.")
    comments.comment(workspace, NAME, odd, "taste", "taste.1", "Why?", "ann")
    assert not only(workspace, odd).stale


def test_a_clause_takes_its_threads_along_when_it_moves(workspace: Workspace) -> None:
    say(workspace, "taste", "taste.1")
    moved = policy_edit.move_clause(BODY, "taste.1", section="general", position=0)
    thread = only(workspace, moved)
    assert (thread.section, thread.item, thread.stale, thread.gone) == ("general", "taste.1", False, False)
    assert comments.open_counts((thread,)) == {("general", "taste.1"): 1}


def test_a_thread_of_a_part_that_is_gone_is_shown_with_its_section(workspace: Workspace) -> None:
    first = say(workspace, "taste", "taste.2")
    thread = only(workspace, policy_edit.retire_clause(BODY, "taste.2"))
    assert (thread.section, thread.item, thread.gone, thread.stale) == ("taste", "", True, False)
    assert thread.first.quoted == "A blend has the taste of its main leaf."
    assert comments.open_counts((thread,)) == {("taste", ""): 1}
    # The whole dimension gone: with the general rules.
    thread = only(workspace, policy_edit.remove_dimension(body(overall={"cut_points": [0.5]}), "taste"))
    assert (thread.section, thread.item, thread.gone) == ("general", "", True)
    # It can still be answered and resolved.
    comments.reply(workspace, first.id, "It went.", "bob")
    assert comments.resolve(workspace, first.id, "bob").resolved_by == "bob"


def test_levels_and_terms_are_of_their_section_only(workspace: Workspace) -> None:
    # Both dimensions have a level 1; a level of the one is no level of the other.
    say(workspace, "taste", "level 2")
    thread = only(workspace, policy_edit.remove_level(BODY_WITHOUT_PRECEDENT, "taste"))
    assert (thread.section, thread.item, thread.gone) == ("taste", "", True)
    say(workspace, "strength", "level 1")
    assert comments.open_counts(comments.threads(workspace, NAME, BODY)) == {
        ("taste", "level 2"): 1,
        ("strength", "level 1"): 1,
    }


BODY_WITHOUT_PRECEDENT = policy_edit.remove_precedent(BODY, "taste.p1")


def test_comments_survive_publishing_discarding_and_restoring(workspace: Workspace) -> None:
    draft = authoring.start_draft(workspace, NAME, "ann")
    comments.comment(workspace, NAME, draft.body, "taste", "taste.1", "Why smoke?", "bob", draft_id=draft.id)
    draft = authoring.save(
        workspace, draft, policy_edit.set_clause(draft.body, "taste.1", "Smoke is a taste."), "ann"
    )
    published = authoring.publish(workspace, draft, message="Smoke.", author="ann")
    thread = only(workspace, published)
    assert (thread.first.draft_id, thread.stale, thread.item) == (draft.id, True, "taste.1")
    back = authoring.restore(workspace, NAME, 1, "ann")
    assert not only(workspace, back.body).stale
    workspace.store.discard_draft(back.id)
    assert only(workspace, published).first.text == "Why smoke?"
    assert comments.threads(workspace, "other", published) == ()
