"""Counts are tiktoken's own, without a network, an import of litellm, or a setting of the whole process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from workbench import token_count
from workbench.errors import Unavailable
from workbench.token_count import LONGEST_PIECE, count_tokens, litellm_folder


@pytest.fixture(scope="module")
def reference() -> tiktoken.Encoding:
    """cl100k_base as tiktoken itself builds it, from the same file."""
    before = os.environ.get("TIKTOKEN_CACHE_DIR")
    os.environ["TIKTOKEN_CACHE_DIR"] = str(litellm_folder() / "litellm_core_utils" / "tokenizers")
    try:
        return tiktoken.get_encoding("cl100k_base")
    finally:
        if before is None:
            del os.environ["TIKTOKEN_CACHE_DIR"]
        else:
            os.environ["TIKTOKEN_CACHE_DIR"] = before


def test_known_counts() -> None:
    # OpenAI's cookbook counts "tiktoken is great!" as 6 tokens of cl100k_base: t, ik, token, is, great, !
    assert count_tokens("tiktoken is great!") == 6
    assert count_tokens("") == 0


def test_a_special_token_in_a_text_is_plain_text() -> None:
    # Read as OpenAI's end of text it would be 1 token, or refused.
    assert count_tokens("<|endoftext|>") > 1


@given(text=st.text())
def test_counts_are_those_of_tiktoken(reference: tiktoken.Encoding, text: str) -> None:
    assert count_tokens(text) == len(reference.encode_ordinary(text))


def test_a_text_of_many_pieces_counts_as_a_whole(reference: tiktoken.Encoding) -> None:
    text = "The member has the skill, or one of the same family.\n" * 6000  # 318,000 characters: four pieces
    assert len(text) > 3 * LONGEST_PIECE
    assert count_tokens(text) == len(reference.encode_ordinary(text))


@pytest.mark.parametrize("letter", ["a", " ", "\n", "字"])
def test_a_text_without_words_is_counted_too(letter: str) -> None:
    assert 0 < count_tokens(letter * 300_000) <= 300_000


def test_a_text_that_was_counted_costs_nothing() -> None:
    text = "A required skill is met by the skill itself. " * 1400  # some 60 KB
    count_tokens(text)
    best = min(_seconds(text) for _ in range(5))
    assert best < 0.005


def _seconds(text: str) -> float:
    start = time.perf_counter()
    count_tokens(text)
    return time.perf_counter() - start


def test_many_threads_count_alike() -> None:
    token_count._loaded.cache_clear()
    texts = [f"{i} members and {i + 1} jobs" for i in range(200)]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(count_tokens, texts))
    count_tokens.cache_clear()
    assert together == [count_tokens(text) for text in texts]


def test_nothing_heavy_is_imported_and_the_environment_stays() -> None:
    code = (
        "import os, sys; before = dict(os.environ); from workbench.token_count import count_tokens;"
        "assert 'tiktoken' not in sys.modules; count_tokens('x'); assert dict(os.environ) == before;"
        "print([name for name in ('litellm', 'openai', 'torch', 'requests') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_or_altered_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cl100k_base cannot be read"):
        token_count._ranks(tmp_path)
    folder = tmp_path / "litellm_core_utils" / "tokenizers"
    folder.mkdir(parents=True)
    (folder / token_count._FILE).write_bytes(b"IQ== 0\n")
    with pytest.raises(Unavailable, match="was altered"):
        token_count._ranks(tmp_path)
