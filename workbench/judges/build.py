"""From what a person chose to a judge that can grade; the inputs come from a job's folder."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

from workbench.errors import BadInput
from workbench.golden import Pair
from workbench.judges.cache import VerdictCache, Verdicts
from workbench.judges.cascade import CascadeJudge, check_reach
from workbench.judges.ensemble import EnsembleJudge
from workbench.judges.inputs import Inputs as Inputs
from workbench.judges.llm import LlmJudge
from workbench.judges.repeated import RepeatedJudge
from workbench.run import (
    BaselineSpec,
    CalibratedSpec,
    CascadeSpec,
    CheckpointSpec,
    EnsembleSpec,
    Judge,
    JudgeSpec,
    LlmSpec,
    PluginSpec,
)


def build_judge(spec: JudgeSpec, inputs: Inputs, cache: Path, *, verdicts: Verdicts | None = None) -> Judge:
    """Return the judge that ``spec`` describes; ``cache`` is the folder for verdicts and embeddings.

    All its members share one verdict cache, which is closed when the judge is no longer used.

    Args:
        verdicts: where verdicts are kept instead of in the folder; not for a judge with batches.

    Raises:
        WorkbenchError: if it cannot be built (a missing extra, a damaged checkpoint).
    """
    cache.mkdir(parents=True, exist_ok=True)
    builder = _Builder(inputs, cache, verdicts)
    try:
        judge = builder.build(spec)
    except BaseException:
        builder.close()
        raise
    if builder.keeps:
        weakref.finalize(judge, builder.close)
    return judge


class _Builder:
    """Builds a judge and its members over the same inputs and the same cache."""

    def __init__(self, inputs: Inputs, folder: Path, elsewhere: Verdicts | None) -> None:
        self._inputs, self._folder, self._elsewhere = inputs, folder, elsewhere
        self._verdicts: VerdictCache | None = None

    def build(self, spec: JudgeSpec) -> Judge:
        if isinstance(spec, LlmSpec):
            return self._model(spec)
        if isinstance(spec, BaselineSpec):
            # pandas takes half a second, which a judge over HTTP does not need.
            from workbench.judges.baseline import BaselineJudge

            dev = {pair.id: pair for pair in self._dev()}
            return BaselineJudge(
                self._inputs.labels, dev, use_embeddings=spec.use_embeddings, cache=self._folder
            )
        if isinstance(spec, CheckpointSpec):
            # torch takes a second and may not be installed: only checkpoints pay for it.
            from workbench.judges.checkpoint import CheckpointJudge

            return CheckpointJudge(Path(spec.folder))
        if isinstance(spec, PluginSpec):
            from workbench.judges.plugins import plugin_judge

            return plugin_judge(spec)
        if isinstance(spec, CalibratedSpec):
            from workbench.judges.calibrated import CalibratedJudge

            return CalibratedJudge(
                self.build(spec.judge), labels=self._inputs.labels, dev_pairs=self._dev(), method=spec.method
            )
        if isinstance(spec, EnsembleSpec):
            members = [self.build(member) for member in spec.members]
            return EnsembleJudge(members, weights=spec.weights, name=spec.name)
        if isinstance(spec, CascadeSpec):
            first = spec.first
            if isinstance(first, LlmSpec) and first.repeats > 1 and not first.params.get("logprobs"):
                check_reach(first.repeats, spec.sure_at, self._inputs.policy)
            return CascadeJudge(
                self.build(first), self.build(spec.second), sure_at=spec.sure_at, name=spec.name
            )
        raise BadInput("A recorded judge has nothing to run.", "Its answers are imported.")

    @property
    def keeps(self) -> bool:
        """Whether the verdict cache was opened."""
        return self._verdicts is not None

    def close(self) -> None:
        if self._verdicts is not None:
            self._verdicts.close()

    def _model(self, spec: LlmSpec) -> Judge:
        asked: dict[str, Any] = {
            "base_url": spec.base_url,
            "api_key_env": spec.api_key_env,
            "params": spec.params,
            "timeout_s": spec.timeout_s,
            "repeat": spec.repeat,
            "mode": spec.mode,
            "cap_usd": spec.cap_usd,
            "cap_tokens": spec.cap_tokens,
        }
        if spec.delivery == "batch":
            from workbench.judges.batch import BatchJudge

            return BatchJudge(spec.model, cache=self._cache(), **asked)
        asked |= {
            "cache": self._elsewhere or self._cache(),
            "concurrency": spec.concurrency,
            "requests_per_minute": spec.requests_per_minute,
            "tokens_per_minute": spec.tokens_per_minute,
            "cap_seconds": spec.cap_seconds,
        }
        if spec.repeats > 1:
            return RepeatedJudge(spec.model, repeats=spec.repeats, **asked)
        return LlmJudge(spec.model, **asked)

    def _dev(self) -> list[Pair]:
        return [pair for pair in self._inputs.pairs if self._inputs.splits[pair.id] == "dev"]

    def _cache(self) -> VerdictCache:
        # One connection for all members: they write from one thread.
        if self._verdicts is None:
            self._verdicts = VerdictCache(self._folder / "verdicts.sqlite")
        return self._verdicts
