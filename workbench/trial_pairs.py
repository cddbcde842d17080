"""Which pairs a draft may be tried on: found, pasted or drawn; never one of the holdout."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from workbench.errors import BadInput, Refused
from workbench.evaluation import truth
from workbench.golden import NOT_GRADED, Pair
from workbench.identity import content_hash
from workbench.policy import OVERALL, Body, Layout
from workbench.policy_lint_pairs import PairTexts, normalised
from workbench.prompt_costs import golden_sets
from workbench.store import Store
from workbench.workspace import Workspace

MOST_PAIRS = 200
"""Pairs of one trial; more are a run, on a published version."""
MOST_SLICES = 20
"""Values of a metadata key from which it is no slice any more but an id."""

_PART = 400  # ids in one query


def published_sets(workspace: Workspace, policy: str) -> tuple[str, ...]:
    """Return the golden sets of a policy that have a snapshot, in order."""
    store = workspace.store
    return tuple(name for name in golden_sets(workspace, policy) if store.golden(name).snapshots)


def sample_pairs(workspace: Workspace, golden: str, n: int = 30, seed: int = 0) -> list[Pair]:
    """Return ``n`` labelled dev pairs of the newest snapshot, stratified by settled overall grade and slice.

    Every stratum (overall grade × value of the first slice) gets its share by largest remainder, and one pair at
    least while that goes round, so that rare grades are seen; rare grades are therefore seen more often than in the
    set, and figures of the sample are no estimate of the set's. The same arguments and labels give the same pairs.

    Raises:
        NotFound: if the set does not exist or has no snapshot.
        Refused: if no dev pair has a label.
    """
    store = workspace.store
    info = store.golden(golden)
    mark = (max(info.snapshots, default=0), store.labels_mark(golden), store.policy(info.policy).content_hash)
    found = _sampled(workspace, golden, mark, n, seed)
    if not found:
        raise Refused(
            f"No dev pair of golden set '{golden}' has a label.",
            "Label some on the Label page, or paste a pair.",
        )
    return list(found)


@lru_cache(maxsize=16)
def _sampled(
    workspace: Workspace, golden: str, mark: tuple[int, int, str], n: int, seed: int
) -> tuple[Pair, ...]:
    """Return the sample in the snapshot's order; ``mark`` (snapshot, labels, policy) says when to look again."""
    dev = truth(workspace, golden)
    labelled = np.any([grades != NOT_GRADED for grades in dev.human.values()], axis=0)
    slices = _slices(workspace.store.members(golden), workspace.store.golden(golden).stratify)
    members = [
        (pair_id, grade, slices.get(pair_id, ""))
        for pair_id, grade, has_label in zip(dev.pair_ids, dev.human[OVERALL].tolist(), labelled, strict=True)
        if has_label
    ]
    if len({(grade, part) for _, grade, part in members}) > n:  # then every grade rather than every slice
        members = [(pair_id, grade, "") for pair_id, grade, _ in members]
    strata: dict[tuple[int, str], list[str]] = defaultdict(list)
    for pair_id, grade, part in members:
        strata[grade, part].append(pair_id)
    shares = _shares({stratum: len(ids) for stratum, ids in strata.items()}, n)
    chosen: set[str] = set()
    for stratum, ids in strata.items():
        ids.sort(key=lambda pair_id: content_hash("draw", [seed, pair_id]))
        chosen.update(ids[: shares[stratum]])
    found = workspace.store.pairs(sorted(chosen), golden)
    return tuple(found[pair_id] for pair_id in dev.pair_ids if pair_id in chosen)


def _shares(sizes: Mapping[tuple[int, str], int], n: int) -> Counter[tuple[int, str]]:
    """Return how many of ``n`` each stratum gives: one while that goes round, the rest in proportion to its size."""
    total = sum(sizes.values())
    order = sorted(sizes, key=lambda stratum: (-sizes[stratum], stratum))
    shares = Counter(order[:n])
    while shares.total() < min(n, total):
        room = [stratum for stratum in order if shares[stratum] < sizes[stratum]]
        shares[max(room, key=lambda stratum: n * sizes[stratum] / total - shares[stratum])] += 1
    return shares


def _slices(members: pd.DataFrame, stratify: str) -> dict[str, str]:
    """Return pair id -> its value of the key the set is split by, or of the first that cuts it into a few slices."""
    metas: list[Mapping[str, str]] = members["meta"].tolist()
    keys = [stratify] if stratify else list(dict.fromkeys(key for meta in metas for key in meta))
    for key in keys:
        values = [meta.get(key, "") for meta in metas]
        if 1 < len(set(values)) <= MOST_SLICES:
            return dict(zip(members["pair_id"], values, strict=True))
    return {}


def find_pairs(workspace: Workspace, golden: str, text: str, limit: int = 20) -> list[Pair]:
    """Return dev pairs of a golden set by id, or whose texts hold ``text``; the first ones for an empty text."""
    store, wanted = workspace.store, text.strip()
    if wanted.startswith("pair-"):
        members = store.members(golden, pair_ids=[wanted])
        ids = members.loc[members["split"] == "dev", "pair_id"].tolist()
    elif wanted:
        ids = store.search_pairs(golden, wanted, "dev")[:limit]
    else:
        ids = store.member_page(golden, "dev", 0, limit)[0]
    found = store.pairs(ids, golden)
    return [found[pair_id] for pair_id in ids]


def checked_pairs(
    workspace: Workspace, policy: str, layout: Layout, pairs: Iterable[Pair]
) -> tuple[Pair, ...]:
    """Return the pairs, each once, if a draft of ``policy`` may be tried on them.

    A pasted pair is compared with the holdout by its texts as well, because other fields or spaces give it another id.

    Raises:
        BadInput: for none, too many, or one without any text that the policy lays out.
        Refused: for a pair of the holdout of any golden set of the policy.
    """
    unique = tuple({pair.id: pair for pair in pairs}.values())
    if not unique:
        raise BadInput("There is no pair to try the draft on.", "Choose one, or paste one.")
    if len(unique) > MOST_PAIRS:
        raise BadInput(
            f"A trial takes {MOST_PAIRS} pairs at most, not {len(unique)}.",
            "Publish the draft and start a run on the Runs page.",
        )
    texts = {pair.id: _texts(layout, pair) for pair in unique}
    if any(not any(found) for found in texts.values()):
        raise BadInput("The pair has no text in any field of the policy.", "Fill in at least one field.")
    known: set[str] = set()
    for name in golden_sets(workspace, policy):
        members = _members(workspace.store, name, list(texts))
        if "holdout" in members.values():
            raise _holdout(name)
        known |= set(members)
    strangers = {texts[pair.id] for pair in unique if pair.id not in known}
    for name in golden_sets(workspace, policy) if strangers else ():
        size, _ = workspace.store.split_counts(name).get("holdout", (0, 0))
        if strangers & _holdout_texts(workspace.store, name, layout, size):
            raise _holdout(name)
    return unique


def shown_in_prompt(policy: Body, pairs: Sequence[Pair]) -> frozenset[str]:
    """Return the ids of the pairs that a precedent of ``policy`` shows with its grade: judging them proves nothing."""
    texts = PairTexts(pairs)
    examples = (precedent.pair for dimension in policy.dimensions for precedent in dimension.precedents)
    return frozenset(pairs[i].id for example in examples for i in texts.like(example))


def _holdout(golden: str) -> Refused:
    return Refused(
        f"This pair is in the holdout of golden set '{golden}', and drafts are never run on the holdout.",
        "Try a dev pair; the holdout is for published versions.",
    )


def _members(store: Store, golden: str, ids: Sequence[str]) -> dict[str, str]:
    found = store.members(golden, pair_ids=ids)
    return dict(zip(found["pair_id"], found["split"], strict=True))


@lru_cache(maxsize=8)
def _holdout_texts(store: Store, golden: str, layout: Layout, size: int) -> frozenset[tuple[str, ...]]:
    """Return the texts of the holdout's ``size`` pairs, as a judge would read them; a set only grows."""
    members = store.members(golden)
    ids = members.loc[members["split"] == "holdout", "pair_id"].tolist()
    parts = (store.pairs(ids[start : start + _PART]) for start in range(0, len(ids), _PART))
    return frozenset(_texts(layout, pair) for part in parts for pair in part.values())


def _texts(layout: Layout, pair: Pair) -> tuple[str, ...]:
    sides = ((layout.query, pair.query), (layout.document, pair.document))
    return tuple(normalised(fields.get(name, "")) for side, fields in sides for name in side.fields)
