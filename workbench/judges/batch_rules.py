"""What judging through a provider's batch API is bound to: which judges can, and at what price. Light to import."""

from __future__ import annotations

from dataclasses import replace

from workbench.prices import ModelPrice
from workbench.run import LlmSpec

BATCH_SHARE = 0.5
"""Of the list price, what a request costs in a batch: "50% cost discount compared to synchronous APIs" (OpenAI's
guide to its Batch API). The batch prices in litellm's list are the same half."""
WITHIN = "within 24 hours, as the provider's batch API promises"


def batch_refusal(spec: LlmSpec) -> str | None:
    """Return why ``spec`` cannot be delivered by batch and what to do instead, None where it can or need not."""
    if spec.delivery != "batch":
        return None
    if not has_batches(spec.model, spec.base_url):
        return (
            f"There is no batch delivery for {spec.model.partition('/')[0]}: it works with openai/ models and with "
            "servers that offer /v1/files and /v1/batches. Use delivery calls."
        )
    limits = ("cap_seconds", "requests_per_minute", "tokens_per_minute")
    if held := [name for name in limits if getattr(spec, name) is not None]:
        return (
            f"{held[0]} cannot be held in a batch, which the provider works off by itself. Leave it empty, or use "
            "delivery calls."
        )
    return None


def has_batches(model: str, base_url: str | None) -> bool:
    """Whether a model is reached through OpenAI's API, or one that is made like it."""
    return bool(base_url) or model.strip().startswith("openai/")


def batch_price(price: ModelPrice | None) -> ModelPrice | None:
    """Return the list prices of a model in a batch. The cache of prompts is not counted on: a batch may miss it."""
    if price is None:
        return None
    return replace(
        price,
        input=None if price.input is None else price.input * BATCH_SHARE,
        output=None if price.output is None else price.output * BATCH_SHARE,
        cached_input=None,
        cache_write=None,
    )
