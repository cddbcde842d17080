"""Where the loop of one policy stands: figures, what is stale, the next sensible steps."""

from __future__ import annotations

from workbench.evaluation import run_agreement
from workbench.identity import Value
from workbench.policy import OVERALL
from workbench.run import Run
from workbench.workspace import Workspace


class Station(Value):
    """One station of the loop and its figure of today."""

    name: str
    figure: str
    detail: str


class Step(Value):
    """Something sensible to do next, and the page on which it is done."""

    what: str
    why: str
    page: str


class Overview(Value):
    """Home's picture of one policy."""

    stations: tuple[Station, ...]
    next_steps: tuple[Step, ...]
    stale: tuple[str, ...]
    sample: bool


def overview(workspace: Workspace, name: str) -> Overview:
    """Return where the loop of a policy stands."""
    store = workspace.store
    policy = store.policy(name)
    sets = [info for info in map(store.golden, store.golden_names()) if info.policy == name]
    runs = store.runs(policy=name)
    finished = [run for run in runs if run.status == "finished"]
    under_way = [run for run in runs if run.status in ("queued", "running")]
    students = [c for c in store.checkpoints() if c.record.get("policy") == name]
    drafts = store.drafts(name)
    best = _best(workspace, finished)
    stations = (
        Station(
            name="policy",
            figure=f"v{policy.version}",
            detail=f"{len(policy.dimensions)} dimensions, {len(list(policy.clauses()))} clauses"
            + (f"; {_count(len(drafts), 'draft')}" if drafts else ""),
        ),
        Station(
            name="golden labels",
            figure=f"{sum(info.labels for info in sets):,}",
            detail=f"{sum(info.pairs for info in sets):,} pairs, {max((i.labelers for i in sets), default=0)} labelers",
        ),
        Station(
            name="judge runs",
            figure=str(len(finished)),
            detail=f"{_count(len({run.judge.name for run in finished}), 'judge')}"
            + (f"; {len(under_way)} under way" if under_way else ""),
        ),
        Station(
            name="agreement",
            figure=f"κ {best[1]:.2f}" if best else "–",
            detail=f"overall grade on dev: {best[0].label}" if best else "no finished run yet",
        ),
        Station(
            name="students",
            figure=str(len(students)),
            detail=f"newest: {students[0].id}" if students else "none trained yet",
        ),
    )
    stale = _stale(policy.version, finished, [(c.id, int(c.record["policy_version"])) for c in students])
    return Overview(
        stations=stations,
        next_steps=_steps(
            policy.version, bool(sets), any(info.snapshots for info in sets), finished, bool(students)
        ),
        stale=stale,
        sample=any(info.sample for info in sets),
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _best(workspace: Workspace, finished: list[Run]) -> tuple[Run, float] | None:
    """The run with the highest κ on the overall grade; students are left out, for they learnt from dev labels."""
    scored = []
    for run in finished:
        if run.judge.kind != "checkpoint":
            value = run_agreement(workspace, run)[OVERALL].kappa_quadratic.value
            if value is not None:
                scored.append((run, value))
    return max(scored, key=lambda pair: pair[1], default=None)


def _stale(newest: int, finished: list[Run], students: list[tuple[str, int]]) -> tuple[str, ...]:
    lines = []
    if finished and not any(run.policy_version == newest for run in finished):
        last = max(run.policy_version for run in finished)
        lines.append(f"No judge has run with policy v{newest} yet; the newest runs are of v{last}.")
    for name, version in students[:5]:
        if version < newest:
            lines.append(f"Student {name} was trained on policy v{version}, newest is v{newest}.")
    return tuple(lines)


def _steps(
    newest: int, has_set: bool, has_snapshot: bool, finished: list[Run], has_student: bool
) -> tuple[Step, ...]:
    steps = []
    if not has_set:
        steps.append(
            Step(what="Import a golden set", why="Agreement is measured against human labels.", page="golden")
        )
    elif not has_snapshot:
        steps.append(
            Step(what="Publish a snapshot", why="Judges run on a frozen, numbered golden set.", page="golden")
        )
    elif not any(run.policy_version == newest for run in finished):
        steps.append(
            Step(
                what=f"Run a judge with policy v{newest}",
                why="No run has used the newest version yet.",
                page="runs",
            )
        )
    if len({run.policy_version for run in finished}) > 1:
        steps.append(
            Step(
                what="Compare policy versions",
                why="See where agreement moved and open the pairs that flipped.",
                page="compare",
            )
        )
    if has_set:
        steps.append(Step(what="Label a pair", why="Every label narrows the intervals.", page="label"))
    steps.append(
        Step(
            what="Read or edit the policy", why="Edits live in a draft until you publish them.", page="policy"
        )
    )
    if finished and not has_student:
        steps.append(
            Step(
                what="Train a student",
                why="A small model that grades like the judge, on two cores.",
                page="train",
            )
        )
    return tuple(steps[:4])
