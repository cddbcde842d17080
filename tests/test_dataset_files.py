"""Data sets on disk: what goes in comes out, in batches, and damage is seen."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from workspace_samples import version

from workbench.dataset import DatasetRow
from workbench.dataset_files import ROWS, iter_rows, read_card, rows_hash, write_rows
from workbench.errors import BadInput, NotFound
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, Pair
from workbench.run import Judgement

POLICY = version(1)


def row(i: int, **more: object) -> DatasetRow:
    """A row with fields that are there, empty and absent, and with every kind of answer."""
    pair = Pair(
        query={"wishes": f"wish {i} \u2028 日本", **({"mood": ""} if i % 2 else {})},
        document={"title": f"tea {i}"},
        meta={"drawn": "near"} if i % 3 else {},
    )
    taste = Judgement(dimension="taste", grade=i % 3, expected=i / 7, probabilities=(0.1, 0.2 + 1e-12, 0.7))
    grade = NOT_APPLICABLE if i % 2 else NOT_GRADED
    values = {"split": "validation" if i % 4 == 0 else "train", "is_probe": i % 5 == 0} | more
    return DatasetRow(pair, judgements=(taste, Judgement(dimension="strength", grade=grade)), **values)  # type: ignore[arg-type]


def test_rows_come_back_as_they_were_in_batches(tmp_path: Path) -> None:
    rows = [row(i) for i in range(2500)]
    written = write_rows(tmp_path / ROWS, iter(rows), POLICY, "judge-1")
    assert (written.rows, written.content_hash[:8]) == (2500, "dataset-")
    batches = list(iter_rows(tmp_path, batch=1000))
    assert [len(batch) for batch in batches] == [1000, 1000, 500]
    assert [one for batch in batches for one in batch] == rows
    assert rows_hash(tmp_path) == written.content_hash
    assert [path.name for path in tmp_path.iterdir()] == [ROWS]
    column = pq.ParquetFile(tmp_path / ROWS).metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"


def test_the_hash_is_of_what_the_rows_say_and_of_who_said_it(tmp_path: Path) -> None:
    rows = [row(i) for i in range(5)]

    def hashed(given: list[DatasetRow], judge: str = "judge-1", policy: int = 1) -> str:
        return write_rows(tmp_path / "x.parquet", given, version(policy), judge).content_hash

    first = hashed(rows)
    assert first == hashed(rows)
    others = [
        hashed(rows[:4]),
        hashed([*rows[:4], row(4, is_probe=True)]),
        hashed([*rows[:4], row(4, split="train")]),
        hashed(rows, judge="judge-2"),
        hashed(rows, policy=2),
    ]
    assert len({first, *others}) == 6


def test_an_interrupted_write_leaves_what_was_there(tmp_path: Path) -> None:
    before = write_rows(tmp_path / ROWS, [row(1)], POLICY, "judge-1")

    def breaking() -> object:
        yield row(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(tmp_path / ROWS, breaking(), POLICY, "judge-1")  # type: ignore[arg-type]
    assert rows_hash(tmp_path) == before.content_hash
    assert [path.name for path in tmp_path.iterdir()] == [ROWS]


def test_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / ROWS
    with pytest.raises(NotFound, match=r"no file .*data\.parquet"):
        list(iter_rows(path))
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(BadInput, match=r"data\.parquet is damaged"):
        list(iter_rows(path))
    pq.write_table(pa.table({"pair_id": ["x"]}), path)
    with pytest.raises(BadInput, match="no column 'query_id'"):
        list(iter_rows(path))
    with pytest.raises(BadInput, match="does not say which policy"):
        rows_hash(path)


def test_a_text_that_was_changed_by_hand_is_seen(tmp_path: Path) -> None:
    path = tmp_path / ROWS
    write_rows(path, [row(1)], POLICY, "judge-1")
    table = pq.read_table(path)
    plain = table.to_pylist()
    plain[0]["document"]["title"] = "another"
    pq.write_table(pa.Table.from_pylist(plain, table.schema), path)
    with pytest.raises(BadInput, match="are not those that it was made with"):
        list(iter_rows(path))


def test_a_grade_that_was_changed_by_hand_changes_the_hash(tmp_path: Path) -> None:
    path = tmp_path / ROWS
    written = write_rows(path, [row(1)], POLICY, "judge-1")
    table = pq.read_table(path)
    plain = table.to_pylist()
    plain[0]["judge"]["taste"]["grade"] = 0
    pq.write_table(pa.Table.from_pylist(plain, table.schema), path)
    assert rows_hash(path) != written.content_hash


def test_a_card_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"card\.json"):
        read_card(tmp_path)
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(BadInput, match="is not JSON"):
        read_card(tmp_path)
    (tmp_path / "card.json").write_text(json.dumps({"dataset": "x"}))
    with pytest.raises(BadInput, match=r"card\.json at content_hash"):
        read_card(tmp_path)
