"""A workspace in miniature for tests of verbs, jobs and the command line: versions of a policy, pairs, recorded runs.

The policy is ``tea-match`` of :mod:`policy_samples`: taste 0-2 (weight 3), strength 0-1 or N/A (weight 1), cut points
0.5 and 1.5, and a gate that holds the overall grade at 0 where taste is 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from policy_samples import plain

from workbench.golden import NOT_GRADED, GoldenSet, Label, Pair, Split
from workbench.labelling import publish_golden
from workbench.policy import Policy
from workbench.run import JudgeIdentity, Judgement, Run, RunTotals, Verdict
from workbench.workspace import Workspace

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
NAME = "tea-match"


def version(number: int, **changes: Any) -> Policy:
    """A version of the sample policy with top-level keys replaced."""
    header = {
        "version": number,
        "parent": number - 1 or None,
        "message": f"Version {number}.",
        "author": "Ida",
    }
    return Policy.model_validate(plain() | header | changes)


def dimensions(**levels: int) -> list[dict[str, Any]]:
    """The sample's dimensions with another number of levels where that is given (precedents left out)."""
    found = plain()["dimensions"]
    for dimension in found:
        top = levels.get(dimension["key"])
        if top is not None:
            dimension["levels"] = [
                {"value": v, "name": f"L{v}", "criteria": f"Seen {v} times over."} for v in range(top + 1)
            ]
            dimension["precedents"] = []
    return found


def pair(wishes: str, title: str, **meta: str) -> Pair:
    """A guest with a wish, and a tea."""
    return Pair(
        query={"wishes": wishes, "mood": "calm"},
        document={"title": title, "notes": f"{title} tea"},
        meta=meta,
    )


def label(
    some: Pair, dimension: str, grade: int, labeler: str = "ann", minute: int = 0, **more: Any
) -> Label:
    """One answer."""
    at = START + timedelta(minutes=minute)
    return Label(pair_id=some.id, dimension=dimension, grade=grade, labeler=labeler, at=at, **more)


def golden_set(
    workspace: Workspace,
    grades: Mapping[Pair, Mapping[str, int]] | Sequence[tuple[Pair, Mapping[str, int]]],
    *,
    holdout: Sequence[Pair] = (),
    labeler: str = "ann",
) -> GoldenSet:
    """Publish the golden set ``tea`` with one labeler's grades; pairs that are not in ``holdout`` are dev."""
    given = list(grades.items()) if isinstance(grades, Mapping) else list(grades)
    splits: dict[str, Split] = {
        p.id: "holdout" if p.id in {h.id for h in holdout} else "dev" for p, _ in given
    }
    workspace.store.create_golden("tea", NAME)
    workspace.store.add_pairs("tea", [p for p, _ in given], splits)
    workspace.store.add_labels(
        "tea", [label(p, key, grade, labeler) for p, answers in given for key, grade in answers.items()]
    )
    return publish_golden(workspace, "tea", message="For tests", author="Ida")


def recorded_run(
    workspace: Workspace,
    name: str,
    grades: Sequence[tuple[Pair, Mapping[str, int]]],
    *,
    policy_version: int = 1,
    golden_version: int = 1,
    judge: str = "judge",
    params: Mapping[str, Any] | None = None,
    minute: int = 0,
    status: Any = "finished",
    cache_hits: int = 0,
) -> Run:
    """Keep a run whose grades are known; NOT_GRADED is a failed judgement."""
    policy = workspace.store.policy(NAME, policy_version)
    verdicts = [
        Verdict(
            pair_id=p.id,
            judgements=tuple(
                Judgement(dimension=key, grade=grade, error="no answer" if grade == NOT_GRADED else "")
                for key, grade in answers.items()
            ),
        )
        for p, answers in grades
    ]
    moment = START + timedelta(hours=1, minutes=minute)
    run = Run(
        id=f"run-{name}",
        judge=JudgeIdentity(kind="llm", name=judge, params=dict(params or {})),
        policy=NAME,
        policy_version=policy_version,
        policy_hash=policy.content_hash,
        golden="tea",
        golden_version=golden_version,
        golden_hash=workspace.store.snapshot("tea", golden_version).content_hash,
        status=status,
        created_at=moment,
        finished_at=moment if status == "finished" else None,
        totals=RunTotals(pairs=len(verdicts), cache_hits=cache_hits),
    )
    workspace.store.add_verdicts(run.id, verdicts)
    workspace.store.save_run(run)
    return run
