"""From what a person chose to a judge that can grade; the inputs come from a job's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from workbench.errors import BadInput
from workbench.golden import GoldenSet, Pair, Split
from workbench.judges.baseline import BaselineJudge
from workbench.judges.cache import VerdictCache
from workbench.judges.llm import LlmJudge
from workbench.policy import Policy
from workbench.run import BaselineSpec, CheckpointSpec, Judge, JudgeSpec, LlmSpec


@dataclass(frozen=True)
class Inputs:
    """What a job folder gives a judge: the policy, the pairs with their splits, the labels of the dev split."""

    policy: Policy
    pairs: tuple[Pair, ...]
    splits: dict[str, Split]
    labels: pd.DataFrame

    def golden(self, name: str, version: int) -> GoldenSet:
        """Return the inputs as a golden set (its holdout labels are not in the folder, so not in it)."""
        return GoldenSet(name, version, self.policy.name, self.pairs, self.splits, self.labels)


def build_judge(spec: JudgeSpec, inputs: Inputs, cache: Path) -> Judge:
    """Return the judge that ``spec`` describes; ``cache`` is the folder for verdicts and embeddings.

    Raises:
        WorkbenchError: if it cannot be built (a missing extra, a damaged checkpoint).
    """
    cache.mkdir(parents=True, exist_ok=True)
    if isinstance(spec, LlmSpec):
        return LlmJudge(
            spec.model,
            base_url=spec.base_url,
            api_key_env=spec.api_key_env,
            params=spec.params,
            concurrency=spec.concurrency,
            timeout_s=spec.timeout_s,
            repeat=spec.repeat,
            mode=spec.mode,
            requests_per_minute=spec.requests_per_minute,
            tokens_per_minute=spec.tokens_per_minute,
            cap_usd=spec.cap_usd,
            cap_tokens=spec.cap_tokens,
            cap_seconds=spec.cap_seconds,
            cache=VerdictCache(cache / "verdicts.sqlite"),
        )
    if isinstance(spec, BaselineSpec):
        dev = {pair.id: pair for pair in inputs.pairs if inputs.splits[pair.id] == "dev"}
        return BaselineJudge(inputs.labels, dev, use_embeddings=spec.use_embeddings, cache=cache)
    if isinstance(spec, CheckpointSpec):
        # torch takes a second and may not be installed: only checkpoints pay for it.
        from workbench.judges.checkpoint import CheckpointJudge

        return CheckpointJudge(Path(spec.folder))
    raise BadInput("A recorded judge has nothing to run.", "Its answers are imported.")
