"""Runs with their judgements, jobs, checkpoints and the ledger of looks at a holdout."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from workbench.errors import NotFound
from workbench.golden import NOT_GRADED
from workbench.identity import Value
from workbench.run import JobSpec, JobState, Judgement, Run, Verdict
from workbench.store.base import StoreBase, now
from workbench.store.tables import CheckpointRow, JobRow, JudgementRow, LookRow, RunRow, table

JUDGEMENT_COLUMNS = ["pair_id", "dimension", "grade", "expected", "error"]
_IDS_A_QUERY = 10_000


class StoredJob(Value):
    """A job, where its folder lies, and its final state once it has been collected."""

    spec: JobSpec
    folder: str
    handle: str
    final: JobState | None = None


class StoredCheckpoint(Value):
    """A trained model: where its folder lies and what it descends from."""

    id: str
    name: str
    created_at: datetime
    folder: str
    job_id: str
    record: dict[str, Any]


class RunStore(StoreBase):
    """A run's record changes until it is finished; judgements are upserted by (run, pair, dimension)."""

    def save_run(self, run: Run) -> None:
        """Keep a run's record, or the new state of it."""
        row = {
            "id": run.id,
            "created_at": run.created_at,
            "status": run.status,
            "record": run.model_dump(mode="json"),
        }
        with self._write() as connection:
            self._insert(connection, RunRow, [row], update=["status", "record"])

    def runs(self, *, policy: str | None = None, golden: str | None = None) -> list[Run]:
        """Return runs, newest first, of one policy or golden set where that is given."""
        columns = table(RunRow).c
        with self._read() as connection:
            records = (
                connection.execute(sa.select(columns.record).order_by(columns.created_at.desc()))
                .scalars()
                .all()
            )
        runs = [Run.model_validate(record) for record in records]
        return [r for r in runs if policy in (None, r.policy) and golden in (None, r.golden)]

    def run(self, run_id: str) -> Run:
        """Return one run by id, or by the start of an id that only one run has.

        Raises:
            NotFound: if there is none, or more than one.
        """
        columns = table(RunRow).c
        begins = sa.select(columns.record).where(columns.id.startswith(run_id, autoescape=True)).limit(2)
        exact = sa.select(columns.record).where(columns.id == run_id)
        with self._read() as connection:
            # An id may be the start of another one (…-v1 and …-v10): the whole id wins.
            found = connection.execute(exact).scalars().all() or connection.execute(begins).scalars().all()
            if len(found) == 1 and run_id:
                return Run.model_validate(found[0])
            known = connection.execute(sa.select(columns.id)).scalars().all()
        if len(found) > 1:
            raise NotFound(f"Several runs start with '{run_id}'.", "Give more of the id.")
        raise NotFound.among("run", run_id, known)

    def add_verdicts(self, run_id: str, verdicts: Iterable[Verdict]) -> int:
        """Keep the judgements of verdicts; a judgement that is there already is replaced by the same."""
        rows = [
            {
                "run_id": run_id,
                "pair_id": verdict.pair_id,
                "dimension": judgement.dimension,
                "grade": judgement.grade,
                "expected": judgement.expected,
                "probabilities": list(judgement.probabilities) if judgement.probabilities else None,
                "rationale": judgement.rationale,
                "cites": list(judgement.cites),
                "error": judgement.error,
                "raw": _reply_about(verdict, judgement.dimension) if judgement.failed else "",
            }
            for verdict in verdicts
            for judgement in verdict.judgements
        ]
        with self._write() as connection:
            return self._insert(
                connection,
                JudgementRow,
                rows,
                update=["grade", "expected", "probabilities", "rationale", "cites", "error", "raw"],
            )

    def grades(self, run_id: str) -> pd.DataFrame:
        """Return pair_id, dimension, grade, expected and error of a run's judgements."""
        columns = table(JudgementRow).c
        query = sa.select(*(columns[name] for name in JUDGEMENT_COLUMNS)).where(columns.run_id == run_id)
        with self._read() as connection:
            rows = connection.execute(query).all()
        frame = pd.DataFrame([tuple(row) for row in rows], columns=JUDGEMENT_COLUMNS)
        return frame.astype({"grade": np.int_, "expected": np.float64})

    def cited(self, run_id: str) -> pd.DataFrame:
        """Return pair_id, dimension, grade, confidence and cites of the answers of a run; failed ones are left out.

        ``confidence`` is the highest probability that the judge gave to a level, NaN where it gave none.
        """
        columns = table(JudgementRow).c
        names = ["pair_id", "dimension", "grade", "probabilities", "cites"]
        query = sa.select(*(columns[name] for name in names)).where(
            columns.run_id == run_id, columns.grade != NOT_GRADED
        )
        with self._read() as connection:
            rows = connection.execute(query.order_by(columns.pair_id, columns.dimension)).all()
        found = [(*row[:3], max(row.probabilities or [np.nan]), tuple(row.cites)) for row in rows]
        frame = pd.DataFrame(found, columns=["pair_id", "dimension", "grade", "confidence", "cites"])
        return frame.astype({"grade": np.int_, "confidence": np.float64})

    def probabilities(self, run_id: str) -> pd.DataFrame:
        """Return pair_id, dimension, grade and probabilities of the judgements of a run that name a level.

        ``probabilities`` is a tuple, one a level, or None where the judge gave none.
        """
        columns = table(JudgementRow).c
        names = ["pair_id", "dimension", "grade", "probabilities"]
        query = sa.select(*(columns[name] for name in names)).where(
            columns.run_id == run_id, columns.grade >= 0
        )
        with self._read() as connection:
            rows = connection.execute(query.order_by(columns.pair_id, columns.dimension)).all()
        found = [(*row[:3], tuple(row.probabilities) if row.probabilities else None) for row in rows]
        frame = pd.DataFrame(found, columns=names)
        return frame.astype({"grade": np.int_, "probabilities": object})

    def judgements(self, run_id: str, pair_ids: Sequence[str]) -> dict[str, dict[str, Judgement]]:
        """Return pair id -> dimension -> judgement of a run, for the pairs given."""
        columns = table(JudgementRow).c
        names = list(Judgement.model_fields)
        found: dict[str, dict[str, Judgement]] = {}
        with self._read() as connection:
            for start in range(0, len(pair_ids), 500):
                query = sa.select(columns.pair_id, *(columns[name] for name in names)).where(
                    columns.run_id == run_id, columns.pair_id.in_(list(pair_ids[start : start + 500]))
                )
                for row in connection.execute(query).mappings():
                    values = {name: row[name] for name in names}
                    found.setdefault(row["pair_id"], {})[row["dimension"]] = Judgement.model_validate(values)
        return found

    def judged_pairs(self, run_id: str, start: str = "", limit: int = 2) -> list[str]:
        """Return ids of pairs that a run has judgements about and that begin with ``start``, in their order."""
        columns = table(JudgementRow).c
        query = sa.select(columns.pair_id).where(columns.run_id == run_id).distinct()
        if start:
            query = query.where(columns.pair_id.startswith(start, autoescape=True))
        with self._read() as connection:
            return list(connection.execute(query.order_by(columns.pair_id).limit(limit)).scalars())

    def raw_replies(self, run_id: str, pair_id: str) -> list[str]:
        """Return the raw replies that are kept of a pair's judgements: those of failed ones."""
        columns = table(JudgementRow).c
        query = sa.select(columns.raw).where(
            columns.run_id == run_id, columns.pair_id == pair_id, columns.raw != ""
        )
        with self._read() as connection:
            return list(connection.execute(query.order_by(columns.dimension)).scalars())

    def judgement_page(
        self,
        run_id: str,
        *,
        dimension: str = "",
        grade: int | None = None,
        failed: bool = False,
        pair_ids: Collection[str] | None = None,
        skip: int = 0,
        limit: int = 50,
    ) -> tuple[pd.DataFrame, int]:
        """Return some of a run's judgements, by pair and dimension, and how many there are in all.

        Args:
            dimension, grade, failed: only those; "", None and False leave none out.
            pair_ids: only those about these pairs; None for all.

        Returns:
            Columns pair_id, dimension, grade, expected, rationale and error of at most ``limit`` rows; the count.
        """
        columns = table(JudgementRow).c
        wanted = [columns.run_id == run_id]
        if dimension:
            wanted.append(columns.dimension == dimension)
        if grade is not None:
            wanted.append(columns.grade == grade)
        if failed:
            wanted.append(columns.error != "")
        names = [*JUDGEMENT_COLUMNS[:-1], "rationale", "error"]
        picked = sa.select(*(columns[name] for name in names)).order_by(columns.pair_id, columns.dimension)
        # In parts, because a statement takes only so many ids; sorted, so that the parts follow each other.
        ids = None if pair_ids is None else sorted(pair_ids)
        parts = (
            [None] if ids is None else [ids[i : i + _IDS_A_QUERY] for i in range(0, len(ids), _IDS_A_QUERY)]
        )
        rows: list[Any] = []
        count = 0
        with self._read() as connection:
            for part in parts:
                some = wanted if part is None else [*wanted, columns.pair_id.in_(part)]
                here = connection.execute(sa.select(sa.func.count()).where(*some)).scalar_one()
                if len(rows) < limit and skip < count + here:
                    query = picked.where(*some).offset(max(skip - count, 0)).limit(limit - len(rows))
                    rows += connection.execute(query).all()
                count += here
        frame = pd.DataFrame([tuple(row) for row in rows], columns=names)
        return frame.astype({"grade": np.int_, "expected": np.float64}), count

    def failures(self, run_id: str, limit: int = 200) -> pd.DataFrame:
        """Return pair_id, dimension, error and raw reply of a run's failed judgements."""
        columns = table(JudgementRow).c
        query = (
            sa.select(columns.pair_id, columns.dimension, columns.error, columns.raw)
            .where(columns.run_id == run_id, columns.error != "")
            .order_by(columns.error, columns.pair_id)
            .limit(limit)
        )
        with self._read() as connection:
            rows = connection.execute(query).all()
        return pd.DataFrame([tuple(row) for row in rows], columns=["pair_id", "dimension", "error", "raw"])

    def save_job(self, spec: JobSpec, folder: str, handle: str) -> bool:
        """Keep a job; return False if this id is known already (a repeated submit)."""
        row = {
            "id": spec.id,
            "kind": spec.kind,
            "created_at": spec.created_at,
            "spec": spec.model_dump(mode="json"),
            "folder": folder,
            "handle": handle,
            "final": None,
        }
        with self._write() as connection:
            return bool(self._insert(connection, JobRow, [row]))

    def set_job_handle(self, job_id: str, handle: str) -> None:
        """Keep what the executor calls the job."""
        jobs = table(JobRow)
        with self._write() as connection:
            connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(handle=handle))

    def finish_job(self, job_id: str, state: JobState) -> None:
        """Keep the final state of a job."""
        jobs = table(JobRow)
        with self._write() as connection:
            connection.execute(
                sa.update(jobs).where(jobs.c.id == job_id).values(final=state.model_dump(mode="json"))
            )

    def reopen_job(self, job_id: str) -> None:
        """Forget a job's final state: it is started again."""
        jobs = table(JobRow)
        with self._write() as connection:
            connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(final=sa.null()))

    def jobs(self, kind: str | None = None, *, open_only: bool = False) -> list[StoredJob]:
        """Return jobs, newest first; only those without a final state where that is asked."""
        columns = table(JobRow).c
        query = sa.select(columns.spec, columns.folder, columns.handle, columns.final).order_by(
            columns.created_at.desc()
        )
        if kind:
            query = query.where(columns.kind == kind)
        if open_only:
            query = query.where(columns.final.is_(None))
        with self._read() as connection:
            return [StoredJob.model_validate(dict(row)) for row in connection.execute(query).mappings()]

    def job(self, job_id: str) -> StoredJob:
        """Return one job.

        Raises:
            NotFound: if there is none of this id.
        """
        columns = table(JobRow).c
        query = sa.select(columns.spec, columns.folder, columns.handle, columns.final).where(
            columns.id == job_id
        )
        with self._read() as connection:
            row = connection.execute(query).mappings().one_or_none()
            if row is not None:
                return StoredJob.model_validate(dict(row))
            known = connection.execute(sa.select(columns.id)).scalars().all()
        raise NotFound.among("job", job_id, known)

    def save_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        """Keep a checkpoint's record; one that is known stays as it is."""
        with self._write() as connection:
            self._insert(connection, CheckpointRow, [checkpoint.model_dump()])

    def checkpoints(self) -> list[StoredCheckpoint]:
        """Return checkpoints, newest first."""
        rows = table(CheckpointRow)
        with self._read() as connection:
            found = connection.execute(sa.select(rows).order_by(rows.c.created_at.desc())).mappings()
            return [StoredCheckpoint.model_validate(dict(row)) for row in found]

    def checkpoint(self, name: str) -> StoredCheckpoint:
        """Return a checkpoint by id, or the newest one of a recipe name.

        Raises:
            NotFound: if there is none.
        """
        found = self.checkpoints()
        for checkpoint in found:
            if name in (checkpoint.id, checkpoint.name):
                return checkpoint
        raise NotFound.among("checkpoint", name, [c.id for c in found] + [c.name for c in found])

    def record_look(self, golden: str, run_ids: Sequence[str], who: str, place: str) -> None:
        """Write looks at a holdout into the ledger."""
        if not run_ids:
            return
        rows = [{"golden": golden, "run_id": r, "who": who, "place": place, "at": now()} for r in run_ids]
        with self._write() as connection:
            connection.execute(sa.insert(table(LookRow)), rows)

    def looks(self, golden: str) -> pd.DataFrame:
        """Return the ledger of a golden set's holdout: run_id, who, place, at; newest first."""
        columns = table(LookRow).c
        query = sa.select(columns.run_id, columns.who, columns.place, columns.at).where(
            columns.golden == golden
        )
        with self._read() as connection:
            rows = connection.execute(query.order_by(columns.id.desc())).all()
        return pd.DataFrame([tuple(row) for row in rows], columns=["run_id", "who", "place", "at"])


def _reply_about(verdict: Verdict, dimension: str) -> str:
    """Return the raw reply about a dimension: its trace has it where each question of a pair had its own."""
    return next((t.raw for t in verdict.traces if t.raw and dimension in t.dimensions), verdict.raw)
