"""What a model costs a token, from the price list that litellm carries; nothing is fetched, litellm not imported."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from workbench.errors import Unavailable
from workbench.token_count import litellm_folder

FILE = "model_prices_and_context_window_backup.json"
_MODES = {"chat", "completion", "responses"}
_DEARER = re.compile(r"input_cost_per_token_above_(\d+)k_tokens")
# The list divides some providers: vertex_ai-language-models, cohere_chat, bedrock_converse.
_DIVISION = re.compile(r"[-_](?:chat|converse|[a-z]+-models)$")


@dataclass(frozen=True)
class ModelPrice:
    """One model's list prices in USD a token. None is unknown, and never means free."""

    name: str  # as the price list has it
    provider: str
    input: float | None
    cached_input: float | None  # a token of the prefix that the provider still holds
    cache_write: (
        float | None
    )  # a token of the prefix when it is stored; None: not listed as dearer than input
    output: float | None
    max_input_tokens: int | None
    caches_prompts: bool
    min_cached_tokens: int | None  # shortest prefix that is cached, where the list says
    dearer_above: int | None  # tokens of input from which other prices hold, where the list says


def model_price(model: str) -> ModelPrice | None:
    """Return the list prices of a model named as people write it: ``openai/gpt-5-mini``, ``claude-haiku-4-5``.

    The whole name is looked up first, then the name without its provider, if the list has that model by this very
    provider. Nothing is guessed from similar names: what is not listed is None. So is a model that gives no
    text, and models of one's own machines, listed at 0, have no price.

    Raises:
        Unavailable: if the installed litellm does not carry the price list.
    """
    prices = _listed()
    name = model.strip()
    if name in prices:
        return _price(name, prices[name])
    provider, _, bare = name.partition("/")
    found = prices.get(bare, {})
    if _DIVISION.sub("", str(found.get("litellm_provider"))) == provider:
        return _price(bare, found)
    return None


@lru_cache(maxsize=1)
def price_list() -> str:
    """Return where the prices are from, for people: ``litellm 1.106.2``."""
    return f"litellm {version('litellm')}"


def _price(name: str, row: Mapping[str, Any]) -> ModelPrice | None:
    if row.get("mode") not in _MODES:
        return None
    cached = _cost(row, "cache_read_input_token_cost")
    thresholds = [int(found[1]) * 1000 for found in map(_DEARER.fullmatch, row) if found]
    return ModelPrice(
        name=name,
        provider=str(row.get("litellm_provider", "")),
        input=_cost(row, "input_cost_per_token"),
        cached_input=cached,
        cache_write=_cost(row, "cache_creation_input_token_cost"),
        output=_cost(row, "output_cost_per_token"),
        max_input_tokens=_count(row, "max_input_tokens"),
        caches_prompts=cached is not None or row.get("supports_prompt_caching") is True,
        min_cached_tokens=_count(row, "prompt_cache_min_tokens"),
        dearer_above=min(thresholds, default=None),
    )


def _cost(row: Mapping[str, Any], key: str) -> float | None:
    value = row.get(key)
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _count(row: Mapping[str, Any], key: str) -> int | None:
    value = row.get(key)
    return int(value) if isinstance(value, int | float) and value > 0 else None


@lru_cache(maxsize=1)
def _listed() -> dict[str, dict[str, Any]]:
    try:
        prices = json.loads((litellm_folder() / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Unavailable(
            "The price list cannot be read.", "Install litellm again: pip install 'litellm>=1.106,<2'."
        ) from error
    return {name: row for name, row in prices.items() if isinstance(row, dict)}
