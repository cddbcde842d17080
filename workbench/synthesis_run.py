"""A step of the job of a data set: a language model writes the pool, and what repeats or leaks is left out.

The folder holds ``seeds.jsonl`` and ``holdout.json``, which is blinded: no text of a holdout can be read there. When
all calls have ended (:mod:`workbench.synthesis_asking`), the pool is written, and ``synthesis.json`` after it: from
then on the pool is what it is, however often the job is started.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from workbench.dataset import DatasetRecipe
from workbench.dataset_leakage import Holdout, screen
from workbench.errors import BadInput, Refused, Unavailable
from workbench.files import read_text, write_text
from workbench.golden import Pair
from workbench.identity import Value
from workbench.jobfolder import FolderReporter, JobFolder
from workbench.judges.cache import VerdictCache
from workbench.pair_file import PairFile, write_pairs
from workbench.policy import Policy
from workbench.run import JudgeIdentity, LlmSpec
from workbench.synthesis import Ask, plan_calls
from workbench.synthesis_asking import CALLS, Answer, Writer, answers
from workbench.synthesis_recipe import Quota, SyntheticPool

SEEDS, HOLDOUT, DONE = "seeds.jsonl", "holdout.json", "synthesis.json"
SHOWN_PROBLEMS = 5

_HOLDOUT = TypeAdapter(Holdout)
_HINT = "Start the job anew: it writes its inputs again."


class SynthesisInput(Value):
    """What the step is given beside its files and the recipe."""

    model: LlmSpec
    quotas: tuple[Quota, ...]
    seeds: str  # label of the snapshot
    seeds_hash: str


class Written(Value):
    """What became of the whole pool."""

    model: JudgeIdentity
    calls: int
    failed_calls: int
    misfits: int
    problems: tuple[str, ...]
    cells: tuple[str, ...]  # name of the cell of each pair that could be read
    dropped: dict[str, int]
    of_holdout_documents: tuple[str, ...]  # ids


def write_synthesis_inputs(folder: Path, seeds: Sequence[Pair], holdout: Holdout, salt: str) -> None:
    """Write what the step needs into a job's folder: the seeds, and the holdout blinded with ``salt``."""
    write_pairs(folder / SEEDS, seeds, {pair.id: "dev" for pair in seeds})
    write_text(folder / HOLDOUT, _HOLDOUT.dump_json(holdout.blinded(salt)).decode())


def write_pool(
    given: SynthesisInput,
    recipe: DatasetRecipe,
    policy: Policy,
    pool: Path,
    probes: Collection[str],
    folder: JobFolder,
    cache: Path,
    reporter: FolderReporter,
) -> Written | None:
    """Have the pool written, and return what became of it; None where somebody asked to stop before the end.

    Args:
        pool: file with the probes, into which what is left of the written pairs is mixed.
        probes: ids of the probes.
        cache: folder of the verdict cache.

    Raises:
        CapReached: if a cap of the model was reached; replies are kept.
        Unavailable: when no request can succeed, or too many in a row failed; replies are kept.
        Refused: if no pair is left to grade.
        BadInput: for a file of the folder that is damaged.
    """
    done = folder.path / DONE
    if done.exists():
        return _written(done)
    asked = recipe.pool
    assert isinstance(asked, SyntheticPool)
    seeds = list(PairFile(folder.path / SEEDS))
    calls = plan_calls(given.quotas, asked, seeds, recipe.seed)
    folder.ready_to_append(CALLS)
    found = {answer.number: answer for answer in answers(folder) if not answer.error}
    left = [call for call in calls if call.number not in found]
    started = time.monotonic()
    with closing(VerdictCache(cache / "verdicts.sqlite")) as verdicts:
        writer = Writer(given.model, policy, seeds, verdicts, folder, reporter, len(calls))
        try:
            asyncio.run(writer.ask(left))
        finally:
            folder.add_seconds(time.monotonic() - started)
    if reporter.stopping():
        return None
    newest = {answer.number: answer for answer in answers(folder)}
    ended = [newest[call.number] for call in calls]
    result = _mixed(writer.identity, calls, ended, recipe, pool, probes, folder, reporter)
    write_text(done, result.model_dump_json())
    return result


def _mixed(
    model: JudgeIdentity,
    calls: Sequence[Ask],
    ended: Sequence[Answer],
    recipe: DatasetRecipe,
    pool: Path,
    probes: Collection[str],
    folder: JobFolder,
    reporter: FolderReporter,
) -> Written:
    """Mix into the pool what of the written pairs neither repeats nor leaks, and return what became of all."""
    written = [pair for answer in ended for pair in answer.pairs]
    failed = [answer.error for answer in ended if answer.error]
    if not written:
        raise Unavailable(
            f"{model.name} wrote no pair that could be used; the first call: {failed[0]}",
            "The log has the others. Start the job again, or name another model in the recipe.",
        )
    # After a kill between this and the record of it, the pool holds the written pairs already.
    blind = [pair for pair in PairFile(pool) if pair.id in probes]
    screened = screen(
        written,
        _holdout(folder.path / HOLDOUT),
        threshold=recipe.near_duplicates,
        documents=recipe.holdout_documents,
        probes=frozenset(probes),
        most=recipe.size if recipe.choose == "all" else None,
        seed=recipe.seed,
        known=[*PairFile(folder.path / SEEDS), *blind],
    )
    said = ", ".join(f"{reason} {count:,}" for reason, count in screened.dropped.items())
    reporter.log(f"{len(written)} pairs written, {len(screened.kept)} to grade ({said or 'none left out'})")
    if not screened.kept:
        raise Refused(
            f"Of {len(written):,} written pairs none is left to grade ({said}).",
            "Ask another model, show other seeds, or raise 'count' in the recipe.",
        )
    pairs = sorted((*(written[i] for i in screened.kept), *blind), key=lambda pair: pair.id)
    fresh = pool.with_name(f".{pool.name}")
    write_pairs(fresh, pairs, {pair.id: "dev" for pair in pairs})
    os.replace(fresh, pool)
    problems = [problem for answer in ended for problem in answer.problems]
    return Written(
        model=model,
        calls=len(calls),
        failed_calls=len(failed),
        misfits=len(problems),
        problems=tuple(dict.fromkeys((*failed, *problems)))[:SHOWN_PROBLEMS],
        cells=tuple(call.cell.name for call, answer in zip(calls, ended, strict=True) for _ in answer.pairs),
        dropped=dict(screened.dropped),
        of_holdout_documents=tuple(written[i].id for i in screened.kept if i in screened.near_documents),
    )


def _holdout(path: Path) -> Holdout:
    try:
        return _HOLDOUT.validate_json(read_text(path))
    except ValidationError as error:
        raise BadInput(f"{path} is no holdout.", _HINT) from error


def _written(path: Path) -> Written:
    try:
        return Written.model_validate_json(read_text(path))
    except ValidationError as error:
        raise BadInput(f"{path} does not say what became of the pool.", _HINT) from error
