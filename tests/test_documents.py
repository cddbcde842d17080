"""The document folders: written whole or not at all, read back equal, altered files named and never overwritten."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from policy_samples import TEXT, body

from workbench import documents
from workbench.documents import (
    parse_policy,
    read_golden,
    read_policy,
    store_golden,
    sync,
    write_golden,
    write_policy,
)
from workbench.errors import BadInput, NotFound, Refused
from workbench.files import read_text, write_text
from workbench.golden import NOT_APPLICABLE, UNRATEABLE, GoldenSet, Label, Pair, Split, label_table
from workbench.policy import Policy
from workbench.store import Store

ROOT = Path(__file__).parents[1]
AT = datetime(2026, 1, 1, 9, 0, 0, 123, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    opened = Store(f"sqlite:///{tmp_path / 'var' / 'w.db'}")
    yield opened
    opened.close()


def tea(version: int = 1, title: str = "Tea?") -> Policy:
    return Policy.publish(body(title=title), policy="tea-match", version=version, author="ann", message="why")


def pair(query: str, document: str = "d", **meta: str) -> Pair:
    return Pair(query={"wish": query}, document={"title": document}, meta=meta)


def golden(
    *pairs: Pair, version: int = 1, split: Split = "dev", labels: list[Label] | None = None
) -> GoldenSet:
    made = [
        Label(pair_id=p.id, dimension="taste", grade=g, labeler="ann", at=AT, note=n, source=s)
        for p in pairs
        for g, n, s in [(2, "ä, \u2028 and\nmore", "human")]
    ]
    splits = {p.id: split for p in pairs}
    table = label_table(made if labels is None else labels)
    return GoldenSet("tea", version, "tea-match", pairs, splits, table, description="# Tea\n\nAll of it.")


ODD = [
    pair("line separators \u2028 \u2029 \x85 \x0b \x0c \x1c in a text", country="DE"),
    pair("two\nlines", "tab\there"),
    pair('quotes " and \\ and 漢 🍵', ""),
    pair("half a pair \ud83d"),
    pair("nul \x00"),
]


# Files


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.txt"
    write_text(path, "old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(OSError, match="disk full"):
                write_text(path, "new, and longer")
        assert path.read_text() == "old"
        assert os.listdir(tmp_path) == ["f.txt"]
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half \ud83d")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["f.txt"]


def test_a_write_makes_folders_and_keeps_every_character(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "f.txt"
    write_text(path, "ä\n漢\u2028🍵\n")
    assert path.read_bytes() == "ä\n漢\u2028🍵\n".encode()
    write_text(path, "")
    assert path.read_bytes() == b""


def test_a_byte_order_mark_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "f.txt").write_bytes(b"\xef\xbb\xbfpolicy")
    assert read_text(tmp_path / "f.txt") == "policy"


# Policies


def test_a_policy_is_written_once(tmp_path: Path) -> None:
    path = write_policy(tmp_path, tea())
    assert path == tmp_path / "tea-match" / "v1.yaml"
    assert read_policy(path) == tea()
    stamp = path.stat().st_mtime_ns
    assert write_policy(tmp_path, tea()) == path
    assert path.stat().st_mtime_ns == stamp
    with pytest.raises(Refused, match=r"v1\.yaml exists and says something else"):
        write_policy(tmp_path, tea(title="Other?"))
    assert read_policy(path) == tea()


def test_a_policy_file_laid_out_by_hand_is_the_same_document(tmp_path: Path) -> None:
    path = tmp_path / "tea-match" / "v1.yaml"
    write_text(path, TEXT)
    assert write_policy(tmp_path, parse_policy(TEXT, "t")) == path
    assert path.read_text() == TEXT


# Golden sets


def test_a_golden_set_comes_back_equal(tmp_path: Path) -> None:
    labels = [
        Label(pair_id=ODD[0].id, dimension="taste", grade=grade, labeler=who, at=AT, note=note, source=source)
        for grade, who, note, source in [
            (2, "ann", "ä \u2028", "human"),
            (NOT_APPLICABLE, "bob", "", "adjudicated"),
            (UNRATEABLE, "cem", "two\nlines", "import"),
        ]
    ]
    one = golden(*ODD, split="holdout", labels=labels)
    folder = write_golden(tmp_path, one, message="first", author="ann")
    assert folder == tmp_path / "tea" / "v1"
    again, card = read_golden(folder)
    assert again.content_hash == one.content_hash
    assert again.pairs == one.pairs
    assert again.splits == one.splits
    assert again.labels.equals(one.labels)
    assert (again.name, again.version, again.policy, again.sample) == ("tea", 1, "tea-match", False)
    assert again.description == "# Tea\n\nAll of it."
    assert (card.message, card.author) == ("first", "ann")
    first = json.loads((folder / "labels.jsonl").read_text().split("\n")[1])
    assert first["grade"] == "N/A"


def test_an_empty_golden_set_comes_back_equal(tmp_path: Path) -> None:
    one = golden()
    again, _ = read_golden(write_golden(tmp_path, one))
    assert again.content_hash == one.content_hash


def test_a_golden_set_is_written_once(tmp_path: Path) -> None:
    one = golden(pair("a"))
    folder = write_golden(tmp_path, one)
    stamps = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert write_golden(tmp_path, one, message="other") == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == stamps
    with pytest.raises(Refused, match=r"v1 exists with other content"):
        write_golden(tmp_path, golden(pair("b")))
    assert read_golden(folder)[0].content_hash == one.content_hash


def test_a_golden_set_whose_writing_broke_off_is_not_there_and_can_be_written_again(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:

    def broken(path: Path, text: str) -> None:
        if path.name == "README.md":
            raise OSError("disk full")
        write_text(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(documents, "write_text", broken)
        with pytest.raises(OSError, match="disk full"):
            write_golden(tmp_path / "golden_sets", golden(pair("a"), pair("b")))
    assert sync(tmp_path, store).added == ()
    write_golden(tmp_path / "golden_sets", golden(pair("a")))
    assert sync(tmp_path, store).added == ("golden set tea v1",)
    assert len(store.snapshot("tea").pairs) == 1


README = "---\ngolden: tea\nversion: 1\npolicy: tea-match\n---\n\nWords.\n"
PAIR = '{"query": {"wish": "a"}, "document": {"title": "d"}, "split": "dev"}\n'
A, B = pair("a").id, pair("b").id
LABEL = (
    f'{{"pair": "{A}", "dimension": "taste", "grade": 1, "labeler": "ann", "at": "2026-01-01T09:00:00Z"}}\n'
)


def write_folder(root: Path, readme: str = README, pairs: str = PAIR, labels: str = LABEL) -> Path:
    folder = root / "golden_sets" / "tea" / "v1"
    for name, text in (("README.md", readme), ("pairs.jsonl", pairs), ("labels.jsonl", labels)):
        write_text(folder / name, text)
    return folder


def test_a_folder_written_by_hand_is_read(tmp_path: Path) -> None:
    one, card = read_golden(write_folder(tmp_path, pairs="\n" + PAIR + "  \n"))
    assert one.pairs == (pair("a"),)
    assert one.labels[["grade", "source", "note"]].values.tolist() == [[1, "human", ""]]
    assert (card.golden, one.description) == ("tea", "Words.")


def edited(line: str, **changes: Any) -> str:
    return json.dumps({**json.loads(line), **changes}) + "\n"


@pytest.mark.parametrize(
    ("files", "place", "says"),
    [
        ({"pairs": PAIR + "{\n"}, "pairs.jsonl, line 2", "not JSON"),
        ({"pairs": PAIR + "[" * 100_000 + "\n"}, "pairs.jsonl, line 2", "not JSON"),
        ({"pairs": PAIR + "[]\n"}, "pairs.jsonl, line 2", "is not a document with keys"),
        ({"pairs": "\n" + PAIR + PAIR}, "pairs.jsonl, line 3", "this pair is there twice"),
        ({"pairs": PAIR + edited(PAIR, document={"title": "e"}, split="holdout")}, "pairs.jsonl, line 2", "its query is in dev above and in holdout here"),
        ({"pairs": edited(PAIR, split="test")}, "pairs.jsonl, line 1", "at split: Input should be 'dev' or 'holdout'"),
        ({"pairs": edited(PAIR, query={"wish": 3})}, "pairs.jsonl, line 1", "at query.wish: Input should be a valid string (it is 3)"),
        ({"pairs": edited(PAIR, colour="red")}, "pairs.jsonl, line 1", "at colour: this key is not known here"),
        ({"pairs": edited(PAIR, id="pair-0")}, "pairs.jsonl, line 1", "the id is not that of the content"),
        ({"labels": LABEL + "x\n"}, "labels.jsonl, line 2", "not JSON"),
        ({"labels": "3\n"}, "labels.jsonl, line 1", "not a JSON object"),
        ({"labels": edited(LABEL, pair=B)}, "labels.jsonl, line 1", "labels a pair that is not in pairs.jsonl"),
        ({"labels": edited(LABEL, grade="good")}, "labels.jsonl, line 1", "at grade: Input should be a valid integer"),
        ({"labels": edited(LABEL, grade=-4)}, "labels.jsonl, line 1", "at grade: Input should be greater than or equal to -3"),
        ({"labels": edited(LABEL, at="2026-01-01T09:00:00")}, "labels.jsonl, line 1", "a label needs a time with a zone"),
        ({"labels": edited(LABEL, at="soon")}, "labels.jsonl, line 1", "at at"),
        ({"labels": edited(LABEL, labeler=" ")}, "labels.jsonl, line 1", "at labeler"),
        ({"readme": "# Tea\n"}, "README.md", "has no front matter"),
        ({"readme": README.replace("version: 1", "version: one")}, "README.md, line 3", "at version"),
        ({"readme": README.replace("policy: tea-match\n", "")}, "README.md, line 2", "at policy: Field required"),
        ({"readme": README.replace("version: 1", "version: 2")}, "v1", "says it is tea v2"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_golden_set_is_named_with_file_and_line(
    tmp_path: Path, store: Store, files: dict[str, str], place: str, says: str
) -> None:
    folder = write_folder(tmp_path, **files)
    with pytest.raises(BadInput) as caught:
        read_golden(folder)
    assert caught.value.message.startswith(f"{folder / place}" if place != "v1" else f"{folder} ")
    assert says in caught.value.message
    assert caught.value.hint
    report = sync(tmp_path, store)  # and the others would still be read
    assert (report.added, report.problems) == ((), (str(caught.value),))


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / "labels.jsonl").unlink()
    with pytest.raises(NotFound, match=r"There is no file .*labels\.jsonl"):
        read_golden(folder)


# Sync


def test_the_shipped_folders_are_read_and_reading_them_again_changes_nothing(store: Store) -> None:
    report = sync(ROOT, store)
    assert report.problems == ()
    assert report.added[:3] == ("policy job-match v1", "policy job-match v2", "policy job-match v3")
    for folder in sorted((ROOT / "golden_sets").glob("*/v*")):
        one, card = read_golden(folder)
        assert store.snapshot(card.golden, card.version).content_hash == one.content_hash
        assert len(store.labels(card.golden)) >= len(one.labels)
    again = sync(ROOT, store)
    assert (again.added, again.unchanged, again.problems) == ((), len(report.added), ())


def test_versions_are_read_in_order_of_their_numbers(tmp_path: Path, store: Store) -> None:
    for number in (10, 9, 1):
        write_policy(tmp_path / "policies", tea(number))
    assert sync(tmp_path, store).added == (
        "policy tea-match v1",
        "policy tea-match v9",
        "policy tea-match v10",
    )


def test_an_altered_policy_is_named_and_nothing_is_overwritten(tmp_path: Path, store: Store) -> None:
    path = write_policy(tmp_path / "policies", tea())
    sync(tmp_path, store)
    altered = path.read_text().replace("Smoke counts as a taste.", "Smoke does not count.")
    path.write_text(altered)
    write_policy(tmp_path / "policies", tea(2))
    report = sync(tmp_path, store)
    assert report.added == ("policy tea-match v2",)
    assert len(report.problems) == 1
    assert report.problems[0].startswith(
        f"{path} was altered after it was published: tea-match v1 is already"
    )
    assert store.policy("tea-match", 1) == tea()
    assert path.read_text() == altered
    with pytest.raises(Refused, match="says something else"):
        write_policy(tmp_path / "policies", tea())
    assert path.read_text() == altered


def test_a_malformed_policy_is_named_and_the_others_are_read(tmp_path: Path, store: Store) -> None:
    write_policy(tmp_path / "policies", tea())
    bad = tmp_path / "policies" / "tea-match" / "v2.yaml"
    bad.write_bytes(b"\xff\xfe")
    worse = tmp_path / "policies" / "tea-match" / "v3.yaml"
    worse.mkdir()
    misplaced = tmp_path / "policies" / "coffee" / "v1.yaml"
    write_text(misplaced, TEXT)
    report = sync(tmp_path, store)
    assert report.added == ("policy tea-match v1",)
    assert [problem.split(" ")[0] for problem in report.problems] == [str(misplaced), str(bad), str(worse)]


@pytest.mark.parametrize("file", ["labels.jsonl", "pairs.jsonl"])
def test_an_altered_golden_set_is_named_and_nothing_is_overwritten(
    tmp_path: Path, store: Store, file: str
) -> None:
    one = golden(pair("a", country="DE"), pair("b"))
    folder = write_golden(tmp_path / "golden_sets", one)
    assert sync(tmp_path, store).added == ("golden set tea v1",)
    path = folder / file
    old, new = {"labels.jsonl": ('"grade": 2', '"grade": 0'), "pairs.jsonl": ('"DE"', '"SE"')}[file]
    altered = path.read_text(encoding="utf-8").replace(old, new)
    path.write_text(altered, encoding="utf-8")
    report = sync(tmp_path, store)
    assert report.added == ()
    assert len(report.problems) == 1
    assert report.problems[0].startswith(
        f"{folder} was altered after it was published: tea v1 has other content"
    )
    assert store.snapshot("tea").content_hash == one.content_hash
    assert len(store.labels("tea")) == 2
    assert path.read_text(encoding="utf-8") == altered


def test_a_snapshot_comes_back_equal_through_files_and_store(tmp_path: Path, store: Store) -> None:
    one = golden(*ODD, split="holdout")
    folder = write_golden(tmp_path / "golden_sets", one)
    sync(tmp_path, store)
    kept = store.snapshot("tea")
    assert kept.content_hash == one.content_hash == store.snapshot_hash("tea", 1)
    elsewhere = write_golden(tmp_path / "elsewhere", kept)
    for name in ("pairs.jsonl", "labels.jsonl"):
        assert (elsewhere / name).read_bytes() == (folder / name).read_bytes()
    store.add_labels("tea", golden(*ODD).labels.assign(grade=0, at=datetime(2026, 2, 1, tzinfo=UTC)))
    assert store.snapshot("tea").content_hash == one.content_hash
    assert sync(tmp_path, store).unchanged == 1


def test_a_later_snapshot_may_bring_pairs_and_metadata_but_not_move_the_split(
    tmp_path: Path, store: Store
) -> None:
    write_golden(tmp_path / "golden_sets", golden(pair("a", country="DE"), split="holdout"))
    two = golden(pair("a", country="SE"), pair("b"), version=2, split="holdout")
    write_golden(tmp_path / "golden_sets", two)
    three = golden(pair("a"), pair("c"), version=3, split="dev")  # "a" was held out
    write_golden(tmp_path / "golden_sets", three)
    report = sync(tmp_path, store)
    assert report.added == ("golden set tea v1", "golden set tea v2")
    assert store.snapshot("tea", 2).content_hash == two.content_hash
    assert len(report.problems) == 1
    assert report.problems[0].startswith("tea v3 puts 1 pairs on the other side of the split")
    assert pair("a").id in report.problems[0]
    assert store.query_splits("tea") == {pair("a").query_id: "holdout", pair("b").query_id: "holdout"}
    assert store.golden("tea").snapshots == (1, 2)


def test_a_golden_set_of_another_policy_is_named(tmp_path: Path, store: Store) -> None:
    store.create_golden("tea", "other")
    write_golden(tmp_path / "golden_sets", golden(pair("a")))
    report = sync(tmp_path, store)
    assert report.added == ()
    assert "belongs to policy 'other'" in report.problems[0]


def test_reading_a_golden_set_that_broke_off_goes_on(tmp_path: Path, store: Store) -> None:
    one = golden(pair("a"), pair("b"))
    folder = write_golden(tmp_path / "golden_sets", one)
    again, card = read_golden(folder)
    store.create_golden("tea", "tea-match")
    store.add_pairs("tea", again.pairs[:1], again.splits)  # killed here
    assert store_golden(store, again, card) is True
    assert store_golden(store, again, card) is False
    assert store.snapshot("tea").content_hash == one.content_hash


def test_a_folder_without_documents_is_in_order(tmp_path: Path, store: Store) -> None:
    assert sync(tmp_path / "nothing", store) == documents.SyncReport()
