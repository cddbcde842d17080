"""What a run of any judge would send: the plans of all models that it asks, for all answers it draws, joined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from workbench.judge_choice import filled
from workbench.run import CalibratedSpec, CascadeSpec, EnsembleSpec, JudgeSpec, LlmSpec
from workbench.run_plan import RunPlan, run_plan
from workbench.workspace import Workspace


@dataclass(frozen=True)
class ModelPlan:
    """One language model's part in a run: what all answers that it gives take together."""

    model: LlmSpec
    plan: RunPlan
    at_most: bool = False  # it is asked only about the pairs of which another judge is not sure


@dataclass(frozen=True)
class JudgePlan:
    """What a run would send; ``total`` counts what each part takes at the most."""

    total: RunPlan
    parts: tuple[ModelPlan, ...] = ()  # none: nothing is sent

    @property
    def at_most(self) -> bool:
        """Whether the run may well take less."""
        return any(part.at_most for part in self.parts)


def judge_plan(
    workspace: Workspace,
    judge: JudgeSpec,
    *,
    policy: str,
    version: int | None = None,
    golden: str,
    golden_version: int | None = None,
) -> JudgePlan:
    """Return what starting ``judge`` would send. Nothing is sent.

    A model that draws k answers for each question is planned k times, once for each repeat index: answers that are
    known are known by their index. The second judge of a cascade is planned for every pair, so at the most.

    Raises:
        NotFound: for a policy version, golden set or checkpoint that does not exist.
        BadInput: for a judge that cannot be run.
        Unavailable: if the tokenizer or the price list is missing, or the verdict cache cannot be used.
    """

    judge = filled(workspace, judge)

    def plan(one: JudgeSpec) -> RunPlan:
        return run_plan(
            workspace, one, policy=policy, version=version, golden=golden, golden_version=golden_version
        )

    parts = tuple(
        ModelPlan(model, joined([plan(one) for one in answers(model)], [model.model]), at_most)
        for model, at_most in _models(judge)
    )
    if not parts:
        return JudgePlan(plan(judge))
    return JudgePlan(joined([part.plan for part in parts], [part.model.model for part in parts]), parts)


def answers(model: LlmSpec) -> Iterator[LlmSpec]:
    """Yield the model once for each answer that it draws, with the repeat index that the answer is kept under."""
    for index in range(model.repeats):
        yield model.model_copy(update={"repeat": model.repeat + index, "repeats": 1})


def _models(judge: JudgeSpec, at_most: bool = False) -> Iterator[tuple[LlmSpec, bool]]:
    """Yield the models of a judge, and whether each is asked about some of the pairs only."""
    if isinstance(judge, LlmSpec):
        yield judge, at_most
    elif isinstance(judge, CalibratedSpec):
        yield from _models(judge.judge, at_most)
    elif isinstance(judge, EnsembleSpec):
        for member in judge.members:
            yield from _models(member, at_most)
    elif isinstance(judge, CascadeSpec):
        yield from _models(judge.first, at_most)
        yield from _models(judge.second, True)


def joined(plans: Sequence[RunPlan], names: Sequence[str]) -> RunPlan:
    """Return the sum of plans for the same pairs; what is unknown of one is unknown of the sum.

    Args:
        plans: at least one.
        names: what each plan is for, to say whose cost is unknown; one name for all where they are of one model.
    """
    first = plans[0]
    if len(plans) == 1:
        return first
    each = names if len(names) == len(plans) else [names[0]] * len(plans)
    unknown = [
        (name, plan.cost_unknown) for name, plan in zip(each, plans, strict=True) if _cost(plan) is None
    ]
    said = dict.fromkeys(f"{name}: {reason}" if len(names) > 1 else reason for name, reason in unknown)
    return replace(
        first,
        checked=min(plan.checked for plan in plans),
        calls=sum(plan.calls for plan in plans),
        known=sum(plan.known for plan in plans),
        prompt_tokens=max(plan.prompt_tokens for plan in plans),
        input_tokens=sum(plan.input_tokens for plan in plans),
        output_tokens=sum(plan.output_tokens for plan in plans),
        answers_from="; ".join(dict.fromkeys(plan.answers_from for plan in plans if plan.answers_from)),
        priced_by=first.priced_by if all(plan.priced_by == first.priced_by for plan in plans) else None,
        cost_usd=_sum([plan.cost_usd for plan in plans]),
        plain_usd=_sum([_cost(plan) for plan in plans]),
        cached_usd=_sum([_cost_with_cache(plan) for plan in plans]),
        cost_unknown="; ".join(said),
        seconds=_sum([plan.seconds for plan in plans]),
        time_from="; ".join(dict.fromkeys(plan.time_from for plan in plans if plan.time_from)),
    )


def _cost(plan: RunPlan) -> float | None:
    """Return the cost at list prices, else at what a call cost before."""
    return plan.plain_usd if plan.plain_usd is not None else plan.cost_usd


def _cost_with_cache(plan: RunPlan) -> float | None:
    return plan.cached_usd if plan.cached_usd is not None else _cost(plan)


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
