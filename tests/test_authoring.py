"""Authoring: edits of a draft by form and by text, optimistic locking, publishing."""

from __future__ import annotations

from collections.abc import Callable

import policy_samples
import pytest
from workspace_samples import NAME, version

from workbench import authoring
from workbench.documents import read_policy, sync
from workbench.errors import BadInput, Conflict, NotFound, Refused, WorkbenchError
from workbench.policy import Body
from workbench.workspace import Workspace

# Edits by form


@pytest.fixture
def body() -> Body:
    """The body of tea-match v1."""
    return policy_samples.body()


def gates_of(body: Body) -> list[dict[str, object]]:
    return [gate.model_dump() for gate in body.overall.gates]


def rule(body: Body, gates: list[dict[str, object]], **changes: object) -> Body:
    given: dict[str, object] = {
        "weights": {},
        "cut_points": body.overall.cut_points,
        "combine": "weighted_mean",
    }
    return authoring.set_overall(body, gates=gates, **(given | changes))  # type: ignore[arg-type]


def test_a_level_is_renamed_and_the_rest_stays(body: Body) -> None:
    new = authoring.set_level(body, "taste", 1, name="Fine", criteria="Nothing speaks against it at all.")
    assert [level.name for level in new.dimension("taste").levels] == ["Clash", "Fine", "Wanted"]
    assert new.dimension("taste").levels[1].criteria == "Nothing speaks against it at all."
    assert new.dimension("strength") == body.dimension("strength")
    assert new.dimension("taste").precedents == body.dimension("taste").precedents


def test_a_clause_is_reworded_under_its_id(body: Body) -> None:
    new = authoring.set_clause(body, "taste.2", "  A blend tastes of its main leaf.  ")
    assert [(c.id, c.text) for c in new.dimension("taste").clauses] == [
        ("taste.1", "Smoke counts as a taste."),
        ("taste.2", "A blend tastes of its main leaf."),
    ]
    assert authoring.set_clause(body, "general.1", "Grade the texts.").general[0].text == "Grade the texts."


def test_a_new_clause_gets_an_id_that_was_never_used(body: Body) -> None:
    # taste.1 and taste.2 are in use, taste.3 is retired.
    new = authoring.add_clause(body, "taste", "Sugar is no taste.")
    assert [c.id for c in new.dimension("taste").clauses] == ["taste.1", "taste.2", "taste.4"]
    assert [c.id for c in authoring.add_clause(body, "general", "Be brief.").general] == [
        "general.1",
        "general.2",
    ]


def test_a_split_stands_behind_its_origin_and_names_it(body: Body) -> None:
    new = authoring.add_clause(body, "taste", "Only smoke of the leaf counts.", split_from="taste.1")
    assert [(c.id, c.split_from) for c in new.dimension("taste").clauses] == [
        ("taste.1", None),
        ("taste.4", "taste.1"),
        ("taste.2", None),
    ]
    # Rewording keeps where it came from.
    again = authoring.set_clause(new, "taste.4", "Only leaf smoke counts.")
    assert again.dimension("taste").clauses[1].split_from == "taste.1"


def test_a_retired_clause_is_no_longer_cited_and_its_id_not_given_again(body: Body) -> None:
    assert body.dimension("taste").precedents[0].cites == ("taste.1",)
    new = authoring.retire_clause(body, "taste.1")
    assert [c.id for c in new.dimension("taste").clauses] == ["taste.2"]
    assert new.dimension("taste").precedents[0].cites == ()
    assert new.retired == ("taste.3", "taste.1")
    assert authoring.add_clause(new, "taste", "New.").dimension("taste").clauses[-1].id == "taste.4"
    assert authoring.retire_clause(body, "general.1").general == ()


def test_gates_are_kept_added_and_removed_and_ids_are_fresh(body: Body) -> None:
    strict = {"when": "strength == 0", "at_most": 1}
    new = rule(
        body, [*gates_of(body), strict], weights={"taste": 5.0}, combine="minimum", cut_points=[0.4, 1.2]
    )
    assert [(g.id, g.when, g.at_most) for g in new.overall.gates] == [
        ("gate.1", "taste == 0", 0),
        ("gate.2", "strength == 0", 1),
    ]
    assert (new.overall.combine, new.overall.cut_points) == ("minimum", (0.4, 1.2))
    assert [d.weight for d in new.dimensions] == [5.0, 1.0]
    # One gate removed while two are added: neither gets the number of the one that goes.
    swapped = rule(body, [strict, {"when": "taste == 2", "at_least": 2, "because": ""}])
    assert [g.id for g in swapped.overall.gates] == ["gate.2", "gate.3"]
    assert swapped.retired == ("taste.3", "gate.1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: authoring.set_level(b, "taste", 1, name=" ", criteria="x"), "Level 1 of taste at name"),
        (
            lambda b: authoring.set_level(b, "aroma", 1, name="x", criteria="x"),
            "No dimension is called 'aroma'",
        ),
        (lambda b: authoring.set_clause(b, "taste.1", "  "), "Clause taste.1 at text"),
        (lambda b: authoring.set_clause(b, "taste.9", "x"), "There is no clause taste.9 in this draft"),
        (lambda b: authoring.add_clause(b, "aroma", "x"), "No dimension is called 'aroma'"),
        (lambda b: authoring.add_clause(b, "taste", ""), "The new clause of taste at text"),
        (lambda b: authoring.retire_clause(b, "taste.3"), "There is no clause taste.3 in this draft"),
        (lambda b: rule(b, [{"when": "taste =="}]), "Gate 1 at when"),
        (lambda b: rule(b, [{"when": "aroma == 0", "at_most": 0}]), "gate.2 speaks of 'aroma'"),
        (lambda b: rule(b, [{"when": "taste == 0", "at_most": 0, "at_least": 0}]), "exactly one of at_most"),
        (
            lambda b: rule(b, [{"when": "taste == 0", "at_most": 3}]),
            "gate.2 bounds the grade by 3, outside 0–2",
        ),
        (lambda b: rule(b, [], cut_points=[1.5, 0.5]), "cut points must ascend"),
        (lambda b: rule(b, [], weights={"taste": -1.0}), "weight"),
        (lambda b: rule(b, [], weights={"taste": float("nan")}), "weight"),
        (lambda b: authoring.edit(b, title=""), "The draft at title"),
    ],
)
def test_a_wrong_edit_is_one_sentence(body: Body, change: Callable[[Body], Body], message: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        change(body)
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert body == policy_samples.body()


# Text mode


def test_the_text_of_a_body_is_the_body(body: Body) -> None:
    assert authoring.body_from_text(authoring.body_text(body)) == body


def test_a_wrong_text_names_the_line(body: Body) -> None:
    lines = authoring.body_text(body).splitlines()
    at = next(i for i, line in enumerate(lines, 1) if "weight: 3" in line)
    with pytest.raises(BadInput, match=rf"The draft, line {at} at dimensions\[1\].weight"):
        authoring.body_from_text("\n".join(lines).replace("weight: 3.0", "weight: much"))
    with pytest.raises(BadInput, match="The draft is empty"):
        authoring.body_from_text("  \n")
    # The header is not part of a body: a whole published file pasted in is refused, not half used.
    with pytest.raises(BadInput, match="not known here"):
        authoring.body_from_text(policy_samples.TEXT)


# Drafts


def test_a_draft_is_opened_once_and_saved_by_revision(workspace: Workspace, body: Body) -> None:
    draft = authoring.open_draft(workspace, NAME, "Ida")
    assert (draft.base_version, draft.revision, draft.body) == (1, 1, body)
    assert authoring.open_draft(workspace, NAME, "Ida").id == draft.id
    assert authoring.open_draft(workspace, NAME, "Bo").id != draft.id
    assert authoring.save(workspace, draft, body, "Ida").revision == 1  # it says the same
    saved = authoring.save(workspace, draft, authoring.edit(body, title="Another title"), "Ida")
    assert saved.revision == 2
    assert workspace.store.draft(draft.id).body.title == "Another title"
    assert authoring.draft_key(saved) != authoring.draft_key(draft)


def test_the_second_saver_is_told_and_nothing_is_lost(workspace: Workspace, body: Body) -> None:
    mine = theirs = authoring.open_draft(workspace, NAME, "Ida")
    authoring.save(workspace, mine, authoring.edit(body, title="By Ida"), "Ida")
    with pytest.raises(Conflict, match="Ida saved this draft at"):
        authoring.save(workspace, theirs, authoring.edit(body, title="By Bo"), "Bo")
    assert workspace.store.draft(mine.id).body.title == "By Ida"


def test_the_text_mode_cannot_forget_a_retired_id(workspace: Workspace, body: Body) -> None:
    draft = authoring.open_draft(workspace, NAME, "Ida")
    text = authoring.body_text(body).replace("- taste.3\n", "").replace("retired:", "retired: []")
    forgetful = authoring.body_from_text(text)
    assert forgetful.retired == ()
    saved = authoring.save(workspace, draft, authoring.edit(forgetful, title="T"), "Ida")
    assert saved.body.retired == ("taste.3",)
    reused = authoring.set_clause(
        authoring.add_clause(forgetful, "taste", "Again."), "taste.3", "The number of a retired clause."
    )
    with pytest.raises(BadInput, match=r"id taste\.3 is retired and cannot be used again"):
        authoring.save(workspace, saved, reused, "Ida")
    assert workspace.store.draft(draft.id) == saved


def test_a_clause_that_is_cut_out_of_the_text_keeps_its_number(workspace: Workspace, body: Body) -> None:
    draft = authoring.open_draft(workspace, NAME, "Ida")
    cut = authoring.edit(
        body,
        dimensions=[
            d.model_copy(update={"clauses": tuple(c for c in d.clauses if c.id != "taste.2")})
            for d in body.dimensions
        ],
    )
    saved = authoring.save(workspace, draft, cut, "Ida")
    assert saved.body.retired == ("taste.3", "taste.2")
    assert authoring.add_clause(saved.body, "taste", "New.").dimension("taste").clauses[-1].id == "taste.4"


# Publishing


def changed_draft(workspace: Workspace, **changes: object) -> authoring.Draft:
    draft = authoring.open_draft(workspace, NAME, "Ida")
    changes = changes or {"title": "Does this tea suit this guest?"}
    return authoring.save(workspace, draft, authoring.edit(draft.body, **changes), "Ida")


def test_publishing_keeps_the_version_writes_its_file_and_ends_the_draft(workspace: Workspace) -> None:
    draft = changed_draft(workspace)
    policy = authoring.publish(workspace, draft, message="  Clearer title. ", author="Ida")
    assert (policy.version, policy.parent, policy.message, policy.author) == (2, 1, "Clearer title.", "Ida")
    assert policy.published_at is not None
    assert policy.published_at.tzinfo is not None
    assert workspace.store.policy(NAME) == policy
    file = read_policy(workspace.root / "policies" / NAME / "v2.yaml")
    assert file.content_hash == policy.content_hash
    assert (workspace.root / "policies" / "policy.schema.json").exists()
    assert workspace.store.drafts(NAME) == []
    report = sync(workspace.root, workspace.store)
    assert (report.added, report.problems) == ((), ())
    changes = authoring.changes_between(workspace, NAME, 1, 2)
    assert [(c.section, c.before, c.after) for c in changes] == [
        ("document", "Is this tea right for this guest?", "Does this tea suit this guest?")
    ]
    with pytest.raises(NotFound, match="This draft is gone"):  # a double click
        authoring.publish(workspace, draft, message="Clearer title.", author="Ida")
    assert len(workspace.store.policy_versions(NAME)) == 2


def test_publishing_needs_a_message_and_a_change(workspace: Workspace) -> None:
    draft = changed_draft(workspace)
    with pytest.raises(BadInput, match="A version needs a message"):
        authoring.publish(workspace, draft, message=" \n", author="Ida")
    same = authoring.save(workspace, draft, policy_samples.body(), "Ida")
    with pytest.raises(Refused, match="The draft says the same as tea-match v1"):
        authoring.publish(workspace, same, message="Nothing", author="Ida")
    assert not (workspace.root / "policies" / NAME / "v2.yaml").exists()
    assert len(workspace.store.policy_versions(NAME)) == 1


def test_publishing_is_refused_while_lint_finds_an_error(workspace: Workspace) -> None:
    draft = authoring.open_draft(workspace, NAME, "Ida")
    blank = authoring.set_level(draft.body, "taste", 1, name="Fits", criteria="")
    blank = authoring.set_level(blank, "strength", 1, name="Right", criteria="")
    draft = authoring.save(workspace, draft, blank, "Ida")
    assert [f.place for f in authoring.findings(draft.body) if f.severity == "error"] == [
        "taste level 1",
        "strength level 1",
    ]
    with pytest.raises(Refused, match=r"taste level 1 has no criteria.*\(1 more\)"):
        authoring.publish(workspace, draft, message="Blank", author="Ida")
    assert workspace.store.policy(NAME).version == 1


def test_ids_that_go_are_carried_on_as_retired_from_version_to_version(workspace: Workspace) -> None:
    draft = authoring.open_draft(workspace, NAME, "Ida")
    draft = authoring.save(workspace, draft, authoring.retire_clause(draft.body, "taste.2"), "Ida")
    assert authoring.publish(workspace, draft, message="Out", author="Ida").retired == ("taste.3", "taste.2")
    draft = authoring.open_draft(workspace, NAME, "Ida")
    draft = authoring.save(workspace, draft, authoring.edit(draft.body, retired=(), title="T"), "Ida")
    third = authoring.publish(workspace, draft, message="Forgetful", author="Ida")
    assert third.retired == ("taste.3", "taste.2")


def test_a_draft_of_an_older_version_is_a_conflict_and_is_kept(workspace: Workspace) -> None:
    draft = changed_draft(workspace)
    workspace.store.add_policy(version(2, title="Somebody else's title", author="Bo"))
    with pytest.raises(Conflict, match="tea-match v2 was published by Bo after this draft was begun from v1"):
        authoring.publish(workspace, draft, message="Mine", author="Ida")
    assert workspace.store.draft(draft.id).body.title == "Does this tea suit this guest?"
    assert not (workspace.root / "policies" / NAME / "v2.yaml").exists()


def test_what_a_colleague_saved_meanwhile_is_not_published_over(workspace: Workspace) -> None:
    seen = changed_draft(workspace)
    authoring.save(workspace, seen, authoring.edit(seen.body, purpose="By Bo."), "Bo")
    with pytest.raises(Conflict, match="Bo saved this draft at"):
        authoring.publish(workspace, seen, message="Without Bo's words", author="Ida")
    assert workspace.store.draft(seen.id).body.purpose == "By Bo."
    assert workspace.store.policy(NAME).version == 1


def test_a_file_in_the_way_stops_publishing_before_the_store(workspace: Workspace) -> None:
    draft = changed_draft(workspace)
    path = workspace.root / "policies" / NAME / "v2.yaml"
    path.write_text(policy_samples.TEXT.replace("version: 1", "version: 2"), encoding="utf-8")
    with pytest.raises(Refused, match="exists and says something else"):
        authoring.publish(workspace, draft, message="Mine", author="Ida")
    assert workspace.store.policy(NAME).version == 1
    assert workspace.store.draft(draft.id) == draft


def test_a_document_that_came_as_text_is_kept_as_the_version_it_says(workspace: Workspace) -> None:
    text = policy_samples.TEXT.replace("policy: tea-match", "policy: tea-two")
    policy = authoring.import_policy(workspace, text, "upload.yaml")
    assert workspace.store.policy("tea-two") == policy
    assert (workspace.root / "policies" / "tea-two" / "v1.yaml").exists()
    authoring.import_policy(workspace, text, "upload.yaml")
    with pytest.raises(Refused, match="exists and says something else"):
        authoring.import_policy(workspace, text.replace("Smoke counts", "Ash counts"), "upload.yaml")
    assert len(workspace.store.policy_versions("tea-two")) == 1
