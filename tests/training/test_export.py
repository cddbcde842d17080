"""ONNX and Hugging Face folders: they grade as the checkpoint does, or are not written."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
transformers = pytest.importorskip("transformers", reason="needs the train extra")

from training_samples import Heard, examples, pair, policy, recipe, tiny  # noqa: E402

from workbench.errors import BadInput, Conflict, Refused  # noqa: E402
from workbench.training.export import export_huggingface, export_onnx  # noqa: E402
from workbench.training.fit import fit  # noqa: E402
from workbench.training.model import Checkpoint, load_checkpoint  # noqa: E402

PAIRS = [pair(f"{wish} a", f"{note} b", mood) for wish in ("smoky", "green", "black")
         for note in ("smoky", "green", "black", "red") for mood in ("", "calm")]  # fmt: skip


def made(home: Path, pooling: str, kind: str = "encoder") -> Path:
    """A checkpoint that learnt a little."""
    student = recipe(
        tiny(home / "model", kind), pooling=pooling, schedule={"epochs": 6, "head_penalty": 0.01}
    )
    return fit(student, policy(), examples(), home / "out", Heard()).folder


@pytest.fixture
def sides(tmp_path: Path) -> Checkpoint:
    """One that pools by side."""
    return load_checkpoint(made(tmp_path, "sides"))


@pytest.mark.parametrize("pooling", ["sides", "cls"])
def test_onnx_grades_alike_at_other_sizes(tmp_path: Path, pooling: str) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="needs the onnx extra")
    pytest.importorskip("onnxscript", reason="needs the onnx extra")
    loaded = load_checkpoint(made(tmp_path, pooling))
    # The graph is traced on 3 pairs and checked on batches of 16 and 8 with other lengths.
    parity = export_onnx(loaded, tmp_path / "onnx", PAIRS)
    assert parity.pairs == 24
    assert parity.max_difference < 1e-4
    assert parity.spearman == pytest.approx(1, abs=1e-3)
    names = {path.name for path in (tmp_path / "onnx").iterdir()}
    assert {"model.onnx", "checkpoint.json", "README.md", "tokenizer.json"} <= names
    session = runtime.InferenceSession(str(tmp_path / "onnx" / "model.onnx"))
    inputs = {value.name for value in session.get_inputs()}
    assert inputs == {"input_ids", "attention_mask"} | ({"parts"} if pooling == "sides" else set())


def test_a_form_that_is_not_near_enough_is_not_written(sides: Checkpoint, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the onnx extra")
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(Refused, match=r"as ONNX does not grade as the checkpoint does"):
        export_onnx(sides, tmp_path / "onnx", PAIRS, difference=-1.0)  # no difference is below 0
    assert {path.name for path in tmp_path.iterdir()} == before


def test_fields_are_no_single_graph(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no single graph"):
        export_onnx(load_checkpoint(made(tmp_path, "fields")), tmp_path / "onnx", PAIRS)


@pytest.mark.parametrize(("pooling", "kind"), [("fields", "encoder"), ("last", "decoder")])
def test_a_hugging_face_folder_loads_without_code_of_ours(tmp_path: Path, pooling: str, kind: str) -> None:
    loaded = load_checkpoint(made(tmp_path, pooling, kind))
    parity = export_huggingface(loaded, tmp_path / "hub", PAIRS)
    assert parity.max_difference < 1e-6
    backbone = transformers.AutoModel.from_pretrained(tmp_path / "hub").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hub")
    given = tokenizer("smoky green", return_tensors="pt")
    given.pop("token_type_ids", None)
    with torch.inference_mode():
        same = torch.equal(
            backbone(**given).last_hidden_state, loaded.scorer.backbone(**given).last_hidden_state
        )
    assert same
    card = (tmp_path / "hub" / "README.md").read_text()
    assert loaded.record.weights_hash in card
    assert "tea-match v1" in card
    assert "| taste | 0, 1, 2 |" in card
    assert "| strength | 0, 1, N/A |" in card
    with pytest.raises(Conflict, match="exists already"):
        export_huggingface(loaded, tmp_path / "hub", PAIRS)
