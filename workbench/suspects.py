"""Verbs of suspected label errors: which labels several judges contradict, and what is decided about each.

Only independent judges count: one run of each family (:func:`workbench.label_errors.family`), and no checkpoint, which
has learnt from these labels or from a judge that is counted already. The baseline has seen the dev labels too, but it
grades every dev pair by a model that did not see its query.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from workbench import comments, evaluation, label_errors
from workbench.adjudication import adjudicate
from workbench.errors import BadInput, Refused
from workbench.evaluation import SplitChoice
from workbench.labelling import check_answer
from workbench.policy import Policy
from workbench.policy_diff import GENERAL
from workbench.run import Judgement, Run
from workbench.store.base import now
from workbench.store.decisions import Decision, Outcome
from workbench.suspect_ranking import MOST as MOST
from workbench.suspect_ranking import JudgeAnswer as JudgeAnswer
from workbench.suspect_ranking import Suspect as Suspect
from workbench.suspect_ranking import ranked
from workbench.workspace import Workspace

LOOK = timedelta(hours=1)
"""Within this time, one person's looks at the holdout with the same runs are one look in the ledger."""
PLACE = "suspects"


def independent_runs(
    workspace: Workspace, golden: str, among: Sequence[Run] | None = None
) -> tuple[Run, ...]:
    """Return the newest finished run of each judge family on a golden set (of ``among``, where given), newest first.

    Raises:
        Refused: if a run of ``among`` has not finished, is of another golden set, or is one of a checkpoint.
    """
    for run in among or ():
        if run.golden != golden:
            raise Refused(
                f"{run.label} ran on golden set '{run.golden}', not '{golden}'.", "Choose its runs."
            )
        if run.status != "finished":
            raise Refused(f"{run.label} has not finished.", "Choose a finished run.")
        if run.judge.kind == "checkpoint":
            raise Refused(
                f"{run.label} is a trained model: it has learnt from labels or judges that are counted already.",
                "Choose runs of language models, recorded judges or the baseline.",
            )
    policy = workspace.store.golden(golden).policy
    runs = among if among is not None else workspace.store.runs(policy=policy, golden=golden)
    found: dict[str, Run] = {}
    for run in sorted(runs, key=lambda run: run.created_at, reverse=True):
        if run.status == "finished" and run.judge.kind != "checkpoint":
            found.setdefault(label_errors.family(run.judge), run)
    return tuple(found.values())


def suspects(
    workspace: Workspace,
    golden: str,
    *,
    runs: Sequence[Run] | None = None,
    dimension: str | None = None,
    least_judges: int = 2,
    split: SplitChoice = "dev",
    who: str = "",
) -> tuple[Suspect, ...]:
    """Return the suspected label errors that wait for a decision, by today's labels, the likeliest first.

    A decision keeps a suspect away until a newer label or run contradicts it (:func:`holds`); the suspect then comes
    back with that decision. At most ``MOST`` a dimension are looked at.

    Args:
        runs: of a judge family given several times the newest counts; by default the newest run of each family.
        dimension: only this one; all of the newest policy version by default.
        least_judges: how many judges have to give the answer.
        split: ``holdout`` and ``all`` write a look in the ledger (once for ``who`` within ``LOOK``).
        who: who looks; the user of the workspace by default.

    Raises:
        BadInput: for fewer than one judge.
        NotFound: for a golden set or dimension that does not exist.
        Refused: for runs that cannot be counted, as :func:`independent_runs` says.
    """
    if least_judges < 1:
        raise BadInput("At least one judge has to contradict a label.", "Choose 1 or more.")
    store = workspace.store
    info = store.golden(golden)
    policy = store.policy(info.policy)
    if dimension is not None:
        policy.dimension(dimension)
    counted = independent_runs(workspace, golden, runs)
    if len(counted) < least_judges:
        return ()
    if split != "dev":
        _look(workspace, counted, who or workspace.settings.user)
    run_jsons = tuple(run.model_dump_json() for run in counted)
    found = ranked(workspace, info.model_dump_json(), policy.content_hash, run_jsons, split, least_judges)
    decided = {(one.pair_id, one.dimension): one for one in store.decisions(golden)}
    waiting = []
    for suspect in found:
        if dimension not in (None, suspect.dimension):
            continue
        decision = decided.get((suspect.pair_id, suspect.dimension))
        if decision is None or decision.outcome == "open":
            waiting.append(suspect)
        elif not holds(decision, suspect):
            waiting.append(replace(suspect, decision=decision))
    return tuple(waiting)


def holds(decision: Decision, suspect: Suspect) -> bool:
    """Return whether a decision still answers a suspect.

    It does not once the label or the judges' answer is another one than was decided about; for *judge wrong* once
    a judge of a family that had not given the answer then gives it too; for *policy ambiguous* once a run under
    a newer policy version gives it still.
    """
    if decision.outcome == "open":
        return False
    known = decision.details  # a decision of another place may not say all of this
    if suspect.answer != known.get("answer", suspect.answer):
        return False
    if suspect.label not in (known.get("label", suspect.label), known.get("grade")):
        return False
    families = {label_errors.family(judge.run.judge) for judge in suspect.agreeing}
    if decision.outcome == "judge wrong" and "families" in known:
        return families <= set(known["families"])
    if decision.outcome == "policy ambiguous" and "policy_version" in known:
        return all(judge.run.policy_version <= known["policy_version"] for judge in suspect.agreeing)
    return True


def triage(
    workspace: Workspace,
    suspect: Suspect,
    outcome: Outcome,
    *,
    note: str,
    author: str,
    grade: int | None = None,
    key: str = "",
) -> Decision:
    """Keep what was decided about a suspect, do what follows from it, and return the decision.

    - *label wrong* with a ``grade``: it is recorded as an adjudicated label, with the note as its reason. Without
      one the pair waits for adjudication (Golden set page, Adjudicate).
    - *judge wrong*: kept as evidence; suggested edits of the policy rest on such disagreements.
    - *policy ambiguous*: the note becomes a comment on the clause that the judges cited most, else on the dimension.
      Not for a pair of the holdout, which must not shape the policy.

    Args:
        grade: with *label wrong*, the right grade: a level, NOT_APPLICABLE or UNRATEABLE.
        key: makes the call repeatable: the same key decides once (a double click).

    Raises:
        BadInput: for an outcome that is none of the three, a missing note where one is passed on, or a grade that
            the policy does not know, is the label already, or belongs to another outcome.
        NotFound: if the pair is no longer in the set.
    """
    note = note.strip()
    if outcome not in ("label wrong", "judge wrong", "policy ambiguous"):
        raise BadInput(
            f"'{outcome}' settles nothing.", "Choose label wrong, judge wrong or policy ambiguous."
        )
    if grade is not None and outcome != "label wrong":
        raise BadInput(
            "A grade was given, but the label is not said to be wrong.",
            "Leave the grade open, or choose label wrong.",
        )
    if not note and (grade is not None or outcome == "policy ambiguous"):
        raise BadInput("This needs a note: it is passed on.", "Say in a sentence why.")
    policy = workspace.store.policy(workspace.store.golden(suspect.golden).policy)
    decision_id = f"decision-{key or secrets.token_hex(8)}"
    details = _known(suspect)
    if grade is not None:
        check_answer(policy, suspect.dimension, grade)
        if grade == suspect.label:
            raise BadInput(
                "The right grade is the label as it is.",
                "Choose another grade, or say that the judge is wrong.",
            )
        adjudicate(
            workspace, suspect.golden, suspect.pair_id, {suspect.dimension: grade}, reason=note, author=author
        )
        details["grade"] = grade
    elif outcome == "policy ambiguous" and suspect.split == "dev":
        details |= _comment(workspace, policy, suspect, note, author, decision_id)
    return workspace.store.add_decision(
        Decision(
            id=decision_id,
            golden=suspect.golden,
            pair_id=suspect.pair_id,
            dimension=suspect.dimension,
            outcome=outcome,
            note=note,
            author=author,
            at=now(),
            place=PLACE,
            details=details,
        )
    )


def take_back(workspace: Workspace, decision: Decision, *, author: str) -> Decision:
    """Open a decided suspect again and return the decision that says so; a comment made by it is resolved.

    An adjudicated label stays, as labels only ever grow: withdraw it, or adjudicate again, on the Adjudicate tab.

    Raises:
        NotFound: if the pair is no longer in the set.
    """
    if comment_id := decision.details.get("comment"):
        comments.resolve(workspace, str(comment_id), author)
    return workspace.store.add_decision(
        Decision(
            id=f"{decision.id}-open",
            golden=decision.golden,
            pair_id=decision.pair_id,
            dimension=decision.dimension,
            outcome="open",
            author=author,
            at=now(),
            place=PLACE,
        )
    )


def judgements(workspace: Workspace, suspect: Suspect) -> dict[str, Judgement]:
    """Return run id -> what that run said of the suspect's dimension, with rationale and cites."""
    story = evaluation.pair_story(
        workspace, suspect.golden, suspect.pair_id, [judge.run.id for judge in suspect.judges]
    )
    return {
        run_id: said[suspect.dimension]
        for run_id, said in story.judgements.items()
        if suspect.dimension in said
    }


def _known(suspect: Suspect) -> dict[str, Any]:
    """Return what was known when a suspect was decided, for :func:`holds` and for whoever reads it later."""
    agreeing = suspect.agreeing
    return {
        "label": suspect.label,
        "answer": suspect.answer,
        "score": round(suspect.score, 4),
        "split": suspect.split,
        "runs": {judge.run.id: judge.grade for judge in suspect.judges},
        "families": sorted({label_errors.family(judge.run.judge) for judge in agreeing}),
        "policy_version": max(judge.run.policy_version for judge in agreeing),
    }


def _comment(
    workspace: Workspace, policy: Policy, suspect: Suspect, note: str, author: str, key: str
) -> dict[str, str]:
    """Begin a thread about the clause in question and return where."""
    section, item = _in_question(policy, suspect, judgements(workspace, suspect))
    pair = workspace.store.pairs([suspect.pair_id], suspect.golden)[suspect.pair_id]
    names = (
        fields.get(side.fields[0], "").strip()
        for side, fields in ((policy.pair.query, pair.query), (policy.pair.document, pair.document))
    )
    what = " / ".join(name[:80] for name in names if name) or suspect.pair_id
    codes = {level: str(level) for level in policy.scale(suspect.dimension)}
    label, answer = (codes.get(grade, "N/A") for grade in (suspect.label, suspect.answer))
    text = (
        f"{note}\n\nAmbiguous for a pair of {suspect.golden}: {what}. People say {label}, "
        f"{len(suspect.agreeing)} of {len(suspect.judges)} judges say {answer} ({suspect.dimension}).\n"
        f"{suspect.pair_id}"
    )
    thread = comments.comment(workspace, policy.name, policy, section, item, text, author, key=key)
    return {"comment": thread.id, "section": section, "item": item}


def _in_question(policy: Policy, suspect: Suspect, said: Mapping[str, Judgement]) -> tuple[str, str]:
    """Return the part that agreeing judges cited most, of those of the dimension and the general rules."""
    homes = {
        clause.id: section for section, clause in policy.clauses() if section in (suspect.dimension, GENERAL)
    }
    agreeing = [judge.run.id for judge in suspect.agreeing if judge.run.id in said]
    cites = [cited for run_id in agreeing for cited in dict.fromkeys(said[run_id].cites) if cited in homes]
    if not cites:
        return suspect.dimension, ""
    # Of those cited equally often, a rule of the dimension before a general one, then the first cited.
    best = max(dict.fromkeys(cites), key=lambda cited: (cites.count(cited), homes[cited] != GENERAL))
    return homes[best], best


def _look(workspace: Workspace, runs: Sequence[Run], who: str) -> None:
    looks = workspace.store.looks(runs[0].golden)
    mine = looks[(looks["who"] == who) & (looks["place"] == PLACE)]
    seen = {run_id for run_id, at in zip(mine["run_id"], mine["at"], strict=True) if at > now() - LOOK}
    fresh = [run for run in runs if run.id not in seen]
    if fresh:
        evaluation.record_look(workspace, fresh, who, PLACE)
