"""Click logs of a workspace: import, look at, estimate position bias, simulate.

A log is a folder ``<home>/clicks/<name>/`` with ``impressions.parquet`` (see
:func:`workbench.click_log_files.schema`) and ``card.json``. Impressions never change; the card gains estimates.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from workbench.click_bias import (
    RESAMPLES,
    Method,
    PositionBias,
    PropensityKind,
    em_bias,
    propensity_bias,
    random_bias,
)
from workbench.click_columns import ClickMapping
from workbench.click_log_files import (
    LIMIT,
    ReadReport,
    RowProblem,
    import_impressions,
    read_relevances,
    write_simulated,
)
from workbench.click_log_summary import ClickSummary, read_counts, summarise
from workbench.click_model import Floats
from workbench.click_simulation import Simulation, relevance_of_grades
from workbench.errors import BadInput, NotFound, Refused
from workbench.evaluation import truth
from workbench.files import read_text, write_text
from workbench.identity import Value
from workbench.policy import OVERALL, Name
from workbench.workspace import Workspace
from workbench.yamltext import describe

IMPRESSIONS, CARD = "impressions.parquet", "card.json"


class SimulatedFrom(Value):
    """Where the true relevances of a simulated log come from, and how it was simulated."""

    golden: str = ""
    dimension: str = ""
    file: str = ""
    pairs: int
    settings: Simulation


class ClickCard(Value):
    """What is known of a click log."""

    name: Name
    content_hash: str
    imported_at: datetime
    imported_by: str
    source: str = ""
    source_sha256: str = ""
    mapping: ClickMapping | None = None
    propensity_is: PropensityKind | None = None
    rows_read: int
    problems: tuple[RowProblem, ...] = ()
    summary: ClickSummary
    simulated: bool
    simulation: SimulatedFrom | None = None
    bias: dict[Method, PositionBias] = {}


def clicks_folder(workspace: Workspace) -> Path:
    """Return where click logs lie."""
    return workspace.settings.home / "clicks"


def impressions_path(workspace: Workspace, name: str) -> Path:
    """Return the Parquet file of a log."""
    return clicks_folder(workspace) / name / IMPRESSIONS


def click_logs(workspace: Workspace) -> list[ClickCard]:
    """Return the cards of all logs, newest first."""
    cards = [_read_card(path) for path in clicks_folder(workspace).glob(f"[!.]*/{CARD}")]
    return sorted(cards, key=lambda card: (card.imported_at, card.name), reverse=True)


def click_log(workspace: Workspace, name: str) -> ClickCard:
    """Return the card of a log.

    Raises:
        NotFound: with the nearest names there are.
    """
    known = [path.parent.name for path in clicks_folder(workspace).glob(f"[!.]*/{CARD}")]
    if name not in known:
        raise NotFound.among("click log", name, known)
    return _read_card(clicks_folder(workspace) / name / CARD)


def preview_clicks(
    source: Path, *, mapping: Mapping[str, str] | None = None, propensity_is: PropensityKind | None = None,
    limit: float = LIMIT,
) -> ReadReport:  # fmt: skip
    """Read a file as :func:`import_clicks` does and keep nothing."""
    report = import_impressions(source, None, given=mapping, limit=limit)
    _propensity_kind(report, propensity_is)
    return report


def import_clicks(
    workspace: Workspace, source: Path, name: str, *, author: str, mapping: Mapping[str, str] | None = None,
    propensity_is: PropensityKind | None = None, limit: float = LIMIT,
) -> ClickCard:  # fmt: skip
    """Keep a file of impressions as a log; the same file under the same name again changes nothing.

    Args:
        mapping: field -> column or ``=constant``; the rest is guessed from column names.
        propensity_is: what the propensity column says; needed where there is one.
        limit: share of rows that may be unusable.

    Raises:
        NotFound, BadInput: as :func:`workbench.click_log_files.import_impressions`.
        Refused: if the name is taken by other impressions.
    """
    name = _checked_name(name)
    digest = _sha256(source)
    known = clicks_folder(workspace) / name / CARD
    if known.exists() and _read_card(known).source_sha256 != digest:
        raise _taken(name)
    with _new_log(workspace, name) as folder:
        report = import_impressions(source, folder / IMPRESSIONS, given=mapping, limit=limit)
        card = ClickCard(
            name=name,
            content_hash=_hash(folder / IMPRESSIONS),
            imported_at=datetime.now(UTC),
            imported_by=author,
            source=source.name,
            source_sha256=digest,
            mapping=report.mapping,
            propensity_is=_propensity_kind(report, propensity_is),
            rows_read=report.rows,
            problems=report.problems,
            summary=summarise(folder / IMPRESSIONS),
            simulated=report.simulated,
        )
        return _kept(workspace, folder, card, f"{card.summary.rows:,} impressions from {source.name}")


def simulate_clicks(
    workspace: Workspace, name: str, settings: Simulation, *, author: str, golden: str = "",
    dimension: str = OVERALL, relevance: Path | None = None,
) -> ClickCard:  # fmt: skip
    """Make a log of simulated sessions, marked *simulated*, from a golden set's dev grades or a file of relevances.

    With a golden set, queries are its query ids and documents its pair ids, so that texts can be found again. Its
    holdout is left out: what is learnt from clicks must not know it.

    Args:
        golden: name of a golden set; grades become relevance by
            :func:`workbench.click_simulation.relevance_of_grades`.
        relevance: instead, a table with columns query, document and relevance (0 to 1).

    Raises:
        BadInput: unless exactly one source is given and usable.
        Refused: if the name is taken.
    """
    name = _checked_name(name)
    if bool(golden) == (relevance is not None):
        raise BadInput("A simulation needs one source of relevance.", "Name a golden set or a file.")
    if relevance is not None:
        queries, documents, true = read_relevances(relevance)
        of = SimulatedFrom(file=relevance.name, pairs=len(queries), settings=settings)
    else:
        queries, documents, true = _golden_relevances(workspace, golden, dimension)
        of = SimulatedFrom(golden=golden, dimension=dimension, pairs=len(queries), settings=settings)
    with _new_log(workspace, name) as folder:
        write_simulated(folder / IMPRESSIONS, queries, documents, true, settings)
        summary = summarise(folder / IMPRESSIONS)
        card = ClickCard(
            name=name,
            content_hash=_hash(folder / IMPRESSIONS),
            imported_at=datetime.now(UTC),
            imported_by=author,
            propensity_is="examination",
            rows_read=summary.rows,
            summary=summary,
            simulated=True,
            simulation=of,
        )
        return _kept(workspace, folder, card, f"{summary.rows:,} simulated impressions")


def estimate_bias(
    workspace: Workspace, name: str, method: Method, *, author: str, resamples: int = RESAMPLES, seed: int = 0
) -> PositionBias:
    """Estimate a log's examination curve and keep it on the card, one a method.

    Raises:
        NotFound: if there is no such log.
        BadInput, Refused: where the method cannot be used; see :mod:`workbench.click_bias`.
    """
    card = click_log(workspace, name)
    if method == "propensity" and card.propensity_is is None:
        raise BadInput(f"The click log {name} has no propensities.", "Use the method em.")
    counts = read_counts(impressions_path(workspace, name))
    if method == "em":
        found = em_bias(counts, resamples=resamples, seed=seed)
    elif method == "random":
        found = random_bias(counts, resamples=resamples, seed=seed)
    else:
        found = propensity_bias(counts, card.propensity_is or "display", resamples=resamples, seed=seed)
    card = card.model_copy(update={"bias": {**card.bias, method: found}})
    _write_card(clicks_folder(workspace) / name, card)
    workspace.store.record_event(author, "estimated position bias", f"clicks {name}", method)
    return found


def _checked_name(name: str) -> str:
    try:
        return TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise BadInput(
            f"'{name}' is no name for a click log.", "Use lower-case letters, digits and hyphens."
        ) from error


def _propensity_kind(report: ReadReport, given: PropensityKind | None) -> PropensityKind | None:
    if bool(report.mapping.propensity) and given is None:
        raise BadInput(
            f"{report.file} has propensities in '{report.mapping.propensity}', and nothing says what they are.",
            "Say examination (the position is looked at) or display (this document is shown there), "
            "or leave the column out with propensity= .",
        )
    if given is not None and not report.mapping.propensity:
        raise BadInput(f"{report.file} has no column of propensities.", "Map one with propensity=COLUMN.")
    return given


def _golden_relevances(
    workspace: Workspace, golden: str, dimension: str
) -> tuple[list[str], list[str], Floats]:
    human = truth(workspace, golden, split="dev")
    if dimension not in human.human:
        raise NotFound.among("dimension", dimension, human.human)
    grades = human.human[dimension]
    graded = np.flatnonzero(grades >= 0)
    if not len(graded):
        raise BadInput(f"No dev pair of {golden} has a grade for {dimension}.", "Label some pairs first.")
    top = max(workspace.store.policy(workspace.store.policy_of(golden)).scale(dimension))
    queries = [human.query_ids[i] for i in graded]
    return queries, [human.pair_ids[i] for i in graded], relevance_of_grades(grades[graded], top)


@contextmanager
def _new_log(workspace: Workspace, name: str) -> Iterator[Path]:
    """Give a folder beside the logs that is gone at the end, unless :func:`_kept` has given it its name."""
    parent = clicks_folder(workspace)
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=f".{name}."))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _kept(workspace: Workspace, folder: Path, card: ClickCard, detail: str) -> ClickCard:
    target = clicks_folder(workspace) / card.name
    if (target / CARD).exists():
        known = _read_card(target / CARD)
        if (known.content_hash, known.propensity_is) == (card.content_hash, card.propensity_is):
            return known
        raise _taken(card.name)
    _write_card(folder, card)
    folder.chmod(0o755)
    folder.rename(target)
    what = "simulated clicks" if card.simulation else "imported clicks"
    workspace.store.record_event(card.imported_by, what, f"clicks {card.name}", detail)
    return card


def _taken(name: str) -> Refused:
    return Refused(f"The click log {name} exists with other impressions.", "Choose another name.")


def _write_card(folder: Path, card: ClickCard) -> None:
    write_text(folder / CARD, card.model_dump_json(indent=1) + "\n")


def _read_card(path: Path) -> ClickCard:
    try:
        return ClickCard.model_validate_json(read_text(path))
    except ValidationError as error:
        raise BadInput(*describe(error, str(path))) from error


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise NotFound(f"{path} cannot be read ({error.strerror}).", "Check the path.") from error


def _hash(path: Path) -> str:
    return f"clicks-{_sha256(path)[:32]}"
