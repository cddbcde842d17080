"""Pages of a data set's rows, over the borders of what is read at a time, and where recipes are found."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_dataset_files import POLICY, row

from workbench import dataset_files, dataset_view
from workbench.dataset_files import ROWS, rows_at, write_rows
from workbench.errors import BadInput, NotFound
from workbench.workspace import Workspace


def test_rows_are_read_from_any_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_files, "BATCH", 4)  # row groups of 4, 4 and 2 rows
    rows = [row(i) for i in range(10)]
    write_rows(tmp_path / ROWS, rows, POLICY, "judge-1")
    assert rows_at(tmp_path, 0, 3) == rows[:3]
    assert rows_at(tmp_path, 3, 6) == rows[3:9]  # in three groups
    assert rows_at(tmp_path, 8, 50) == rows[8:]
    assert rows_at(tmp_path, 10, 5) == []


def test_rows_that_are_gone_or_damaged_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no file"):
        rows_at(tmp_path, 0, 5)
    (tmp_path / ROWS).write_bytes(b"nothing")
    with pytest.raises(BadInput, match="is damaged"):
        rows_at(tmp_path, 0, 5)


def test_recipes_are_the_yaml_files_of_one_folder(workspace: Workspace) -> None:
    assert dataset_view.recipe_files(workspace) == []
    folder = workspace.root / "datasets"
    folder.mkdir()
    for name in ("b.yaml", "a.yaml", "pool.csv"):
        (folder / name).write_text("dataset: x\n")
    assert [path.stem for path in dataset_view.recipe_files(workspace)] == ["a", "b"]
    assert dataset_view.recipe_text(workspace, "a") == "dataset: x\n"
    with pytest.raises(NotFound):
        dataset_view.recipe_text(workspace, "c")
    with pytest.raises(BadInput, match="The recipe, line 1"):
        dataset_view.read_typed("dataset: x: y\n")
