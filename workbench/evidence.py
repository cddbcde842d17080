"""What a finished run says about one part of a policy: agreement, and the disagreements that speak of the part.

Only pairs of the dev split are looked at: a policy that is edited with the holdout's disagreements in sight has no
holdout any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from workbench import evaluation
from workbench.agreement import Agreement
from workbench.golden import NOT_GRADED
from workbench.labelers import LabelerAgreement
from workbench.policy import OVERALL, Body, Policy
from workbench.policy_diff import DOCUMENT, GENERAL
from workbench.run import Run
from workbench.workspace import Workspace

PartState = Literal["same", "reworded", "new"]

COLUMNS = ["pair_id", "dimension", "human", "judge", "confidence", "cites"]


@dataclass(frozen=True)
class Count:
    """Answers of the judge on dev pairs; of those that can be held against a label, how many disagree with it."""

    answers: int
    labelled: int
    disagree: int

    @property
    def share(self) -> float | None:
        """Share of the labelled answers that disagree; None where nothing is labelled."""
        return self.disagree / self.labelled if self.labelled else None


@dataclass(frozen=True, eq=False)
class Evidence:
    """A run's evidence on one part of a policy."""

    run: Run
    policy: Policy  # the version that the run was under
    dimensions: tuple[str, ...]  # that the part speaks of: one, or all for a general rule; may be "overall"
    agreements: dict[str, Agreement]  # dev pairs, live labels
    ceilings: dict[str, LabelerAgreement | None]
    state: PartState  # whether the draft still says what the judge read
    cited: Count | None  # answers that cite the part; None for a part that is not cited
    all: Count  # answers on its dimensions
    citing: int  # answers on its dimensions that cite anything
    disagreements: pd.DataFrame  # COLUMNS, the worst first; human and judge are levels or NOT_APPLICABLE


def finished_runs(runs: Sequence[Run], policy: str) -> list[Run]:
    """Return the finished runs of a policy, in the order given."""
    return [run for run in runs if (run.policy, run.status) == (policy, "finished")]


def evidence(workspace: Workspace, run: Run, body: Body, section: str, item: str) -> Evidence:
    """Return what ``run`` says about a part of the draft ``body``.

    Disagreements with a clause or precedent are those of answers that cite it, with a level those where label or
    judge is that level, with a section all of its own. They are ordered by the distance of the grades (N/A against
    a level is the farthest), then by how sure the judge was.

    Args:
        section: "general", "document", a dimension key or "overall".
        item: "" for the section itself, a clause, precedent or gate id, or "level 2".

    Raises:
        NotFound: if the run's policy version or its golden set is gone.
    """
    newest = workspace.store.policy(run.policy)  # its scales and overall rule decide what the labels say
    mark = workspace.store.labels_mark(run.golden)
    found = _found(workspace, run.model_dump_json(), mark, newest.content_hash, section, item)
    return replace(found, state=_state(found.policy, body, section, item))


# Keyed by all that may change what is found; only the draft's wording is looked at anew at each edit.
@lru_cache(maxsize=64)
def _found(
    workspace: Workspace, run_json: str, mark: int, newest_hash: str, section: str, item: str
) -> Evidence:
    run = Run.model_validate_json(run_json)
    policy = workspace.store.policy(run.policy, run.policy_version)
    dimensions = _dimensions(policy, section)
    human = evaluation.truth(workspace, run.golden, version=run.golden_version)
    table = _answers(workspace, run_json, human)
    mine = table[table["dimension"].isin(dimensions)]
    about, cited = mine, None
    if item.startswith("level "):
        level = int(item.removeprefix("level "))
        about = mine[(mine["human"] == level) | (mine["judge"] == level)]
    elif item and section not in (OVERALL, DOCUMENT):  # no judge cites a gate or the purpose
        about = mine[[item in cites for cites in mine["cites"]]]
        cited = _count(about)
    agreements = evaluation.run_agreement(workspace, run)
    ceilings = evaluation.human_agreement(workspace, run.golden, version=run.golden_version)
    return Evidence(
        run=run,
        policy=policy,
        dimensions=dimensions,
        agreements={key: agreements[key] for key in dimensions},
        ceilings={key: ceilings.get(key) for key in dimensions},
        state="same",
        cited=cited,
        all=_count(mine),
        citing=int(mine["cites"].map(bool).sum()),
        disagreements=about[about["wrong"]][COLUMNS].reset_index(drop=True),
    )


def _dimensions(policy: Policy, section: str) -> tuple[str, ...]:
    if section == OVERALL or section in policy.keys:
        return (section,)
    return policy.keys if section in (GENERAL, DOCUMENT) else ()


def _count(answers: pd.DataFrame) -> Count:
    return Count(len(answers), int((answers["human"] != NOT_GRADED).sum()), int(answers["wrong"].sum()))


@lru_cache(maxsize=16)
def _answers(workspace: Workspace, run_json: str, human: evaluation.Truth) -> pd.DataFrame:
    """Return COLUMNS and ``wrong`` of a run's answers on dev pairs, overall grades included, the worst first."""
    run = Run.model_validate_json(run_json)
    policy = workspace.store.policy(run.policy, run.policy_version)
    position = pd.Series(np.arange(len(human.pair_ids)), index=list(human.pair_ids), dtype=np.int_)
    given = workspace.store.cited(run.id)
    given = given[given["pair_id"].isin(position.index) & given["dimension"].isin(policy.keys)]
    overall = evaluation.grades(workspace, run, human.pair_ids)[OVERALL]
    derived = pd.DataFrame(
        {
            "pair_id": list(human.pair_ids),
            "dimension": OVERALL,
            "grade": overall,
            "confidence": np.nan,
            "cites": [()] * len(overall),
        }
    )
    rows = pd.concat([given, derived[derived["grade"] != NOT_GRADED]], ignore_index=True)
    rows = rows.rename(columns={"grade": "judge"})
    rows["human"] = NOT_GRADED
    far = np.zeros(len(rows), dtype=np.int_)
    for key, part in rows.groupby("dimension"):
        scale = policy.scale(str(key))
        labels = _on_scale(human.human.get(str(key)), scale, len(human.pair_ids))
        mine = labels[position[part["pair_id"]].to_numpy()]
        judge = part["judge"].to_numpy()
        rows.loc[part.index, "human"] = mine
        # N/A against a level: one of them has not understood when the dimension applies.
        far[part.index] = np.where((mine < 0) | (judge < 0), len(scale), np.abs(mine - judge))
    rows["wrong"] = (rows["human"] != NOT_GRADED) & (rows["human"] != rows["judge"])
    rows["far"] = far
    worst = ["far", "confidence", "dimension", "pair_id"]
    rows = rows.sort_values(worst, ascending=[False, False, True, True], na_position="last", kind="stable")
    return rows[[*COLUMNS, "wrong"]].reset_index(drop=True)


def _on_scale(labels: npt.NDArray[np.int_] | None, scale: Sequence[int], pairs: int) -> npt.NDArray[np.int_]:
    """Labels of levels that the run's version does not have count as none, as in every agreement."""
    if labels is None:
        return np.full(pairs, NOT_GRADED)
    return np.where((labels >= 0) & ~np.isin(labels, scale), NOT_GRADED, labels)


def _state(policy: Body, body: Body, section: str, item: str) -> PartState:
    before, now = _part(policy, section, item), _part(body, section, item)
    if before is None:
        return "new"
    return "same" if before == now else "reworded"


def _part(body: Body, section: str, item: str) -> object | None:
    """Return what a judge reads (or, of the overall rule, what is computed) of one part; None if it is not there."""
    if section == OVERALL:
        gates = {gate.id: gate for gate in body.overall.gates}
        weights = {dimension.key: dimension.weight for dimension in body.dimensions}
        return gates.get(item) if item else (body.overall, weights)
    if section not in body.keys:
        words = {GENERAL: body.general, DOCUMENT: (body.title, body.purpose, body.terms, body.pair)}
        clauses = {clause.id: clause.text for clause in body.general}
        return clauses.get(item) if section == GENERAL and item else words.get(section)
    dimension = body.dimension(section)
    if not item:
        return dimension.model_copy(update={"weight": 1.0})
    parts: dict[str, object] = {clause.id: clause.text for clause in dimension.clauses}
    parts |= {precedent.id: precedent for precedent in dimension.precedents}
    parts |= {f"level {level.value}": level for level in dimension.levels}
    return parts.get(item)
