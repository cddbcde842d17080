"""Verbs of a release: whether a policy version passes its gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.comparing import compare_runs
from workbench.errors import BadInput, NotFound
from workbench.evaluation import record_look, run_agreement, same_judge
from workbench.files import read_text
from workbench.gate import Check, Gate, failed_checks, kappa_checks, probe_checks, worse_checks
from workbench.policy import Policy
from workbench.probe_measures import EVERY
from workbench.probes import probe_results
from workbench.run import Run
from workbench.workspace import Workspace
from workbench.yamltext import YamlText, validate

FILE = "gate.yaml"


@dataclass(frozen=True)
class Release:
    """Whether a version passes, and by which figures."""

    policy: str
    version: int
    gate: Gate
    source: str  # the gate's file; "" for the thresholds that hold without one
    run: Run | None
    before: Run | None  # the run that it is compared with
    checks: tuple[Check, ...]
    reason: str = ""  # why there is nothing to check

    @property
    def passed(self) -> bool:
        """Whether every check passed, and there was one."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it does not pass, a sentence each."""
        if self.reason:
            return (self.reason,)
        return tuple(
            f"{check.dimension or check.what}: {check.said}" for check in self.checks if not check.passed
        )


def read_gate(path: Path, policy: Policy) -> Gate:
    """Return the gate in a file.

    Raises:
        NotFound: if there is no such file.
        BadInput: for a file that is no gate, or one of a dimension that the policy does not have; names the line.
    """
    if not path.is_file():
        raise NotFound(f"There is no gate in {path}.", "Write one, or leave the file out.")
    source = YamlText(read_text(path), path.name)
    gate = validate(Gate, source.data or {}, path.name, source)
    if unknown := gate.unknown_dimensions(policy):
        raise BadInput(
            f"{path.name}: least_kappa names '{unknown[0]}', which {policy.label} does not have.",
            f"There is: {', '.join((*policy.keys, 'overall', 'default'))}.",
        )
    return gate


def gate_of(workspace: Workspace, policy: Policy, file: Path | None = None) -> tuple[Gate, str]:
    """Return the gate of a policy and where it is written; without any, what holds by default.

    Raises:
        NotFound, BadInput: as :func:`read_gate`.
    """
    if file is not None:
        return read_gate(file, policy), str(file)
    usual = workspace.root / "policies" / policy.name / FILE
    if usual.is_file():
        return read_gate(usual, policy), f"policies/{policy.name}/{FILE}"
    return Gate(), ""


def release(
    workspace: Workspace,
    policy: str,
    version: int | None = None,
    *,
    golden: str,
    who: str,
    judge: str = "",
    against: int | None = None,
    file: Path | None = None,
) -> Release:
    """Return whether a policy version passes its gate, by its newest finished run on a golden set.

    Args:
        judge: name of the judge; by default that of the gate, else of the newest run of the version.
        against: version to compare with; by default the newest one before that this judge has graded.
        file: the gate; by default ``policies/<name>/gate.yaml``, else every default.

    Raises:
        NotFound: for a policy, version, golden set or file that does not exist.
        BadInput: for a file that is no gate.
    """
    document = workspace.store.policy(policy, version)
    gate, source = gate_of(workspace, document, file)
    name = judge or gate.judge
    runs = [run for run in workspace.store.runs(policy=policy, golden=golden) if run.status == "finished"]
    mine = [r for r in runs if r.policy_version == document.version and name in ("", r.judge.name)]
    made = Release(policy, document.version, gate, source, mine[0] if mine else None, None, ())
    if not mine:
        who_judges = f" by {name}" if name else ""
        reason = (
            f"{document.label} has no finished run{who_judges} on {golden}: run `workbench judge run "
            f"{policy}@{document.version}`."
        )
        return Release(policy, document.version, gate, source, None, None, (), reason)
    run = mine[0]
    before = _before(runs, run, against)
    if gate.split == "holdout":
        record_look(workspace, [run, *([before] if before else [])], who, "gate")
    agreements = run_agreement(workspace, run, split=gate.split)
    checks = [*kappa_checks(gate, agreements), *failed_checks(gate, agreements)]
    if gate.not_worse and before is not None:
        checks += worse_checks(compare_runs(workspace, before, run, split=gate.split).comparisons)
    elif gate.not_worse and document.version > 1:
        said = f"{run.judge.name} has no finished run under an earlier version to compare with"
        checks.append(Check(what="not worse", passed=None, said=said))
    checks += probe_checks(gate, _moved(workspace, run))
    return Release(made.policy, made.version, gate, source, run, before, tuple(checks))


def _before(runs: Sequence[Run], run: Run, against: int | None) -> Run | None:
    """Return the run to compare with: the same judge, the newest version before that it graded (or the one named)."""
    older = [
        r
        for r in runs
        if _same(r, run) and r.policy_version < run.policy_version and against in (None, r.policy_version)
    ]
    return max(older, key=lambda r: (r.policy_version, r.created_at), default=None)


def _same(older: Run, run: Run) -> bool:
    """Whether one judge made both: with other settings, a difference would say nothing about the policy."""
    if run.judge.kind == "recorded":  # its parameters say where each file came from
        return (older.judge.kind, older.judge.name) == (run.judge.kind, run.judge.name)
    return same_judge(older.judge, run.judge)


def _moved(workspace: Workspace, run: Run) -> dict[str, tuple[float | None, str]]:
    """Return probe -> share of grades moved over all dimensions, from the newest report about this judge."""
    for result in probe_results(workspace, run.judge, run.policy):
        if result.report is None:
            continue
        found: dict[str, tuple[float | None, str]] = {}
        for outcome in result.report.outcomes:
            every = next((m for m in outcome.movements if m.dimension == EVERY), None)
            reason = outcome.skipped or "It has not been measured."
            found[outcome.probe] = (every.moved.value if every else None, reason)
        return found
    return {}
