"""Verbs of disk use: what takes room, what of it can go, and letting it go.

Never removed: what something else descends from, what the store points to (weights of a checkpoint), the only copy of
anything (a report, answers that were paid for), and what a job that runs or can be resumed still needs.
:mod:`workbench.clean_up_rules` says so in one sentence for each thing.

What goes is first renamed, beside where it lay, then looked at once more, and only then removed; if somebody has
started something with it in that moment, it gets its name back. Of a job's folder the spec and the result stay, with a
``removed.json``, so that pages still open.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from workbench.clean_up_rules import DEFAULT_KINDS, KINDS, Facts, JobFact, Kind, Thing, why_kept
from workbench.dataset import dataset_id
from workbench.dataset_files import CARD, ROWS
from workbench.datasets import FOLDER as DATASETS
from workbench.datasets import datasets
from workbench.errors import BadInput, NotFound, WorkbenchError
from workbench.files import read_text, write_text
from workbench.job_list import state_of
from workbench.jobfolder import REMOVED, JobFolder
from workbench.lineage import gather
from workbench.pipeline_records import read_run, run_ids
from workbench.store import StoredJob
from workbench.workspace import Workspace

_STAYS = ("spec.json", "result.json")
_TRASH = ".trash"
_LEFT_BEHIND_S = 3600
"""Age from which a renamed folder is what a clean-up that was cut short left behind."""


@dataclass(frozen=True)
class Item:
    """Something that takes room on disk. ``keep`` says why it cannot go; "" where it can.

    ``bytes`` is what its removal would free: a file with a second name elsewhere frees nothing.
    """

    thing: Thing
    bytes: int
    keep: str


@dataclass(frozen=True)
class CleanUp:
    """What can go and what cannot, largest first. Nothing was removed yet."""

    older_than_days: float
    kinds: tuple[Kind, ...]
    items: tuple[Item, ...]

    @property
    def going(self) -> tuple[Item, ...]:
        """What can go."""
        return tuple(item for item in self.items if not item.keep)

    @property
    def staying(self) -> tuple[Item, ...]:
        """What cannot."""
        return tuple(item for item in self.items if item.keep)


@dataclass(frozen=True)
class CleanedUp:
    """What was done: ``kept`` could go when it was planned, and says why it could not any more."""

    removed: tuple[Item, ...]
    kept: tuple[Item, ...]

    @property
    def freed(self) -> int:
        """Bytes."""
        return sum(item.bytes for item in self.removed)


def plan_clean_up(
    workspace: Workspace, *, older_than_days: float = 30, kinds: Iterable[Kind] = DEFAULT_KINDS
) -> CleanUp:
    """Return all that takes room, what of it can go, and why the rest cannot.

    Args:
        workspace: whose jobs, data sets and caches are looked at.
        older_than_days: what ended or was made later stays.
        kinds: what may go.

    Raises:
        BadInput: for a negative age or a kind that does not exist, or if the card of a data set is damaged.
    """
    wanted = tuple(dict.fromkeys(kinds))
    if unknown := set(wanted) - set(KINDS):
        raise BadInput(f"'{min(unknown)}' is no kind of clean-up.", f"There is: {', '.join(KINDS)}.")
    if not 0 <= older_than_days < 100_000:
        raise BadInput(f"{older_than_days} is no age in days.", "Give 0 or more.")
    facts = _facts(workspace, older_than_days, wanted)
    items = [Item(thing, _freed(thing.paths), why_kept(thing, facts)) for thing in _things(workspace, facts)]
    items.sort(key=lambda item: (-item.bytes, item.thing.key))
    return CleanUp(older_than_days, wanted, tuple(items))


def clean_up(workspace: Workspace, plan: CleanUp, author: str) -> CleanedUp:
    """Remove what a plan lets go, each thing if it still can; each removal is in the audit log.

    Raises:
        WorkbenchError: if the workspace cannot be read any more; what was removed so far is in the audit log.
    """
    removed, kept = [], []
    for item in plan.going:
        try:
            reason = _remove(workspace, item, plan, author)
        except OSError as error:
            reason = f"it could not be removed ({error.strerror or error})"
        if reason:
            kept.append(replace(item, keep=reason))
            continue
        removed.append(item)
        megabytes = f"{item.bytes / 1e6:,.1f} MB"
        workspace.store.record_event(author, "cleaned up", item.thing.key, f"{item.thing.title}, {megabytes}")
    return CleanedUp(tuple(removed), tuple(kept))


def was_removed(job: StoredJob) -> str:
    """Return when and by whom a job's files were removed, in a sentence; "" where they are there."""
    try:
        said = json.loads(read_text(Path(job.folder) / REMOVED))
        return f"Its files were removed on {said['at'][:10]} by {said['by']}; what is in the store stays."
    except (WorkbenchError, ValueError, KeyError, TypeError):
        return ""


def _remove(workspace: Workspace, item: Item, plan: CleanUp, author: str) -> str:
    """Remove one thing and return ""; or leave it as it was and return why."""

    def reason_now() -> str:
        return why_kept(item.thing, _facts(workspace, plan.older_than_days, plan.kinds))

    if reason := reason_now():
        return reason
    moved: list[tuple[Path, Path]] = []
    try:
        for path in item.thing.paths:
            trash = path.with_name(f"{_TRASH}-{int(time.time())}-{secrets.token_hex(4)}-{path.name}")
            try:
                path.rename(trash)
            except FileNotFoundError:
                continue  # somebody else cleans up at the same time
            moved.append((path, trash))
        reason = reason_now()
    except BaseException:
        _put_back(moved)
        raise
    if reason:
        _put_back(moved)
        return reason
    for path, trash in moved:
        if item.thing.kind in ("runs", "unfinished", "data set jobs"):
            _leave_stub(path, trash, author, item.bytes)
        if trash.is_dir() and not trash.is_symlink():
            shutil.rmtree(trash)
        else:
            trash.unlink()
    return ""


def _put_back(moved: Sequence[tuple[Path, Path]]) -> None:
    for path, trash in moved:
        trash.rename(path)


def _leave_stub(path: Path, trash: Path, author: str, size: int) -> None:
    """Put what pages need of a removed job folder into its place, all at once."""
    stub = path.with_name(f"{trash.name}-stub")
    stub.mkdir()
    for name in _STAYS:
        if (trash / name).exists():
            shutil.copy2(trash / name, stub / name)
    said = {"at": datetime.now(UTC).isoformat(), "by": author, "bytes": size}
    write_text(stub / REMOVED, json.dumps(said, indent=1))
    stub.rename(path)


def _facts(workspace: Workspace, older_than_days: float, kinds: tuple[Kind, ...]) -> Facts:
    """Return what the rules need to know, as it is now."""
    found = []
    for job in workspace.store.jobs():
        now = state_of(workspace, job)
        found.append(
            JobFact(
                job.spec,
                now.status,
                collected=job.final is not None,
                ended_at=_ended_at(job),
                folder=job.folder,
            )
        )
    recipes = {}
    for name, path in workspace.recipes().items():
        try:
            recipes[name] = read_text(path)
        except WorkbenchError:  # a file that cannot be read names nothing that we could know of
            continue
    return Facts(
        graph=gather(workspace),
        jobs=tuple(found),
        checkpoints={one.job_id: one.id for one in workspace.store.checkpoints()},
        datasets=frozenset(made.card.id for made in datasets(workspace)),
        recipes=recipes,
        before=datetime.now(UTC) - timedelta(days=older_than_days),
        kinds=frozenset(kinds),
        complete=_complete(workspace),
        pipelines=_pipelines(workspace),
    )


def _pipelines(workspace: Workspace) -> dict[str, frozenset[str]]:
    """Return what the steps of each run of a pipeline made, where a step has not ended."""
    found = {}
    for run_id in run_ids(workspace):
        record = read_run(workspace, run_id)
        done = [record.steps.get(step.step) for step in record.pipeline.steps]
        if not all(step and step.what for step in done):
            found[run_id] = frozenset(step.what for step in done if step and step.what)
    return found


def _complete(workspace: Workspace) -> Callable[[str], bool]:
    """Return a question: are all judgements of this run in the store?"""

    def complete(run_id: str) -> bool:
        try:
            run = workspace.store.run(run_id)
        except NotFound:
            return False
        most = run.totals.pairs + 1
        return len(workspace.store.judged_pairs(run_id, limit=most)) == run.totals.pairs

    return complete


def _ended_at(job: StoredJob) -> datetime:
    try:
        result = JobFolder(Path(job.folder)).result()
    except BadInput:
        result = None
    if result is not None:
        return result.finished_at
    return (job.final.updated_at if job.final else None) or job.spec.created_at


def _things(workspace: Workspace, facts: Facts) -> Iterator[Thing]:
    yield from _of_jobs(workspace, facts)
    made_by: dict[str, list[Path]] = {}
    for job in facts.jobs:
        if job.spec.kind == "dataset" and (made := _dataset_of(Path(job.folder))):
            made_by.setdefault(made, []).append(Path(job.folder) / "artifacts")
    for one in datasets(workspace):
        # The job's own copy goes first: from there the data set would be brought back.
        copies = [folder / name for folder in made_by.get(one.card.id, []) for name in (CARD, ROWS)]
        yield Thing(
            "data sets", one.card.id, f"data set {one.card.id}", one.card.made_at, (*copies, one.folder)
        )
    yield from _caches(workspace)
    for folder in (workspace.jobs_folder, workspace.settings.home / DATASETS, workspace.cache_folder):
        for path in folder.glob(f"{_TRASH}-*"):
            at = _trash_time(path)
            if at is not None and (datetime.now(UTC) - at).total_seconds() > _LEFT_BEHIND_S:
                yield Thing("left behind", path.name, "left by a clean-up that was cut short", at, (path,))


def _of_jobs(workspace: Workspace, facts: Facts) -> Iterator[Thing]:
    kept = {Path(one.folder).resolve() for one in workspace.store.checkpoints()}
    for job in facts.jobs:
        folder = Path(job.folder)
        if not folder.is_dir() or (folder / REMOVED).exists():
            continue
        key, title, at = job.spec.id, job.spec.title, job.ended_at
        if job.spec.kind == "training":
            parts = sorted((folder / "artifacts").glob("*"))
            weights = tuple(path for path in parts if path.resolve() in kept)
            states = tuple(path for path in parts if path.resolve() not in kept)
            if weights:
                yield Thing("weights", key, title, at, weights)
            if states:
                yield Thing("training states", key, title, at, states)
        elif job.resumable:
            yield Thing("unfinished", key, title, at, (folder,))
        elif job.spec.kind == "judge_run":
            yield Thing("runs", key, title, at, (folder,))
        elif job.spec.kind == "dataset":
            yield Thing("data set jobs", key, title, at, (folder,), made=_dataset_of(folder))
        else:
            yield Thing("reports", key, title, at, (folder,))


def _caches(workspace: Workspace) -> Iterator[Thing]:
    groups: dict[str, list[Path]] = {}
    for path in sorted(workspace.cache_folder.glob("[!.]*")):
        groups.setdefault(path.name.split(".")[0], []).append(path)  # SQLite writes beside its file
    for name, paths in groups.items():
        newest = max(path.stat().st_mtime for path in paths)
        yield Thing("caches", name, f"cache of {name}", datetime.fromtimestamp(newest, UTC), tuple(paths))


def _dataset_of(folder: Path) -> str:
    """Return the id of the data set that a job's folder still holds; "" for none."""
    try:
        card = json.loads(read_text(folder / "artifacts" / CARD))
        return dataset_id(card["dataset"], card["content_hash"])
    except (WorkbenchError, ValueError, KeyError, TypeError):
        return ""


def _trash_time(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(path.name.split("-")[1]), UTC)
    except (ValueError, IndexError, OverflowError):
        return None


def _freed(paths: Iterable[Path]) -> int:
    """Return the bytes that are gone when ``paths`` are: of a file with several names only if all are among them."""
    links: dict[tuple[int, int], list[int]] = {}
    for path in paths:
        for found in _files(path):
            try:
                about = os.lstat(found)
            except OSError:  # gone in the meantime
                continue
            seen = links.setdefault((about.st_dev, about.st_ino), [about.st_size, about.st_nlink, 0])
            seen[2] += 1
    return sum(size for size, names, seen in links.values() if seen >= names)


def _files(path: Path) -> Iterator[str]:
    if path.is_symlink() or not path.is_dir():
        yield str(path)
        return
    for folder, _, names in os.walk(path):
        for name in names:
            yield os.path.join(folder, name)
