"""A judge whose pairs are graded by actors of a Ray cluster: for a job that grades, it is a judge like any other.

Each actor builds the judge for itself and grades a part of the pairs at a time, handed out by Ray Data; the verdicts come
back to the job, which alone writes them down. The verdict cache stays one file, on the machine of the job: one more actor
there looks verdicts up and keeps them for all the others, so that nothing is paid for twice, whichever actor paid.

Caps and limits a minute are dealt out evenly: all actors together stay within them. A run may stop somewhat before a cap,
when one actor has used up its share and others have not; it is resumed like any run that reached a cap.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import BadInput, WorkbenchError
from workbench.golden import Pair
from workbench.judges.build import build_judge
from workbench.judges.cache import VerdictCache
from workbench.judges.inputs import Inputs
from workbench.policy import Policy
from workbench.ray_cluster import connected, in_our_words
from workbench.run import (
    BaselineSpec,
    CalibratedSpec,
    CapReached,
    CascadeSpec,
    Charged,
    EnsembleSpec,
    Judge,
    JudgeIdentity,
    JudgeSpec,
    LlmSpec,
    Usage,
    Verdict,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from ray.actor import ActorHandle

PART = 64
"""Pairs that an actor grades at a time. Their verdicts are written down together, and a stop waits for them."""


def job_judge(payload: dict[str, Any], spec: JudgeSpec, inputs: Inputs) -> Judge:
    """Return the judge of a job that grades: here, or split over as many actors as the payload's ``ray`` says.

    Raises:
        WorkbenchError: as :func:`workbench.judges.build.build_judge` and :class:`SplitJudge` do.
    """
    cache = Path(payload["cache"])
    if actors := payload.get("ray"):
        return SplitJudge(spec, inputs, cache, actors=int(actors))
    return build_judge(spec, inputs, cache)


def shared(spec: JudgeSpec, actors: int) -> JudgeSpec:
    """Return the judge that one of so many actors builds: its caps and limits are its share.

    Raises:
        BadInput: for a judge that has to see all pairs at once, and for a limit too small to be shared.
    """
    if actors < 1:
        raise BadInput(f"{actors} actors grade nothing.", "Give 1 or more.")
    if isinstance(spec, CalibratedSpec):
        raise BadInput(
            "A calibrated judge cannot be split: it learns from its answers about all labelled pairs.",
            "Run it without --ray.",
        )
    if isinstance(spec, EnsembleSpec):
        return spec.model_copy(update={"members": tuple(shared(one, actors) for one in spec.members)})
    if isinstance(spec, CascadeSpec):
        return spec.model_copy(
            update={"first": shared(spec.first, actors), "second": shared(spec.second, actors)}
        )
    if not isinstance(spec, LlmSpec):
        return spec
    if spec.delivery == "batch":
        raise BadInput("A batch is not split: the provider does that.", "Run it without --ray.")
    changes: dict[str, Any] = {}
    for name in ("cap_tokens", "requests_per_minute", "tokens_per_minute"):
        most = getattr(spec, name)
        if most is not None and most < actors:
            raise BadInput(
                f"{name} is {most}, which {actors} actors cannot share.", "Raise it, or use fewer actors."
            )
        changes[name] = most and most // actors
    changes["cap_usd"] = spec.cap_usd and spec.cap_usd / actors
    return spec.model_copy(update=changes)


class SplitJudge:
    """A judge that is built and asked on a cluster; see :class:`workbench.run.Judge`."""

    def __init__(
        self, spec: JudgeSpec, inputs: Inputs, cache: Path, *, actors: int, address: str = "auto"
    ) -> None:
        """Describe it; nothing is connected before :meth:`grade`.

        Args:
            spec: the judge. The folder of a checkpoint has to be seen by the whole cluster, and keys are read from the
                environment of its machines.
            inputs: of the job; what the judge needs of them travels to the actors.
            cache: folder of the verdict cache, on this machine.
            actors: how many grade.
            address: of the cluster; see :func:`workbench.ray_cluster.connected`.

        Raises:
            BadInput: for a judge that cannot be split; see :func:`shared`.
            WorkbenchError: if the judge cannot be built on this machine either.
        """
        self._share = shared(spec, actors)
        self._inputs, self._cache = inputs, cache
        self._actors, self._address = actors, address
        self._judge = build_judge(spec, inputs, cache)
        self._spent = Usage(cost_usd=0.0)

    @property
    def identity(self) -> JudgeIdentity:
        """That of the judge: who asks it changes no answer."""
        return self._judge.identity

    def charge(self, usage: Usage) -> None:
        """Count what the run had spent before: each actor is told of its share."""
        spent, costs = self._spent, (self._spent.cost_usd, usage.cost_usd)
        self._spent = Usage(
            input_tokens=spent.input_tokens + usage.input_tokens,
            output_tokens=spent.output_tokens + usage.output_tokens,
            # Unknown, so that an actor counts all tokens at the list price, where any of it is.
            cost_usd=None if None in costs else sum(cost or 0.0 for cost in costs),
        )

    async def grade(self, policy: Policy, pairs: Sequence[Pair]) -> AsyncIterator[Verdict]:
        """Yield one verdict a pair, a part of the pairs at a time, in any order.

        Waiting for the cluster blocks: nothing else runs in the job's loop that would have to go on, and a stop is
        seen with the next part. What an actor had in flight when it is stopped may be paid for and lost.

        Raises:
            Unavailable: Ray is not installed, or there is no cluster.
            CapReached: an actor reached its share of a cap; the others graded what they could.
            WorkbenchError: what an actor ended with; what had come was yielded before.
        """
        if not pairs:
            return
        capped = ""
        with connected(self._address):
            for said in self._said(policy, pairs):
                for verdict in said.verdicts:
                    yield verdict
                if said.capped:
                    capped = said.problem
                elif said.problem:
                    raise WorkbenchError(said.problem, said.remedy)
        if capped:
            raise CapReached(
                capped, f"Each of the {self._actors} actors has its share of a cap; raise it and resume."
            )

    def _said(self, policy: Policy, pairs: Sequence[Pair]) -> Iterator[_Said]:
        import ray
        import ray.data
        from ray.exceptions import RayError
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        keeper = ray.remote(_Keeper).options(num_cpus=0, scheduling_strategy=here).remote(str(self._cache))
        given = _Given(self._share, policy, self._needed(), _part_of(self._spent, self._actors))
        parts = [
            {"pairs": "\n".join(pair.model_dump_json() for pair in pairs[start : start + PART])}
            for start in range(0, len(pairs), PART)
        ]
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = False
        context.enable_progress_bars = False
        found = ray.data.from_items(parts, override_num_blocks=len(parts)).map_batches(
            _Grader,
            fn_constructor_args=(given, keeper),
            batch_size=1,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=min(self._actors, len(parts))),
            num_cpus=1,
        )
        try:
            for row in found.iter_rows():
                yield _Said.read(row)
        except RayError as error:
            raise in_our_words(error, "grade the pairs") from error

    def _needed(self) -> Inputs:
        """Return what an actor needs of the inputs: labels and labelled pairs where the judge learns from them."""
        if not _learns(self._share):
            return Inputs(self._inputs.policy, (), {}, _no_labels)
        dev = tuple(pair for pair in self._inputs.pairs if self._inputs.splits[pair.id] == "dev")
        return Inputs(self._inputs.policy, dev, {pair.id: "dev" for pair in dev}, self._inputs.labels)


def _learns(spec: JudgeSpec) -> bool:
    if isinstance(spec, EnsembleSpec):
        return any(_learns(one) for one in spec.members)
    if isinstance(spec, CascadeSpec):
        return _learns(spec.first) or _learns(spec.second)
    return isinstance(spec, BaselineSpec)


def _no_labels() -> Any:
    raise BadInput(
        "This judge was given no labels.", "Report this: a judge that learns from labels was split."
    )


@dataclass(frozen=True)
class _Given:
    """What all actors are given."""

    spec: JudgeSpec
    policy: Policy
    inputs: Inputs
    spent: Usage  # the actor's share of what the run had spent before


@dataclass(frozen=True)
class _Said:
    """What an actor says of one part: verdicts, and what it ended with before it was through."""

    verdicts: list[Verdict]
    problem: str = ""
    remedy: str = ""
    capped: bool = False

    @classmethod
    def read(cls, row: dict[str, Any]) -> _Said:
        verdicts = [Verdict.model_validate_json(line) for line in row["verdicts"]]
        return cls(verdicts, row["problem"], row["remedy"], row["capped"])


class _Keeper:
    """The actor that has the verdict cache open, on the machine where it lies."""

    def __init__(self, folder: str) -> None:
        self._cache = VerdictCache(Path(folder) / "verdicts.sqlite")

    def get(self, key: str) -> Verdict | None:
        return self._cache.get(key)

    def put_all(self, found: list[tuple[str, Verdict]]) -> None:
        self._cache.put_all(found)


class _Kept:
    """The verdict cache as an actor sees it; see :class:`workbench.judges.cache.Verdicts`."""

    def __init__(self, keeper: ActorHandle[Any]) -> None:
        self._keeper = keeper

    def get(self, key: str) -> Verdict | None:
        import ray

        answer: Any = self._keeper.get.remote(key)
        found: Any = ray.get(answer)
        return found if isinstance(found, Verdict) else None

    def put_all(self, found: Iterable[tuple[str, Verdict]]) -> None:
        import ray

        ray.get(self._keeper.put_all.remote(list(found)))


class _Grader:
    """One actor: a judge, built once, and a loop of its own, for what the judge keeps of it between parts."""

    def __init__(self, mine: _Given, keeper: ActorHandle[Any]) -> None:
        self._policy = mine.policy
        self._loop = asyncio.new_event_loop()
        scratch = Path(tempfile.gettempdir()) / "policy-workbench"  # embeddings of the baseline
        self._judge = build_judge(mine.spec, mine.inputs, scratch, verdicts=_Kept(keeper))
        if isinstance(self._judge, Charged):
            self._judge.charge(mine.spent)

    def __call__(self, part: dict[str, Any]) -> pa.Table:
        """Grade one part; what the judge ends with is told beside the verdicts that came before."""
        import pyarrow as pa

        pairs = [Pair.model_validate_json(line) for line in str(part["pairs"][0]).split("\n")]
        verdicts: list[str] = []
        problem = remedy = ""
        capped = False
        try:
            self._loop.run_until_complete(self._graded(pairs, verdicts))
        except CapReached as reached:
            problem, remedy, capped = reached.message, reached.hint, True
        except WorkbenchError as error:
            problem, remedy = error.message, error.hint
        return pa.table(
            {
                "verdicts": pa.array([verdicts], pa.list_(pa.string())),
                "problem": [problem],
                "remedy": [remedy],
                "capped": [capped],
            }
        )

    async def _graded(self, pairs: Sequence[Pair], verdicts: list[str]) -> None:
        async with aclosing(self._judge.grade(self._policy, pairs)) as found:  # type: ignore[type-var]
            async for verdict in found:
                verdicts.append(verdict.model_dump_json())


def _part_of(usage: Usage, actors: int) -> Usage:
    """Return an actor's share of what was spent, rounded up."""
    return usage.model_copy(
        update={
            "input_tokens": -(-usage.input_tokens // actors),
            "output_tokens": -(-usage.output_tokens // actors),
            "cost_usd": None if usage.cost_usd is None else usage.cost_usd / actors,
        }
    )
