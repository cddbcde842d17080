"""Click logs as files: what is understood, what is counted as a problem, and that nothing is left half-written."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench import click_log_rows
from workbench.click_columns import guess_mapping, numbers, times
from workbench.click_log_files import (
    BAD_CLICK,
    BAD_POSITION,
    BAD_PROPENSITY,
    BAD_TIME,
    NO_DOCUMENT,
    NO_QUERY,
    RAGGED,
    ReadReport,
    import_impressions,
    read_relevances,
)
from workbench.click_log_summary import read_counts, summarise
from workbench.errors import BadInput, NotFound

CLEAN = """query_id,doc_id,rank,clicked,timestamp,pscore,session_id
red boot,17,1,1,2026-03-01T10:00:00Z,0.5,s1
red boot,18,2,0,2026-03-01T10:00:00Z,0.25,s1
tea,17,1,true,2026-03-01 11:30:00.250+01:00,1,s2
tea,9,2,false,2026-03-02T10:00:00Z,0.25,s3
"""


def written(folder: Path, text: str, name: str = "log.csv") -> Path:
    """A file with this text."""
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def kept(path: Path) -> list[dict[str, Any]]:
    """The rows of a kept log."""
    return pq.read_table(path).to_pylist()


def kinds(report: ReadReport) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Kind of problem -> count and first rows."""
    return {problem.kind: (problem.count, problem.first_rows) for problem in report.problems}


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz", "log.tsv", "semicolon.csv", "bom.csv"])
def test_impressions_from_text(tmp_path: Path, name: str) -> None:
    text = CLEAN.replace(",", {"log.tsv": "\t", "semicolon.csv": ";"}.get(name, ","))
    source = written(tmp_path, ("\ufeff" if name == "bom.csv" else "") + text, name)
    target = tmp_path / "kept.parquet"
    report = import_impressions(source, target)
    assert (report.rows, report.kept, report.problems, report.simulated) == (4, 4, (), False)
    rows = kept(target)
    assert [(r["query"], r["document"], r["position"], r["clicked"]) for r in rows] == [
        ("red boot", "17", 1, True), ("red boot", "18", 2, False), ("tea", "17", 1, True), ("tea", "9", 2, False),
    ]  # fmt: skip
    assert rows[2]["time"] == datetime(2026, 3, 1, 10, 30, 0, 250_000, tzinfo=UTC)
    assert [r["propensity"] for r in rows] == [0.5, 0.25, 1.0, 0.25]
    assert pq.read_schema(target).field("query").type == pa.dictionary(pa.int32(), pa.string())


def test_impressions_from_parquet_of_any_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "qid": pa.array([7, 7, None]),
            "item": pa.array(["a", "b", "c"]).dictionary_encode(),
            "position": pa.array([1.0, 2.0, 3.0]),
            "click": pa.array([True, False, True]),
            "ts": pa.array([1_700_000_000, 1_700_000_000_000, 5]),
        }
    )
    pq.write_table(table, tmp_path / "log.parquet")
    report = import_impressions(tmp_path / "log.parquet", tmp_path / "kept.parquet", limit=0.5)
    assert kinds(report) == {NO_QUERY: (1, (3,))}  # the first row of Parquet is 1
    rows = kept(tmp_path / "kept.parquet")
    assert [(r["query"], r["document"], r["position"], r["clicked"]) for r in rows] == [
        ("7", "a", 1, True),
        ("7", "b", 2, False),
    ]
    # Seconds and milliseconds since 1970: both 2023-11-14 22:13:20.
    assert {r["time"] for r in rows} == {datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)}


BAD = """query,document,position,clicked,time,propensity
,d,1,0,2026-03-01T10:00:00Z,0.5
q," ",1,0,2026-03-01T10:00:00Z,0.5
q,d,0,0,2026-03-01T10:00:00Z,0.5

q,d,1.5,0,2026-03-01T10:00:00Z,0.5
q,d,first,0,2026-03-01T10:00:00Z,0.5
q,d,1
"q
q",d,1,2,2026-03-01T10:00:00Z,0.5
q,d,1,,2026-03-01T10:00:00Z,0.5
q,d,1,1,yesterday,0.5
q,d,1,1,,0.5
q,d,1,1,2026-03-01T10:00:00Z,0
q,d,1,1,2026-03-01T10:00:00Z,1.01
q,d,1,1,2026-03-01T10:00:00Z,
q,d,1,1,2026-03-01T10:00:00Z,0.5,more
q,d,0,3,never,7
q,d,1,1,2026-03-01T10:00:00Z,0.5
"""


@pytest.mark.parametrize("block", [2**24, 64])
def test_every_kind_of_bad_row_is_counted_with_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(click_log_rows, "_BLOCK", block)  # 64 bytes: every row comes in another batch
    report = import_impressions(written(tmp_path, BAD), tmp_path / "kept.parquet", limit=1)
    assert kinds(report) == {
        NO_QUERY: (1, (2,)),
        NO_DOCUMENT: (1, (3,)),
        # Row 5 is blank. Row 17 fails four checks and counts for the first of them.
        BAD_POSITION: (4, (4, 6, 7, 17)),
        RAGGED: (2, (8, 16)),
        BAD_CLICK: (2, (9, 10)),  # a quoted text over two lines is one row
        BAD_TIME: (2, (11, 12)),
        BAD_PROPENSITY: (3, (13, 14, 15)),
    }
    assert (report.rows, report.kept) == (16, 1)
    assert len(kept(tmp_path / "kept.parquet")) == 1


def test_only_the_first_rows_of_a_problem_are_named(tmp_path: Path) -> None:
    text = "query,document,position,clicked\n" + "q,d,0,0\n" * 7 + "q,d,1,0\n" * 3
    report = import_impressions(written(tmp_path, text), None, limit=0.7)
    assert str(report.problems[0]) == (
        "7 × position is no whole number from 1 to 100,000 (row 2, 3, 4, 5, 6 …)"
    )


def test_too_many_bad_rows_refuse_the_file_and_leave_nothing(tmp_path: Path) -> None:
    source = written(tmp_path, BAD)
    target = tmp_path / "kept.parquet"
    target.write_text("what was there before")
    with pytest.raises(
        BadInput, match=r"log\.csv: 15 of 16 rows cannot be used \(93\.8%, at most 50\.0% may\): 4 × "
    ):
        import_impressions(source, target, limit=0.5)
    assert target.read_text() == "what was there before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.parquet", "log.csv"]


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    source = written(tmp_path, CLEAN)
    assert import_impressions(source, None).kept == 4
    assert list(tmp_path.iterdir()) == [source]


def test_what_is_no_click_log(tmp_path: Path) -> None:
    wrong = {
        "none.xls": ("x", "unknown format"),
        "empty.csv": ("", "is empty"),
        "header.csv": ("query,document,position,clicked\n", "a header and no rows"),
        "lacks.csv": (
            "query,position,clicked\nq,1,0\n",
            "called like document; it has query, position, clicked",
        ),
        "twice.csv": ("query,query\nq,q\n", "column 'query' is there twice"),
        "latin.csv": ("", "UTF8|UTF-8|utf8"),
        "fake.parquet": ("PAR1 no PAR1", "cannot be read"),
    }
    for name, (text, said) in wrong.items():
        path = written(tmp_path, text, name)
        if name == "latin.csv":
            path.write_bytes(b"query,document,position,clicked\nq\xe9,d,1,0\n")
        with pytest.raises(BadInput, match=said):
            import_impressions(path, None)
    cut = written(tmp_path, CLEAN * 500, "cut.csv.gz")
    cut.write_bytes(cut.read_bytes()[:-20])
    with pytest.raises(BadInput, match=r"cut\.csv\.gz cannot be read"):
        import_impressions(cut, None)
    with pytest.raises(NotFound, match="There is no file"):
        import_impressions(tmp_path / "gone.csv", None)


def test_a_mapping_is_guessed_and_can_be_said() -> None:
    columns = ["Search ID", "item", "Rank", "is_click", "shown at"]
    guess = guess_mapping(columns, {"time": "shown at"}, "x.csv")
    assert (guess.query, guess.document, guess.position, guess.clicked, guess.time) == tuple(columns)
    assert guess_mapping(columns, {"query": "=all"}, "x.csv").columns() == ["item", "Rank", "is_click"]
    with pytest.raises(NotFound, match="'clickd'"):
        guess_mapping(columns, {"clickd": "is_click"}, "x.csv")
    with pytest.raises(BadInput, match="no column 'itm'") as caught:
        guess_mapping(columns, {"document": "itm"}, "x.csv")
    assert caught.value.hint == "Did you mean item?"


def test_a_constant_stands_for_all_rows(tmp_path: Path) -> None:
    source = written(tmp_path, "item,rank,click\na,1,0\nb,2,1\n")
    import_impressions(source, tmp_path / "kept.parquet", given={"query": "=home page"})
    assert {row["query"] for row in kept(tmp_path / "kept.parquet")} == {"home page"}


def test_cells_of_one_column_in_several_forms() -> None:
    moments = times(pa.array(["2026-03-01", "1772323200", "2026-03-01T00:00:00+00:00", "soon", None]))
    day = datetime(2026, 3, 1, tzinfo=UTC)
    assert moments.to_pylist() == [day, day, day, None, None]
    assert [str(x) for x in numbers(pa.array(["1", " 2.5 ", "1_0", "inf", "x", None])).tolist()] == [
        "1.0", "2.5", "nan", "nan", "nan", "nan",
    ]  # fmt: skip


def test_figures_of_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click_log_rows, "_BLOCK", 128)  # several batches, so several row groups
    again = CLEAN.splitlines()[1]
    import_impressions(written(tmp_path, f"{CLEAN}{again}\n"), tmp_path / "kept.parquet")
    assert pq.ParquetFile(tmp_path / "kept.parquet").num_row_groups > 1
    found = summarise(tmp_path / "kept.parquet")
    assert (found.rows, found.clicks, found.queries, found.documents, found.sessions) == (5, 3, 2, 3, 3)
    assert [(row.position, row.impressions, row.clicks, row.rate) for row in found.positions] == [
        (1, 3, 3, 1.0),
        (2, 2, 0, 0.0),
    ]
    assert (found.first, found.last) == (
        datetime(2026, 3, 1, 10, tzinfo=UTC),
        datetime(2026, 3, 2, 10, tzinfo=UTC),
    )
    assert (found.duplicates, found.propensities, found.simulated) == (1, True, False)


def test_without_time_and_session_duplicates_are_not_known(tmp_path: Path) -> None:
    source = written(tmp_path, "query,document,position,clicked\nq,d,1,0\nq,d,1,0\n")
    import_impressions(source, tmp_path / "kept.parquet")
    found = summarise(tmp_path / "kept.parquet")
    assert (found.duplicates, found.sessions, found.first) == (None, None, None)


def test_counts_of_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click_log_rows, "_BLOCK", 128)
    again = CLEAN.splitlines()[1].replace("1,1,", "1,0,").replace("0.5", "0.25")
    import_impressions(written(tmp_path, f"{CLEAN}{again}\n"), tmp_path / "kept.parquet")
    found = read_counts(tmp_path / "kept.parquet")
    assert found.propensity is not None
    # In order of query, document, position: red boot/17/1 twice, red boot/18/2, tea/17/1, tea/9/2.
    assert found.query.tolist() == [0, 0, 1, 1]
    assert found.item.tolist() == [0, 1, 2, 3]
    assert found.position.tolist() == [1, 2, 1, 2]
    assert found.impressions.tolist() == [2, 1, 1, 1]
    assert found.clicks.tolist() == [1, 0, 1, 0]
    assert found.propensity.inverse.tolist() == [1 / 0.5 + 1 / 0.25, 4, 1, 4]
    assert found.propensity.inverse_clicks.tolist() == [2, 0, 1, 0]
    assert found.propensity.inverse_squares.tolist() == [4 + 16, 16, 1, 16]
    assert (found.propensity.low[0], found.propensity.high[0], found.propensity.total[0]) == (0.25, 0.5, 0.75)


def test_a_column_that_says_simulated_marks_the_log(tmp_path: Path) -> None:
    text = "query,document,position,clicked,simulated,true_relevance\nq,d,1,0,true,0.5\n"
    report = import_impressions(written(tmp_path, text), tmp_path / "kept.parquet")
    assert report.simulated
    (row,) = kept(tmp_path / "kept.parquet")
    assert (row["simulated"], row["true_relevance"]) == (True, 0.5)
    assert summarise(tmp_path / "kept.parquet").simulated
    assert read_counts(tmp_path / "kept.parquet").simulated


def test_relevances_from_a_table(tmp_path: Path) -> None:
    good = "query,document,relevance\nq,a,0.5\nq,b,1\n"
    queries, documents, relevance = read_relevances(written(tmp_path, good))
    assert (queries, documents, relevance.tolist()) == (["q", "q"], ["a", "b"], [0.5, 1.0])
    for text, said in (
        (good.replace("relevance", "grade"), "no column 'relevance'"),
        (good.replace("0.5", "good"), "row 2: 'good' is no relevance"),
        (good.replace("q,b", "q,a"), "row 3: this pair is there twice"),
    ):
        with pytest.raises(BadInput, match=said):
            read_relevances(written(tmp_path, text))
