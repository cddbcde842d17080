"""A file of pairs through a checkpoint: formats, columns, order, windows, what is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the train extra")

from training_samples import Heard, examples, pair, policy, recipe, tiny  # noqa: E402

from workbench import scoring  # noqa: E402
from workbench.errors import BadInput, Conflict, NotFound, Unavailable, WorkbenchError  # noqa: E402
from workbench.golden import Pair  # noqa: E402
from workbench.judges.checkpoint import CheckpointJudge  # noqa: E402
from workbench.scoring import score_file  # noqa: E402
from workbench.training.fit import fit  # noqa: E402
from workbench.training.model import load_checkpoint  # noqa: E402
from workbench.training.predict import Predictor  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny student that has learnt examples() by heart."""
    home = tmp_path_factory.mktemp("student")
    student = recipe(tiny(home / "model"), schedule={"epochs": 20, "head_penalty": 0.001})
    return fit(student, policy(), examples(), home / "out", Heard()).folder


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    """It, loaded, four pairs a pass."""
    return Predictor(load_checkpoint(folder), batch=4)


PAIRS = [example.pair for example in examples()]


def flat(item: Pair) -> dict[str, str]:
    """A row with full names on one side and bare ones on the other."""
    return {f"guest.{key}": text for key, text in item.query.items()} | item.document


def as_csv(path: Path) -> Path:
    """Header and quoted cells."""
    rows = [flat(item) for item in PAIRS]
    lines = [",".join(rows[0]), *(",".join(f'"{cell}"' for cell in row.values()) for row in rows)]
    target = path / "pairs.csv"
    target.write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8")
    return target


def as_parquet(path: Path) -> Path:
    """Flat columns, several row groups."""
    pq.write_table(pa.Table.from_pylist([flat(item) for item in PAIRS]), path / "p.parquet", row_group_size=5)
    return path / "p.parquet"


def as_structs(path: Path) -> Path:
    """Struct columns."""
    rows = [{"query": item.query, "document": item.document} for item in PAIRS]
    pq.write_table(pa.Table.from_pylist(rows), path / "s.parquet")
    return path / "s.parquet"


def as_lines(path: Path) -> Path:
    """Objects named like the sides, one of them as JSON text; a blank line between."""
    rows = [json.dumps({"guest": item.query, "tea": json.dumps(item.document)}) for item in PAIRS]
    (path / "pairs.jsonl").write_text("\n\n".join(rows) + "\n", encoding="utf-8")
    return path / "pairs.jsonl"


@pytest.mark.parametrize("write", [as_csv, as_parquet, as_structs, as_lines])
def test_every_format_gives_what_the_judge_says(
    tmp_path: Path,
    folder: Path,
    predictor: Predictor,
    write: Callable[[Path], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scoring, "WINDOW", 5)  # 12 rows are windows of 5, 5 and 2
    heard: list[int] = []
    out = tmp_path / "deep" / "out.parquet"
    done = score_file(write(tmp_path), out, predictor, say=lambda rows, seconds: heard.append(rows))
    assert heard == [5, 10, 12]
    # [CLS] guest wishes : w x [mood : calm] [SEP] tea notes : n x [SEP]: 16 with a mood, 13 without, six of each
    assert (done.rows, done.blank, done.tokens) == (12, 0, 6 * 16 + 6 * 13)
    assert pq.ParquetFile(out).metadata.num_row_groups == 3
    rows = pq.read_table(out).to_pylist()
    assert [row["pair_id"] for row in rows] == [item.id for item in PAIRS]
    for row, example in zip(rows, examples(), strict=True):
        assert row["taste.grade"] == example.settled["taste"]
        assert row["strength.grade"] == (1 if example.settled["strength"] == 1 else None)  # None is N/A

    async def judged() -> dict[str, tuple[float, ...]]:
        verdicts = [verdict async for verdict in CheckpointJudge(folder).grade(policy(), PAIRS)]
        return {v.pair_id: v.judgements[0].probabilities or () for v in verdicts}

    expected = asyncio.run(judged())
    for row in rows:
        assert row["taste.probabilities"] == pytest.approx(expected[row["pair_id"]], abs=1e-5)
        assert row["taste.expected"] == pytest.approx(
            row["taste.probabilities"][1] + 2 * row["taste.probabilities"][2], abs=1e-5
        )
    about = pq.read_schema(out).metadata
    assert about[b"policy"] == b"tea-match v1"
    assert about[b"weights"].decode() == predictor.checkpoint.record.weights_hash
    assert [path.name for path in out.parent.iterdir()] == ["out.parquet"]


def refuse(tmp_path: Path, predictor: Predictor, name: str, content: str | bytes) -> str:
    """Score a file that is wrong; nothing may be written. Returns the sentence."""
    source, out = tmp_path / name, tmp_path / "out.parquet"
    source.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadInput) as caught:
        score_file(source, out, predictor)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    return caught.value.message


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "a.csv",
            "wishes,title\na,b\n",
            "a.csv has no column for guest.mood, tea.notes (it has wishes, title)",
        ),
        ("a.csv", "wishes,mood,notes\na,b,c\na,b\n", "a.csv, row 2: has 2 cells, the header has 3 columns."),
        ("a.csv", b"wishes,mood,notes\n\xff,b,c\n", "cannot be read"),
        ("a.csv", "", "has no rows"),
        ("a.csv", "wishes,mood,notes\n", "has no rows"),
        ("a.csv", "wishes,mood,notes\na,b,c\na,\0,c\n", "row 2: 'mood' holds a NUL character."),
        ("a.jsonl", '{"query": {}, "document": {}}\n{"query"', "a.jsonl, line 2: is not valid JSON"),
        ("a.jsonl", "[1]\n", "a.jsonl, line 1: is no object."),
        ("a.jsonl", '{"query": "x", "document": {}}\n', "row 1: 'query' is not valid JSON"),
        ("a.jsonl", '{"query": {}, "document": [2]}\n', "row 1: 'document' holds no object"),
        ("a.parquet", b"PAR1", "is not a whole Parquet file"),
        ("a.xlsx", b"", "a.xlsx is none of .parquet"),
    ],
)
def test_a_wrong_file_is_one_sentence(
    tmp_path: Path, predictor: Predictor, name: str, content: str | bytes, said: str
) -> None:
    assert said in refuse(tmp_path, predictor, name, content)


def test_absent_texts_are_counted(tmp_path: Path, predictor: Predictor) -> None:
    rows = [
        {"query": {"wishes": "smoky"}, "document": {"title": "not considered"}},
        {"query": {"wishes": None}},
    ]
    source = tmp_path / "a.jsonl"
    source.write_text("\n".join(json.dumps({"document": {"notes": "green"}} | row) for row in rows))
    assert score_file(source, tmp_path / "o.parquet", predictor).blank == 2


def test_an_answer_that_is_no_number_names_the_row(tmp_path: Path) -> None:
    student = recipe(tiny(tmp_path / "model", poison=True))
    done = fit(student, policy(), examples(), tmp_path / "made", Heard())
    source = tmp_path / "a.jsonl"
    sound, sick = pair("smoky", "green"), pair("poison", "green")
    source.write_text(
        "\n".join(item.model_dump_json(include={"query", "document"}) for item in [sound, sick])
    )
    with pytest.raises(WorkbenchError, match=r"a\.jsonl, row 2: the answer of tea-mini-\w+ for taste"):
        score_file(source, tmp_path / "o.parquet", Predictor(load_checkpoint(done.folder)))
    assert not (tmp_path / "o.parquet").exists()


def test_the_source_is_never_replaced(tmp_path: Path, predictor: Predictor) -> None:
    source = as_parquet(tmp_path)
    with pytest.raises(Conflict, match="is the file that is read"):
        score_file(source, tmp_path / "." / "p.parquet", predictor)
    with pytest.raises(NotFound, match="no file"):
        score_file(tmp_path / "none.csv", tmp_path / "o.parquet", predictor)


def test_devices(folder: Path) -> None:
    loaded = load_checkpoint(folder)
    with pytest.raises(BadInput, match="is no device"):
        Predictor(loaded, device="quick")
    with pytest.raises(BadInput, match="not on 'meta'"):
        Predictor(loaded, device="meta")
    with pytest.raises(Unavailable, match="has no device 'cuda:99'"):
        Predictor(loaded, device="cuda:99")
    with pytest.raises(BadInput, match="holds none"):
        Predictor(loaded, batch=0)


@pytest.mark.parametrize("pooling", ["cls", "sides", "fields"])
def test_openvino_answers_alike(tmp_path: Path, pooling: str) -> None:
    pytest.importorskip("openvino", reason="needs the openvino extra")
    student = recipe(tiny(tmp_path / "model"), pooling=pooling, schedule={"epochs": 6, "head_penalty": 0.01})
    done = fit(student, policy(), examples(), tmp_path / "out", Heard()).folder
    plain, fused = (
        {
            int(row): vector
            for batch in Predictor(load_checkpoint(done), batch=5, engine=engine).predict(PAIRS)
            for row, vector in zip(batch.rows, batch.probabilities["taste"], strict=True)
        }
        for engine in ("torch", "openvino")
    )
    assert len(plain) == len(fused) == 12
    for row, vector in plain.items():
        assert fused[row] == pytest.approx(vector, abs=1e-4)
