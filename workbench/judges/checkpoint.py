"""A trained checkpoint as a judge: a student or a teacher grades pairs like any other judge."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import BadInput, Unavailable
from workbench.golden import NOT_GRADED, Pair
from workbench.policy import Policy
from workbench.run import JudgeIdentity, Judgement, Usage, Verdict
from workbench.training.record import CheckpointRecord, head_problem, read_record

if TYPE_CHECKING:
    from workbench.training.predict import Predicted, Predictor


class CheckpointJudge:
    """Grades with the heads of a checkpoint folder.

    A student gives no reasons: rationales are empty and no clause is cited. It gives probabilities over the levels
    and the expected grade for every pair, also where it answers N/A (then: if the dimension did apply). Its cost is
    None, since what the owner's hardware costs is not known here.
    """

    def __init__(self, folder: Path) -> None:
        """Read what the checkpoint says about itself; weights are loaded by the first :meth:`grade`.

        Raises:
            WorkbenchError: the folder is no complete checkpoint, or holds pickled weights.
        """
        self.folder = folder
        self.record = read_record(folder)
        self._predictor: Predictor | None = None

    @property
    def identity(self) -> JudgeIdentity:
        """The checkpoint by its weights."""
        record = self.record
        return JudgeIdentity(
            kind="checkpoint",
            name=record.name,
            params={
                "weights": record.weights_hash,
                "recipe": record.recipe_hash,
                "policy": record.policy_label,
                "stopped": record.stopped,
            },
        )

    async def grade(self, policy: Policy, pairs: Sequence[Pair]) -> AsyncIterator[Verdict]:
        """Yield a verdict a pair; those that are cheap to read together follow one another.

        Where a checkpoint reads fields one by one, these are the pairs of one query: its fields are read once a batch.

        A dimension of ``policy`` that no head fits (another policy version has other levels, say) is a failed
        judgement with the reason.

        Raises:
            WorkbenchError: no dimension fits, or the weights cannot be loaded.
        """
        heads = {head.key: head for head in self.record.heads}
        problems = {key: head_problem(heads, policy, key) for key in policy.keys}
        if all(problems.values()):
            raise BadInput(
                f"{self.record.name} fits no dimension of {policy.label}: {next(iter(problems.values()))}.",
                f"It was trained for {self.record.policy_label}; train a student for this version.",
            )
        if not pairs:
            return
        predictor = self._ready()
        encoded = await asyncio.to_thread(predictor.checkpoint.tokens.encode, pairs)
        batches = predictor.predict_tokens(encoded)
        while True:
            began = time.monotonic()
            # In a thread, so that whoever listens can stop between batches and write meanwhile.
            predicted = await asyncio.to_thread(next, batches, None)
            if predicted is None:
                return
            latency = (time.monotonic() - began) * 1000 / len(predicted.rows)
            graded = _judgements(self.record, policy, problems, predicted)
            for i, count, judgements in zip(
                predicted.rows.tolist(), predicted.tokens.tolist(), graded, strict=True
            ):
                usage = Usage(calls=1, input_tokens=count, latency_ms=latency)
                yield Verdict(pair_id=pairs[i].id, judgements=judgements, usage=usage)

    def _ready(self) -> Predictor:
        if self._predictor is None:
            try:
                from workbench.training.model import load_checkpoint
                from workbench.training.predict import Predictor
            except ImportError as error:
                raise Unavailable(
                    "A checkpoint needs torch, transformers and safetensors.",
                    "Install them with: pip install 'policy-workbench[train]'.",
                ) from error
            self._predictor = Predictor(load_checkpoint(self.folder))
        return self._predictor


def _judgements(
    record: CheckpointRecord, policy: Policy, problems: Mapping[str, str], predicted: Predicted
) -> list[tuple[Judgement, ...]]:
    """Return the judgements of each pair of a batch, in the policy's order of dimensions."""
    import numpy as np

    from workbench.training.grades import decide

    heads = {head.key: head for head in record.heads}
    rows: list[list[Judgement]] = [[] for _ in predicted.rows]
    for dimension in policy.dimensions:
        key, problem = dimension.key, problems[dimension.key]
        if problem:
            failed = Judgement(dimension=key, grade=NOT_GRADED, error=problem)
            for row in rows:
                row.append(failed)
            continue
        probabilities = predicted.probabilities[key]
        broken = np.asarray(~np.isfinite(probabilities).all(axis=1))
        grades, expected, levels = decide(heads[key], probabilities, allow_na=dimension.allow_na)
        answers = zip(grades.tolist(), expected.tolist(), levels.tolist(), strict=True)
        for row, is_broken, (grade, mean, level) in zip(rows, broken.tolist(), answers, strict=True):
            if is_broken:
                error = "the checkpoint's answer is not a number"
                row.append(Judgement(dimension=key, grade=NOT_GRADED, error=error))
            else:
                row.append(Judgement(dimension=key, grade=grade, expected=mean, probabilities=tuple(level)))
    return [tuple(row) for row in rows]
