"""Labelling: imports that may be repeated, the queue of a labeler, coverage, browsing, snapshots."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from workspace_samples import NAME, label, pair, version

from workbench import labelling
from workbench.column_mapping import ImportSpec
from workbench.documents import read_golden, sync
from workbench.errors import BadInput, NotFound, Refused
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, UNRATEABLE, Label
from workbench.workspace import Workspace

SPEC = ImportSpec.model_validate(
    {
        "golden": "tea",
        "policy": NAME,
        "pairs": {"file": "teas.csv"},
        "query": {"wishes": "wish"},
        "document": {"title": "tea"},
        "meta": {"country": "country"},
        "labels": [
            {"wide": {"columns": {"taste": "taste", "strength": "strength"}, "labeler": "who"}, "na": ["-"]}
        ],
    }
)
CSV = """wish,tea,country,taste,strength,who
smoky,Lapsang,cn,2,1,ann
smoky,Sencha,jp,0,-,ann
mild,Sencha,jp,2,1,ann
mild,Assam,in,1,0,ann
"""


def imported(workspace: Workspace, text: str = CSV, **more: bool) -> labelling.ImportOutcome:
    return labelling.import_golden(workspace, SPEC, {"teas.csv": text.encode()}, author="Ida", **more)


@pytest.fixture
def tea(workspace: Workspace) -> Workspace:
    """The workspace with the four pairs of CSV and ann's labels."""
    imported(workspace)
    return workspace


def ids(workspace: Workspace) -> dict[str, str]:
    """'wish/tea' -> pair id."""
    pairs = workspace.store.pairs(workspace.store.members("tea")["pair_id"].tolist())
    return {f"{p.query['wishes']}/{p.document['title']}": pair_id for pair_id, p in pairs.items()}


# Import


def test_importing_twice_adds_nothing_twice(workspace: Workspace) -> None:
    first = imported(workspace)
    assert (first.golden, first.pairs_added, first.labels_added) == ("tea", 4, 8)
    second = imported(workspace)
    assert (second.pairs_added, second.labels_added) == (0, 0)
    info = workspace.store.golden("tea")
    assert (info.pairs, info.labels, info.labelers, info.policy) == (4, 8, 1, NAME)
    assert workspace.store.pairs([ids(workspace)["mild/Assam"]], "tea")[
        ids(workspace)["mild/Assam"]
    ].meta == {"country": "in"}


def test_another_labelers_file_adds_labels_to_the_same_pairs(tea: Workspace) -> None:
    again = imported(tea, CSV.replace(",ann", ",bob").replace("mild,Assam,in,1,0", "mild,Assam,in,2,"))
    # Eight cells, one of them empty, which is no label.
    assert (again.pairs_added, again.labels_added, again.report.blank) == (0, 7, 1)


def test_an_import_is_whole_or_not_at_all(workspace: Workspace) -> None:
    broken = CSV + "bold,Assam,in,7,1,ann\n"
    with pytest.raises(
        BadInput, match=r"teas.csv, row 6, column taste: '7' is outside the scale of taste, 0–2"
    ):
        imported(workspace, broken)
    assert workspace.store.golden_names() == []
    lenient = imported(workspace, broken, skip_bad_rows=True)
    # The pair of the bad row is a pair all the same, and its strength is a label.
    assert (lenient.pairs_added, lenient.labels_added) == (5, 9)
    assert lenient.report.kinds == {"outside the scale": 1}
    with pytest.raises(BadInput, match="The files hold no pair"):
        imported(workspace, "wish,tea,country,taste,strength,who\n,,,,,x\n", skip_bad_rows=True)


def test_a_set_of_another_policy_is_left_alone(tea: Workspace) -> None:
    tea.store.add_policy(version(1, policy="other"))
    other = SPEC.model_copy(update={"policy": "other"})
    with pytest.raises(Refused, match="'tea' belongs to policy 'tea-match', not 'other'"):
        labelling.import_golden(tea, other, {"teas.csv": CSV.encode()}, author="Ida")
    with pytest.raises(Refused, match="'tea' belongs to policy 'tea-match', not 'other'"):
        labelling.preview_import(tea, other, {"teas.csv": CSV.encode()})
    assert tea.store.golden("tea").labels == 8


def test_a_preview_keeps_nothing(workspace: Workspace) -> None:
    seen = labelling.preview_import(workspace, SPEC, {"teas.csv": CSV.encode()})
    assert (seen.report.pairs, seen.report.labels, len(seen.sample)) == (4, {"human": 8}, 4)
    assert workspace.store.golden_names() == []


# The queue


def test_the_queue_goes_through_all_pairs_in_order_and_ends(tea: Workspace) -> None:
    seen = []
    while task := labelling.next_task(tea, "tea", "bob"):
        assert (task.done, task.total) == (len(seen), 4)
        seen.append(f"{task.pair.query['wishes']}/{task.pair.document['title']}")
        labelling.submit_labels(
            tea, "tea", task.pair.id, {"taste": 1, "strength": 1, "overall": 1}, labeler="bob"
        )
    # ann has labelled all four pairs alike, so they come as they were imported.
    assert seen == ["smoky/Lapsang", "smoky/Sencha", "mild/Sencha", "mild/Assam"]
    assert labelling.next_task(tea, "tea", "bob") is None


def test_pairs_with_few_labelers_come_first(tea: Workspace) -> None:
    known = ids(tea)
    for name in ("smoky/Lapsang", "smoky/Sencha", "mild/Assam"):
        labelling.submit_labels(tea, "tea", known[name], {"taste": 1}, labeler="cem")
    task = labelling.next_task(tea, "tea", "bob")
    assert task is not None
    assert task.pair.id == known["mild/Sencha"]


def test_a_pair_is_done_when_every_dimension_and_the_overall_grade_are_answered(tea: Workspace) -> None:
    first = ids(tea)["smoky/Lapsang"]
    labelling.submit_labels(
        tea, "tea", first, {"taste": 2, "strength": UNRATEABLE}, labeler="bob", note="Hm."
    )
    task = labelling.next_task(tea, "tea", "bob")
    assert task is not None
    assert (task.pair.id, task.done, dict(task.answers), task.note) == (
        first, 0, {"taste": 2, "strength": UNRATEABLE}, "Hm.",
    )  # fmt: skip
    assert labelling.unanswered(task.policy, task.answers) == ["overall"]
    labelling.submit_labels(tea, "tea", first, {"overall": 2}, labeler="bob")
    task = labelling.next_task(tea, "tea", "bob")
    assert task is not None
    assert (task.pair.id != first, task.done) == (True, 1)
    progress = labelling.labeler_progress(tea, "tea")
    # ann has answered the two dimensions of all four pairs, never the overall grade.
    assert progress.to_dict("records") == [
        {"labeler": "ann", "pairs": 4, "finished": 0},
        {"labeler": "bob", "pairs": 1, "finished": 1},
    ]


def test_what_is_skipped_is_not_offered(tea: Workspace) -> None:
    known = ids(tea)
    task = labelling.next_task(tea, "tea", "bob", skipped=[known["smoky/Lapsang"], known["smoky/Sencha"]])
    assert task is not None
    assert (task.pair.id, task.done, task.total) == (known["mild/Sencha"], 0, 4)
    ahead = labelling.upcoming_pair(
        tea, "tea", "bob", skipped=[known["smoky/Lapsang"], known["smoky/Sencha"]]
    )
    assert ahead == task.pair
    assert labelling.upcoming_pair(tea, "tea", "bob", skipped=list(known.values())) is None
    assert labelling.next_task(tea, "tea", "bob", skipped=list(known.values())) is None


def test_a_task_shows_nothing_of_others(tea: Workspace) -> None:
    task = labelling.next_task(tea, "tea", "bob")
    assert task is not None
    assert (dict(task.answers), task.note) == ({}, "")
    own = labelling.open_task(tea, "tea", "ann", task.pair.id)
    assert dict(own.answers) == {"taste": 2, "strength": 1}
    with pytest.raises(NotFound, match="has no pair pair-0"):
        labelling.open_task(tea, "tea", "bob", "pair-0")


def test_a_double_click_adds_nothing_and_a_change_of_mind_is_kept(tea: Workspace) -> None:
    first = ids(tea)["smoky/Lapsang"]
    assert labelling.submit_labels(tea, "tea", first, {"taste": 2, "overall": 2}, labeler="bob") == 2
    assert labelling.submit_labels(tea, "tea", first, {"taste": 2, "overall": 2}, labeler="bob") == 0
    assert labelling.submit_labels(tea, "tea", first, {"taste": 1, "overall": 2}, labeler="bob") == 1
    assert labelling.submit_labels(tea, "tea", first, {"taste": 2}, labeler="bob") == 1
    rows = tea.store.labels("tea", pair_id=first)
    bobs = rows[(rows["labeler"] == "bob") & (rows["dimension"] == "taste")]
    assert bobs["grade"].tolist() == [2, 1, 2]
    assert dict(labelling.open_task(tea, "tea", "bob", first).answers) == {"taste": 2, "overall": 2}


def test_what_is_withdrawn_counts_nowhere(tea: Workspace) -> None:
    first = ids(tea)["smoky/Lapsang"]
    answers = {"taste": 2, "strength": 1, "overall": 2}
    labelling.submit_labels(tea, "tea", first, answers, labeler="bob", note="Hm.")
    assert labelling.withdraw(tea, "tea", first, "bob") == 3
    assert labelling.withdraw(tea, "tea", first, "bob") == 0  # the second click
    task = labelling.open_task(tea, "tea", "bob", first)
    assert (dict(task.answers), task.note, task.done) == ({}, "", 0)
    assert labelling.pace(tea, "tea", "bob").today == 0
    assert labelling.labeler_progress(tea, "tea")["labeler"].tolist() == ["ann"]
    # For cem, the pair has one labeler again (ann), as all others: the first in order comes first.
    following = labelling.next_task(tea, "tea", "cem")
    assert following is not None
    assert following.pair.id == first
    shown, _ = labelling.browse(tea, "tea")
    assert shown.set_index("pair_id").loc[first, ["labelers", "taste", "overall"]].tolist() == [
        1,
        2,
        NOT_GRADED,
    ]
    # Nothing is gone: three answers, and three labels that take them back.
    rows = tea.store.labels("tea", pair_id=first)
    assert rows.loc[rows["labeler"] == "bob", "grade"].tolist() == [2, 1, 2, *[NOT_GRADED] * 3]


def test_what_is_answered_again_after_a_withdrawal_counts(tea: Workspace) -> None:
    first = ids(tea)["smoky/Lapsang"]
    answers = {"taste": 2, "strength": 1, "overall": 2}
    for _ in range(2):
        assert labelling.submit_labels(tea, "tea", first, answers, labeler="bob") == 3
        labelling.withdraw(tea, "tea", first, "bob")
    assert labelling.submit_labels(tea, "tea", first, answers, labeler="bob") == 3
    task = labelling.open_task(tea, "tea", "bob", first)
    assert (dict(task.answers), task.done) == (answers, 1)
    with pytest.raises(NotFound, match="has no pair pair-0"):
        labelling.withdraw(tea, "tea", "pair-0", "bob")


def test_an_adjudication_is_not_what_its_author_said_alone(tea: Workspace) -> None:
    first = ids(tea)["smoky/Lapsang"]
    decided = Label(
        pair_id=first, dimension="taste", grade=0, labeler="bob", at=datetime.now(UTC), source="adjudicated"
    )
    tea.store.add_labels("tea", [decided])
    assert dict(labelling.open_task(tea, "tea", "bob", first).answers) == {}
    assert labelling.withdraw(tea, "tea", first, "bob") == 0
    shown, _ = labelling.browse(tea, "tea")
    assert shown.set_index("pair_id").at[first, "taste"] == 0


def test_the_pace_is_the_median_of_the_last_submits_without_pauses(tea: Workspace) -> None:
    now = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
    known = list(ids(tea).values())
    assert labelling.pace(tea, "tea", "bob", now=now) == labelling.Pace(0, None)

    def send(pair_id: str, at: datetime, *keys: str) -> None:
        tea.store.add_labels(
            "tea", [Label(pair_id=pair_id, dimension=key, grade=1, labeler="bob", at=at) for key in keys]
        )

    whole = ("taste", "strength", "overall")
    # Yesterday 23:50, then 8:00:00 (a night: a pause), 8:00:30, 8:01:40 (in part), 8:01:50.
    send(known[0], datetime(2026, 5, 3, 23, 50, tzinfo=UTC), *whole)
    send(known[1], datetime(2026, 5, 4, 8, 0, 0, tzinfo=UTC), *whole)
    assert labelling.pace(tea, "tea", "bob", now=now) == labelling.Pace(1, None)
    send(known[2], datetime(2026, 5, 4, 8, 0, 30, tzinfo=UTC), *whole)
    send(known[3], datetime(2026, 5, 4, 8, 1, 40, tzinfo=UTC), "taste")
    send(known[1], datetime(2026, 5, 4, 8, 1, 50, tzinfo=UTC), "taste")  # says the same: nothing is added
    found = labelling.pace(tea, "tea", "bob", now=now)
    # Gaps of 30 s and 70 s, median 50 s; finished today: the second and the third pair.
    assert found == labelling.Pace(2, 50.0)
    assert found.time_for(6) == timedelta(minutes=5)
    # Where it is still the 3rd of May (UTC-10: 23:00), all three are of today.
    hawaii = now.astimezone(timezone(timedelta(hours=-10)))
    assert labelling.pace(tea, "tea", "bob", now=hawaii).today == 3


def test_the_pace_looks_at_no_more_than_the_last_twenty_submits(tea: Workspace) -> None:
    start = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
    known = list(ids(tea).values())
    at = start
    # Thirty submits 100 s apart, then nineteen gaps of 10 s: only the latter count.
    for i in range(50):
        tea.store.add_labels(
            "tea", [Label(pair_id=known[i % 4], dimension="taste", grade=i // 4 % 2, labeler="bob", at=at)]
        )
        at += timedelta(seconds=100 if i < 30 else 10)
    assert labelling.pace(tea, "tea", "bob", now=start).seconds == 10.0


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"taste": 3}, "3 is no level of 'taste'. It has 0 to 2."),
        ({"taste": NOT_GRADED}, "-1 is no level of 'taste'."),
        ({"taste": NOT_APPLICABLE}, "'taste' cannot be N/A in tea-match v1."),
        ({"overall": NOT_APPLICABLE}, "'overall' cannot be N/A"),
        ({"strength": 1, "overall": 9}, "9 is no level of 'overall'."),
        ({"aroma": 1}, "No dimension is called 'aroma'."),
        ({}, "No grade was chosen."),
    ],
)
def test_a_wrong_answer_is_refused_and_nothing_kept(
    tea: Workspace, answers: dict[str, int], message: str
) -> None:
    with pytest.raises((BadInput, NotFound)) as caught:
        labelling.submit_labels(tea, "tea", ids(tea)["mild/Assam"], answers, labeler="bob")
    assert message in str(caught.value)
    assert tea.store.golden("tea").labels == 8


def test_answers_about_a_pair_of_another_set_are_refused(tea: Workspace) -> None:
    stranger = pair("odd", "Puer")
    with pytest.raises(NotFound, match="not in golden set 'tea'"):
        labelling.submit_labels(tea, "tea", stranger.id, {"taste": 1}, labeler="bob")
    assert tea.store.golden("tea").labels == 8


# Coverage and browsing


def test_coverage_counts_settled_pairs_by_level(tea: Workspace) -> None:
    cover = labelling.golden_coverage(tea, "tea")
    assert (cover.pairs, cover.queries, cover.labelers) == (4, 2, ("ann",))
    assert cover.counts.columns.tolist() == [0, 1, 2, NOT_APPLICABLE, NOT_GRADED]
    # taste: 2, 0, 2, 1; strength: 1, N/A, 1, 0. Strength has no level 2.
    assert cover.counts.loc["taste"].tolist() == [1, 1, 2, 0, 0]
    assert cover.counts.loc["strength"].tolist() == [1, 2, 0, 1, 0]
    assert labelling.empty_levels(tea.store.policy(NAME), cover) == {}
    labelling.submit_labels(tea, "tea", ids(tea)["mild/Assam"], {"taste": 2, "overall": 2}, labeler="ann")
    again = labelling.golden_coverage(tea, "tea")
    assert again.counts.loc["overall"].tolist() == [0, 0, 1, 0, 3]
    assert labelling.empty_levels(tea.store.policy(NAME), again) == {"taste": [1], "overall": [0, 1]}


def test_coverage_of_one_split_is_of_its_pairs(tea: Workspace) -> None:
    parts = [labelling.golden_coverage(tea, "tea", split=split) for split in ("dev", "holdout")]
    assert sum(part.pairs for part in parts) == 4
    # Two queries with two pairs each; 0.3 of two queries is rounded to one in the holdout.
    assert [(part.pairs, part.queries) for part in parts] == [(2, 1), (2, 1)]
    figures = labelling.golden_figures(tea, "tea")
    assert (dict(figures.pairs), dict(figures.queries)) == (
        {"dev": 2, "holdout": 2},
        {"dev": 1, "holdout": 1},
    )
    assert figures.snapshots == ()
    with pytest.raises(NotFound, match="No golden set is called 'coffee'"):
        labelling.golden_figures(tea, "coffee")


def test_an_empty_set_has_a_coverage_of_nothing(workspace: Workspace) -> None:
    workspace.store.create_golden("tea", NAME)
    cover = labelling.golden_coverage(workspace, "tea")
    assert (cover.pairs, cover.queries, cover.labelers, int(cover.counts.to_numpy().sum())) == (0, 0, (), 0)
    assert labelling.next_task(workspace, "tea", "bob") is None
    frame, found = labelling.browse(workspace, "tea")
    assert (len(frame), found) == (0, 0)


def test_browsing_pages_and_searches(tea: Workspace) -> None:
    first, found = labelling.browse(tea, "tea", size=3)
    assert (found, first["tea"].tolist()) == (4, ["Lapsang", "Sencha", "Sencha"])
    assert first["taste"].tolist() == [2, 0, 2]
    assert first["strength"].tolist() == [1, NOT_APPLICABLE, 1]
    assert first["overall"].tolist() == [NOT_GRADED] * 3
    assert first["labelers"].tolist() == [1, 1, 1]
    last, found = labelling.browse(tea, "tea", size=3, page=1)
    assert (found, last["tea"].tolist(), last["guest"].tolist()) == (4, ["Assam"], ["mild"])
    beyond, found = labelling.browse(tea, "tea", size=3, page=9)
    assert (len(beyond), found) == (0, 4)
    sencha, found = labelling.browse(tea, "tea", text=" SENCHA ")
    assert (found, sencha["guest"].tolist()) == (2, ["smoky", "mild"])
    nothing, found = labelling.browse(tea, "tea", text="100%")
    assert (len(nothing), found) == (0, 0)
    dev, dev_found = labelling.browse(tea, "tea", split="dev")
    assert (dev_found, set(dev["split"])) == (2, {"dev"})


# Snapshots


def test_a_snapshot_on_disk_equals_the_one_in_the_store(tea: Workspace) -> None:
    labelling.submit_labels(
        tea, "tea", ids(tea)["mild/Assam"], {"taste": 2}, labeler="böb", note="A „note“\nof two"
    )
    golden = labelling.publish_golden(tea, "tea", message=" First. ", author="Ida")
    assert (golden.label, len(golden.pairs), len(golden.labels)) == ("tea v1", 4, 9)
    kept = tea.store.snapshot("tea", 1)
    file, card = read_golden(tea.root / "golden_sets" / "tea" / "v1")
    assert golden.content_hash == kept.content_hash == file.content_hash
    assert kept.pairs == file.pairs == golden.pairs
    assert dict(kept.splits) == dict(file.splits) == dict(golden.splits)
    assert (card.message, card.author, card.policy) == ("First.", "Ida", NAME)
    report = sync(tea.root, tea.store)
    assert (report.added, report.problems) == ((), ())


def test_publishing_needs_a_message_pairs_and_a_change(tea: Workspace) -> None:
    with pytest.raises(BadInput, match="A snapshot needs a message"):
        labelling.publish_golden(tea, "tea", message=" ", author="Ida")
    labelling.publish_golden(tea, "tea", message="First", author="Ida")
    with pytest.raises(Refused, match="Nothing changed since tea v1"):
        labelling.publish_golden(tea, "tea", message="Again", author="Ida")
    tea.store.create_golden("empty", NAME)
    with pytest.raises(BadInput, match="Golden set 'empty' has no pairs"):
        labelling.publish_golden(tea, "empty", message="Nothing", author="Ida")
    with pytest.raises(NotFound, match="No golden set is called 'coffee'"):
        labelling.publish_golden(tea, "coffee", message="x", author="Ida")
    assert tea.store.golden("tea").snapshots == (1,)
    assert sorted(path.name for path in (tea.root / "golden_sets").iterdir()) == ["tea"]


def test_a_snapshot_does_not_move_with_later_labels(tea: Workspace) -> None:
    labelling.publish_golden(tea, "tea", message="First", author="Ida")
    some = tea.store.pairs([ids(tea)["mild/Assam"]])[ids(tea)["mild/Assam"]]
    tea.store.add_labels("tea", [label(some, "taste", 0, "bob")])
    second = labelling.publish_golden(tea, "tea", message="Bob's label", author="Ida")
    assert (second.version, len(second.labels)) == (2, 9)
    assert len(tea.store.snapshot("tea", 1).labels) == 8
    assert [s.version for s in labelling.golden_figures(tea, "tea").snapshots] == [2, 1]


def test_a_new_database_reads_the_snapshot_back(tea: Workspace, tmp_path: Path) -> None:
    from workbench.store import Store

    golden = labelling.publish_golden(tea, "tea", message="First", author="Ida")
    other = Store(f"sqlite:///{tmp_path / 'other.db'}")
    try:
        report = sync(tea.root, other)
        assert (report.added, report.problems) == (("policy tea-match v1", "golden set tea v1"), ())
        assert other.snapshot("tea").content_hash == golden.content_hash
        assert other.golden("tea").labels == 8
    finally:
        other.close()
