"""Files of other tools by their documented layouts: Label Studio, Argilla, TREC and BEIR qrels, Excel."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from golden_samples import AT, POLICY, as_lines, read_back
from openpyxl import Workbook

from workbench.column_mapping import ImportSpec
from workbench.errors import BadInput, NotFound
from workbench.formats import preview, read_import
from workbench.golden import UNRATEABLE
from workbench.importing import checked_mapping, gathered, guess_mapping
from workbench.qrels import find_collection
from workbench.table_files import open_table, read_table

# Label Studio

TASKS: list[dict[str, Any]] = [
    {
        "id": 71,
        "created_at": "2026-01-05T21:52:49.513742Z",
        "project": 83,
        "data": {"text": "red shoes", "title": "Boot", "body": "Leather", "labeler": "a data field"},
        "meta": {"city": "Graz"},
        "annotations": [
            {
                "id": 1001,
                "completed_by": {"id": 5, "email": "ann@shop.at", "first_name": "", "last_name": ""},
                "created_at": "2026-01-09T22:16:08.728353Z",
                "was_cancelled": False,
                "ground_truth": False,
                "lead_time": 4.288,
                "result": [
                    {
                        "id": "Dx_aB91ISN",
                        "from_name": "skills",
                        "to_name": "txt",
                        "type": "choices",
                        "value": {"choices": ["2"]},
                    },
                    {"from_name": "fits", "to_name": "txt", "type": "rating", "value": {"rating": 1}},
                    {
                        "from_name": "note",
                        "to_name": "txt",
                        "type": "textarea",
                        "value": {"text": ["a", "b"]},
                    },
                ],
            },
            {
                "completed_by": 10,
                "created_at": "2026-01-10T08:00:00Z",
                "was_cancelled": True,
                "result": [{"from_name": "skills", "type": "choices", "value": {"choices": ["0"]}}],
            },
        ],
        "predictions": [
            {"result": [{"from_name": "skills", "type": "choices", "value": {"choices": ["1"]}}]}
        ],
    },
    {"id": 72, "data": {"text": "hats", "title": "Cap", "body": ""}, "annotations": []},
    {
        "id": 73,
        "data": {"text": "hats", "title": "Fez", "body": ""},
        "completions": [
            {
                "completed_by": 10,
                "created_at": "2026-01-11T08:00:00Z",
                "result": [{"from_name": "skills", "type": "choices", "value": {"choices": ["unrateable"]}}],
            }
        ],
    },
]


def written(tmp_path: Path, data: Any, name: str = "export.json") -> Path:
    path = tmp_path / name
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def test_label_studio_tasks_become_pairs_and_labels(tmp_path: Path) -> None:
    found = read_back(written(tmp_path, TASKS))
    assert [(pair.query["text"], pair.document["title"]) for pair in found.pairs] == [
        ("red shoes", "Boot"),
        ("hats", "Cap"),
        ("hats", "Fez"),
    ]
    assert found.pairs[0].meta["city"] == "Graz"
    # fits is called as no dimension: the form or a mapping says which one it is. Skipped and predicted: nothing.
    assert as_lines(found.labels, ("pair_id", "at")) == [
        ("skills", UNRATEABLE, "10", "", "human"),
        ("skills", 2, "ann@shop.at", "a\n\nb", "human"),
    ]
    times = sorted(at.isoformat() for at in found.labels["at"])
    assert times == ["2026-01-09T22:16:08.728353+00:00", "2026-01-11T08:00:00+00:00"]


def test_a_from_name_is_mapped_to_its_dimension(tmp_path: Path) -> None:
    path = written(tmp_path, TASKS)
    mapping = guess_mapping(path, path.name, POLICY).mapping
    mapping["labels"][0]["wide"]["columns"] = {"price": "fits"}
    found = read_import(checked_mapping(mapping), {path.name: path}, POLICY, AT)
    assert as_lines(found.labels, ("pair_id", "at", "note")) == [("price", 1, "ann@shop.at", "human")]


def test_rows_of_tasks_bear_their_number_and_keep_fields_and_questions_apart() -> None:
    tasks = [TASKS[1], {**TASKS[0], "data": {**TASKS[0]["data"], "skills": "sewing"}}]
    table = read_table(json.dumps(tasks).encode(), "a.json")
    assert list(table.index) == [1, 2]
    row = table.loc[2].to_dict()
    assert (row["skills"], row["data.skills"], row["labeler"], row["data.labeler"]) == (
        "2",
        "sewing",
        "ann@shop.at",
        "a data field",
    )


def test_a_grade_off_the_scale_is_a_problem_of_its_task(tmp_path: Path) -> None:
    tasks = json.loads(json.dumps(TASKS))
    tasks[2]["completions"][0]["result"][0]["value"]["choices"] = ["9"]
    path = written(tmp_path, tasks)
    spec = checked_mapping(guess_mapping(path, path.name, POLICY).mapping)
    report = preview(spec, {path.name: path}, POLICY).report
    assert [str(problem) for problem in report.problems] == [
        "export.json, row 3, column skills: '9' is outside the scale of skills, 0–2."
    ]


def changed(place: list[Any], value: Any) -> list[dict[str, Any]]:
    tasks = json.loads(json.dumps(TASKS))
    found = tasks
    for step in place[:-1]:
        found = found[step]
    if value is None:
        del found[place[-1]]
    else:
        found[place[-1]] = value
    return tasks  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (changed([1, "data"], None), "a.json, task 2: has no data."),
        (changed([1, "annotations"], 5), "a.json, task 2: its annotations are not a list."),
        (changed([0, "annotations", 0], "x"), "a.json, task 1, annotation 1: has no result."),
        (changed([0, "annotations", 0, "completed_by"], None), "annotation 1: completed_by is missing."),
        (
            changed([0, "annotations", 0, "result", 0, "type"], "rectanglelabels"),
            "task 1, annotation 1: a result of type 'rectanglelabels' is no grade.",
        ),
        (
            changed([0, "annotations", 0, "result", 1, "value"], {"stars": 3}),
            "task 1, annotation 1, fits: has no value 'rating'.",
        ),
        ([TASKS[0], 5], "a.json, task 2: has no data."),
        ([], "a.json is no list of objects."),
        (["x"], "a.json is no list of objects."),
        ([{"a": 1}, [2]], "a.json, object 2: not an object"),
    ],
)
def test_a_broken_export_is_one_sentence_with_its_task(data: Any, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_table(json.dumps(data).encode(), "a.json")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (json.dumps(TASKS, indent=1).encode()[:400], "not a whole JSON file"),
        (b'[{"a": 1},\n{"a": }]', "a.json, line 2: not a whole JSON file"),
        (b'[{"a": NaN}]', "NaN is not JSON"),
        (b'[{"a": 1, "a": 2}]', "'a' is given twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b'[{"a": "\\ud800"}]', "not a whole JSON file"),
        (b'[{"a": "\xe4"}]', "a.json, row 1 (byte 9): not UTF-8 text"),
        (json.dumps(TASKS).encode("utf-16"), "a.json is UTF-16"),
        (b"", "a.json is empty"),
    ],
)
def test_what_is_no_json_is_one_sentence(content: bytes, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_table(content, "a.json")
    assert said in str(caught.value)


def test_ten_megabytes_are_read_and_too_many_are_refused() -> None:
    big = json.dumps([{"text": "x" * 1000, "n": i} for i in range(10_000)]).encode()
    assert len(big) > 10 * 2**20 * 0.95
    assert len(read_table(big, "a.json")) == 10_000
    with pytest.raises(BadInput, match=r"a.json has 9.\d MB; a file may have 5.0 MB"):
        read_table(big, "a.json", max_bytes=5 * 2**20)


# Argilla

CLIENT = [
    {
        "id": "r1",
        "fields": {"text": "red shoes", "title": "Boot", "body": "Leather"},
        "metadata": {"city": "Graz", "tokens": 12},
        "suggestions": {"skills": {"value": "0", "score": 0.9, "agent": "model"}},
        "responses": {
            "skills": [{"value": "2", "user_id": "u-1"}, {"value": 1, "user_id": "u-2"}],
            "note": [{"value": "good", "user_id": "u-1"}],
        },
        "vectors": {},
        "_server_id": "6a1f",
    },
    {"id": "r2", "fields": {"text": "hats", "title": "Cap", "body": ""}, "metadata": {}, "responses": {}},
]
SERVER = {
    "items": [
        {
            "id": "6a1f",
            "external_id": "r1",
            "status": "completed",
            "fields": {"text": "red shoes", "title": "Boot", "body": "Leather"},
            "metadata": None,
            "suggestions": [{"question_id": "q", "value": "0"}],
            "responses": [
                {
                    "id": "x",
                    "user_id": "u-1",
                    "status": "submitted",
                    "values": {"skills": {"value": "2"}},
                    "inserted_at": "2026-01-09T08:00:00",
                    "updated_at": "2026-01-09T09:30:00",
                },
                {"user_id": "u-2", "status": "draft", "values": {"skills": {"value": "0"}}},
                {"user_id": "u-3", "status": "discarded", "values": {"skills": {"value": "1"}}},
                {"user_id": "u-4", "status": "discarded", "values": None},
            ],
        }
    ],
    "total": 1,
}


def test_argillas_client_layout(tmp_path: Path) -> None:
    found = read_back(written(tmp_path, CLIENT))
    assert [pair.document["title"] for pair in found.pairs] == ["Boot", "Cap"]
    assert found.pairs[0].meta == {"city": "Graz", "tokens": "12"}
    assert as_lines(found.labels, ("pair_id", "at")) == [
        ("skills", 1, "u-2", "", "human"),
        ("skills", 2, "u-1", "good", "human"),
    ]
    assert set(found.labels["at"]) == {AT}


def test_argillas_server_layout_has_times_and_statuses(tmp_path: Path) -> None:
    found = read_back(written(tmp_path, SERVER))
    assert as_lines(found.labels, ("pair_id", "at")) == [("skills", 2, "u-1", "", "human")]
    assert found.labels["at"].iloc[0].isoformat() == "2026-01-09T09:30:00+00:00"


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"responses": {}}, "a.json, record 2: has no fields."),
        ({"fields": {"text": "x"}, "responses": 5}, "record 2: its responses are no list."),
        ({"fields": {}, "responses": {"skills": [{"value": "1"}]}}, "record 2, skills: user_id is missing."),
        ({"fields": {}, "responses": {"skills": ["1"]}}, "record 2, skills: has no 'value'."),
        ({"fields": {}, "responses": [{"values": {}}]}, "record 2, response 1: has no 'user_id'."),
        (
            {"fields": {}, "responses": [{"user_id": "u", "values": [1]}]},
            "response 1: its values are no object.",
        ),
        ({"fields": {}, "responses": {}, "metadata": [1]}, "record 2: its metadata is not an object."),
    ],
)
def test_a_broken_record_is_one_sentence_with_its_number(record: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_table(json.dumps([CLIENT[0], record]).encode(), "a.json")
    assert said in str(caught.value)


def test_a_table_that_only_looks_like_one_is_guessed_as_before(tmp_path: Path) -> None:
    for first in ("task", "record", "query_id", "pair_id"):
        path = tmp_path / f"{first}.csv"
        path.write_text(f"{first},text,title,skills,labeler\n1,shoes,Boot,2,ann\n")
        found = read_back(path)
        assert as_lines(found.labels, ("pair_id", "at")) == [("skills", 2, "ann", "", "human")]
        assert found.pairs[0].meta == {first: "1"}


# Qrels

QUERIES = b'{"_id": "q1", "text": "red shoes"}\n{"_id": "q2", "text": "hats", "metadata": {}}\n'
CORPUS = b'{"_id": "d1", "title": "Boot", "text": "Leather"}\n{"_id": "d2", "title": "Cap", "text": "Wool"}\n'
TREC = b"q1 0 d1 2\nq1 0 d2  0\nq2\t0\td2\t1\n"
BEIR = b"query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq2\td2\t1\n"


def collection(judged: bytes, name: str = "test.tsv", **more: bytes) -> dict[str, bytes]:
    return {"queries.jsonl": QUERIES, "corpus.jsonl": CORPUS, name: judged, **more}


def read_collection_back(files: dict[str, bytes]) -> Any:
    ((name, table),) = gathered(files).items()  # type: ignore[union-attr]
    spec = checked_mapping(guess_mapping(table, name, POLICY).mapping)
    return read_import(spec, {name: table}, POLICY, AT)


@pytest.mark.parametrize(("name", "judged"), [("test.qrels", TREC), ("qrels.txt", TREC), ("test.tsv", BEIR)])
def test_qrels_become_pairs_with_overall_grades(name: str, judged: bytes) -> None:
    found = read_collection_back(collection(judged, name))
    assert [(p.query["text"], p.document["title"], p.document.get("body")) for p in found.pairs] == [
        ("red shoes", "Boot", None),
        ("red shoes", "Cap", None),
        ("hats", "Cap", None),
    ]
    assert found.labels[["dimension", "grade", "labeler", "source"]].to_numpy().tolist() == [
        ["overall", grade, "qrels", "import"] for grade in (2, 0, 1)
    ]


def test_queries_may_be_a_table_without_a_header() -> None:
    files = {
        "queries.tsv": b"q1\tred shoes\nq2\thats\n",
        "docs.csv": b"docid,title,body\nd1,Boot,L\nd2,Cap,W\n",
    }
    found = read_collection_back({**files, "a.qrels": TREC})
    assert [p.query["text"] for p in found.pairs] == ["red shoes", "red shoes", "hats"]
    assert found.pairs[0].document == {"title": "Boot", "body": "L"}


def test_a_document_that_is_not_there_is_a_problem_of_its_line() -> None:
    ((name, table),) = gathered(collection(TREC + b"q1 0 d9 1\n")).items()  # type: ignore[union-attr]
    spec = checked_mapping(guess_mapping(table, name, POLICY).mapping)
    report = preview(spec, {name: table}, POLICY).report
    assert [(x.kind, x.row) for x in report.problems] == [("no document text", 4)]
    assert (report.pairs, sum(report.labels.values())) == (3, 3)


def test_several_files_of_judgements_are_one_table_with_a_split() -> None:
    ((name, table),) = gathered(
        collection(b"q1 0 d1 2\n", "dev.qrels", **{"test.qrels": b"q2 0 d2 1\n"})
    ).items()  # type: ignore[union-attr]
    assert name == "2 files of qrels"
    assert table["split"].tolist() == ["dev", "test"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (collection(b"q1 0 d1 2\nq1 d2\n"), "test.tsv, line 2: not a judgement ('q1 d2')."),
        (collection(b"query-id\tcorpus-id\tscore\n"), "test.tsv: no judgement."),
        (collection(b"\xff\xfeq"), "test.tsv is UTF-16, not TSV text."),
        ({**collection(TREC), "queries.jsonl": QUERIES + b'{"_id": "q1"}\n'}, "queries.jsonl, row 3: 'q1' is there again"),
        ({**collection(TREC), "corpus.jsonl": b'{"text": "x"}\n'}, "corpus.jsonl has no column of ids."),
        ({**collection(TREC), "corpus.jsonl": CORPUS[:30]}, "corpus.jsonl, row 1: not a line of JSON"),
    ],
)  # fmt: skip
def test_a_broken_collection_is_one_sentence_with_its_line(files: dict[str, bytes], said: str) -> None:
    with pytest.raises(BadInput) as caught:
        gathered(files)
    assert said in str(caught.value)


def test_a_collection_needs_all_three_kinds_of_files(tmp_path: Path) -> None:
    assert find_collection(["queries.jsonl", "corpus.jsonl"]) is None
    assert find_collection(["queries.jsonl", "test.tsv"]) is None
    assert find_collection(["Queries.jsonl.gz", "corpus.jsonl", "qrels/test.tsv", "README.txt"]) == (
        "Queries.jsonl.gz",
        "corpus.jsonl",
        ["qrels/test.tsv"],
    )
    others = {"a.csv": b"x\n1\n", "b.csv": b"y\n1\n"}
    assert gathered(others) is others
    assert gathered(tmp_path) is tmp_path


# Excel


def workbook(**sheets: list[list[Any]]) -> bytes:
    book = Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


ROWS = [
    ["text", "title", "skills", "labeler", None],
    ["shoes", "Boot", 2, "ann"],
    [],
    ["hats", "Cap", 1.0, "ann"],
]


def test_a_workbook_is_a_table_like_any_other(tmp_path: Path) -> None:
    table = read_table(workbook(Labels=ROWS, Other=[["a"], ["b"]]), "Labels.xlsx")
    assert list(table.index) == [2, 4]
    assert table.to_dict("list") == {
        "text": ["shoes", "hats"],
        "title": ["Boot", "Cap"],
        "skills": ["2", "1"],
        "labeler": ["ann", "ann"],
    }
    (tmp_path / "Labels.xlsx").write_bytes(workbook(Labels=ROWS))
    assert as_lines(read_back(tmp_path / "Labels.xlsx").labels, ("pair_id", "at")) == [
        ("skills", 1, "ann", "", "human"),
        ("skills", 2, "ann", "", "human"),
    ]


def test_a_sheet_is_chosen_by_its_name() -> None:
    files = {"b.xlsx": workbook(One=[["a"], ["1"]], Two=[["a"], ["2"]])}
    assert open_table(files, "b.xlsx#Two")["a"].tolist() == ["2"]
    assert open_table(files, "b.xlsx")["a"].tolist() == ["1"]
    with pytest.raises(NotFound, match=r"No sheet of b.xlsx is called 'Tow'. Did you mean Two"):
        open_table(files, "b.xlsx#Tow")
    spec = {"golden": "x", "policy": "shop", "pairs": {"file": "b.xlsx#Two"}}
    parsed = ImportSpec.model_validate(spec | {"query": {"text": "a"}, "document": {"title": "a"}})
    assert read_import(parsed, files, POLICY, AT).pairs[0].query == {"text": "2"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.xls", b"", "a.xls is a workbook of the old Excel format. Save it as .xlsx"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest", "old Excel workbook or locked with a password"),
        ("a.xlsx", b"", "a.xlsx is empty"),
        ("a.xlsx", b"a,b\n1,2\n", "a.xlsx is not a whole Excel workbook"),
        ("a.xlsx", workbook(S=ROWS)[:-200], "a.xlsx is not a whole Excel workbook"),
        ("a.xlsx", workbook(S=[["a", "b"]]), "a.xlsx has a header and no rows"),
        ("a.xlsx", workbook(S=[[], ["a"], ["1"]]), "a.xlsx: row 1 is empty"),
        ("a.xlsx", workbook(S=[["a"], ["1", "2"]]), "a.xlsx, row 2: has 2 cells, the header has 1 columns"),
        ("a.xlsx", workbook(S=[["a", "a"], ["1", "2"]]), "column 'a' is there twice"),
        ("a.csv", workbook(S=ROWS), "let its name end in .xlsx"),
    ],
)
def test_a_bad_workbook_is_one_sentence(name: str, content: bytes, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_table(content, name)
    assert said in str(caught.value)


def test_a_workbook_that_unfolds_too_far_is_not_unfolded() -> None:
    with pytest.raises(BadInput, match="unfolds to more than"):
        read_table(
            workbook(S=[["a"], *([["x" * 1000 + str(i)] for i in range(2000)])]), "a.xlsx", max_bytes=2**18
        )
