"""Pipelines as documents: what is refused, the order of steps, what a plan says of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from workbench.errors import BadInput
from workbench.pipeline import (
    Pipeline,
    StepState,
    check_references,
    parse_pipeline,
    pins,
    plan,
    step_key,
    with_checkpoints,
)
from workbench.yamltext import dump

DATASET = {
    "dataset": "pool", "policy": "tea-match", "pool": {"kind": "golden", "golden": "tea"},
    "judge": {"kind": "checkpoint", "checkpoint": "old"},
}  # fmt: skip


def train(step: str, *needs: str, recipe: str = "", **changes: Any) -> dict[str, Any]:
    """A training step with its recipe written out."""
    made = {
        "kind": "student", "recipe": recipe or f"{step}-tiny", "policy": "tea-match", "backbone": "tiny",
        "data": {"golden": "tea", "soft_labels": None},
    }  # fmt: skip
    return {"step": step, "kind": "train", "needs": list(needs), "recipe": made | changes}


def chain(*steps: Mapping[str, Any]) -> Pipeline:
    """A pipeline of steps."""
    return parse_pipeline(dump({"pipeline": "p", "policy": "tea-match", "steps": list(steps)}), "p.yaml")


def judge(step: str, *needs: str) -> dict[str, Any]:
    """A step that needs little to be written down."""
    return {"step": step, "kind": "judge", "judge": "baseline", "needs": list(needs)}


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([judge("a"), judge("a")], "two steps are called 'a'"),
        ([judge("pool"), judge("b", "pol")], "step 'b' needs 'pol', which is no step. Did you mean pool"),
        ([judge("a", "b"), judge("b", "c"), judge("c", "a")], "in a circle: a → b → c → a"),
        ([judge("a", "a")], "in a circle: a → a"),
        ([{"step": "a", "kind": "judge", "judge": "baseline", "need": []}], "did you mean 'needs'"),
        ([{"step": "a", "kind": "trian", "recipe": "x"}], r"line 4 at steps\[1\]"),
        ([], "at steps"),
    ],
)
def test_what_is_no_chain_is_one_sentence(steps: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        chain(*steps)


def test_steps_come_after_what_they_need_and_else_as_written() -> None:
    found = chain(judge("d", "c", "b"), judge("b", "a"), judge("a"), judge("c"))
    # d waits for both, b for a; of what is free, the first that is written goes first.
    assert [each.step for each in found.ordered()] == ["a", "b", "c", "d"]


def test_a_plan_says_what_is_done_ready_waiting_and_blocked() -> None:
    found = chain(
        judge("a"), judge("b", "a"), judge("c", "b"), judge("d"), judge("e", "d", "a"), judge("f", "e")
    )
    asked: dict[str, dict[str, str]] = {}

    def look(step: Any, made: Mapping[str, str]) -> StepState:
        asked[step.step] = dict(made)
        return {
            "a": StepState("done", "run-1", reused=True, key="k"),
            "b": StepState("ready", key="k2"),
            "d": StepState("failed", reason="no GPU."),
        }[step.step]

    said = {each.step.step: (each.status, each.what, each.reason) for each in plan(found, look)}
    assert said == {
        "a": ("done", "run-1", ""),
        "b": ("ready", "", ""),
        "c": ("waiting", "", "depends on b"),
        "d": ("failed", "", "no GPU."),
        "e": ("blocked", "", "d failed: no GPU."),
        "f": ("blocked", "", "d failed: no GPU."),  # the first cause, not "e is blocked"
    }
    assert asked == {"a": {}, "b": {"a": "run-1"}, "d": {}}  # the others' keys cannot be known


def test_a_step_names_what_its_needs_made_by_id() -> None:
    found = chain(
        {"step": "data", "kind": "dataset", "recipe": DATASET},
        train("teacher", "data"),
        train("student", "data", "teacher", teachers=[{"checkpoint": "teacher-tiny"}]),
    )
    made = {"data": "pool-1", "teacher": "teacher-tiny-2", "student": "student-tiny-3"}
    assert pins(found, found.named("student"), made) == {
        "pool": "pool-1", "data": "pool-1", "teacher-tiny": "teacher-tiny-2", "teacher": "teacher-tiny-2",
    }  # fmt: skip
    assert pins(found, found.named("teacher"), made) == {"pool": "pool-1", "data": "pool-1"}
    nested = {
        "kind": "ensemble",
        "members": [{"kind": "checkpoint", "checkpoint": "teacher-tiny"}, {"kind": "llm"}],
    }
    assert with_checkpoints(nested, {"teacher-tiny": "t-2"})["members"] == [
        {"kind": "checkpoint", "checkpoint": "t-2"}, {"kind": "llm"},
    ]  # fmt: skip


def test_a_step_that_uses_what_another_makes_has_to_need_it() -> None:
    for steps, says in (
        ([train("t"), train("s", init_from="t-tiny")], "'s' uses t-tiny, which step 't' makes"),
        ([train("t"), train("s", data={"golden": "tea"}), train("u", recipe="t-tiny")], "both make t-tiny"),
        (
            [train("t"), {"step": "e", "kind": "evaluate", "checkpoint": "t"}],
            "'e' uses t, which step 't' makes, and does not need that step. Add t to its 'needs'",
        ),
        (
            [train("old", recipe="old"), {"step": "d", "kind": "dataset", "recipe": DATASET}],
            "'d' uses old, which step 'old' makes",
        ),
    ):
        with pytest.raises(BadInput, match=says):
            check_references(chain(*steps))
    check_references(
        chain(train("t"), train("s", "t", init_from="t-tiny"), train("u", init_from="elsewhere"))
    )


def test_a_key_is_of_the_kind_and_of_all_parts() -> None:
    one = step_key("train", {"recipe": "r", "policy": "p"})
    assert one == step_key("train", {"policy": "p", "recipe": "r"})
    assert one != step_key("judge", {"recipe": "r", "policy": "p"})
    assert one != step_key("train", {"recipe": "r", "policy": "q"})
