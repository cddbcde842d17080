"""The text encoder: pooling, windows, blanks, and the vectors it keeps."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from workbench.backbone import minilm_available
from workbench.errors import BadInput, Unavailable, WorkbenchError
from workbench.judges.encoder import TextEncoder

needs_minilm = pytest.mark.skipif(
    not minilm_available(), reason="the offline extra (MiniLM) is not installed"
)
TEXTS = ["A cook wanted in a hospital.", "Hospital seeks a chef.", "Zwölf Boxkämpfer 🥊 jagen Viktor", "求人"]


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    if not minilm_available():
        pytest.skip("the offline extra (MiniLM) is not installed")
    return TextEncoder()


def test_unit_vectors_that_know_a_paraphrase(encoder: TextEncoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (4, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3


def test_equals_the_model_run_on_one_text_with_mean_pooling(encoder: TextEncoder) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    from workbench.backbone import resolve_backbone

    folder = resolve_backbone("minilm")
    inputs = AutoTokenizer.from_pretrained(folder)(TEXTS[0], return_tensors="pt")
    with torch.no_grad():
        # One text has no padding, so the mean over the mask is the plain mean over its tokens.
        mean = AutoModel.from_pretrained(folder).eval()(**inputs).last_hidden_state[0].mean(0).numpy()
    np.testing.assert_allclose(encoder.encode(TEXTS)[0], mean / np.linalg.norm(mean), atol=1e-5)


def test_batching_does_not_change_a_vector(encoder: TextEncoder) -> None:
    texts = [f"{'word ' * n}and {n}" for n in range(1, 40, 3)]
    one_by_one = TextEncoder(batch_tokens=256).encode(texts)
    np.testing.assert_allclose(encoder.encode(texts), one_by_one, atol=1e-5)


def test_blank_texts_are_zero_and_no_texts_are_no_rows(encoder: TextEncoder) -> None:
    vectors = encoder.encode(["", "  \n\t", "word"])
    assert not vectors[:2].any()
    assert vectors[2].any()
    assert encoder.encode([]).shape == (0, 384)
    assert encoder.encode([""]).shape == (1, 384)


def test_a_lone_surrogate_is_read_as_a_question_mark(encoder: TextEncoder) -> None:
    vectors = encoder.encode(["a\ud800b", "a?b"])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)


@needs_minilm
def test_a_long_text_is_the_weighted_mean_of_its_windows() -> None:
    short = TextEncoder(max_tokens=16, batch_tokens=64)
    long, first, rest = short.encode(["red " * 20, "red " * 14, "red " * 6])
    # 16 tokens hold 14 words and the two special tokens; the other 6 words make a window of 8 tokens.
    expected = 16 * first + 8 * rest
    np.testing.assert_allclose(long, expected / np.linalg.norm(expected), atol=1e-5)


def test_equal_and_known_texts_are_computed_once(
    encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    compute = encoder._compute

    def counting(texts: list[str]) -> list[np.ndarray]:
        asked.extend(texts)
        return compute(texts)

    monkeypatch.setattr(encoder, "_compute", counting)
    vectors = encoder.encode(["once only", "another one", "once only"])
    encoder.encode(["another one"])
    assert asked == ["once only", "another one"]
    np.testing.assert_array_equal(vectors[0], vectors[2])


@needs_minilm
def test_the_cache_spares_the_next_process_the_model(tmp_path: Path) -> None:
    cold = TextEncoder(cache=tmp_path / "new" / "cache")
    first = cold.encode(TEXTS)
    warm = TextEncoder(cache=tmp_path / "new" / "cache")
    assert warm.encode(TEXTS).tobytes() == first.tobytes()
    assert warm._model is None
    # Other windows give other vectors, so they are kept apart.
    other = TextEncoder(cache=tmp_path / "new" / "cache", max_tokens=64)
    assert other._where != warm._where


@needs_minilm
def test_a_damaged_cache_is_named(tmp_path: Path) -> None:
    where = Path(TextEncoder(cache=tmp_path)._where)
    where.write_bytes(b"not a database " * 100)
    with pytest.raises(WorkbenchError, match=where.name) as caught:
        TextEncoder(cache=tmp_path)
    assert "delete the file" in caught.value.hint


@needs_minilm
def test_a_vector_of_another_length_in_the_cache_is_named(tmp_path: Path) -> None:
    encoder = TextEncoder(cache=tmp_path)
    encoder.encode(["word"])
    with sqlite3.connect(encoder._where) as connection:
        connection.execute("UPDATE vector SET value = x'00000000'")
    with pytest.raises(WorkbenchError, match="cannot be used"):
        encoder.encode(["word"])


@needs_minilm
def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WorkbenchError, match="cannot be set up"):
        TextEncoder(cache=tmp_path / "file" / "cache")


def test_what_is_no_folder_is_refused() -> None:
    with pytest.raises(BadInput, match="not a folder"):
        TextEncoder("somebody/some-model")


@pytest.mark.skipif(not minilm_available(), reason="loading needs torch and transformers (offline extra)")
def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert", "hidden_size": 8}')
    with pytest.raises(Unavailable, match="holds no encoder"):
        TextEncoder(str(tmp_path)).encode(["word"])
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(Unavailable, match="holds no encoder"):
        TextEncoder(str(tmp_path)).encode(["word"])


@pytest.mark.parametrize(("max_tokens", "batch_tokens"), [(2, 4096), (256, 128)])
def test_senseless_sizes_are_refused(max_tokens: int, batch_tokens: int, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="max_tokens"):
        TextEncoder(str(tmp_path), max_tokens=max_tokens, batch_tokens=batch_tokens)
