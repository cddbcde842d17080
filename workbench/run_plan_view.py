"""What is said of a run before it starts, as lines for a page."""

from __future__ import annotations

from workbench import markup
from workbench.judge_plan import JudgePlan, ModelPlan
from workbench.run_plan import RunPlan
from workbench.token_count import COUNTED_WITH


def plan_lines(plan: RunPlan) -> dict[str, str]:
    """Return label -> what a run by a language model would send and take, answers that are known deducted.

    A cost that is unknown is said with its reason. A judge of our own has one line: it sends nothing.
    """
    if not plan.sends:
        return {"sends": "nothing: it runs on this machine"}
    sampled = plan.checked < plan.pairs
    about = "about " if sampled else ""
    several = markup.roughly if sampled else "{:,}".format
    lines = {
        "policy in the prompt": f"{plan.prompt_characters:,} characters, {markup.roughly(plan.prompt_tokens)} tokens",
        "calls": f"{about}{several(plan.calls)}; answers known from the cache: {about}{several(plan.known)}",
        "input": f"about {markup.roughly(plan.input_tokens)} tokens, {COUNTED_WITH}",
        "output": f"about {markup.roughly(plan.output_tokens)} tokens, {plan.answers_from}",
        "cost": _cost(plan),
        "time": _time(plan),
    }
    if sampled:
        lines["sample"] = (
            f"{plan.checked:,} of {plan.pairs:,} pairs looked up; the others taken to be like them"
        )
    return lines


def judge_lines(plan: JudgePlan) -> dict[str, str]:
    """Return label -> what a run by any judge would send and take: of one model, or of all that it consists of."""
    lines = plan_lines(plan.total)
    if plan.at_most:
        for name in ("calls", "input", "output", "cost", "time"):
            if lines[name].startswith("about ") or lines[name][0].isdigit():
                lines[name] = f"at most {lines[name]}"
    if len(plan.parts) > 1:
        for i, part in enumerate(plan.parts, start=1):
            lines[f"{i}: {part.model.model}"] = _part(part)
    return lines


def _part(part: ModelPlan) -> str:
    calls = markup.several(part.plan.calls, "call")
    if not part.at_most:
        return f"{calls}; cost {_cost(part.plan)}"
    return f"at most {calls}, for the pairs of which the first is not sure; cost at most {_cost(part.plan)}"


def _cost(plan: RunPlan) -> str:
    if plan.calls == 0:
        return "none: every answer is known"
    if plan.plain_usd is None and plan.cost_usd is not None:
        return f"about {markup.money(plan.cost_usd)}, at what a call cost before"
    if plan.plain_usd is None:
        return f"unknown: {plan.cost_unknown}"
    said = f"about {markup.money(plan.plain_usd)}"
    if plan.cached_usd is None or plan.cached_usd == plan.plain_usd:
        return said
    return f"{said}; {markup.money(plan.cached_usd)} with the provider's prompt cache"


def _time(plan: RunPlan) -> str:
    if plan.seconds is None:
        return plan.time_from or "unknown"
    if plan.calls == 0:
        return "none: nothing is sent"
    if plan.seconds < 90:
        return f"about {plan.seconds:.0f} s, {plan.time_from}"
    if plan.seconds < 5400:
        return f"about {plan.seconds / 60:.0f} min, {plan.time_from}"
    return f"about {plan.seconds / 3600:.1f} h, {plan.time_from}"
