"""Authoring: drafts that several people edit, merging, undo, restoring, publishing."""

from __future__ import annotations

import policy_samples
import pytest
from workspace_samples import NAME, version

from workbench import authoring
from workbench.authoring import EditConflict
from workbench.documents import read_policy, sync
from workbench.errors import BadInput, Conflict, NotFound, Refused
from workbench.policy import Body
from workbench.policy_diff import diff
from workbench.policy_edit import (
    add_clause,
    body_from_text,
    body_text,
    edit,
    retire_clause,
    set_clause,
    set_level,
    set_overall,
)
from workbench.policy_lint import lint
from workbench.workspace import Workspace


@pytest.fixture
def body() -> Body:
    """The body of tea-match v1."""
    return policy_samples.body()


# Drafts


def test_a_draft_is_opened_once_and_saved_by_revision(workspace: Workspace, body: Body) -> None:
    draft = authoring.open_draft(workspace, NAME, "Ida")
    assert (draft.base_version, draft.revision, draft.body) == (1, 1, body)
    assert authoring.open_draft(workspace, NAME, "Ida").id == draft.id
    assert authoring.open_draft(workspace, NAME, "Bo").id != draft.id
    assert authoring.save(workspace, draft, body, "Ida").revision == 1  # it says the same
    saved = authoring.save(workspace, draft, edit(body, title="Another title"), "Ida")
    assert saved.revision == 2
    assert workspace.store.draft(draft.id).body.title == "Another title"


def test_one_person_may_have_several_drafts_with_titles(workspace: Workspace) -> None:
    one = authoring.start_draft(workspace, NAME, "Ida", title="  Remote \n work ")
    two = authoring.start_draft(workspace, NAME, "Ida", title="Strength")
    assert one.title == "Remote work"
    assert {d.id for d in workspace.store.drafts(NAME)} == {one.id, two.id}
    renamed = authoring.rename(workspace, one, "Work from home", "Ida")
    assert workspace.store.draft(one.id).title == "Work from home"
    assert authoring.rename(workspace, renamed, "Work from home", "Ida") == renamed


def test_edits_of_different_parts_by_two_people_are_both_kept(workspace: Workspace, body: Body) -> None:
    seen = authoring.open_draft(workspace, NAME, "Ida")
    authoring.save(workspace, seen, set_clause(body, "taste.1", "By Ida."), "Ida")
    both = authoring.save(workspace, seen, set_clause(body, "taste.2", "By Bo."), "Bo")
    assert [c.text for c in both.body.dimension("taste").clauses] == ["By Ida.", "By Bo."]
    assert workspace.store.draft(seen.id) == both


def test_clauses_added_by_two_people_both_stay_and_get_two_ids(workspace: Workspace, body: Body) -> None:
    seen = authoring.open_draft(workspace, NAME, "Ida")
    authoring.save(workspace, seen, add_clause(body, "taste", "By Ida."), "Ida")
    both = authoring.save(workspace, seen, add_clause(body, "taste", "By Bo."), "Bo")
    # taste.3 is retired, so both would have got taste.4.
    assert [(c.id, c.text) for c in both.body.dimension("taste").clauses[2:]] == [
        ("taste.4", "By Ida."),
        ("taste.5", "By Bo."),
    ]


def test_two_texts_of_one_clause_wait_for_a_choice_and_nothing_is_lost(
    workspace: Workspace, body: Body
) -> None:
    seen = authoring.open_draft(workspace, NAME, "Ida")
    authoring.save(workspace, seen, set_clause(body, "taste.1", "By Ida."), "Ida")
    mine = set_clause(set_clause(body, "taste.1", "By Bo."), "taste.2", "Bo as well.")
    with pytest.raises(EditConflict, match=r"Ida changed taste\.1 at") as caught:
        authoring.save(workspace, seen, mine, "Bo")
    assert workspace.store.draft(seen.id).body.dimension("taste").clauses[0].text == "By Ida."
    (conflict,) = caught.value.merged.conflicts
    assert (conflict.base, conflict.theirs, conflict.mine) == (
        "Smoke counts as a taste.",
        "By Ida.",
        "By Bo.",
    )
    kept = authoring.settle(workspace, caught.value, {conflict.place: "both"}, "Bo")
    assert [(c.id, c.text, c.split_from) for c in kept.body.dimension("taste").clauses] == [
        ("taste.1", "By Ida.", None),
        ("taste.4", "By Bo.", "taste.1"),
        ("taste.2", "Bo as well.", None),
    ]


def test_settling_meets_an_edit_made_while_choosing(workspace: Workspace, body: Body) -> None:
    seen = authoring.open_draft(workspace, NAME, "Ida")
    first = authoring.save(workspace, seen, set_clause(body, "taste.1", "By Ida."), "Ida")
    with pytest.raises(EditConflict) as caught:
        authoring.save(workspace, seen, set_clause(body, "taste.1", "By Bo."), "Bo")
    place = caught.value.merged.conflicts[0].place
    second = authoring.save(workspace, first, set_clause(first.body, "taste.1", "Ida again."), "Ida")
    with pytest.raises(EditConflict) as again:
        authoring.settle(workspace, caught.value, {place: "mine"}, "Bo")
    assert again.value.merged.conflicts[0].theirs == "Ida again."
    # Meanwhile a part that Bo did not touch: it is merged.
    authoring.save(workspace, second, edit(second.body, title="Ida's title"), "Ida")
    kept = authoring.settle(workspace, again.value, {place: "mine"}, "Bo")
    assert (kept.body.title, kept.body.dimension("taste").clauses[0].text) == ("Ida's title", "By Bo.")


def test_the_edits_of_a_draft_say_who_changed_what(workspace: Workspace, body: Body) -> None:
    draft = authoring.open_draft(workspace, NAME, "Ida")
    assert authoring.edits(workspace, draft) == []
    one = authoring.save(workspace, draft, edit(body, title="A"), "Ida")
    two = authoring.save(
        workspace, one, set_clause(one.body, "taste.1", "B"), "Ida"
    )  # within the same minute
    three = authoring.save(workspace, two, set_clause(two.body, "taste.2", "C"), "Bo")
    found = authoring.edits(workspace, three)
    assert [(e.author, e.revision, [c.id for c in e.changes]) for e in found] == [
        ("Bo", 4, ["taste.2"]),
        ("Ida", 3, ["title", "taste.1"]),
    ]
    assert [e.author for e in authoring.edits(workspace, three, after=3)] == ["Bo"]


def test_undo_takes_back_my_edit_and_leaves_theirs(workspace: Workspace, body: Body) -> None:
    draft = authoring.open_draft(workspace, NAME, "Ida")
    with pytest.raises(Refused, match="no edit of yours"):
        authoring.undo(workspace, draft, "Ida")
    one = authoring.save(workspace, draft, set_clause(body, "taste.1", "By Ida."), "Ida")
    two = authoring.save(workspace, one, set_clause(one.body, "taste.2", "By Bo."), "Bo")
    undone = authoring.undo(workspace, two, "Ida")
    assert [c.text for c in undone.body.dimension("taste").clauses] == ["Smoke counts as a taste.", "By Bo."]
    three = authoring.save(workspace, undone, set_clause(undone.body, "taste.1", "Ida anew."), "Ida")
    authoring.save(workspace, three, set_clause(three.body, "taste.1", "Bo upon it."), "Bo")
    with pytest.raises(Refused, match=r"taste\.1 was changed again since your edit"):
        authoring.undo(workspace, three, "Ida")


def test_a_policy_begins_as_a_draft_and_is_published_as_version_1(workspace: Workspace, body: Body) -> None:
    with pytest.raises(BadInput, match="'Tea Two' cannot be the name of a policy"):
        authoring.new_draft(workspace, "Tea Two", body, "Ida")
    draft = authoring.new_draft(workspace, "tea-two", body, "Ida", "From the shared document")
    assert (draft.base_version, draft.title) == (0, "From the shared document")
    with pytest.raises(Refused, match="Ida has begun a policy called 'tea-two' already"):
        authoring.new_draft(workspace, "tea-two", body, "Bo")
    edited = authoring.save(workspace, draft, edit(body, title="Two"), "Ida")
    # It is compared with what it began with.
    assert [c.id for c in diff(authoring.base_body(workspace, edited), edited.body)] == ["title"]
    policy = authoring.publish(workspace, edited, message="First", author="Ida")
    assert (policy.label, policy.parent, policy.title) == ("tea-two v1", None, "Two")


def test_an_imported_body_becomes_a_draft_of_the_newest_version(workspace: Workspace, body: Body) -> None:
    short = retire_clause(body, "taste.2")
    draft = authoring.new_draft(workspace, NAME, edit(short, retired=()), "Ida")
    assert (draft.base_version, draft.body.retired) == (1, ("taste.3", "taste.2"))


def test_an_earlier_version_is_restored_with_its_retired_clauses(workspace: Workspace, body: Body) -> None:
    with pytest.raises(Refused, match="tea-match v1 says the same as v1"):
        authoring.restore(workspace, NAME, 1, "Ida")
    draft = authoring.open_draft(workspace, NAME, "Ida")
    without = add_clause(retire_clause(body, "taste.1"), "taste", "New in 2.")  # taste.4
    authoring.publish(workspace, authoring.save(workspace, draft, without, "Ida"), message="2", author="Ida")
    back = authoring.restore(workspace, NAME, 1, "Ida")
    assert (back.base_version, back.title) == (2, "Back to v1")
    assert [c.id for c in back.body.dimension("taste").clauses] == ["taste.1", "taste.2"]
    assert set(back.body.retired) == {"taste.3", "taste.4"}
    reworded = authoring.save(workspace, back, set_clause(back.body, "taste.1", "Smoke is a taste."), "Ida")
    policy = authoring.publish(workspace, reworded, message="Back", author="Ida")
    assert policy.version == 3
    assert [c.id for c in policy.dimension("taste").clauses] == ["taste.1", "taste.2"]
    assert "taste.4" in policy.retired


def test_a_restored_clause_keeps_its_id_when_another_version_comes_in(
    workspace: Workspace, body: Body
) -> None:
    draft = authoring.open_draft(workspace, NAME, "Ida")
    without = authoring.save(workspace, draft, retire_clause(body, "taste.1"), "Ida")
    second = authoring.publish(workspace, without, message="2", author="Ida")
    back = authoring.restore(workspace, NAME, 1, "Ida")
    third = edit(second.body(), title="By Bo")
    authoring.publish(workspace, authoring.new_draft(workspace, NAME, third, "Bo"), message="3", author="Bo")
    policy = authoring.publish(workspace, back, message="Back", author="Ida")
    assert (policy.version, policy.title) == (4, "By Bo")
    assert [c.id for c in policy.dimension("taste").clauses] == ["taste.1", "taste.2"]


def test_the_text_mode_cannot_forget_a_retired_id(workspace: Workspace, body: Body) -> None:
    draft = authoring.open_draft(workspace, NAME, "Ida")
    text = body_text(body).replace("- taste.3\n", "").replace("retired:", "retired: []")
    forgetful = body_from_text(text)
    assert forgetful.retired == ()
    saved = authoring.save(workspace, draft, edit(forgetful, title="T"), "Ida")
    assert saved.body.retired == ("taste.3",)
    reused = set_clause(
        add_clause(forgetful, "taste", "Again."), "taste.3", "The number of a retired clause."
    )
    with pytest.raises(BadInput, match=r"id taste\.3 is retired and cannot be used again"):
        authoring.save(workspace, saved, reused, "Ida")
    assert workspace.store.draft(draft.id) == saved


def test_a_clause_or_gate_that_is_cut_out_of_the_text_keeps_its_number(
    workspace: Workspace, body: Body
) -> None:
    draft = authoring.open_draft(workspace, NAME, "Ida")
    cut = edit(
        body,
        dimensions=[
            d.model_copy(update={"clauses": tuple(c for c in d.clauses if c.id != "taste.2")})
            for d in body.dimensions
        ],
    )
    saved = authoring.save(workspace, draft, cut, "Ida")
    assert saved.body.retired == ("taste.3", "taste.2")
    assert add_clause(saved.body, "taste", "New.").dimension("taste").clauses[-1].id == "taste.4"
    no_gate = set_overall(
        saved.body, weights={}, cut_points=body.overall.cut_points, gates=[], combine="weighted_mean"
    )
    assert set(authoring.save(workspace, saved, no_gate, "Ida").body.retired) == {
        "taste.3",
        "taste.2",
        "gate.1",
    }


# Publishing


def changed_draft(workspace: Workspace, **changes: object) -> authoring.Draft:
    draft = authoring.open_draft(workspace, NAME, "Ida")
    changes = changes or {"title": "Does this tea suit this guest?"}
    return authoring.save(workspace, draft, edit(draft.body, **changes), "Ida")


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
    blank = set_level(draft.body, "taste", 1, name="Fits", criteria="")
    blank = set_level(blank, "strength", 1, name="Right", criteria="")
    draft = authoring.save(workspace, draft, blank, "Ida")
    assert [f.place for f in lint(draft.body) if f.severity == "error"] == [
        "taste level 1",
        "strength level 1",
    ]
    with pytest.raises(Refused, match=r"taste level 1 has no criteria.*\(1 more\)"):
        authoring.publish(workspace, draft, message="Blank", author="Ida")
    assert workspace.store.policy(NAME).version == 1


def test_ids_that_go_are_carried_on_as_retired_from_version_to_version(workspace: Workspace) -> None:
    draft = authoring.open_draft(workspace, NAME, "Ida")
    draft = authoring.save(workspace, draft, retire_clause(draft.body, "taste.2"), "Ida")
    assert authoring.publish(workspace, draft, message="Out", author="Ida").retired == ("taste.3", "taste.2")
    draft = authoring.open_draft(workspace, NAME, "Ida")
    draft = authoring.save(workspace, draft, edit(draft.body, retired=(), title="T"), "Ida")
    third = authoring.publish(workspace, draft, message="Forgetful", author="Ida")
    assert third.retired == ("taste.3", "taste.2")


def test_a_draft_of_an_older_version_is_merged_when_it_is_published(workspace: Workspace) -> None:
    draft = changed_draft(workspace)
    workspace.store.add_policy(version(2, purpose="Somebody else's purpose.", author="Bo"))
    newest, changes = authoring.incoming(workspace, draft) or (None, ())
    assert newest is not None
    assert (newest.version, [c.id for c in changes]) == (2, ["purpose"])
    policy = authoring.publish(workspace, draft, message="Mine", author="Ida")
    assert (policy.version, policy.parent) == (3, 2)
    assert (policy.title, policy.purpose) == ("Does this tea suit this guest?", "Somebody else's purpose.")


def test_a_version_that_changed_the_same_part_is_settled_part_by_part(workspace: Workspace) -> None:
    draft = changed_draft(workspace)
    workspace.store.add_policy(version(2, title="Somebody else's title", author="Bo"))
    with pytest.raises(
        EditConflict, match="tea-match v2, published by Bo, changed title otherwise"
    ) as caught:
        authoring.publish(workspace, draft, message="Mine", author="Ida")
    assert not (workspace.root / "policies" / NAME / "v3.yaml").exists()
    clash = caught.value
    (conflict,) = clash.merged.conflicts
    assert (conflict.base, conflict.theirs, conflict.mine) == (
        "Is this tea right for this guest?",
        "Somebody else's title",
        "Does this tea suit this guest?",
    )
    with pytest.raises(BadInput, match="title is not settled yet"):
        authoring.settle(workspace, clash, {}, "Ida")
    settled = authoring.settle(workspace, clash, {conflict.place: "mine"}, "Ida")
    assert (settled.base_version, settled.body.title) == (2, "Does this tea suit this guest?")
    assert authoring.incoming(workspace, settled) is None
    assert authoring.publish(workspace, settled, message="Mine", author="Ida").version == 3


def test_a_newer_version_is_brought_into_a_draft(workspace: Workspace) -> None:
    draft = changed_draft(workspace)
    assert authoring.bring_up_to_date(workspace, draft, "Ida") == draft  # there is none
    workspace.store.add_policy(version(2, purpose="New.", author="Bo"))
    current = authoring.bring_up_to_date(workspace, draft, "Ida")
    assert (current.base_version, current.body.purpose) == (2, "New.")
    assert [c.id for c in diff(authoring.base_body(workspace, current), current.body)] == ["title"]


def test_what_a_colleague_saved_meanwhile_is_not_published_over(workspace: Workspace) -> None:
    seen = changed_draft(workspace)
    authoring.save(workspace, seen, edit(seen.body, purpose="By Bo."), "Bo")
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
