"""Judges that say what a test tells them, as members of judges made of judges."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from workbench.golden import NOT_GRADED, Pair
from workbench.policy import Policy
from workbench.run import JudgeIdentity, Judgement, Trace, Usage, Verdict

Said = Mapping[str, int | tuple[int, tuple[float, ...]] | str]
"""Dimension -> its grade, its grade with probabilities, or why it failed."""


class Says:
    """Answers every pair alike, or as ``by_pair`` has it; each pair costs one call of a cent."""

    def __init__(
        self,
        name: str,
        said: Said | None = None,
        *,
        by_pair: Mapping[str, Said] | None = None,
        stops: Exception | None = None,
        stops_after: int = 0,
        apart: bool = False,
    ) -> None:
        """Take the answers; ``stops`` is raised after so many pairs, ``apart`` gives each dimension a verdict."""
        self._name, self._said, self._by_pair = name, said or {}, by_pair or {}
        self._stops, self._stops_after, self._apart = stops, stops_after, apart
        self.asked: list[str] = []
        self.charged: list[Usage] = []

    @property
    def identity(self) -> JudgeIdentity:
        return JudgeIdentity(kind="plugin", name=self._name)

    def charge(self, usage: Usage) -> None:
        self.charged.append(usage)

    async def grade(self, policy: Policy, pairs: Sequence[Pair]) -> AsyncIterator[Verdict]:
        for number, pair in enumerate(pairs):
            if self._stops and number == self._stops_after:
                raise self._stops
            self.asked.append(pair.id)
            said = self._by_pair.get(pair.id, self._said)
            judgements = tuple(judgement(key, value, self._name) for key, value in said.items())
            groups = [(j,) for j in judgements] if self._apart else [judgements]
            for i, group in enumerate(groups):
                usage = Usage(calls=1, input_tokens=10, cost_usd=0.01) if i == 0 else Usage(cost_usd=0.0)
                keys = tuple(j.dimension for j in group)
                yield Verdict(
                    pair_id=pair.id, judgements=group, usage=usage, traces=(Trace(dimensions=keys, raw="r"),)
                )


def judgement(key: str, value: int | tuple[int, tuple[float, ...]] | str, who: str) -> Judgement:
    """One answer; its reason says whose it is."""
    if isinstance(value, str):
        return Judgement(dimension=key, grade=NOT_GRADED, error=value)
    grade, probabilities = value if isinstance(value, tuple) else (value, None)
    expected = sum(i * p for i, p in enumerate(probabilities)) if probabilities else None
    return Judgement(
        dimension=key,
        grade=grade,
        probabilities=probabilities,
        expected=expected,
        rationale=f"{who} says so.",
        cites=(f"{key}.{who}",),
    )
