"""The difference between two snapshots, and the verbs that read, compare and export them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from golden_samples import label as shop_label
from typer.testing import CliRunner
from workspace_samples import NAME, golden_set, label, pair

from workbench.cli import app
from workbench.errors import BadInput, NotFound
from workbench.golden import NOT_GRADED, GoldenSet, Label, Pair, Split, label_table
from workbench.golden_diff import GradeChange, Move, compare_snapshots
from workbench.golden_export import write_export
from workbench.golden_history import (
    diff_data,
    diff_lines,
    export_bytes,
    export_golden,
    labelled_dimensions,
    read_reference,
    snapshot_diff,
    working_set,
)
from workbench.labelling import publish_golden
from workbench.workspace import Workspace

A, B, C, D = (pair(f"wish {i}", f"tea {i}") for i in range(4))


def snapshot(version: int, members: list[tuple[Pair, Split]], labels: list[Label]) -> GoldenSet:
    return GoldenSet(
        name="tea",
        version=version,
        policy=NAME,
        pairs=tuple(p for p, _ in members),
        splits={p.id: split for p, split in members},
        labels=label_table(labels),
    )


FIRST = [label(A, "taste", 2), label(B, "taste", 0), label(B, "strength", 1)]


def test_a_difference_by_hand() -> None:
    before = snapshot(1, [(A, "dev"), (B, "dev"), (C, "holdout")], FIRST)
    # bob makes A a tie of 2 and 1: the lower median is 1. B's newer label is another; C has its first one.
    later = [label(A, "taste", 1, "bob", 1), label(B, "taste", 1, minute=1), label(C, "taste", 1, minute=2)]
    after = snapshot(2, [(A, "dev"), (B, "holdout"), (D, "dev"), (C, "holdout")], [*FIRST, *later])
    diff = compare_snapshots(before, after)
    assert (diff.before, diff.after, diff.compared) == ("tea v1", "tea v2", 3)
    assert ([p.id for p in diff.added], diff.removed) == ([D.id], ())
    assert diff.moves == (Move(B.id, "dev", "holdout"),)
    assert diff.breaches == diff.moves
    assert (diff.labels_added, diff.labels_removed) == ({"taste": 3}, {})
    assert diff.changes == (
        GradeChange(A.id, "taste", 2, 1),
        GradeChange(B.id, "taste", 0, 1),
        GradeChange(C.id, "taste", NOT_GRADED, 1),
    )
    assert diff.transitions("taste") == {(NOT_GRADED, 1): 1, (0, 1): 1, (2, 1): 1}
    assert diff.new_labelers == ("bob",)
    assert "1 pairs moved into or out of the holdout" in "\n".join(diff_lines(diff))
    assert diff_data(diff)["changes"][2] == {
        "pair": C.id,
        "dimension": "taste",
        "before": "not settled",
        "after": 1,
    }
    back = compare_snapshots(after, before)
    assert ([p.id for p in back.removed], back.labels_removed) == ([D.id], {"taste": 3})


def test_a_snapshot_does_not_differ_from_itself() -> None:
    same = snapshot(1, [(A, "dev"), (B, "holdout")], FIRST)
    diff = compare_snapshots(same, same)
    assert diff.nothing
    assert (diff.changes, diff.new_labelers) == ((), ())
    assert diff_lines(diff) == ["tea v1 and tea v1 hold the same."]


def test_facts_alone_are_a_difference() -> None:
    changed = A.model_copy(update={"meta": {"country": "cn"}})
    diff = compare_snapshots(snapshot(1, [(A, "dev")], []), snapshot(2, [(changed, "dev")], []))
    assert (diff.reworded, diff.nothing, diff.added) == ((A.id,), False, ())


def test_the_rule_settles_both_sides() -> None:
    # 2, 2, 0, 1: the majority is 2 as before; counts 1, 1, 2 over levels 0-2 have the lower median 1.
    votes = [label(A, "taste", grade, f"p{i}") for i, grade in enumerate([2, 2, 0, 1])]
    before, after = snapshot(1, [(A, "dev")], votes[:1]), snapshot(2, [(A, "dev")], votes)
    assert compare_snapshots(before, after).changes == ()
    found = compare_snapshots(before, after, rule="median").changes
    assert [(x.before, x.after) for x in found] == [(2, 1)]


# Verbs


@pytest.fixture
def twice(workspace: Workspace) -> Workspace:
    """Two snapshots of ``tea``: the second has another label of A by bob."""
    golden_set(workspace, [(A, {"taste": 2}), (B, {"taste": 0})], holdout=[B])
    workspace.store.add_labels("tea", [label(A, "taste", 1, "bob", 5)])
    publish_golden(workspace, "tea", message="bob too", author="Ida")
    return workspace


def test_two_published_snapshots_are_compared(twice: Workspace) -> None:
    diff = snapshot_diff(twice, "tea", 1, 2)
    assert (diff.labels_added, diff.new_labelers) == ({"taste": 1}, ("bob",))
    assert [(x.pair_id, x.before, x.after) for x in diff.changes] == [(A.id, 2, 1)]
    with pytest.raises(NotFound, match="has no version 7"):
        snapshot_diff(twice, "tea", 1, 7)


def test_the_set_as_it_is_now_is_that_of_its_last_snapshot(twice: Workspace) -> None:
    now, last = working_set(twice, "tea"), twice.store.snapshot("tea", 2)
    assert now.content_hash == last.content_hash
    assert now.version == 0
    assert labelled_dimensions(twice, "tea", None) == ["taste"]


def test_an_export_is_logged_and_its_bytes_are_the_file(twice: Workspace, tmp_path: Path) -> None:
    path = export_golden(twice, "tea", 1, "jsonl", tmp_path / "x" / "a.jsonl", author="Ida")
    assert path.read_bytes() == export_bytes(twice, "tea", 1, "jsonl", author="Ida")
    assert len(path.read_text().splitlines()) == 2
    assert len(export_bytes(twice, "tea", None, "jsonl", author="Ida").splitlines()) == 3
    assert export_bytes(twice, "tea", 1, "qrels", dimension="taste", author="Ida").startswith(b"PK")


@pytest.mark.parametrize(
    ("text", "found"), [("tea", ("tea", None)), ("tea@2", ("tea", 2)), ("tea@v12", ("tea", 12))]
)
def test_a_reference_names_a_set_and_a_version(text: str, found: tuple[str, int | None]) -> None:
    assert read_reference(text) == found


@pytest.mark.parametrize("text", ["tea@", "tea@v", "tea@x", "tea@-1", "tea@²"])
def test_a_reference_without_a_number_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is no number of a snapshot"):
        read_reference(text)


def test_the_command_line_compares_and_exports(twice: Workspace, tmp_path: Path) -> None:
    runner = CliRunner()
    said = runner.invoke(app, ["golden", "diff", "tea", "1", "2"])
    assert "tea v1 to tea v2: +0 / -0 pairs, +1 / -0 labels" in said.output
    assert "taste, settled grades changed: 2 to 1: 1" in said.output
    data = json.loads(runner.invoke(app, ["golden", "diff", "tea", "1", "2", "--json"]).output)
    assert data["labels_added"] == {"taste": 1}
    target = tmp_path / "out.json"
    said = runner.invoke(app, ["golden", "export", "tea@1", "--format", "argilla", "-o", str(target)])
    assert said.exit_code == 0
    assert "earlier answers, times and sources are left out" in " ".join(said.output.split())
    assert len(json.loads(target.read_text())) == 2


def test_a_folder_of_qrels_is_imported_on_the_command_line(workspace: Workspace, tmp_path: Path) -> None:
    one = Pair(query={"wishes": "smoky", "mood": ""}, document={"title": "Lapsang", "notes": ""})
    golden = GoldenSet("x", 1, NAME, (one,), {one.id: "dev"}, label_table([shop_label(one, "overall", 1)]))
    write_export(golden, tmp_path / "Teas of 2026", "beir", dimension="overall")
    call = ["golden", "import", str(tmp_path / "Teas of 2026"), "--policy", NAME, "--json"]
    done = json.loads(CliRunner().invoke(app, call).output)
    assert (done["golden"], done["pairs_added"], done["labels_added"]) == ("teas-of-2026", 1, 1)
    labels = workspace.store.labels("teas-of-2026")
    assert labels[["pair_id", "dimension", "grade"]].to_numpy().tolist() == [[one.id, "overall", 1]]


def test_splits_and_adjudications_survive_the_way_through_a_file(twice: Workspace, tmp_path: Path) -> None:
    adjudicated = label(A, "taste", 0, "Ida", 9, source="adjudicated")
    twice.store.add_labels("tea", [adjudicated])
    for key, suffix in (("csv", "csv"), ("label-studio", "json")):
        path = export_golden(twice, "tea", None, key, tmp_path / f"tea-{key}.{suffix}", author="Ida")
        call = ["golden", "import", str(path), "--policy", NAME, "--name", f"again-{key}"]
        assert CliRunner().invoke(app, call).exit_code == 0
        first, second = working_set(twice, "tea"), working_set(twice, f"again-{key}")
        assert second.content_hash == first.content_hash
