"""Files of judgements, read into rows.

``tests/data/results`` holds logs that inspect-ai 0.3.285 wrote (a mock model, five samples, a scorer whose value is an
object; its archives are compressed with Zstandard), and samples of promptfoo and Langfuse that were written by hand
after the documentation of their formats. All name pairs of :func:`workspace_samples.pair`.
"""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from policy_samples import plain
from workspace_samples import pair

from workbench.errors import BadInput, NotFound
from workbench.golden import NOT_APPLICABLE, NOT_GRADED
from workbench.judgement_columns import filled_id
from workbench.judgement_files import JudgementFile, read_judgements
from workbench.policy import Policy
from workbench.run import Judgement, Verdict
from workbench.zip_entries import ZipEntries

RESULTS = Path(__file__).parent / "data" / "results"
POLICY = Policy.model_validate(plain())
TEAS = [
    pair(wishes, title).id
    for wishes, title in (
        ("green", "Sencha"), ("green", "Matcha"), ("black", "Assam"), ("black", "Lapsang"), ("mild", "Rooibos"),
    )
]  # fmt: skip


def read(content: str | bytes, name: str = "file", **more: Any) -> JudgementFile:
    return read_judgements(
        content.encode() if isinstance(content, str) else content, name, policy=POLICY, **more
    )


def told(file: JudgementFile, *columns: str) -> list[tuple[str, ...]]:
    names = columns or ("pair_id", "dimension", "score")
    return list(file.rows[list(names)].itertuples(index=False, name=None))


def csv_of(*lines: str) -> str:
    return "\n".join(lines) + "\n"


# Tables


def test_a_long_table_with_all_columns() -> None:
    file = read(
        csv_of(
            "Pair ID,Dimension,Score,Rationale,Judge,Version",
            "p1,taste,2,Grassy,gpt,a",
            "p1,strength,N/A,,gpt,a",
        ),
        "scores.csv",
    )
    assert (file.kind, file.format, file.by_text) == ("table", "table", False)
    assert told(file, "judge", "version", "pair_id", "dimension", "score", "rationale", "place") == [
        ("gpt", "a", "p1", "taste", "2", "Grassy", "row 2"),
        ("gpt", "a", "p1", "strength", "N/A", "", "row 3"),
    ]


def test_a_wide_table_with_a_rationale_each_and_empty_cells() -> None:
    file = read(
        csv_of("pair_id,Taste,grade_strength,taste_rationale,reason", "p1,2,1,Grassy,All in all", "p2,,0,,"),
        "scores.csv",
    )
    # The dimension's own rationale goes before the one for the whole row.
    assert told(file, "pair_id", "dimension", "score", "rationale") == [
        ("p1", "taste", "2", "Grassy"), ("p1", "strength", "1", "All in all"), ("p2", "strength", "0", ""),
    ]  # fmt: skip
    assert (file.left_out, file.notes) == ({"empty cells": 1}, ())


def test_columns_that_are_not_used_are_told() -> None:
    """Texts of the pair and what an export says of it need no word; a misspelt dimension does."""
    header = "pair_id,split,query_wishes,meta_city,mood,Tea title,taste,strenght,overall"
    file = read(csv_of(header, "p1,dev,green,Graz,calm,Sencha,2,1,2"), "t.csv")
    assert file.notes == ("Columns that are not used: strenght, overall.",)
    many = [f"c{i}" for i in range(9)]
    file = read(csv_of(",".join(["pair_id", "taste", *many]), "p1,2" + ",x" * 9), "t.csv")
    assert file.notes == ("Columns that are not used: c0, c1, c2, c3, c4, c5, c6, c7 …",)


@pytest.mark.parametrize(
    "name", ["t.csv", "t.tsv", "t.txt", "t", "t.json", "t.jsonl", "t.parquet", "t.xlsx", "noname"]
)
def test_the_same_table_in_every_form(name: str, tmp_path: Path) -> None:
    table = pd.DataFrame({"pair_id": ["p1", "p2"], "dimension": "taste", "score": ["2", "0"]})
    buffer = io.BytesIO()
    match name.rpartition(".")[2]:
        case "tsv":
            table.to_csv(buffer, sep="\t", index=False)
        case "json":
            buffer.write(table.to_json(orient="records").encode())
        case "jsonl" | "noname":
            buffer.write(table.to_json(orient="records", lines=True).encode())
        case "parquet":
            table.to_parquet(buffer)
        case "xlsx":
            table.to_excel(buffer, index=False)
        case _:
            table.to_csv(buffer, index=False)
    path = tmp_path / name
    path.write_bytes(buffer.getvalue())
    assert told(read_judgements(path, policy=POLICY)) == [("p1", "taste", "2"), ("p2", "taste", "0")]
    # What it is, the content says: the same under a name that says nothing, and compressed under its own.
    if not name.endswith((".tsv", ".xlsx", ".parquet")):
        assert told(read(gzip.compress(buffer.getvalue()), "upload")) == told(
            read(buffer.getvalue(), "upload")
        )


def test_a_workbook_and_parquet_are_known_without_their_names() -> None:
    table = pd.DataFrame({"pair_id": ["p1"], "taste": ["2"]})
    book, parquet = io.BytesIO(), io.BytesIO()
    table.to_excel(book, index=False)
    table.to_parquet(parquet)
    for content in (book, parquet):
        assert told(read(content.getvalue(), "upload")) == [("p1", "taste", "2")]


def test_pairs_are_known_by_their_texts_as_an_export_writes_them() -> None:
    one = pair("green", "Sencha")
    # mood is "calm" and notes "Sencha tea" in every pair of the samples; an empty column changes nothing.
    header = "query_wishes,query_mood,query_more,document_title,document_notes,taste"
    file = read(csv_of(header, "green,calm,,Sencha,Sencha tea,2"), "t.csv")
    assert file.by_text
    assert told(file) == [(filled_id(one.query, one.document), "taste", "2")]
    assert filled_id(one.query, one.document) == one.id  # none of its fields is empty


def test_pairs_are_known_by_the_names_of_the_policy() -> None:
    one = pair("green", "Sencha")
    file = read(csv_of("Guest wishes,mood,Tea Title,notes,taste", "green,calm,Sencha,Sencha tea,2"), "t.csv")
    assert told(file) == [(one.id, "taste", "2")]


def test_a_text_that_an_export_defused_is_restored() -> None:
    file = read(csv_of("query_wishes,document_title,taste", "'- mild,Rooibos,1"), "t.csv")
    assert told(file)[0][0] == filled_id({"wishes": "- mild"}, {"title": "Rooibos"})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (csv_of("pair_id,dimension,score", "p1,taste,1", ",taste,2"), r"t\.csv, row 3: has no pair id\."),
        (csv_of("pair_id,dimension,score", "p1,,2"), r"t\.csv, row 2: has no dimension\."),
        (csv_of("taste,strength", "1,1"), r"t\.csv names no pairs: .*fields of the guest"),
        (csv_of("wishes,taste", "green,1"), r"t\.csv names no pairs: .*fields of the tea"),
        (csv_of("pair_id,colour", "p1,green"), r"t\.csv has neither a column of scores nor"),
        (csv_of("pair_id,taste", "p1,"), r"t\.csv \(table\) holds no judgement \(left out: 1 empty cells\)"),
        (csv_of("pair_id,taste", "p1,1,2"), r"t\.csv, row 2: has 3 values"),
        ("", r"t\.csv is empty"),
        ("{", r"t\.csv, line 1: not whole JSON"),
        ("[1, 2]", r"t\.csv holds no judgements that can be told"),
        ("[" * 100_000, r"t\.csv: not whole JSON \(nested too deeply\)"),
        ('{"pair_id": "p1", "taste": 1}\n{"pair_id": "p2",\n', r"t\.csv, row 2: not whole JSON"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table_is_said_in_one_sentence(content: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        read(content, "t.csv")
    assert caught.value.hint


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(NotFound, match=r"No file is called 'gone\.csv'"):
        read_judgements(Path("gone.csv"), policy=POLICY)


def test_too_large_a_file_and_one_that_unfolds_too_far() -> None:
    with pytest.raises(BadInput, match="a file may have"):
        read("pair_id,taste\np1,1\n" * 100, "t.csv", max_bytes=1_000)
    with pytest.raises(BadInput, match="unfolds to more than"):
        read(gzip.compress(b"pair_id,taste\n" * 100_000), "t.csv", max_bytes=10_000)


# Our own


def test_verdict_lines_bring_the_whole_judgement() -> None:
    verdicts = [
        Verdict(
            pair_id="p1",
            judgements=(
                Judgement(dimension="taste", grade=2, probabilities=(0.1, 0.1, 0.8), rationale="Grassy", cites=("taste.1",)),
                Judgement(dimension="strength", grade=NOT_APPLICABLE),
            ),
        ),
        Verdict(pair_id="p2", judgements=(Judgement(dimension="taste", grade=NOT_GRADED, error="no answer"),)),
    ]  # fmt: skip
    file = read("\n".join(verdict.model_dump_json() for verdict in verdicts), "judgements.jsonl")
    assert file.kind == "verdicts"
    assert told(file) == [("p1", "taste", "2"), ("p1", "strength", "N/A"), ("p2", "taste", "")]
    assert file.rows["judgement"].tolist() == [j for verdict in verdicts for j in verdict.judgements]
    one = read(verdicts[0].model_dump_json(), "judgements.jsonl")
    assert len(one.rows) == 2
    with pytest.raises(BadInput, match=r"j\.jsonl, row 2 at judgements\.0\.grade: "):
        read(
            verdicts[0].model_dump_json() + '\n{"pair_id": "p", "judgements": [{"dimension": "taste"}]}',
            "j.jsonl",
        )


# promptfoo


@pytest.mark.parametrize(("name", "place"), [("promptfoo.json", "result"), ("promptfoo.jsonl", "row")])
def test_promptfoo_results(name: str, place: str) -> None:
    file = read_judgements(RESULTS / name, policy=POLICY)
    assert file.kind == "promptfoo"
    claude = "anthropic:messages:claude-haiku-4-5"  # its label is empty
    assert told(file, "judge", "pair_id", "dimension", "score", "rationale") == [
        ("gpt", TEAS[0], "taste", "2", "Green was asked for."),  # named scores; latency is no dimension
        ("gpt", TEAS[0], "strength", "1", "Strong enough."),
        ("gpt", TEAS[1], "taste", "1", "Nearly green."),
        ("gpt", TEAS[1], "strength", "0", "Strong enough."),
        (claude, TEAS[0], "taste", "2", "Grassy."),  # JSON within a fence
        (claude, TEAS[0], "strength", "N/A", "No wish."),
        (claude, TEAS[1], "taste", "0", ""),  # an object within the object
        (claude, TEAS[1], "strength", "1", ""),
    ]
    assert set(file.rows["version"]) == {""}  # one prompt
    assert file.rows["place"].iloc[0] == f"{place} 1"
    assert file.left_out == {"results that failed": 1, "results without the id of a pair": 1}


def test_promptfoo_prompts_are_versions() -> None:
    data = json.loads((RESULTS / "promptfoo.json").read_text())
    results = data["results"]["results"]
    results[1]["prompt"] = {"label": "short"}
    results[2]["prompt"] = results[3]["prompt"] = {"label": "Grade this tea. " * 20}
    file = read(json.dumps(data))
    assert list(dict.fromkeys(file.rows["version"])) == [
        "Grade {{title}} for {{wishes}}",
        "short",
        "prompt 3",
    ]


def test_promptfoo_without_grades_and_with_a_broken_result() -> None:
    data = json.loads((RESULTS / "promptfoo.json").read_text())
    data["results"]["results"] = data["results"]["results"][4:]
    with pytest.raises(
        BadInput, match=r"\(promptfoo results\) holds no judgement \(left out: 1 results that failed; "
    ):
        read(json.dumps(data))
    data["results"]["results"].append("text")
    with pytest.raises(BadInput, match=r"p\.json, result 3: not an object"):
        read(json.dumps(data), "p.json")


# Langfuse


def test_langfuse_scores_of_the_api() -> None:
    file = read_judgements(RESULTS / "langfuse.json", policy=POLICY)
    assert file.kind == "langfuse"
    assert told(file, "pair_id", "dimension", "score", "rationale") == [
        (TEAS[0], "taste", "0", "An older answer."),  # the newest, first in the file, comes last here
        (TEAS[0], "strength", "Right", ""),  # a category without a config
        (TEAS[1].removeprefix("pair-"), "taste", "1", ""),  # by the id of the trace
        (TEAS[1], "strength", "1", ""),  # by the name of the trace
        (TEAS[2], "helpfulness", "0.7", ""),
        (TEAS[0], "taste", "2", "Asked for green."),
    ]
    assert set(file.rows["judge"]) == {"gpt-5-mini"}
    assert file.left_out == {
        "scores that people gave (source ANNOTATION)": 1,
        "scores without the id of a pair": 1,
    }


def test_langfuse_scores_as_lines_and_as_a_table() -> None:
    page = json.loads((RESULTS / "langfuse.json").read_text())["data"]
    lines = read("\n".join(map(json.dumps, page)), "scores.jsonl")
    assert told(lines) == told(read_judgements(RESULTS / "langfuse.json", policy=POLICY))
    table = read_judgements(RESULTS / "langfuse.csv", policy=POLICY)
    assert table.kind == "langfuse"
    assert told(table, "judge", "pair_id", "dimension", "score", "place") == [
        ("gpt-5-mini", TEAS[0], "strength", "Right", "row 3"),
        ("gpt-5-mini", TEAS[0], "taste", "2", "row 2"),
    ]


def test_a_category_with_a_config_has_its_number() -> None:
    page = json.loads((RESULTS / "langfuse.json").read_text())
    page["data"] = [page["data"][2] | {"configId": "c1", "value": 1}]
    assert told(read(json.dumps(page))) == [(TEAS[0], "strength", "1")]


# inspect-ai


@pytest.mark.parametrize("name", ["inspect.json", "inspect.eval"])
def test_inspect_logs_of_both_formats(name: str) -> None:
    file = read_judgements(RESULTS / name, policy=POLICY)
    assert (file.kind, file.notes, dict(file.left_out)) == ("inspect", (), {})
    assert set(zip(file.rows["judge"], file.rows["version"], strict=True)) == {("mockllm/model", "")}
    assert told(file, "pair_id", "dimension", "score", "rationale")[:2] == [
        (TEAS[0], "taste", "2", "Because of Sencha."),
        (TEAS[0], "strength", "1", "Because of Sencha."),
    ]
    # What the mock model said: see the docstring; 7 is outside the scale and kept as it is.
    assert file.rows.loc[file.rows["dimension"] == "taste", "score"].tolist() == ["2", "0", "1", "1.5", "7"]
    assert file.rows.loc[file.rows["dimension"] == "taste", "pair_id"].tolist() == TEAS


def test_inspect_epochs_are_versions() -> None:
    file = read_judgements(RESULTS / "inspect-epochs.eval", policy=POLICY)
    assert file.rows.groupby("version").size().to_dict() == {"epoch 1": 10, "epoch 2": 10}


def test_inspect_scorers_samples_that_failed_and_unfinished_logs() -> None:
    log = json.loads((RESULTS / "inspect.json").read_text())
    first, second, third, *_ = log["samples"]
    first["scores"] = {"taste": {"value": 2, "explanation": "Grassy."}, "match": {"value": "C"}}
    first["metadata"] = {}
    first["id"] = 17
    second["scores"]["grades"]["metadata"] = {"taste": "Its own reason."}
    third["scores"], third["error"] = None, {"message": "timeout"}
    log["samples"] = [first, second, third, {"id": "s9", "scores": {}}]
    log["status"] = "cancelled"
    file = read(json.dumps(log))
    assert told(file, "pair_id", "dimension", "score", "rationale") == [
        ("17", "taste", "2", "Grassy."),
        ("17", "match", "C", ""),
        (TEAS[1], "taste", "0", "Its own reason."),
        (TEAS[1], "strength", "0", "Because of Matcha."),
    ]
    assert file.left_out == {"samples that failed": 1, "samples without grades": 1}
    assert file.notes == ("The evaluation has the status 'cancelled': samples may be missing.",)
    log["samples"].append({"scores": {}})
    with pytest.raises(BadInput, match=r"log\.json, sample 5: has no id\."):
        read(json.dumps(log), "log.json")
    del log["samples"]
    with pytest.raises(BadInput, match="log without samples"):
        read(json.dumps(log))


def archive(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_an_archive_that_was_broken_off(method: int) -> None:
    log = json.loads((RESULTS / "inspect.json").read_text())
    start = json.dumps({"version": 2, "eval": log["eval"]}).encode()
    entries = {
        "_journal/start.json": start,
        "samples/s0_epoch_1.json": json.dumps(log["samples"][0]).encode(),
    }
    file = read(archive(entries, method), "log.eval")
    assert told(file) == [(TEAS[0], "taste", "2"), (TEAS[0], "strength", "1")]
    assert file.notes == ("The evaluation has the status 'started': samples may be missing.",)
    with pytest.raises(BadInput, match="log without samples"):
        read(archive({"_journal/start.json": start}, method), "log.eval")
    with pytest.raises(BadInput, match=r"log\.eval, part samples/s0_epoch_1\.json: not a whole JSON file"):
        read(archive(entries | {"samples/s0_epoch_1.json": b"{"}, method), "log.eval")


def test_archives_that_are_none() -> None:
    with pytest.raises(BadInput, match="neither an inspect-ai log nor an Excel workbook"):
        read(archive({"a.txt": b"x"}), "a.zip")
    with pytest.raises(BadInput, match="not a whole zip archive"):
        read(b"PK\x03\x04 and no more", "log.eval")
    whole = (RESULTS / "inspect.eval").read_bytes()
    # The first bytes of the packed sample, which come after its name.
    at = whole.index(b"samples/s0_epoch_1.json") + len("samples/s0_epoch_1.json")
    with pytest.raises(BadInput, match=r"log\.eval, part samples/s0_epoch_1\.json: is damaged"):
        read(whole[:at] + b"\0" * 40 + whole[at + 40 :], "log.eval")


def test_a_bomb_is_not_unfolded() -> None:
    bomb = archive({"header.json": b" " * 5_000_000, "samples/1.json": b"{}"})
    assert len(bomb) < 10_000
    with pytest.raises(BadInput, match=r"part header\.json: unfolds to more than 0\.0 MB"):
        read(bomb, "log.eval", max_bytes=10_000)
    # Zstandard keeps to the same limit, and all entries together to theirs.
    entries = ZipEntries(RESULTS / "inspect.eval", "log.eval", max_entry=100, max_total=10_000)
    with pytest.raises(BadInput, match="unfolds to more than"):
        entries.read("header.json")
    entries.close()
    entries = ZipEntries(RESULTS / "inspect.eval", "log.eval", max_entry=9_000, max_total=9_000)
    assert json.loads(entries.read("samples/s0_epoch_1.json"))["id"] == "s0"
    with pytest.raises(BadInput, match="unfolds to more than"):
        entries.read("samples/s1_epoch_1.json")  # each has some 7,000 bytes
    entries.close()


def test_a_compression_that_cannot_be_read_and_a_locked_part_are_said() -> None:
    content = bytearray(archive({"header.json": b"{}", "samples/1.json": b"{}"}))
    central = content.index(b"PK\x01\x02")
    locked = bytearray(content)
    locked[central + 8] |= 1  # general purpose bit 0 of the first entry
    with pytest.raises(BadInput, match=r"part header\.json: is locked with a password"):
        read(bytes(locked), "log.eval")
    for place in (central + 10, content.index(b"PK\x03\x04") + 8):
        content[place] = 98  # PPMd
    with pytest.raises(BadInput, match="compressed by a method that this Python cannot read"):
        read(bytes(content), "log.eval")


def test_texts_that_no_database_keeps_are_made_keepable() -> None:
    file = read('[{"pair_id": "p1", "dimension": "taste", "score": 1, "rationale": "a"}]')
    assert told(file, "score", "rationale") == [("1", "a")]
    log = json.loads((RESULTS / "inspect.json").read_text())
    log["samples"][0]["scores"]["grades"]["explanation"] = "half \ud800 and \0"
    assert read(json.dumps(log)).rows["rationale"].iloc[0] == "half � and �"
