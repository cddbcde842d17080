"""Golden sets out: every format read back, formulas defused, written whole or not at all."""

from __future__ import annotations

import csv
import json
import os
import stat
import tempfile
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import yaml
from golden_samples import AT, ODD, POLICY, as_lines, golden_sets, label, out_and_in, read_back
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import BadInput, NotFound, Refused
from workbench.formats import preview, read_import
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, UNRATEABLE, GoldenSet, Pair, label_table
from workbench.golden_export import FORMATS, file_name, write_export
from workbench.golden_rows import defused, restored
from workbench.importing import checked_mapping, guess_mapping

SMALL = [
    Pair(query={"text": "q1", "skills": ""}, document={"title": "=1+1", "body": "b1"}, meta={"city": "Graz"}),
    Pair(query={"text": "q1", "skills": ""}, document={"title": "-2", "body": "b2"}, meta={"city": "@home"}),
    Pair(query={"text": "q2", "skills": "s"}, document={"title": "T", "body": "b1"}),
]


def small() -> GoldenSet:
    """Three pairs over two queries; ann and bob grade the first, ann the second, nobody the third."""
    first, second, third = SMALL
    labels = [
        label(first, "skills", 2, note="=cmd"),
        label(first, "skills", 1, "bob", 1),
        label(first, "skills", 1, "cat", 2),
        label(second, "skills", 0, minute=3),
        label(second, "price", NOT_APPLICABLE, minute=3),
        label(second, "price", UNRATEABLE, "bob", 4),
    ]
    splits = {first.id: "dev", second.id: "dev", third.id: "holdout"}
    return GoldenSet("shop", 3, "shop", tuple(SMALL), splits, label_table(labels))  # type: ignore[arg-type]


# Out and in again


@pytest.mark.parametrize(("key", "suffix"), [("csv", ".csv"), ("jsonl", ".jsonl"), ("parquet", ".parquet")])
@settings(max_examples=25)
@given(golden=golden_sets(unlabelled=True))
def test_a_table_of_labels_comes_back_as_it_was(key: str, suffix: str, golden: GoldenSet) -> None:
    with tempfile.TemporaryDirectory() as folder:
        back = out_and_in(golden, Path(folder), key, suffix)
    assert [(p.id, p.meta) for p in back.pairs] == [(p.id, p.meta) for p in golden.pairs]
    assert as_lines(back.labels) == as_lines(golden.labels)
    assert back.splits == golden.splits


@settings(max_examples=25)
@given(golden=golden_sets(unlabelled=True))
def test_label_studio_comes_back_as_it_was(golden: GoldenSet) -> None:
    with tempfile.TemporaryDirectory() as folder:
        back = out_and_in(golden, Path(folder), "label-studio", ".json")
    assert [(p.id, p.meta) for p in back.pairs] == [(p.id, p.meta) for p in golden.pairs]
    assert as_lines(back.labels) == as_lines(golden.labels)
    assert back.splits == golden.splits


@settings(max_examples=25)
@given(golden=golden_sets(unlabelled=True))
def test_argilla_comes_back_with_the_newest_answers(golden: GoldenSet) -> None:
    with tempfile.TemporaryDirectory() as folder:
        back = out_and_in(golden, Path(folder), "argilla", ".json")
    assert [(p.id, p.meta) for p in back.pairs] == [(p.id, p.meta) for p in golden.pairs]
    ordered = golden.labels.sort_values("at", kind="stable")
    newest = ordered.drop_duplicates(["pair_id", "dimension", "labeler"], keep="last")
    assert as_lines(back.labels, ("at", "note", "source")) == as_lines(newest, ("at", "note", "source"))
    assert back.splits == golden.splits


def test_argilla_keeps_one_note_a_labeler(tmp_path: Path) -> None:
    back = out_and_in(small(), tmp_path, "argilla", ".json")
    notes = {(row.labeler, row.note) for row in back.labels.itertuples() if row.pair_id == SMALL[0].id}
    assert notes == {("ann", "=cmd"), ("bob", ""), ("cat", "")}


@pytest.mark.parametrize("key", ["qrels", "beir"])
def test_qrels_come_back_with_settled_grades(tmp_path: Path, key: str) -> None:
    # skills: 2, 1, 1 settle on 1 by majority; 0 on 0; the third pair has no grade and no line.
    back = out_and_in(small(), tmp_path, key, "", dimension="skills")
    assert [pair.id for pair in back.pairs] == [SMALL[0].id, SMALL[1].id]
    found = back.labels[["pair_id", "grade", "labeler", "source"]].to_numpy().tolist()
    assert found == [[SMALL[0].id, 1, "qrels", "import"], [SMALL[1].id, 0, "qrels", "import"]]


def test_qrels_are_read_by_their_own_tools(tmp_path: Path) -> None:
    golden = small()
    write_export(golden, tmp_path / "trec", "qrels", dimension="skills")
    write_export(golden, tmp_path / "beir", "beir", dimension="skills")
    trec = (tmp_path / "trec" / "qrels" / "dev.qrels").read_text().splitlines()
    beir = (tmp_path / "beir" / "qrels" / "dev.tsv").read_text().splitlines()
    assert [len(line.split(" ")) for line in trec] == [4, 4]
    assert trec[0].split(" ")[1::2] == ["0", "1"]
    assert beir[0] == "query-id\tcorpus-id\tscore"
    queries = [json.loads(line) for line in (tmp_path / "beir" / "queries.jsonl").read_text().splitlines()]
    assert [(row["_id"], row["text"]) for row in queries] == [
        (SMALL[0].query_id, "q1"),
        (SMALL[2].query_id, "q2\n\ns"),
    ]
    corpus = [json.loads(line) for line in (tmp_path / "beir" / "corpus.jsonl").read_text().splitlines()]
    assert {row["_id"] for row in corpus} >= {line.split("\t")[1] for line in beir[1:]}
    assert os.listdir(tmp_path / "trec" / "qrels") == ["dev.qrels"]  # nothing is settled in the holdout


def test_a_settled_table_has_a_row_a_pair(tmp_path: Path) -> None:
    path = write_export(small(), tmp_path / "a.csv", "csv-settled")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["grade_skills"], row["grade_price"]) for row in rows] == [("1", ""), ("0", "N/A"), ("", "")]
    back = read_back(path)
    assert [pair.id for pair in back.pairs] == [pair.id for pair in SMALL]
    assert as_lines(back.labels, ("pair_id", "at")) == [
        ("price", NOT_APPLICABLE, "settled", "", "import"),
        ("skills", 0, "settled", "", "import"),
        ("skills", 1, "settled", "", "import"),
    ]


def test_a_datasets_folder_names_its_files_and_types(tmp_path: Path) -> None:
    target = write_export(small(), tmp_path / "hub", "datasets")
    front = yaml.safe_load((target / "README.md").read_text().split("---\n")[1])
    for config in front["configs"]:
        for entry in config["data_files"]:
            assert (target / entry["path"]).is_file()
    assert [config["config_name"] for config in front["configs"]] == ["default", "labels"]
    assert [entry["split"] for entry in front["configs"][0]["data_files"]] == ["dev", "holdout"]
    dev = pd.read_parquet(target / "data" / "dev.parquet")
    holdout = pd.read_parquet(target / "data" / "holdout.parquet")
    assert dev["grade_skills"].tolist() == [1, 0]
    assert (len(holdout), holdout["grade_skills"].isna().all()) == (1, True)
    assert len(pd.read_parquet(target / "labels" / "dev.parquet")) == 6
    back = read_back(target / "labels" / "dev.parquet")
    assert set(back.splits.values()) == {"dev"}
    assert as_lines(back.labels) == as_lines(small().labels)


SPLIT_ROWS = "pair_id,split,query_text,document_title,dimension,grade,labeler,at,note,source\n"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["p,dev,q,a", "p,train,q,b"], "row 3, column split: 'train' is no split."),
        (["p,dev,q,a", "p,,q,b"], "row 3, column split: '' is no split."),
        (["p,dev,q,a", "p,dev,r,a", "p,holdout,q,b"], "row 4, column split: its query is in dev in row 2."),
    ],
)
def test_a_wrong_split_is_a_problem_of_its_row(rows: list[str], said: str) -> None:
    text = SPLIT_ROWS + "".join(f"{row},skills,1,ann,,,\n" for row in rows)
    mapping = guess_mapping(text.encode(), "a.csv", POLICY).mapping | {"split": "split"}
    with pytest.raises(BadInput, match=r"a\.csv, ") as caught:
        read_import(checked_mapping(mapping), {"a.csv": text.encode()}, POLICY, AT)
    assert said in str(caught.value)


def test_a_wrong_source_is_a_problem_of_its_row() -> None:
    text = SPLIT_ROWS + "p,dev,q,a,skills,1,ann,,,\np,dev,q,b,skills,1,ann,,,robot\n"
    mapping = guess_mapping(text.encode(), "a.csv", POLICY).mapping
    with pytest.raises(BadInput, match="row 3, column source: 'robot' is no source"):
        read_import(checked_mapping(mapping), {"a.csv": text.encode()}, POLICY, AT)


def test_a_row_with_a_labeler_or_a_grade_is_a_label() -> None:
    # Row 3 is a pair without a label; rows 4 and 5 lack parts of one.
    rows = ["p,dev,q,a,skills,1,ann,,,", "p,dev,q,b,,,,,,", "p,dev,q,c,,,ann,,,", "p,dev,q,d,skills,,,,,"]
    text = SPLIT_ROWS + "".join(f"{row}\n" for row in rows)
    spec = checked_mapping(guess_mapping(text.encode(), "a.csv", POLICY).mapping)
    report = preview(spec, {"a.csv": text.encode()}, POLICY).report
    assert (report.pairs, report.labels) == (4, {"human": 1})
    assert [(x.row, x.kind) for x in report.problems] == [(4, "unknown dimension"), (5, "no grade")]


# Formulas


@given(st.text() | st.sampled_from(ODD))
def test_a_defused_text_is_no_formula_and_comes_back(text: str) -> None:
    assert not defused(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert restored(defused(text)) == text


def test_no_cell_of_a_csv_is_a_formula_and_numbers_stay_numbers(tmp_path: Path) -> None:
    path = write_export(small(), tmp_path / "a.csv", "csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["document_title"] for row in rows[:4]] == ["'=1+1", "'=1+1", "'=1+1", "'-2"]
    assert rows[0]["note"] == "'=cmd"
    assert rows[3]["meta_city"] == "'@home"
    assert [row["grade"] for row in rows] == ["2", "1", "1", "0", "N/A", "unrateable", ""]


def test_quotes_in_somebody_elses_file_are_theirs(tmp_path: Path) -> None:
    (tmp_path / "theirs.csv").write_text("text,title,body,skills,labeler\nq,'=1,b,2,ann\n")
    assert read_back(tmp_path / "theirs.csv").pairs[0].document["title"] == "'=1"


# Withdrawn labels


def test_a_withdrawn_label_and_what_it_withdrew_are_left_out(tmp_path: Path) -> None:
    golden = small()
    extra = golden.labels.iloc[[1, 1]].assign(
        at=[pd.Timestamp(AT) + pd.Timedelta(hours=1), pd.Timestamp(AT) + pd.Timedelta(hours=2)],
        grade=[NOT_GRADED, 0],
    )
    withdrawn = pd.concat([golden.labels, extra.iloc[[0]]], ignore_index=True)
    again = pd.concat([golden.labels, extra], ignore_index=True)
    for name, labels, grades in (("w", withdrawn, []), ("a", again, [0])):
        changed = GoldenSet("shop", 3, "shop", golden.pairs[:2], golden.splits, labels)
        back = read_back(write_export(changed, tmp_path / f"{name}.jsonl", "jsonl")).labels
        assert (
            back.loc[back["labeler"].eq("bob") & back["dimension"].eq("skills"), "grade"].tolist() == grades
        )


# Whole or not at all


@pytest.mark.parametrize("key", FORMATS)
def test_every_format_is_written_with_plain_rights_and_nothing_beside_it(tmp_path: Path, key: str) -> None:
    dimension = "skills" if FORMATS[key].needs_dimension else ""
    golden = small()
    target = write_export(golden, tmp_path / file_name("shop", 3, key), key, dimension=dimension)
    assert os.listdir(tmp_path) == [target.name]
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert target.name.startswith(f"shop-v3-{key}.")
    if not FORMATS[key].suffix:
        assert len(zipfile.ZipFile(target).namelist()) > 2


def test_a_failed_export_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text("old")

    def broken(*_: object) -> None:
        raise RuntimeError("disk")

    monkeypatch.setattr("workbench.golden_tables.csv.writer", broken)
    with pytest.raises(RuntimeError):
        write_export(small(), tmp_path / "a.csv", "csv")
    assert os.listdir(tmp_path) == ["a.csv"]
    assert (tmp_path / "a.csv").read_text() == "old"


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "mine.txt").write_text("mine")
    with pytest.raises(Refused, match="is there already"):
        write_export(small(), tmp_path / "x", "datasets")
    assert os.listdir(tmp_path / "x") == ["mine.txt"]


@pytest.mark.parametrize(
    ("key", "dimension", "kind", "said"),
    [
        ("xml", "", NotFound, "No format is called 'xml'"),
        ("qrels", "", BadInput, "holds one dimension. Choose one: price, skills."),
        ("qrels", "skill", NotFound, "Did you mean skills?"),
        ("beir", "price", BadInput, "No pair is settled on a level of price"),
    ],
)
def test_what_cannot_be_exported_is_said(
    tmp_path: Path, key: str, dimension: str, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind) as caught:
        write_export(small(), tmp_path / "x", key, dimension=dimension)
    assert said in str(caught.value)
    assert os.listdir(tmp_path) == []
