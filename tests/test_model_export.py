"""Exported models: the folder's own code grades as the checkpoint does, and its card says what it is."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the train extra")

from evaluation_samples import published, teas, trained
from training_samples import Heard

from workbench.errors import BadInput, Conflict, NotFound
from workbench.golden import NOT_APPLICABLE, Pair
from workbench.model_evaluations import evaluate
from workbench.model_export import export
from workbench.promotions import promote
from workbench.training.grades import decide
from workbench.training.model import load_checkpoint
from workbench.training.predict import Predictor
from workbench.workspace import Workspace

LONG = Pair(
    query={"wishes": "smoky " * 30, "mood": "calm"},
    document={"title": "tea", "notes": "green black mild " * 20},
)
"""Longer than the 32 tokens of the recipes here, so that it is cut."""
BARE = Pair(query={"wishes": "smoky", "mood": ""}, document={"title": "tea", "notes": ""})


def grader(folder: Path) -> Any:
    """What a user of the folder gets from it."""
    spec = importlib.util.spec_from_file_location("exported_grade", folder / "grade.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Grader(folder)


def check(folder: Path, checkpoint: Path, pairs: list[Pair], near: float = 1e-5) -> None:
    """Both say the same of all pairs: grades, expected grades and clicks."""
    loaded = load_checkpoint(checkpoint)
    said = grader(folder).grade([(pair.query, pair.document) for pair in pairs])
    for batch in Predictor(loaded, precision="float32").predict(pairs):
        for head in loaded.record.heads:
            grades, expected, levels = decide(head, batch.probabilities[head.key])
            for place, row in enumerate(batch.rows):
                answer = said[row][head.key]
                assert answer["expected"] == pytest.approx(expected[place], abs=near)
                assert list(answer["probabilities"].values()) == pytest.approx(levels[place], abs=near)
                grade = None if grades[place] == NOT_APPLICABLE else grades[place]
                # Within reach of a boundary the last digit decides, so only clear grades are compared.
                edge = head.centre + (expected[place] - head.centre) * head.stretch
                if abs(edge - np.floor(edge) - 0.5) > 1e-3:
                    assert answer["grade"] == grade
        clicks = [said[row].get("click") for row in batch.rows]
        assert clicks == (
            [None] * len(clicks) if batch.click is None else pytest.approx(batch.click, abs=near)
        )


@pytest.mark.parametrize(
    ("pooling", "changes"),
    [
        ("sides", {"field_tokens": {"tea.notes": 5}}),
        ("fields", {"field_tokens": {"tea.notes": 4}}),
        ("mean", {"data": {"clicks": None}}),
        ("cls", {}),
        ("last", {"data": {"clicks": None}}),
    ],
)
def test_grade_py_grades_as_the_checkpoint(
    workspace: Workspace, tmp_path: Path, pooling: str, changes: dict[str, Any]
) -> None:
    golden = published(workspace)
    record = trained(workspace, golden, tmp_path, "tea-mini", pooling=pooling, **changes)
    done = export(workspace, "tea-mini", tmp_path / "out", author="Ida")
    assert done.parity.pairs == 32  # all pairs of the set
    assert done.parity.max_difference < 1e-5
    source = Path(workspace.store.checkpoint(record.name).folder)
    check(done.folder, source, [*teas()[:6], LONG, BARE])


def test_the_folder_and_its_card(workspace: Workspace, tmp_path: Path) -> None:
    golden = published(workspace)
    big = trained(workspace, golden, tmp_path, "tea-big", schedule={"epochs": 3})
    small = trained(workspace, golden, tmp_path, "tea-small", layers=1)
    evaluate(
        workspace, "tea-small", clicks="shop", against="tea-big", author="Ida", reporter=Heard(), speed=False
    )
    promote(workspace, "tea-small", "candidate", reason="half the size", author="Bo")
    folder = tmp_path / "models" / "small"
    done = export(workspace, "tea-small", folder, author="Ida")
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "README.md", "grade.py", "checkpoint.json", "config.json", "model.safetensors", "heads.safetensors", "tokenizer.json",
    }  # fmt: skip
    assert done.bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert [path.name for path in folder.parent.iterdir()] == ["small"]  # nothing is left beside it

    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n")
    for words in (
        "## Intended use\n\nIt grades taste, strength of a tea for a guest under tea-match v1, and how likely a click is",
        "in stage **candidate**: half the size (Bo,",
        "### tea v1, dev, clicks shop\n\n28 pairs",
        f"loss against {big.name}",
        "- It was not evaluated on a holdout",
        "- policy tea-match v1",
        "- golden set tea v1, 32 pairs",
        small.weights_hash,
    ):
        assert words in card
    assert re.search(r"\| kappa\.taste \| -?\d\.\d{3} \[-?\d\.\d{3}, -?\d\.\d{3}\] \| [+-]\d\.\d{3} \|", card)

    # The snippet of the card runs as it stands, in the folder, and prints the grade of each dimension.
    snippet = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    assert snippet is not None
    ran = subprocess.run(
        [sys.executable, "-c", snippet[1]],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert re.fullmatch(r"\{'taste': (0|1|2), 'strength': (0|1|None)\}", ran.stdout.strip())

    event = workspace.store.events(1)[0]
    assert (event["who"], event["what"], event["subject"]) == ("Ida", "exported", f"checkpoint {small.name}")


def test_onnx_is_graded_by_the_same_code(workspace: Workspace, tmp_path: Path) -> None:
    for name in ("onnxruntime", "onnxscript", "onnx"):
        pytest.importorskip(name, reason="needs the onnx extra")
    golden = published(workspace)
    record = trained(workspace, golden, tmp_path, "tea-mini", schedule={"epochs": 6})
    done = export(workspace, "tea-mini", tmp_path / "out", format="onnx", author="Ida")
    names = {path.name for path in done.folder.iterdir()}
    assert "model.onnx" in names
    assert "model.safetensors" not in names
    assert "and onnxruntime, not the workbench" in (done.folder / "README.md").read_text()
    source = Path(workspace.store.checkpoint(record.name).folder)
    check(done.folder, source, [*teas()[:6], LONG], near=1e-3)


def test_what_cannot_be_exported(workspace: Workspace, tmp_path: Path) -> None:
    golden = published(workspace)
    with pytest.raises(NotFound, match="No checkpoint is called 'tea-mini'"):
        export(workspace, "tea-mini", tmp_path / "out", author="Ida")
    record = trained(workspace, golden, tmp_path, "tea-mini", pooling="fields")
    with pytest.raises(BadInput, match="There is no format 'gguf'"):
        export(workspace, "tea-mini", tmp_path / "out", format="gguf", author="Ida")  # type: ignore[arg-type]
    (tmp_path / "there").mkdir()
    with pytest.raises(Conflict, match="exists already"):
        export(workspace, "tea-mini", tmp_path / "there", author="Ida")
    with pytest.raises(BadInput, match="no single graph"):
        export(workspace, "tea-mini", tmp_path / "new" / "out", format="onnx", author="Ida")
    assert list((tmp_path / "new").iterdir()) == []
    # Weights that are not those of the record are not exported.
    weights = Path(workspace.store.checkpoint(record.name).folder) / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b"x")
    with pytest.raises(BadInput, match="damaged, incomplete or altered"):
        export(workspace, "tea-mini", tmp_path / "new" / "out", author="Ida")
    assert list((tmp_path / "new").iterdir()) == []
