"""What a run did not pay for: answers known from the verdict cache, and prompts that the provider still held."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.prices import model_price
from workbench.run import Run
from workbench.workspace import Workspace


@dataclass(frozen=True)
class RunSavings:
    """What was saved. A sum that is unknown is None, with the reason beside it, and never 0."""

    cached_share: float | None  # of the input tokens, what the provider still held; None: nothing was sent
    cached_usd: float | None = None  # at list prices
    cached_unknown: str = ""
    writes_dearer: bool = False  # the provider takes more for what it stores; that is not deducted
    hits: int = 0  # pairs whose answers all came from the verdict cache
    hits_usd: float | None = None
    hits_from: str = ""  # by which pairs that is reckoned, or why it is unknown


def run_savings(workspace: Workspace, run: Run) -> RunSavings:
    """Return what ``run`` saved.

    Raises:
        Unavailable: if the price list is missing.
    """
    used = run.totals
    own_server = bool(run.judge.params.get("endpoint"))
    share = used.cached_input_tokens / used.input_tokens if used.input_tokens else None
    price = None if own_server or not run.judge.is_model else model_price(run.judge.name)
    cached_usd, unknown = None, ""
    if run.judge.params.get("delivery") == "batch":
        unknown = "a batch has a price of its own"
    elif price is None:
        unknown = "a server of your own has no list price" if own_server else "no list price"
    elif price.input is None or price.cached_input is None:
        unknown = "the price list has no price for cached input"
    else:
        cached_usd = used.cached_input_tokens * (price.input - price.cached_input)
    hits_usd, source = _hits_usd(workspace, run)
    return RunSavings(
        cached_share=share,
        cached_usd=cached_usd,
        cached_unknown=unknown,
        writes_dearer=bool(price and price.input and (price.cache_write or 0.0) > price.input),
        hits=used.cache_hits,
        hits_usd=hits_usd,
        hits_from=source,
    )


def _hits_usd(workspace: Workspace, run: Run) -> tuple[float | None, str]:
    """Return what the pairs that were known would have cost, by what other pairs cost with the same judge."""
    hits = run.totals.cache_hits
    if not hits:
        return 0.0, ""
    for other in (run, *workspace.store.runs(policy=run.policy, golden=run.golden)):
        paid = other.totals.pairs - other.totals.cache_hits
        if other.judge == run.judge and paid > 0 and other.totals.cost_usd is not None:
            here = other.id == run.id
            source = "at what its other pairs cost" if here else "at what a pair cost in another run"
            return hits * other.totals.cost_usd / paid, source
    return None, "no pair has a known cost with this judge"
