"""Verbs that show where a recipe's teachers conflict, from the answers that are kept of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from workbench.errors import BadInput, NotFound
from workbench.golden import Pair
from workbench.policy import Policy
from workbench.recipe import StudentRecipe, TeacherRecipe
from workbench.resampling import Estimate
from workbench.run import Reporter, Silent
from workbench.teacher_conflict import (
    Floats,
    RankCorrelation,
    Slice,
    expected_overall,
    jensen_shannon,
    mean_over_queries,
    opposed,
    over_represented,
    rank_correlation,
    standing,
)
from workbench.training.record import CLICK, read_record
from workbench.training_sources import find_sources, soft_labels, training_input
from workbench.workspace import Workspace

if TYPE_CHECKING:
    from workbench.training.data import Answer


@dataclass(frozen=True)
class PairConflict:
    """One pair and what both teachers say of it: mean grades, or probabilities of a click."""

    pair: Pair
    first: float
    second: float
    distance: float  # divergence in bits, or between the standings, from 0 to 1


@dataclass(frozen=True)
class HeadConflict:
    """Two teachers of one head: a dimension, or ``CLICK``."""

    first: str
    second: str
    head: str
    divergence: Estimate  # mean Jensen-Shannon divergence, in bits
    pairs: int
    most: tuple[PairConflict, ...]  # the largest divergence first


@dataclass(frozen=True)
class Opposed:
    """Pairs in the top quarter of one teacher's order and in the bottom quarter of the other's."""

    high: Literal["policy", "click"]
    pairs: int
    most: tuple[PairConflict, ...]  # expected overall grade and probability of a click; furthest apart first
    slices: tuple[Slice, ...]


@dataclass(frozen=True)
class OrderConflict:
    """A policy teacher and a click teacher, by the order in which they put documents."""

    policy: str
    click: str
    correlation: RankCorrelation
    pairs: int
    opposed: tuple[Opposed, Opposed]


@dataclass(frozen=True)
class Conflicts:
    """Where the teachers of a recipe conflict, over the pairs that it learns from."""

    recipe: str
    policy: str
    pairs: int
    queries: int
    heads: tuple[HeadConflict, ...]
    orders: tuple[OrderConflict, ...]
    notes: tuple[str, ...]  # what could not be compared, and why


@dataclass(frozen=True)
class _Lesson:
    """The pairs that a recipe learns from, and the folders of its teachers."""

    recipe: StudentRecipe | TeacherRecipe
    policy: Policy
    pairs: tuple[Pair, ...]
    folders: tuple[Path, ...]


def conflicts(workspace: Workspace, recipe: StudentRecipe | TeacherRecipe, *, top: int = 20) -> Conflicts:
    """Return where a recipe's teachers conflict. Nobody is asked: their answers have to be kept already.

    Args:
        recipe: names the teachers and the pairs.
        top: pairs that are told of each conflict.

    Raises:
        NotFound: the answers of a teacher are not kept, or something that the recipe names does not exist.
        BadInput: the recipe has no two heads of teachers to compare.
    """
    lesson = _lesson(workspace, recipe, Silent())
    cache = _cache(workspace)
    missing = [name for name, file in _files(lesson, cache) if not file.exists()]
    if missing:
        raise NotFound(
            f"What {' and '.join(missing)} would say of the {len(lesson.pairs):,} pairs of {recipe.recipe} is not kept.",
            f"Train the recipe, or run: workbench train ask-teachers {recipe.recipe}",
        )
    answers = _ask(lesson, cache, Silent())
    return compare(lesson.policy, lesson.pairs, answers, recipe=recipe.recipe, top=top)


def ask_teachers(
    workspace: Workspace, recipe: StudentRecipe | TeacherRecipe, reporter: Reporter
) -> dict[str, int]:
    """Ask a recipe's teachers about its pairs, here and now; return name -> pairs. What is kept is not asked again.

    Raises:
        WorkbenchError: something that the recipe names does not exist, or a teacher cannot teach it.
    """
    lesson = _lesson(workspace, recipe, reporter)
    _ask(lesson, _cache(workspace), reporter)
    return {name: len(lesson.pairs) for name, _ in _files(lesson, _cache(workspace))}


def compare(
    policy: Policy,
    pairs: Sequence[Pair],
    answers: Sequence[tuple[str, Sequence[Answer]]],
    *,
    recipe: str,
    top: int = 20,
    resamples: int = 2000,
) -> Conflicts:
    """Return where teachers conflict.

    Args:
        policy: under which their answers are read.
        pairs: in the order of the answers.
        answers: (name, one answer a pair) of each teacher; all of one teacher's answers are of the same heads.
        recipe: what the report is called.
        top: pairs that are told of each conflict.
        resamples: of the bootstrap over queries.

    Raises:
        BadInput: there are no two heads to compare, or no pairs.
    """
    if not pairs:
        raise BadInput(f"{recipe} learns from no pairs.", "Label dev pairs, or give it a data set.")
    queries = [pair.query_id for pair in pairs]
    said = [(name, _by_head(mine)) for name, mine in answers]
    heads = []
    for (first, mine), (second, theirs) in combinations(said, 2):
        for head in [key for key in (*policy.keys, CLICK) if key in mine and key in theirs]:
            apart = jensen_shannon(mine[head], theirs[head])
            sides = [_mean_grade(policy, head, each[head]) for each in (mine, theirs)]
            heads.append(
                HeadConflict(
                    first=first,
                    second=second,
                    head=head,
                    divergence=mean_over_queries(apart, queries, resamples=resamples),
                    pairs=len(pairs),
                    most=_furthest(pairs, sides[0], sides[1], apart, np.ones(len(pairs), np.bool_), top),
                )
            )
    orders, notes = [], []
    clicking = [(name, mine[CLICK][:, 1]) for name, mine in said if CLICK in mine]
    for name, mine in said:
        lacking = [key for key in policy.keys if key not in mine]
        if len(lacking) == len(policy.keys) or not clicking:
            continue
        if lacking:
            notes.append(
                f"{name} does not grade {', '.join(lacking)}, so it has no overall grade to order documents by."
            )
            continue
        grades = expected_overall(policy, mine)
        orders += [
            _order(pairs, queries, (name, grades), click, top=top, resamples=resamples) for click in clicking
        ]
    if not heads and not orders:
        raise BadInput(
            f"The teachers of {recipe} have no two heads to compare." + "".join(f" {note}" for note in notes),
            "Name two teachers of one head, or one that grades all dimensions and one with a click head.",
        )
    return Conflicts(
        recipe, policy.label, len(pairs), len(set(queries)), tuple(heads), tuple(orders), tuple(notes)
    )


def _order(
    pairs: Sequence[Pair],
    queries: Sequence[str],
    grader: tuple[str, Floats],
    clicker: tuple[str, Floats],
    *,
    top: int,
    resamples: int,
) -> OrderConflict:
    (policy, grades), (click, clicks) = grader, clicker
    by_grade, by_click = standing(grades), standing(clicks)
    metas = [pair.meta for pair in pairs]
    sides: list[Opposed] = []
    directions: tuple[tuple[Literal["policy", "click"], Floats, Floats], ...] = (
        ("policy", by_grade, by_click),
        ("click", by_click, by_grade),
    )
    for high, above, below in directions:
        mask = opposed(above, below)
        most = _furthest(pairs, grades, clicks, above - below, mask, top)
        sides.append(Opposed(high, int(mask.sum()), most, tuple(over_represented(mask, metas))))
    return OrderConflict(
        policy=policy,
        click=click,
        correlation=rank_correlation(grades, clicks, queries, resamples=resamples),
        pairs=int(np.isfinite(grades).sum()),
        opposed=(sides[0], sides[1]),
    )


def _by_head(answers: Sequence[Answer]) -> dict[str, Floats]:
    """Return head -> probabilities over its classes, shape (pairs, classes); a click head's are (no, yes)."""
    found = {key: np.array([each.policy[key] for each in answers]) for key in answers[0].policy}
    if answers[0].click is not None:
        clicks = np.array([each.click for each in answers], dtype=np.float64)
        found[CLICK] = np.stack([1 - clicks, clicks], axis=1)
    return found


def _mean_grade(policy: Policy, head: str, probabilities: Floats) -> Floats:
    """Return the mean grade of each pair if the dimension applies, or the probability of a click; NaN: never."""
    if head == CLICK:
        return probabilities[:, 1]
    levels = np.array(policy.scale(head), dtype=np.float64)
    weights = probabilities[:, : len(levels)]
    total = weights.sum(axis=1)
    result: Floats = np.divide(weights @ levels, total, out=np.full(len(weights), np.nan), where=total > 0)
    return result


def _furthest(
    pairs: Sequence[Pair], first: Floats, second: Floats, apart: Floats, mask: np.ndarray, top: int
) -> tuple[PairConflict, ...]:
    """Return the pairs of ``mask`` whose answers lie furthest apart; equally far ones in the order of their ids."""
    rows = sorted(np.flatnonzero(mask).tolist(), key=lambda i: (-float(apart[i]), pairs[i].id))[:top]
    return tuple(PairConflict(pairs[i], float(first[i]), float(second[i]), float(apart[i])) for i in rows)


def _lesson(workspace: Workspace, recipe: StudentRecipe | TeacherRecipe, reporter: Reporter) -> _Lesson:
    from workbench.training_job import gather

    if not recipe.teachers:
        raise BadInput(
            f"{recipe.recipe} has no teachers.", "Name checkpoints under 'teachers' in the recipe."
        )
    policy = workspace.store.policy(recipe.policy)
    golden = workspace.store.snapshot(recipe.data.golden)
    soft_run, soft = soft_labels(workspace, recipe)
    given = training_input(recipe, golden, soft_run, find_sources(workspace, recipe, policy))
    alone = given.model_copy(update={"teachers": ()})
    examples = gather(alone, policy, golden, soft, workspace.cache_folder, reporter)
    pairs = tuple(example.pair for example in examples)
    return _Lesson(recipe, policy, pairs, tuple(Path(folder) for folder in given.teachers))


def _ask(lesson: _Lesson, cache: Path, reporter: Reporter) -> list[tuple[str, list[Answer]]]:
    from workbench.training.teaching import teach

    return [
        (
            read_record(folder).name,
            teach(folder, teacher, lesson.recipe, lesson.policy, lesson.pairs, cache, reporter),
        )
        for folder, teacher in zip(lesson.folders, lesson.recipe.teachers, strict=True)
    ]


def _cache(workspace: Workspace) -> Path:
    """Return where the answers of teachers are kept, as a training job does."""
    return workspace.cache_folder / "teachers"


def _files(lesson: _Lesson, cache: Path) -> list[tuple[str, Path]]:
    """Return (name, file of the answers) of each teacher."""
    from workbench.training.teaching import answer_file  # which imports torch

    records = [read_record(folder) for folder in lesson.folders]
    return [(record.name, answer_file(record, lesson.pairs, cache)) for record in records]
