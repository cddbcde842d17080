"""Importing golden sets: files to tables, rows to pairs and labels, mappings guessed, real data."""

from __future__ import annotations

import gzip
import io
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.column_mapping import ImportSpec
from workbench.errors import BadInput, NotFound, WorkbenchError
from workbench.formats import preview, read_import, read_mapping, read_recorded, read_table
from workbench.golden import LABEL_COLUMNS, NOT_APPLICABLE, UNRATEABLE, Label, Pair, label_table, settle
from workbench.mapping_guess import guess_spec
from workbench.policy import Body, Policy
from workbench.table_files import MAX_COLUMNS
from workbench.yamltext import YamlText, validate

ROOT = Path(__file__).parents[1]
AT = datetime(2026, 1, 31, 12, tzinfo=UTC)


def gz(data: bytes) -> bytes:
    """Compress without the time, so that every process collects the same parameters."""
    return gzip.compress(data, mtime=0)


def body(dimensions: dict[str, bool], *, query: str = "text", document: str = "title body") -> Body:
    """A policy body with 0-4 dimensions; the value says whether a dimension allows N/A."""
    levels = [
        {"value": i, "name": name} for i, name in enumerate(["None", "Weak", "Partial", "Good", "Exact"])
    ]
    return Body.model_validate(
        {
            "title": "Does the document answer the search?",
            "pair": {
                "query": {"name": "search", "fields": query.split()},
                "document": {"name": "product", "fields": document.split()},
            },
            "dimensions": [
                {"key": key, "title": key.title(), "question": "How?", "allow_na": na, "levels": levels}
                for key, na in dimensions.items()
            ],
            "overall": {"cut_points": [0.8, 1.6, 2.4, 3.2]},
        }
    )


POLICY = body({"relevance": False, "price_fit": True})

PAIRS = "id,q,t,b\n1,shoes,Boot,Leather\n2,shoes,Clog,Wood\n3,hats,Cap,Wool\n"


def spec(**change: Any) -> ImportSpec:
    long = {"dimension": "dimension", "grade": "grade", "labeler": "rater"}
    data: dict[str, Any] = {
        "golden": "shop",
        "policy": "shop",
        "pairs": {"file": "pairs.csv", "key": ["id"]},
        "query": {"text": "q"},
        "document": {"title": "t", "body": "b"},
        "meta": {"item": "id"},
        "labels": [{"file": "labels.csv", "long": long}],
    }
    return ImportSpec.model_validate(data | change)


def files(labels: str, pairs: str = PAIRS) -> dict[str, bytes]:
    return {"pairs.csv": pairs.encode(), "labels.csv": ("id,dimension,rater,grade\n" + labels).encode()}


# One file to a table


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"a,b\n1,x\n2,y\n"),
        ("a.csv", b"\xef\xbb\xbfa,b\r\n1,x\r\n2,y"),
        ("a.csv", b"a;b\n1;x\n2;y\n"),
        ("a.tsv", b"a\tb\n1\tx\n2\ty\n"),
        ("a.jsonl", b'{"a": 1, "b": "x"}\n{"b": "y", "a": 2}\n'),
        ("A.CSV.GZ", gz(b"a,b\n1,x\n2,y\n")),
    ],
)
def test_every_format_gives_the_same_table(name: str, content: bytes) -> None:
    table = read_table(content, name)
    assert table.to_dict("list") == {"a": ["1", "2"], "b": ["x", "y"]}


def test_parquet_becomes_text(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": [3.0, None], "k": [1, 2], "s": ["x", None], "l": [["a", "b"], []]})
    frame.to_parquet(tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet")
    assert table.to_dict("list") == {"n": ["3.0", ""], "k": ["1", "2"], "s": ["x", ""], "l": ["a\n\nb", ""]}
    assert list(table.index) == [1, 2]


def test_json_values_become_text() -> None:
    line = '{"l": ["a", null, "b"], "o": {"k": 1}, "t": true, "n": null, "f": 2.5}'
    row = read_table(line.encode(), "a.jsonl").iloc[0].to_dict()
    assert row == {"l": "a\n\nb", "o": '{"k": 1}', "t": "true", "n": "", "f": "2.5"}


def test_row_numbers_are_those_of_the_file() -> None:
    # Row 3 is blank, and the record of row 4 goes over two lines: it is still one row.
    assert list(read_table(b'a,b\n1,x\n\n"2\n2",y\n3,z\n', "a.csv").index) == [2, 4, 5]
    assert list(read_table(b'{"a":1}\n\n{"a":2}\n', "a.jsonl").index) == [1, 3]


def test_a_column_without_a_name_gets_one_and_missing_values_stay_text() -> None:
    table = read_table(b",a\n0,NA\n1,null\n", "a.csv")
    assert table.to_dict("list") == {"column 1": ["0", "1"], "a": ["NA", "null"]}


WIDE_HEADER = ",".join(f"c{i}" for i in range(MAX_COLUMNS + 1))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.doc", b"", "a.doc is of an unknown format"),
        ("a.csv", b"", "a.csv is empty"),
        ("a.csv", b" \n\n", "a.csv is empty"),
        ("a.csv.gz", gz(b""), "a.csv.gz is empty"),
        ("a.csv", b"a,b\n", "a.csv has a header and no rows"),
        ("a.csv", b"a,b\n1,2\n3\n", "a.csv, row 3: has 1 values, the header has 2 columns"),
        ("a.csv", b"a,b\n1,2,3\n", "a.csv, row 2: has 3 values, the header has 2 columns"),
        ("a.csv", b"a,b,a\n1,2,3\n", "a.csv: column 'a' is there twice, as column 1 and column 3"),
        # "ä" in Latin-1 is byte 0xE4: the 7th byte of the file, in row 2.
        ("a.csv", b"a,b\n1,\xe4\n", "a.csv, row 2 (byte 7): not UTF-8 text. Save as UTF-8"),
        ("a.csv", b"\xef\xbb\xbfa,b\n1,\xe4\n", "a.csv, row 2 (byte 10): not UTF-8"),
        ("a.csv", "a,b\n1,2\n".encode("utf-16"), "a.csv is UTF-16"),
        ("a.csv", b"a,b\n1,2\n3,\0\n", "a.csv, row 3: holds a NUL character"),
        ("a.csv", b'a,b\n1,2\n3,"x\n', "a.csv, row 3: quotes do not match"),
        ("a.csv", b'a,b\n1,"x"y\n', "a.csv, row 2: quotes do not match"),
        ("a.csv", b'a,b\n\n1,"x"y\n', "a.csv, row 3: quotes do not match"),
        ("a.csv", b'a\n"' + b"x" * 140_000 + b'"\n', "a.csv, row 2: a text of more than 131,072 characters"),
        ("a.csv", f"{WIDE_HEADER}\n1\n".encode(), "a.csv has more than 2,000 columns"),
        ("a.csv", b"PK\x03\x04rest", "a.csv is an Excel workbook or zip archive"),
        ("a.csv", gz(b"a\n1\n"), "a.csv is compressed with gzip"),
        ("a.csv.gz", b"a,b\n1,2\n", "a.csv.gz is not a whole gzip file"),
        ("a.csv.gz", gz(b"a,b\n1,2\n")[:-9], "a.csv.gz is not a whole gzip file"),
        ("a.parquet", b"a,b\n1,2\n", "a.parquet is not a whole Parquet file"),
        ("a.jsonl", b'{"a": 1}\n{"a": }\n', "a.jsonl, row 2: not a line of JSON"),
        ("a.jsonl", b'{"a": 1}\n\n[1]\n', "a.jsonl, row 3: not a line of JSON (not an object"),
        ("a.jsonl", b'{"a": 1, "a": 2}\n', "a.jsonl, row 1: not a line of JSON ('a' is given twice)"),
        ("a.jsonl", b'{"a": NaN}\n', "a.jsonl, row 1: not a line of JSON (NaN is not JSON)"),
        ("a.jsonl", b'{"a": "\\ud800"}\n', "a.jsonl, row 1: not a line of JSON"),
        ("a.jsonl", b'{"a": "\\u0000"}\n', "a.jsonl, row 1: not a line of JSON (holds a NUL"),
        ("a.jsonl", b'{"a": ' + b"[" * 100_000 + b"\n", "a.jsonl, row 1: not a line of JSON (nested too"),
    ],
)
def test_a_bad_file_is_one_sentence_with_its_place(name: str, content: bytes, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_table(content, name)
    assert said in str(caught.value)
    assert caught.value.hint


def test_emoji_written_as_surrogate_pairs_are_text() -> None:
    assert read_table(b'{"a": "\\ud83d\\ude00"}\n', "a.jsonl").loc[1, "a"] == "😀"


def test_sizes_are_bounded_on_disk_and_unfolded(tmp_path: Path) -> None:
    content = b"a\n" + b"x\n" * 3_000
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(BadInput, match=r"^a\.csv has 0\.0 MB; a file may have 0\.0 MB"):
        read_table(tmp_path / "a.csv", max_bytes=6_001)
    assert len(read_table(tmp_path / "a.csv", max_bytes=6_002)) == 3_000
    # 6,002 bytes fold to a few dozen; at 1,500 on disk four times as much may come out, 6,000.
    with pytest.raises(BadInput, match=r"^a\.csv\.gz unfolds to more than"):
        read_table(gz(content), "a.csv.gz", max_bytes=1_500)
    assert len(read_table(gz(content), "a.csv.gz", max_bytes=1_501)) == 3_000


def test_a_parquet_file_that_unfolds_too_far_is_refused() -> None:
    buffer = io.BytesIO()
    # One text of 100,000 characters in 2,000 rows: 200 MB of text in a file of a few kilobytes.
    pd.DataFrame({"a": pd.Categorical(["x" * 100_000] * 2_000)}).astype({"a": "str"}).to_parquet(buffer)
    assert len(buffer.getvalue()) < 200_000
    with pytest.raises(BadInput, match=r"^a\.parquet unfolds to more than"):
        read_table(buffer.getvalue(), "a.parquet", max_bytes=20_000_000)


def test_duplicate_parquet_columns_are_refused() -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table([["1"], ["2"]], names=["a", "a "]), buffer)
    with pytest.raises(BadInput, match=r"^a\.parquet: column 'a' is there twice"):
        read_table(buffer.getvalue(), "a.parquet")


def test_a_missing_file_and_a_folder_are_user_errors(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"No file is called 'a\.csv'"):
        read_table(tmp_path / "a.csv")
    (tmp_path / "b.csv").mkdir()
    with pytest.raises(BadInput, match=r"b\.csv cannot be read"):
        read_table(tmp_path / "b.csv")


NAMES = ["a.csv", "a.tsv", "a.jsonl", "a.parquet", "a.csv.gz", "a.parquet.gz", "a"]
CSV_TEXT = st.text(alphabet='a1,;"\n\r\t\\ü{}[]: ', max_size=60).map(str.encode)
HEADS = st.sampled_from(
    [b"", b"PAR1", b"\x1f\x8b\x08", b"PK\x03\x04", b"\xff\xfe", b"\xef\xbb\xbf", b'{"a":']
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(NAMES), HEADS, st.one_of(st.binary(max_size=200), CSV_TEXT), st.booleans())
def test_arbitrary_bytes_give_a_table_or_a_user_error(
    name: str, head: bytes, tail: bytes, fold: bool
) -> None:
    content = gz(head + tail) if fold and name.endswith(".gz") else head + tail
    try:
        table = read_table(content, name)
    except WorkbenchError as error:
        said = [error.message, error.hint]
    else:
        said = [str(table.columns[0]), str(table.index[0])]  # a header and at least one row
    assert all(said)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_parquet_file_never_escapes(data: st.DataObject) -> None:
    buffer = io.BytesIO()
    pd.DataFrame({"a": ["x", "y"], "b": [1.5, None]}).to_parquet(buffer)
    content = bytearray(buffer.getvalue())
    # Damage inside the data and the footer, the magic bytes kept.
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(4, len(content) - 9))] = data.draw(st.integers(0, 255))
    try:
        said = list(read_table(bytes(content), "a.parquet").columns)
    except WorkbenchError as error:
        said = [error.message, error.hint]
    assert all(said)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["1", "2", "9", ""]),
            st.sampled_from(["relevance", "Price fit", "overall", "relevanc", "", "\u00b2"]),
            st.sampled_from(["ann", "bob", ""]),
            st.one_of(
                st.sampled_from(["0", "4", "5", "-1", "-2", "2.5", "3.0", "n/a", "", "²", "1e1", "9" * 30])
            ),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_arbitrary_label_rows_are_labels_or_problems(rows: list[tuple[str, str, str, str]]) -> None:
    text = "".join(",".join(row) + "\n" for row in rows if any(row))
    if not text:
        return
    source = {"file": "labels.csv", "long": spec().labels[0].long, "na": ["N/A"]}
    given_files = files(text)
    imported = read_import(spec(labels=[source]), given_files, POLICY, AT, skip_bad_rows=True)
    report = imported.report
    assert len(imported.labels) + len(report.problems) + report.duplicates == sum(any(row) for row in rows)
    assert imported.labels["grade"].isin([0, 1, 2, 3, 4, NOT_APPLICABLE]).all()
    if report.problems:
        with pytest.raises(BadInput, match=r"^labels\.csv, row \d+, column"):
            read_import(spec(labels=[source]), given_files, POLICY, AT)


# Rows to pairs and labels


def test_long_labels() -> None:
    imported = read_import(
        spec(),
        files("1,relevance,ann,3\n1,relevance,bob,4\n2,Price fit,ann,0\n2,overall,ann,2\n"),
        POLICY,
        AT,
    )
    assert imported.pairs == [
        Pair(query={"text": "shoes"}, document={"title": "Boot", "body": "Leather"}, meta={"item": "1"}),
        Pair(query={"text": "shoes"}, document={"title": "Clog", "body": "Wood"}, meta={"item": "2"}),
        Pair(query={"text": "hats"}, document={"title": "Cap", "body": "Wool"}, meta={"item": "3"}),
    ]
    one, two, _ = (pair.id for pair in imported.pairs)
    expected = label_table(
        Label(pair_id=pair, dimension=dimension, grade=grade, labeler=labeler, at=AT)
        for pair, dimension, grade, labeler in [
            (one, "relevance", 3, "ann"),
            (one, "relevance", 4, "bob"),
            (two, "price_fit", 0, "ann"),
            (two, "overall", 2, "ann"),
        ]
    )
    pd.testing.assert_frame_equal(imported.labels, expected)
    report = imported.report
    assert (report.pairs, report.queries, report.merged_pairs, report.duplicates) == (3, 2, 0, 0)
    assert report.rows == {"pairs.csv": 3, "labels.csv": 4}
    assert report.labels == {"human": 4}
    assert report.labelers == ("ann", "bob")


def test_wide_by_dimension_and_by_rater_give_what_long_gives() -> None:
    long = "1,relevance,ann,3\n1,price_fit,ann,1\n2,relevance,ann,0\n2,price_fit,ann,4\n"
    expected = read_import(spec(), files(long), POLICY, AT)
    pairs = {"pairs.csv": PAIRS.encode()}
    by_dimension = {"columns": {"relevance": "rel", "price_fit": "fit"}, "labeler": "who"}
    one = read_import(
        spec(labels=[{"file": "w.csv", "wide": by_dimension}]),
        pairs | {"w.csv": b"id,who,rel,fit\n1,ann,3,1\n2,ann,0,4\n"},
        POLICY,
        AT,
    )
    by_rater = {
        "columns": [
            {"dimension": "relevance", "labeler": "ann", "column": "rel_ann"},
            {"dimension": "price_fit", "labeler": "ann", "column": "fit_ann"},
        ]
    }
    two = read_import(
        spec(labels=[{"file": "w.csv", "wide": by_rater}]),
        pairs | {"w.csv": b"id,rel_ann,fit_ann\n1,3,1\n2,0,4\n"},
        POLICY,
        AT,
    )
    for imported in (one, two):
        pd.testing.assert_frame_equal(imported.labels, expected.labels)


def test_an_empty_cell_of_a_wide_file_is_no_label_unless_it_is_listed() -> None:
    wide = {"columns": {"relevance": "rel", "price_fit": "fit"}, "labeler": "=ann"}
    source = {"file": "w.csv", "wide": wide}
    given_files = {"pairs.csv": PAIRS.encode(), "w.csv": b"id,rel,fit\n1,3,\n2,,4\n"}
    imported = read_import(spec(labels=[source]), given_files, POLICY, AT)
    assert imported.labels["grade"].tolist() == [3, 4]
    assert imported.report.blank == 2
    imported = read_import(spec(labels=[source | {"unrateable": [""]}]), given_files, POLICY, AT)
    assert imported.labels["grade"].tolist() == [3, UNRATEABLE, UNRATEABLE, 4]
    assert imported.report.blank == 0


def test_pairs_and_labels_in_one_file_without_a_key() -> None:
    data = b"q,t,b,who,rel\nshoes,Boot,x,ann,3\nshoes,Boot,x,bob,2\nhats,Cap,y,ann,0\n"
    one_file = spec(
        pairs={"file": "all.csv"},
        meta={},
        labels=[{"long": {"dimension": "=relevance", "grade": "rel", "labeler": "who"}}],
    )
    imported = read_import(one_file, {"all.csv": data}, POLICY, AT)
    assert [len(imported.pairs), imported.report.merged_pairs] == [2, 1]
    ids = [pair.id for pair in imported.pairs]
    assert imported.labels["pair_id"].tolist() == [ids[0], ids[0], ids[1]]
    with pytest.raises(
        BadInput, match=r"^all\.csv, row 3, column rel: ann gives 2 here and 3 in row 2 on rel"
    ):
        read_import(one_file, {"all.csv": data.replace(b"bob", b"ann")}, POLICY, AT)


def test_translations_are_case_blind_and_whole_floats_are_grades() -> None:
    source = {
        "file": "labels.csv",
        "long": spec().labels[0].long,
        "grades": {"Exact": 4},
        "na": ["N/A"],
        "unrateable": ["?"],
        "source": "import",
    }
    text = "1,relevance,ann,exact\n2,relevance,ann,3.0\n3,price_fit,ann,n/a\n3,relevance,ann,?\n"
    imported = read_import(spec(labels=[source]), files(text), POLICY, AT)
    assert imported.labels["grade"].tolist() == [4, 3, NOT_APPLICABLE, UNRATEABLE]
    assert imported.labels["source"].unique().tolist() == ["import"]


def test_notes_and_times() -> None:
    long = {"dimension": "=relevance", "grade": "g", "labeler": "=ann", "note": "why", "at": "when"}
    labels = b"id,g,why,when\n1,3,because,2026-01-02T10:00:00+02:00\n1,4,better,2026-01-03\n2,1,,\n"
    imported = read_import(
        spec(labels=[{"file": "l.csv", "long": long}]),
        {"pairs.csv": PAIRS.encode(), "l.csv": labels},
        POLICY,
        AT,
    )
    # 10:00 at +02:00 is 08:00 UTC; a date alone is midnight UTC; an empty cell is the time of the import.
    times = [datetime(2026, 1, 2, 8, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC), AT]
    assert imported.labels["at"].tolist() == [pd.Timestamp(time) for time in times]
    assert imported.labels["note"].tolist() == ["because", "better", ""]
    # A later answer with its own time is a change of mind, not a contradiction.
    assert settle(imported.labels, "relevance", [imported.pairs[0].id]).tolist() == [4]


def test_texts_lose_outer_space_and_carriage_returns() -> None:
    pairs = 'id,q,t,b\n1, shoes ,Boot,"a\r\nb"\n2,shoes,Boot,"a\nb"\n'
    imported = read_import(spec(labels=[]), files("", pairs), POLICY, AT)
    assert imported.pairs[0].document == {"title": "Boot", "body": "a\nb"}
    assert [len(imported.pairs), imported.report.merged_pairs] == [1, 1]
    assert list(imported.labels.columns) == LABEL_COLUMNS
    assert imported.labels.empty


def test_texts_in_two_unicode_forms_are_one_pair() -> None:
    pairs = "id,q,t,b\n1,caf\u00e9,Boot,x\n2,cafe\u0301,Boot,x\n"
    report = read_import(spec(labels=[]), files("", pairs), POLICY, AT).report
    assert (report.pairs, report.queries, report.merged_pairs) == (1, 1, 1)


def test_equal_rows_merge_and_answers_to_merged_pairs_are_all_kept() -> None:
    pairs = PAIRS + "4,shoes,Boot,Leather\n"  # the texts of 1 under another key
    text = "1,relevance,ann,3\n1,relevance,ann,3\n4,relevance,ann,1\n4,relevance,bob,2\n"
    imported = read_import(spec(), files(text, pairs), POLICY, AT)
    report = imported.report
    assert (report.pairs, report.merged_pairs, report.duplicates, report.repeated) == (3, 1, 1, 1)
    assert imported.labels["grade"].tolist() == [3, 1, 2]
    # ann's second answer is a microsecond newer, so it is hers that counts; bob's time is his own.
    assert imported.labels["at"].tolist() == [AT, AT + timedelta(microseconds=1), AT]
    assert imported.pairs[0].meta == {"item": "1"}


def test_an_adjudicated_source_settles_the_grade() -> None:
    adjudicated = {
        "file": "final.csv",
        "source": "adjudicated",
        "long": {"dimension": "=relevance", "grade": "final", "labeler": "=adjudicated"},
    }
    both = spec(labels=[spec().labels[0], adjudicated])
    given_files = files("1,relevance,ann,3\n1,relevance,bob,3\n") | {"final.csv": b"id,final\n1,0\n"}
    imported = read_import(both, given_files, POLICY, AT)
    assert settle(imported.labels, "relevance", [imported.pairs[0].id]).tolist() == [0]


def test_joined_columns_and_differently_named_keys() -> None:
    joined = spec(
        pairs={"file": "p.csv", "key": ["qid", "doc"], "join": [{"file": "docs.csv", "by": ["doc"]}]},
        meta={},
        labels=[
            {
                "file": "l.csv",
                "key": ["query_id", "product"],
                "long": {"dimension": "=relevance", "grade": "g", "labeler": "=ann"},
            }
        ],
    )
    given_files = {
        "p.csv": b"qid,doc,q\nq1,d1,shoes\nq1,d2,shoes\n",
        "docs.csv": b"doc,t,b,unused\nd2,Clog,Wood,1\nd1,Boot,Leather,2\n",
        "l.csv": b"product,query_id,g\nd2,q1,4\n",
    }
    imported = read_import(joined, given_files, POLICY, AT)
    assert [pair.document["title"] for pair in imported.pairs] == ["Boot", "Clog"]
    assert imported.labels["pair_id"].tolist() == [imported.pairs[1].id]

    with pytest.raises(BadInput, match=r"^p\.csv, row 3, column doc: docs\.csv has no row 'd2'"):
        read_import(joined, given_files | {"docs.csv": b"doc,t,b\nd1,Boot,Leather\n"}, POLICY, AT)
    twice = b"doc,t,b\nd1,Boot,x\nd2,Clog,y\nd1,Cap,z\n"
    with pytest.raises(BadInput, match=r"^docs\.csv, row 4: 'd1' is there again, first in row 2\."):
        read_import(joined, given_files | {"docs.csv": twice}, POLICY, AT)
    clash = b"doc,t,b,q\nd1,Boot,x,shoes\nd2,Clog,y,shoes\n"
    with pytest.raises(BadInput, match=r"^Column 'q' is in docs\.csv and in a file before it"):
        read_import(joined, given_files | {"docs.csv": clash}, POLICY, AT)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("1,relevance,ann,3\n9,relevance,ann,3\n", "labels.csv, row 3, column id: pairs.csv has no pair '9'"),
        ("1,relevanc,ann,3\n", "labels.csv, row 2, column dimension: the policy has no dimension 'relevanc'"),
        (
            "1,relevance,ann,5\n",
            "labels.csv, row 2, column grade: '5' is outside the scale of relevance, 0–4",
        ),
        ("1,overall,ann,5\n", "labels.csv, row 2, column grade: '5' is outside the scale of overall, 0–4"),
        ("1,relevance,ann,-2\n", "labels.csv, row 2, column grade: '-2' is outside the scale"),
        ("1,relevance,ann,2.5\n", "labels.csv, row 2, column grade: '2.5' is not a whole grade"),
        ("1,relevance,ann,\n", "labels.csv, row 2, column grade: the grade is empty"),
        ("1,relevance,,3\n", "labels.csv, row 2, column rater: nobody is named"),
        (
            "1,relevance,ann,3\n1,relevance,bob,4\n1,relevance,ann,2\n",
            "labels.csv, row 4, column grade: ann gives 2 here and 3 in row 2 on relevance of the same pair",
        ),
    ],
)
def test_a_bad_label_row_is_refused_or_left_out(labels: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_import(spec(), files(labels), POLICY, AT)
    assert caught.value.message.startswith(said)
    assert "problem" not in caught.value.message  # it is the only one
    assert "Nothing was imported." in caught.value.hint
    imported = read_import(spec(), files(labels), POLICY, AT, skip_bad_rows=True)
    assert [str(problem) for problem in imported.report.problems] == [caught.value.message]
    assert len(imported.labels) == labels.count("\n") - 1


def test_did_you_mean() -> None:
    with pytest.raises(BadInput, match=r"Did you mean relevance\?"):
        read_import(spec(), files("1,relevanc,ann,3\n"), POLICY, AT)
    with pytest.raises(BadInput, match=r"labels\.csv has no column 'rater'\. Did you mean ratter"):
        read_import(
            spec(),
            {"pairs.csv": PAIRS.encode(), "labels.csv": b"id,dimension,ratter,grade\n1,a,b,1\n"},
            POLICY,
            AT,
        )
    with pytest.raises(BadInput, match=r"pairs\.csv has no column 'b'"):
        read_import(spec(), files("", "id,q,t\n1,x,y\n"), POLICY, AT)
    with pytest.raises(NotFound, match=r"No file is called 'labels\.csv'\. Did you mean label\.csv"):
        read_import(spec(), {"pairs.csv": PAIRS.encode(), "label.csv": b""}, POLICY, AT)
    with pytest.raises(BadInput, match=r"The search of the policy has no field 'txt'\. Did you mean text\?"):
        read_import(spec(query={"txt": "q"}), files(""), POLICY, AT)
    wide = {"columns": {"pricefit": "x"}, "labeler": "=ann"}
    with pytest.raises(BadInput, match=r"no dimension 'pricefit'\. Did you mean price_fit\?"):
        read_import(spec(labels=[{"wide": wide}]), files(""), POLICY, AT)


def test_na_has_to_be_allowed_by_the_dimension() -> None:
    source = {"file": "labels.csv", "long": spec().labels[0].long, "na": [""]}
    text = "1,relevance,ann,\n1,price_fit,ann,\n1,overall,ann,\n"
    with pytest.raises(BadInput, match=r"^labels\.csv, row 2, column grade: relevance does not allow N/A"):
        read_import(spec(labels=[source]), files(text), POLICY, AT)
    imported = read_import(spec(labels=[source]), files(text), POLICY, AT, skip_bad_rows=True)
    assert imported.labels["grade"].tolist() == [NOT_APPLICABLE, NOT_APPLICABLE]


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ("id,q,t,b\n1,a,x,y\n2, ,x,y\n", "pairs.csv, row 3, column q: the query has no text"),
        ("id,q,t,b\n1,a,x,y\n2,a,,\n", "pairs.csv, row 3, column t, b: the document has no text"),
        ("id,q,t,b\n1,a,x,y\n1,a,x,z\n", "pairs.csv, row 3, column id: row 2 has other texts"),
    ],
)
def test_a_bad_pair_row_takes_its_labels_with_it(pairs: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_import(spec(), files("1,relevance,ann,3\n", pairs), POLICY, AT)
    assert caught.value.message.startswith(said)
    imported = read_import(
        spec(), files("1,relevance,ann,3\n2,relevance,ann,3\n", pairs), POLICY, AT, skip_bad_rows=True
    )
    assert [len(imported.pairs), len(imported.labels)] == [1, 1]
    # The label of pair 2 is left out because the pair is, or because there is none of that key.
    assert {p.file for p in imported.report.problems} == {"pairs.csv", "labels.csv"}


def test_a_wrong_time_is_a_problem() -> None:
    long = {"dimension": "=relevance", "grade": "g", "labeler": "=ann", "at": "when"}
    given_files = {"pairs.csv": PAIRS.encode(), "l.csv": b"id,g,when\n1,3,yesterday\n2,3,99999-01-01\n"}
    with pytest.raises(
        BadInput, match=r"^l\.csv, row 2, column when: 'yesterday' is not a time\. 1 more problem\."
    ):
        read_import(spec(labels=[{"file": "l.csv", "long": long}]), given_files, POLICY, AT)


def test_the_first_problem_is_the_first_in_the_files_and_the_others_are_counted() -> None:
    # Grades are checked after dimensions, but row 2 comes before row 3; and pairs.csv before labels.csv.
    labels = "1,relevance,ann,7\n1,nonsense,ann,3\n1,relevance,bob,8\n"
    with pytest.raises(BadInput, match=r"^labels\.csv, row 2, .* 2 more problems\."):
        read_import(spec(), files(labels), POLICY, AT)
    with pytest.raises(BadInput, match=r"^pairs\.csv, row 5, .* 3 more problems\."):
        read_import(spec(), files(labels, PAIRS + "5,,x,y\n"), POLICY, AT)


def test_preview_reports_every_problem_and_never_raises_them() -> None:
    labels = "1,relevance,ann,3\n2,relevance,ann,3\n3,relevance,ann,9\n3,price_fit,ann,8\n7,relevance,ann,1\n"
    seen = preview(spec(), files(labels), POLICY)
    assert seen.report.kinds == {"outside the scale": 2, "pair not there": 1}
    assert [len(seen.sample), seen.report.pairs, seen.report.labels] == [3, 3, {"human": 2}]
    assert seen.grades.loc["relevance", 3] == 2
    with pytest.raises(BadInput, match="is empty"):
        preview(spec(), {"pairs.csv": b"", "labels.csv": b""}, POLICY)


def test_an_import_in_which_every_label_is_bad() -> None:
    imported = read_import(spec(), files("9,relevance,ann,3\n"), POLICY, AT, skip_bad_rows=True)
    assert imported.labels.empty
    assert imported.labels.dtypes["grade"] == "int64"
    assert imported.report.labels == {}


def test_importing_twice_gives_the_same_content(tmp_path: Path) -> None:
    for name, content in files("1,relevance,ann,3\n").items():
        (tmp_path / name).write_bytes(content)
    first, second = (read_import(spec(), tmp_path, POLICY, AT) for _ in range(2))
    assert [pair.id for pair in first.pairs] == [pair.id for pair in second.pairs]
    pd.testing.assert_frame_equal(first.labels, second.labels)


def test_a_time_without_a_zone_is_a_defect_of_the_caller() -> None:
    with pytest.raises(ValueError, match="zone"):
        read_import(spec(), files(""), POLICY, datetime(2026, 1, 1))


# Mappings


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("file: ../secret.csv", "a file is named from the folder of the import downwards"),
        ("file: /secret.csv", "a file is named from the folder of the import downwards"),
        ('file: "C:\\\\secret.csv"', "a file is named from the folder of the import downwards"),
        ("file: p.csv\n  on: [a]", "Keys should be strings"),
        ("file: p.csv\n  join: [{file: d.csv, by: []}]", "at least 1 item"),
        ("file: p.csv\nlabels: [{}]", "exactly one of long and wide"),
        ("file: p.csv\nlabels: [{wide: {columns: {rel: a}}}]", "column 'a' has no labeler"),
        (
            "file: p.csv\nlabels: [{wide: {columns: {rel: a, fit: a}, labeler: =x}}]",
            "column 'a' is used twice",
        ),
        (
            "file: p.csv\nlabels: [{file: l.csv, wide: {columns: {rel: a}, labeler: =x}}]",
            "pairs need a key, so that the rows of l.csv can find their pair",
        ),
        (
            "file: p.csv\n  key: [i]\nlabels: [{file: l.csv, key: [i, j], wide: {columns: {r: a}, labeler: =x}}]",
            "the key of l.csv has to match",
        ),
        (
            "file: p.csv\nlabels: [{na: [x], unrateable: [X], wide: {columns: {r: a}, labeler: =x}}]",
            "'x' is translated twice",
        ),
    ],
)
def test_a_wrong_mapping_is_one_sentence_with_a_line(tmp_path: Path, change: str, said: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(f"golden: g\npolicy: p\nquery: {{text: q}}\ndocument: {{title: t}}\npairs:\n  {change}\n")
    with pytest.raises(BadInput) as caught:
        read_mapping(path)
    assert str(caught.value).startswith("m.yaml, line ")
    assert said in str(caught.value)


def test_a_mapping_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"m\.yaml"):
        read_mapping(tmp_path / "m.yaml")
    (tmp_path / "m.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match=r"m\.yaml cannot be read as text"):
        read_mapping(tmp_path / "m.yaml")


def guessed(text: str, policy: Body = POLICY) -> dict[str, Any]:
    table = read_table(text.encode(), "all.csv")
    guess = guess_spec(list(table.columns), table.to_dict("records"), policy, file="all.csv")
    ImportSpec.model_validate({"golden": "g", "policy": "p", **guess})
    return guess


def test_guess_long() -> None:
    guess = guessed("Query,Title,product body,Aspect,Rating,annotator_id,colour\nx,y,z,price fit,3,ann,red\n")
    assert guess == {
        "pairs": {"file": "all.csv"},
        "query": {"text": "Query"},
        "document": {"title": "Title", "body": "product body"},
        "meta": {"colour": "colour"},
        "labels": [{"long": {"dimension": "Aspect", "grade": "Rating", "labeler": "annotator_id"}}],
    }


def test_guess_wide_by_dimension_with_level_names() -> None:
    guess = guessed("text,title,body,Relevance,price_fit,rater\nx,y,z,Exact,N/A,ann\nx,y,w,none,2,ann\n")
    assert guess["labels"] == [
        {
            "wide": {"columns": {"relevance": "Relevance", "price_fit": "price_fit"}, "labeler": "rater"},
            "grades": {"Exact": 4, "none": 0},
            "na": ["N/A"],
        }
    ]


def test_guess_wide_by_rater_can_be_imported() -> None:
    text = "text,title,body,relevance__Ann,relevance_bob,price_fit_Ann\nx,y,z,3,4,0\nx,y,w,1,,2\n"
    guess = guessed(text)
    assert guess["labels"][0]["wide"]["columns"] == [
        {"dimension": "relevance", "column": "relevance__Ann", "labeler": "Ann"},
        {"dimension": "relevance", "column": "relevance_bob", "labeler": "bob"},
        {"dimension": "price_fit", "column": "price_fit_Ann", "labeler": "Ann"},
    ]
    made = ImportSpec.model_validate({"golden": "g", "policy": "p", **guess})
    imported = read_import(made, {"all.csv": text.encode()}, POLICY, AT)
    assert imported.labels["grade"].tolist() == [3, 4, 0, 1, 2]
    assert imported.report.labelers == ("Ann", "bob")


def test_guess_tells_a_field_from_a_dimension_of_the_same_name_by_its_cells() -> None:
    policy = body({"skills": False}, query="skills", document="body")
    assert guessed("skills,body,grade,rater\nPython,z,3,a\n", policy)["query"] == {"skills": "skills"}
    guess = guess_spec(["skills", "body"], [{"skills": "3", "body": "z"}], policy, file="a.csv")
    assert guess["labels"] == [{"wide": {"columns": {"skills": "skills"}}}]
    assert "query" not in guess


def test_guess_with_one_dimension_needs_no_dimension_column() -> None:
    guess = guessed("text,title,body,label,labeler\nx,y,z,3,ann\n", body({"relevance": False}))
    assert guess["labels"] == [{"long": {"dimension": "=relevance", "grade": "label", "labeler": "labeler"}}]


def test_guess_without_labels() -> None:
    assert guessed("text,title,body\nx,y,z\n")["labels"] == []


# Recorded judgements

RECORDED = {"file": "r.csv", "dimension": "=relevance", "score": "s", "judge": "=model", "version": "v"}


def test_recorded_scores_keep_what_is_outside_the_scale() -> None:
    content = b"id,v,s\n1,a,3.5\n2,a,-1\n3,a,\n1,b,9\n1,b,9.0\n"
    scores = read_recorded(spec(recorded=RECORDED, labels=[]), files("") | {"r.csv": content}, POLICY)
    assert scores["version"].tolist() == ["a", "a", "a", "b"]
    assert scores["score"].tolist()[:2] + scores["score"].tolist()[3:] == [3.5, -1.0, 9.0]
    assert pd.isna(scores["score"][2])
    assert scores["judge"].unique().tolist() == ["model"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"id,v,s\n1,a,good\n", "r.csv, row 2, column s: 'good' is not a number"),
        (b"id,v,s\n1,a,inf\n", "r.csv, row 2, column s: 'inf' is not a number"),
        (b"id,v,s\n8,a,1\n", "r.csv, row 2, column id: pairs.csv has no pair '8'"),
        (b"id,v,s\n1,a,1\n1,a,2\n", "r.csv, row 3, column s: model gives 2.0 here and 1.0 in row 2"),
    ],
)
def test_wrong_recorded_rows(content: bytes, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_recorded(spec(recorded=RECORDED, labels=[]), files("") | {"r.csv": content}, POLICY)
    assert caught.value.message.startswith(said)


def test_a_mapping_without_recorded_judgements() -> None:
    with pytest.raises(BadInput, match="no recorded judgements"):
        read_recorded(spec(), files(""), POLICY)


# Real data


def shared_data(name: str) -> Path:
    folder = Path(os.environ.get("WORKBENCH_SHARED_DATA", ROOT.parent / "shared" / "data")) / name
    if not folder.is_dir():
        pytest.skip(f"{name} is not in the folder that WORKBENCH_SHARED_DATA names")
    return folder


def policy_file(path: Path) -> Body:
    source = YamlText(path.read_text("utf-8"), path.name)
    return validate(Policy, source.data, path.name, source).body()


def test_product_search_ratings() -> None:
    folder = shared_data("product_search_ratings")
    mapping = read_mapping(ROOT / "golden_sets/mappings/product_search_ratings.yaml")
    imported = read_import(mapping, folder, policy_file(ROOT / "policies/product-search/v1.yaml"), AT)
    report = imported.report
    # Two products of the query "notebook" have the same texts, so 2,878 rows are 2,877 pairs.
    assert report.rows["pairs.csv.gz"] == 2_878
    assert (report.pairs, report.merged_pairs, report.queries) == (2_877, 1, 118)
    assert report.labels == {"human": 8_634, "adjudicated": 2_878}
    assert report.labelers == ("adjudicated", "rater_1", "rater_2", "rater_3")
    assert (report.duplicates, report.repeated) == (0, 4)  # 3 raters and the adjudication, once more
    ids = [pair.id for pair in imported.pairs]
    settled = pd.Series(settle(imported.labels, "relevance", ids))
    by_median = pd.Series(settle(imported.labels.query("source == 'human'"), "relevance", ids, "median"))
    # The data's own README: final_rating equals the median of the raters on 88.7 % of pairs.
    assert (settled == by_median).mean() == pytest.approx(0.887, abs=0.0006)


def test_summary_ratings() -> None:
    folder = shared_data("summary_ratings")
    mapping = read_mapping(ROOT / "golden_sets/mappings/summary_ratings.yaml")
    policy = policy_file(ROOT / "tests/data/policies/summary-quality.v1.yaml")
    imported = read_import(mapping, folder, policy, AT)
    report = imported.report
    assert report.rows == {"items.jsonl.gz": 900, "human_ratings.csv.gz": 28_800}
    assert (report.pairs, report.merged_pairs, report.queries) == (891, 9, 75)
    # 9 merged items x 4 dimensions x 8 labelers are answers given once more; all 28,800 are kept.
    assert (report.labels, report.repeated, report.duplicates) == ({"human": 28_800}, 288, 0)
    assert len(report.labelers) == 8
    assert not imported.labels.duplicated(["pair_id", "dimension", "labeler", "at"]).any()
    assert imported.pairs[0].query["references"].count("\n\n") >= 10  # eleven references


def test_story_judges() -> None:
    folder = shared_data("story_judges")
    mapping = read_mapping(ROOT / "golden_sets/mappings/story_judges.yaml")
    policy = policy_file(ROOT / "tests/data/policies/story-quality.v1.yaml")
    report = read_import(mapping, folder, policy, AT).report
    assert (report.pairs, report.merged_pairs, report.queries) == (1_056, 0, 96)
    assert report.labels == {"human": 19_008}
    scores = read_recorded(mapping, folder, policy)
    assert len(scores) == 126_720
    per_judge = scores.groupby(["judge", "version"]).size()
    assert len(per_judge) == 20
    assert set(per_judge) == {6_336}  # 1,056 stories x 6 dimensions
    assert scores["score"].min() == -1.0
    assert (scores["score"] < 1).sum() == 1_051


def test_every_shipped_mapping_is_read() -> None:
    mappings = sorted((ROOT / "golden_sets/mappings").glob("*.yaml"))
    assert {read_mapping(path).policy for path in mappings} == {
        "product-search",
        "summary-quality",
        "story-quality",
    }


def test_jsonl_round_trip_of_an_import() -> None:
    # What was imported, written as JSONL and imported again, is the same set.
    first = read_import(spec(), files("1,relevance,ann,3\n2,price_fit,bob,0\n"), POLICY, AT)
    by_id = {pair.id: pair for pair in first.pairs}
    rows = [
        {
            "q": by_id[label.pair_id].query["text"],
            "t": by_id[label.pair_id].document["title"],
            "b": by_id[label.pair_id].document["body"],
            "id": by_id[label.pair_id].meta["item"],
            "dimension": label.dimension,
            "grade": label.grade,
            "rater": label.labeler,
        }
        for label in first.labels.itertuples()
    ]
    content = "\n".join(map(json.dumps, rows)).encode()
    one_file = spec(pairs={"file": "all.jsonl"}, labels=[{"long": spec().labels[0].long}])
    second = read_import(one_file, {"all.jsonl": content}, POLICY, AT)
    assert second.pairs == first.pairs[:2]  # the third has no label and so no row
    pd.testing.assert_frame_equal(second.labels, first.labels)


def test_a_sparse_jsonl_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    # Three lines with a key each are nine cells.
    content = b'{"a": 1}\n{"b": 1}\n{"c": 1}\n'
    monkeypatch.setattr("workbench.table_files.MAX_CELLS", 8)
    with pytest.raises(BadInput, match=r"^a\.jsonl makes a table of 3 rows and 3 columns"):
        read_table(content, "a.jsonl")
    monkeypatch.setattr("workbench.table_files.MAX_CELLS", 9)
    assert read_table(content, "a.jsonl").shape == (3, 3)


def test_batches_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"a,b\n" + b"".join(b"%d,x\n" % i for i in range(7))
    monkeypatch.setattr("workbench.table_files.BATCH", 3)
    table = read_table(content, "a.csv")
    assert table["a"].tolist() == list("0123456")
    assert list(table.index) == [2, 3, 4, 5, 6, 7, 8]
