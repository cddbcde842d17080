"""Verbs of adjudication: where labelers differ, what was decided about it and why, and by which rule the rest settles.

An adjudication is a label with source ``adjudicated`` whose note is the reason. It decides under every consensus rule,
and is only ever added: a later one replaces it, and all of them can be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
import pandas as pd

from workbench import authoring
from workbench.errors import BadInput, NotFound, Refused
from workbench.golden import (
    CONSENSUS_RULES,
    NOT_APPLICABLE,
    UNRATEABLE,
    ConsensusRule,
    Label,
    Pair,
    Split,
    adjudicated,
    votes,
)
from workbench.labelling import check_answer, settled_by
from workbench.policy import OVERALL, Policy
from workbench.store import Draft, Store
from workbench.workspace import Workspace


@dataclass(frozen=True)
class Case:
    """A pair whose labelers differ, on which dimensions, and how far."""

    pair_id: str
    split: Split
    widths: Mapping[str, int]  # dimension or "overall" -> levels between the outermost answers, widest first
    answers: Mapping[str, tuple[int, ...]]  # the same keys -> the answers given, levels from below, then N/A
    labelers: int

    @property
    def width(self) -> int:
        """How far the labelers are apart where they are farthest apart."""
        return max(self.widths.values())


@dataclass(frozen=True, eq=False)
class CaseStory:
    """All that people said about one pair."""

    pair: Pair
    split: Split
    votes: pd.DataFrame  # LABEL_COLUMNS: each labeler's answers that hold, adjudications apart
    decided: pd.DataFrame  # LABEL_COLUMNS: every adjudication, newest first
    open: tuple[
        str, ...
    ]  # dimensions on which labelers differ and which nobody adjudicated since, in policy order
    settled: Mapping[
        str, int
    ]  # dimension -> what was adjudicated, else what all labelers agree on; no open ones

    def labelers(self) -> list[str]:
        """Return who labelled the pair, in order."""
        return sorted(self.votes["labeler"].unique())


@dataclass(frozen=True)
class RuleEffect:
    """What another consensus rule would change."""

    rule: ConsensusRule
    graded: int  # (pair, dimension) that settle on an answer by this rule
    changed: Mapping[
        str, int
    ]  # dimension or "overall" -> pairs that settle otherwise than by the set's rule now


def open_cases(
    workspace: Workspace, golden: str, *, dimension: str | None = None, least: int = 2, split: str = "all"
) -> tuple[Case, ...]:
    """Return the pairs whose labelers differ by at least ``least`` levels, the widest first.

    N/A against a level is a difference of the whole scale. *Unrateable* is no answer; levels that the newest policy
    version does not have are not looked at. What was adjudicated after the last of its labels is closed.

    Args:
        dimension: a dimension or "overall"; None for all of them.
        split: ``dev``, ``holdout`` or ``all``.

    Raises:
        NotFound: if there is no such set or dimension.
        BadInput: for a difference below 1.
    """
    store = workspace.store
    policy = store.policy(store.policy_of(golden))
    if dimension is not None and dimension not in (*policy.keys, OVERALL):
        raise NotFound.among("dimension", dimension, [*policy.keys, OVERALL])
    if least < 1:
        raise BadInput(f"Labelers cannot differ by {least} levels.", "Choose 1 or more.")
    return _open_cases(store, golden, policy.content_hash, store.labels_mark(golden), dimension, least, split)


@lru_cache(maxsize=16)
def _open_cases(
    store: Store, golden: str, policy_hash: str, mark: int, dimension: str | None, least: int, split: str
) -> tuple[Case, ...]:
    """Return the open cases; ``policy_hash`` and ``mark`` say when to look again."""
    policy = store.policy(store.policy_of(golden))
    found = _apart(store, golden, policy_hash, mark)
    apart: pd.DataFrame = found.loc[(found["width"] >= least) & found["open"]]
    if dimension is not None:
        apart = apart[apart["dimension"] == dimension]
    if apart.empty:
        return ()
    members = store.members(golden)
    place = pd.Series(range(len(members)), index=members["pair_id"])
    splits = dict(zip(members["pair_id"], members["split"], strict=True))
    if split != "all":
        apart = apart[apart["pair_id"].map(splits) == split]
    keys = {key: i for i, key in enumerate((*policy.keys, OVERALL))}
    apart = apart.assign(key=apart["dimension"].map(keys), place=apart["pair_id"].map(place))
    apart = apart.sort_values(["width", "key"], ascending=[False, True], kind="stable")
    rows: dict[str, list[tuple[str, int, tuple[int, ...]]]] = {}
    for pair_id, key, width, answers in zip(
        apart["pair_id"], apart["dimension"], apart["width"].tolist(), apart["answers"], strict=True
    ):
        rows.setdefault(pair_id, []).append((key, width, answers))
    people = apart.groupby("pair_id")["labelers"].max().to_dict()
    cases = [
        Case(
            pair_id,
            splits[pair_id],
            {key: width for key, width, _ in said},
            {key: answers for key, _, answers in said},
            people[pair_id],
        )
        for pair_id, said in rows.items()
    ]
    places = place.to_dict()
    cases.sort(key=lambda case: (-case.width, -sum(case.widths.values()), places[case.pair_id]))
    return tuple(cases)


@lru_cache(maxsize=8)
def _apart(store: Store, golden: str, policy_hash: str, mark: int) -> pd.DataFrame:
    """Return :func:`_differences` of a set."""
    return _differences(store.policy(store.policy_of(golden)), store.labels(golden))


def _differences(policy: Policy, labels: pd.DataFrame) -> pd.DataFrame:
    """Return pair_id, dimension, width, labelers, answers and open, one row a pair and dimension with a difference."""
    parts = []
    cast = votes(labels)
    decisions = adjudicated(labels)
    for key in (*policy.keys, OVERALL):
        scale = policy.scale(key)
        mine = cast[cast["dimension"] == key]
        mine = mine[mine["grade"].isin((*scale, NOT_APPLICABLE))]
        # N/A sorts after the levels, so that the answers of a pair come out in order.
        order = mine["grade"].where(mine["grade"] != NOT_APPLICABLE, scale[-1] + 1)
        level = mine["grade"].where(mine["grade"] != NOT_APPLICABLE)
        given = mine.assign(order=order, level=level, na=level.isna()).groupby("pair_id", sort=False)
        found = given.agg(
            low=("level", "min"), high=("level", "max"), na=("na", "any"), labelers=("labeler", "size"),
            last=("at", "max"), kinds=("order", "nunique"),
        )  # fmt: skip
        found = found.loc[found["kinds"] > 1]
        width = np.where(found["na"], scale[-1] - scale[0], found["high"] - found["low"])
        said = mine.assign(order=order)[mine["pair_id"].isin(found.index)].sort_values("order", kind="stable")
        answers = said.drop_duplicates(["pair_id", "grade"]).groupby("pair_id")["grade"].agg(tuple)
        decided = decisions[decisions["dimension"] == key].set_index("pair_id")["at"].reindex(found.index)
        parts.append(
            pd.DataFrame(
                {
                    "pair_id": found.index,
                    "dimension": key,
                    "width": width.astype(np.int_),
                    "labelers": found["labelers"].to_numpy(),
                    "answers": answers.reindex(found.index).to_numpy(),
                    "open": ~(decided >= found["last"]).to_numpy(),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def case(workspace: Workspace, golden: str, pair_id: str, reader: str = "") -> CaseStory:
    """Return everything that labelers and adjudicators said of one pair.

    Args:
        reader: who wants to see it.

    Raises:
        NotFound: if the pair is not in the set.
        Refused: if an open queue still asks the reader for a blind label of the pair.
    """
    store = workspace.store
    policy = store.policy(store.policy_of(golden))
    member = store.members(golden, pair_ids=[pair_id])
    if member.empty:
        raise NotFound(f"Golden set '{golden}' has no pair {pair_id}.", "The link may be of another set.")
    if reader and (queue := store.waits_for(golden, pair_id, reader)) is not None:
        raise Refused(
            f"Queue '{queue}' still asks you for a blind label of this pair.",
            "Label it there first; what others said is shown then.",
        )
    labels = store.labels(golden, pair_id=pair_id)
    apart = _differences(policy, labels)
    still_open = set(apart.loc[apart["open"], "dimension"])
    decisions = adjudicated(labels)
    agreed = {
        str(key): int(said.iloc[0])
        for key, said in votes(labels).groupby("dimension")["grade"]
        if said.nunique() == 1
    }
    agreed |= dict(zip(decisions["dimension"], decisions["grade"].tolist(), strict=True))
    keys = (*policy.keys, OVERALL)
    every = labels[labels["source"] == "adjudicated"].sort_values("at", ascending=False, kind="stable")
    return CaseStory(
        pair=store.pairs([pair_id], golden)[pair_id],
        split=member["split"].iloc[0],
        votes=votes(labels),
        decided=every,
        open=tuple(key for key in keys if key in still_open),
        settled={key: agreed[key] for key in keys if key in agreed and key not in still_open},
    )


def adjudicate(
    workspace: Workspace, golden: str, pair_id: str, grades: Mapping[str, int], *, reason: str, author: str
) -> int:
    """Record what was decided about a pair and why; return how many decisions were new (a repeat adds none).

    Args:
        grades: dimension or "overall" -> level, NOT_APPLICABLE, or UNRATEABLE where the pair cannot be graded.

    Raises:
        BadInput: without a grade or a reason, or for a grade that the policy does not know.
        NotFound: for a pair that is not in the set, or a dimension that the policy does not have.
    """
    reason = reason.strip()
    if not grades:
        raise BadInput("No grade was decided.", "Choose a grade where the labelers differ.")
    if not reason:
        raise BadInput(
            "A decision needs a reason.", "Say in a sentence which rule decides, or what it should say."
        )
    policy = workspace.store.policy(workspace.store.policy_of(golden))
    at = datetime.now(UTC)
    for key, grade in grades.items():
        check_answer(policy, key, grade)
    added = workspace.store.add_labels(
        golden,
        [
            Label(
                pair_id=pair_id, dimension=key, grade=grade, labeler=author, at=at, note=reason,
                source="adjudicated",
            )
            for key, grade in grades.items()
        ],
    )  # fmt: skip
    if added:
        workspace.store.record_event(author, "adjudicated", golden, f"{pair_id}: {', '.join(grades)}")
    return added


def to_precedent(
    workspace: Workspace, golden: str, pair_id: str, key: str, draft_id: str, author: str
) -> Draft:
    """Add an adjudicated pair to a draft as a precedent of a dimension: its grade, and the reason as *because*.

    Raises:
        BadInput: if the dimension was not adjudicated, or as unrateable; for the overall grade, which has no
            precedents.
        Refused: for a pair of the holdout, a draft of another policy, or a pair that is a precedent there already.
        NotFound: if the draft, pair or dimension is gone.
        EditConflict: if somebody else changed the dimension's precedents meanwhile.
    """
    store = workspace.store
    policy = store.policy_of(golden)
    draft = store.draft(draft_id)
    if draft.name != policy:
        raise Refused(
            f"The draft is of policy '{draft.name}', and golden set '{golden}' belongs to '{policy}'.",
            "Choose a draft of that policy.",
        )
    if key == OVERALL:
        raise BadInput("The overall grade has no precedents.", "Choose a dimension.")
    decided = adjudicated(store.labels(golden, pair_id=pair_id))
    mine = decided[decided["dimension"] == key]
    if mine.empty:
        raise BadInput(f"'{key}' of this pair was not adjudicated.", "Decide it first.")
    grade, because = int(mine["grade"].iloc[0]), str(mine["note"].iloc[0])
    if grade == UNRATEABLE:
        raise BadInput(f"'{key}' of this pair was found unrateable.", "A precedent needs a grade.")
    body = authoring.with_precedent(
        workspace,
        policy,
        draft.body,
        key,
        store.pairs([pair_id], golden)[pair_id],
        grade=None if grade == NOT_APPLICABLE else grade,
        because=because,
    )
    *before, new = body.dimension(key).precedents
    if same := [precedent for precedent in before if precedent.pair == new.pair]:
        raise Refused(f"This pair is precedent {same[0].id} of the draft already.", "Edit that one.")
    return authoring.save(workspace, draft, body, author)


def choose_rule(workspace: Workspace, golden: str, rule: ConsensusRule, author: str) -> bool:
    """Choose the rule by which labels of a set settle from now on; return whether it was another one.

    Raises:
        NotFound: if there is no such set or rule.
    """
    return workspace.store.set_consensus(golden, rule, author)


def rule_effects(workspace: Workspace, golden: str) -> tuple[RuleEffect, ...]:
    """Return, for each consensus rule, how many settled grades would be other ones than by the set's rule now.

    A settled grade is that of a labelled pair on a dimension, or overall where the overall grade is labelled.

    Raises:
        NotFound: if there is no such set.
    """
    store = workspace.store
    info, mark = store.golden(golden), store.labels_mark(golden)
    today = settled_by(store, golden, info.consensus, mark)
    effects = []
    for rule in CONSENSUS_RULES:
        other = settled_by(store, golden, rule, mark)
        changed = {str(key): int((other[key] != today[key]).sum()) for key in other}
        graded = int(((other >= 0) | (other == NOT_APPLICABLE)).to_numpy().sum())
        effects.append(RuleEffect(rule, graded, changed))
    return tuple(effects)
