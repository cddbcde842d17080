"""Verbs about labelers over time: how each drifts from the rest, and how far each agrees with their own past."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import pandas as pd

from workbench.labeler_drift import LabelerDrift, SelfAgreement, labeler_drift, self_agreement
from workbench.policy import OVERALL
from workbench.store import Store
from workbench.workspace import Workspace


def drift(
    workspace: Workspace, golden: str, dimension: str, *, split: str = "all"
) -> tuple[LabelerDrift, ...]:
    """Return every labeler over time on one dimension (or "overall"), in the order of their names.

    Raises:
        NotFound: if there is no set of this name.
    """
    return _drift(workspace.store, golden, dimension, split, *_marks(workspace, golden))


def rechecks(
    workspace: Workspace, golden: str, *, split: str = "all"
) -> Mapping[str, tuple[SelfAgreement, ...]]:
    """Return, for each dimension and overall, every labeler's agreement with their own earlier labels.

    Raises:
        NotFound: if there is no set of this name.
    """
    return _rechecks(workspace.store, golden, split, *_marks(workspace, golden))


def _marks(workspace: Workspace, golden: str) -> tuple[int, int, str]:
    """Return what changes whenever labels, pairs or the policy do."""
    info = workspace.store.golden(golden)
    return workspace.store.labels_mark(golden), info.pairs, workspace.store.policy(info.policy).content_hash


@lru_cache(maxsize=64)
def _drift(
    store: Store, golden: str, dimension: str, split: str, mark: int, pairs: int, policy_hash: str
) -> tuple[LabelerDrift, ...]:
    labels, query_ids = _labels(store, golden, split, mark, pairs)
    scale = store.policy(store.golden(golden).policy).scale(dimension)
    return labeler_drift(labels[labels["dimension"] == dimension], query_ids, scale)


@lru_cache(maxsize=16)
def _rechecks(
    store: Store, golden: str, split: str, mark: int, pairs: int, policy_hash: str
) -> dict[str, tuple[SelfAgreement, ...]]:
    labels, query_ids = _labels(store, golden, split, mark, pairs)
    policy = store.policy(store.golden(golden).policy)
    return {
        key: self_agreement(labels[labels["dimension"] == key], query_ids, policy.scale(key))
        for key in (*policy.keys, OVERALL)
    }


@lru_cache(maxsize=2)
def _labels(
    store: Store, golden: str, split: str, mark: int, pairs: int
) -> tuple[pd.DataFrame, dict[str, str]]:
    members = store.members(golden)
    if split != "all":
        members = members[members["split"] == split]
    return store.labels(golden), dict(zip(members["pair_id"], members["query_id"], strict=True))
