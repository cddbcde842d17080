"""Prices come from the list by exact name; what the list does not say stays unknown."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench import prices
from workbench.errors import Unavailable
from workbench.prices import FILE, ModelPrice, model_price

LIST = {
    "sample_spec": {"mode": "one of: chat, embedding", "max_input_tokens": "max input tokens"},
    "gpt-5-mini": {
        "mode": "chat", "litellm_provider": "openai", "input_cost_per_token": 2.5e-7, "output_cost_per_token": 2e-6,
        "cache_read_input_token_cost": 2.5e-8, "max_input_tokens": 272000, "supports_prompt_caching": True,
    },
    "claude-haiku-4-5": {
        "mode": "chat", "litellm_provider": "anthropic", "input_cost_per_token": 1e-6, "output_cost_per_token": 5e-6,
        "cache_read_input_token_cost": 1e-7, "cache_creation_input_token_cost": 1.25e-6, "max_input_tokens": 200000,
        "prompt_cache_min_tokens": 4096,
    },
    "azure/gpt-5-mini": {"mode": "chat", "litellm_provider": "azure", "input_cost_per_token": 3e-7},
    "gemini-2.5-pro": {
        "mode": "chat", "litellm_provider": "vertex_ai-language-models", "input_cost_per_token": 1.25e-6,
        "input_cost_per_token_above_200k_tokens": 2.5e-6, "input_cost_per_token_above_1000k_tokens": 4e-6,
    },
    "ollama/llama3": {"mode": "chat", "litellm_provider": "ollama", "input_cost_per_token": 0.0, "max_input_tokens": 8192},
    "text-embedding-3-small": {"mode": "embedding", "litellm_provider": "openai", "input_cost_per_token": 2e-8},
}  # fmt: skip


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A price list of our own in place of litellm's."""
    (tmp_path / FILE).write_text(json.dumps(LIST), encoding="utf-8")
    monkeypatch.setattr(prices, "litellm_folder", lambda: tmp_path)
    prices._listed.cache_clear()
    yield
    prices._listed.cache_clear()


@pytest.mark.parametrize("name", ["openai/gpt-5-mini", "gpt-5-mini", " openai/gpt-5-mini "])
def test_a_model_is_found_with_and_without_its_provider(listed: None, name: str) -> None:
    assert model_price(name) == ModelPrice(
        name="gpt-5-mini", provider="openai", input=2.5e-7, cached_input=2.5e-8, cache_write=None, output=2e-6,
        max_input_tokens=272000, caches_prompts=True, min_cached_tokens=None, dearer_above=None,
    )  # fmt: skip


def test_the_price_of_writing_to_the_cache_and_its_shortest_prefix_are_read(listed: None) -> None:
    found = model_price("anthropic/claude-haiku-4-5")
    assert found is not None
    assert (found.cache_write, found.min_cached_tokens, found.caches_prompts) == (1.25e-6, 4096, True)


def test_the_whole_name_wins_and_another_provider_is_another_price(listed: None) -> None:
    found = model_price("azure/gpt-5-mini")
    assert found is not None
    assert (found.input, found.output, found.cached_input, found.caches_prompts) == (3e-7, None, None, False)
    assert model_price("together/gpt-5-mini") is None


def test_a_division_of_a_provider_is_that_provider(listed: None) -> None:
    found = model_price("vertex_ai/gemini-2.5-pro")
    assert found is not None
    assert (found.name, found.dearer_above) == ("gemini-2.5-pro", 200_000)  # the lower of its two thresholds


def test_a_price_of_zero_is_no_price(listed: None) -> None:
    found = model_price("ollama/llama3")
    assert found is not None
    assert (found.input, found.max_input_tokens) == (None, 8192)


@pytest.mark.parametrize(
    "name", ["", "/", "/gpt-5-mini", "gpt-5", "gpt-5-mini-2", "sample_spec", "text-embedding-3-small"]
)
def test_what_is_not_listed_as_a_model_of_texts_is_unknown(listed: None, name: str) -> None:
    assert model_price(name) is None


def test_a_list_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "litellm_folder", lambda: tmp_path)
    prices._listed.cache_clear()
    with pytest.raises(Unavailable, match="price list cannot be read"):
        model_price("gpt-5-mini")


def test_the_list_that_litellm_carries_has_well_known_models() -> None:
    prices._listed.cache_clear()
    for name, provider in (("openai/gpt-5-mini", "openai"), ("anthropic/claude-haiku-4-5", "anthropic")):
        found = model_price(name)
        assert found is not None
        assert found.provider == provider
        assert found.input is not None
        assert found.output is not None
        assert found.cached_input is not None
        assert 0 < found.cached_input < found.input < found.output < 1e-3
        assert found.max_input_tokens is not None
        assert found.max_input_tokens >= 100_000


def test_litellm_is_not_imported() -> None:
    code = "import sys; from workbench.prices import model_price; model_price('x'); print('litellm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
