"""What a checkpoint says about itself: heads, fields, lineage. Torch is not needed to read it.

A checkpoint is a folder with ``model.safetensors``, the backbone's configuration and tokenizer, and
``checkpoint.json``, which holds one :class:`CheckpointRecord`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

from workbench.errors import BadInput, NotFound, Refused
from workbench.identity import Value
from workbench.policy import Body, Layout, Policy
from workbench.recipe import Recipe, Teacher, TrainedRecipe
from workbench.yamltext import validate

RECORD = "checkpoint.json"
WEIGHTS = "model.safetensors"
CLICK = "@click"
"""Under what the click head's logit stands among the dimensions' logits; no dimension can be called so."""
PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"})


class Head(Value):
    """The classes of one dimension: its levels, ascending, then N/A where the policy allows it.

    ``considers`` are the ``side.field`` names that the dimension looks at; none means all. ``centre`` and ``stretch``
    turn an expected grade into a grade (:mod:`workbench.training.grades`); they are known once the head is trained.
    """

    key: str
    levels: tuple[int, ...]
    allow_na: bool = False
    considers: tuple[str, ...] = ()
    centre: float = 0.0
    stretch: float = 1.0

    @property
    def classes(self) -> int:
        """How many classes the head tells apart."""
        return len(self.levels) + self.allow_na


class Lineage(Value):
    """What a checkpoint was made from, besides its recipe and its policy. Empty text: not used or unknown."""

    golden: str = ""
    golden_hash: str = ""
    soft_run: str = ""
    dataset: str = ""
    clicks: str = ""
    parents: tuple[str, ...] = ()  # names of checkpoints: the one it starts from, then its teachers
    summaries: str = ""  # which fields of the data set a model had shortened, in words
    code_revision: str = ""


class CheckpointRecord(Value):
    """The content of ``checkpoint.json``."""

    format: Literal[1] = 1
    recipe: Recipe
    recipe_hash: str
    policy: str
    policy_version: int
    policy_hash: str
    pair: Layout
    considers: tuple[str, ...]
    heads: tuple[Head, ...]
    lineage: Lineage = Lineage()
    figures: Mapping[str, float | int | str | None] = {}
    stopped: bool = False
    created_at: datetime
    weights_hash: str = ""

    @property
    def name(self) -> str:
        """What people call this checkpoint: its recipe and the start of its weights' hash."""
        return f"{self.recipe.recipe}-{self.weights_hash.removeprefix('sha256-')[:8]}"

    @property
    def policy_label(self) -> str:
        """The policy version it was trained for, such as ``job-match v3``."""
        return f"{self.policy} v{self.policy_version}"


def heads_of(policy: Body) -> tuple[Head, ...]:
    """Return one head a dimension, in reading order."""
    return tuple(
        Head(key=d.key, levels=d.scale, allow_na=d.allow_na, considers=d.considers) for d in policy.dimensions
    )


def considered(policy: Body) -> tuple[str, ...]:
    """Return the ``side.field`` names that any dimension considers, in layout order.

    A dimension that names none considers all.
    """
    every = policy.pair.field_names()
    wanted = {name for d in policy.dimensions for name in (d.considers or every)}
    return tuple(name for name in every if name in wanted)


def head_problem(heads: Mapping[str, Head], policy: Policy, key: str) -> str:
    """Return why no head fits dimension ``key`` of ``policy``, or "" where one does.

    Levels have to be the same. N/A need not: a head without that class never answers N/A, and where the policy
    does not allow the answer it is left out of the distribution.
    """
    head = heads.get(key)
    if head is None:
        return f"the checkpoint has no head for '{key}' (it has {', '.join(sorted(heads)) or 'none'})"
    if head.levels != policy.scale(key):
        return (
            f"the checkpoint grades '{key}' on {_span(head.levels)}, "
            f"{policy.label} on {_span(policy.scale(key))}"
        )
    return ""


def start_problem(record: CheckpointRecord, recipe: TrainedRecipe, policy: Policy) -> tuple[str, str] | None:
    """Return (what, remedy) where ``recipe`` cannot start from a checkpoint; None where it can."""
    what = f"{recipe.recipe} cannot start from {record.name}"
    old = record.recipe
    if old.backbone != recipe.backbone:
        return (
            f"{what}: its backbone is '{old.backbone}', the recipe's '{recipe.backbone}'.",
            "Weights go over to the same backbone only; take it as a teacher, or correct 'backbone'.",
        )
    if old.pooling != recipe.pooling:
        return (
            f"{what}: its heads see pooling '{old.pooling}', the recipe's '{recipe.pooling}'.",
            "Correct 'pooling'.",
        )
    if recipe.pooling == "fields" and record.considers != considered(policy):
        return (
            f"{what}: it reads {', '.join(record.considers)}, and {policy.label} considers other fields.",
            "Train the checkpoint again under this version.",
        )
    if record.heads and "policy" in recipe.heads:
        heads = {head.key: head for head in record.heads}
        for head in heads_of(policy):
            problem = head_problem(heads, policy, head.key)
            if not problem and heads[head.key].allow_na != head.allow_na:
                problem = f"only one of both knows N/A for '{head.key}'"
            if problem:
                return f"{what}: {problem}.", f"It was trained for {record.policy_label}; train it again."
    return None


def teacher_problem(record: CheckpointRecord, teacher: Teacher, recipe: TrainedRecipe, policy: Policy) -> str:
    """Return why a checkpoint cannot teach the recipe's heads, or "" where it can teach one."""
    wanted = set(teacher.heads or ("policy", "click")) & set(recipe.heads)
    has = set(record.recipe.heads)
    if teacher.heads and not set(teacher.heads) <= has:
        return f"{record.name} has no {' or '.join(sorted(set(teacher.heads) - has))} head to teach with"
    if not wanted & has:
        return (
            f"{record.name} has only {' and '.join(sorted(has))} heads, and {recipe.recipe} is to learn "
            f"{' and '.join(sorted(wanted))}"
        )
    heads = {head.key: head for head in record.heads}
    if "policy" in wanted & has and all(head_problem(heads, policy, key) for key in policy.keys):
        return f"{record.name} fits no dimension: {head_problem(heads, policy, policy.keys[0])}"
    return ""


def read_record(folder: Path) -> CheckpointRecord:
    """Return the record of the checkpoint in ``folder``; weights are looked for and not read.

    Raises:
        NotFound: no such folder, or no record or weights in it.
        Refused: the folder holds pickled weights, which can run code when they are loaded.
        BadInput: the record is not one.
    """
    if not folder.is_dir():
        raise NotFound(f"There is no checkpoint folder {folder}.", "Train a student, or correct the path.")
    pickled = sorted(path.name for path in folder.rglob("*") if path.suffix.lower() in PICKLES)
    if pickled:
        raise Refused(
            f"{folder} holds pickled weights ({pickled[0]}), which can run code when they are loaded.",
            f"Only {WEIGHTS} is read: convert the weights to safetensors and remove the pickle.",
        )
    for name in (RECORD, WEIGHTS):
        if not (folder / name).is_file():
            raise NotFound(
                f"{folder} is not a complete checkpoint: {name} is missing.", "Copy the whole folder again."
            )
    where = str(folder / RECORD)
    try:
        data = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where} is not valid JSON ({error}).", "Copy the whole folder again.") from error
    return validate(CheckpointRecord, data, where)


def file_hash(path: Path) -> str:
    """Return ``sha256-<64 hex digits>`` of a file's bytes."""
    with path.open("rb") as file:
        return f"sha256-{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _span(levels: tuple[int, ...]) -> str:
    return f"{levels[0]}–{levels[-1]}"


class TrainingInput(Value):
    """What a training job is told: the recipe and where its examples come from."""

    recipe: Recipe
    golden: str
    golden_version: int
    golden_hash: str
    soft_run: str = ""
    start: str = ""  # folder of the checkpoint that init_from means
    teachers: tuple[str, ...] = ()  # folders, in the recipe's order
    dataset: str = ""  # the folder of the data set
    dataset_id: str = ""
    summaries: str = ""  # how its texts were shortened
    clicks: str = ""  # the file of the click log
    clicks_hash: str = ""
