"""The clicks that a checkpoint's click head is measured by: which pairs of a log count, and the figures on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.checkpoint_figures import Answers, click_figures, no_click_figures
from workbench.click_logs import ClickCard, impressions_path
from workbench.golden import Pair
from workbench.identity import content_hash
from workbench.resampling import Estimate
from workbench.training.record import CheckpointRecord
from workbench.training_split import TrainingSplit
from workbench.workspace import Workspace

if TYPE_CHECKING:
    from workbench.training.data import Cell


@dataclass(frozen=True)
class Log:
    """A click log: the impressions of each document, and the pairs that its documents are, by id."""

    card: ClickCard
    cells: Mapping[str, Sequence[Cell]]
    pairs: Mapping[str, Pair]


@dataclass(frozen=True)
class Clicks:
    """Figures on the impressions of some pairs, what those pairs are (a hash), and a note for a person."""

    figures: Mapping[str, Estimate]
    clicks_on: str = ""
    impressions: int = 0
    note: str = ""


def read_log(
    workspace: Workspace,
    record: CheckpointRecord,
    card: ClickCard,
    *,
    only: Mapping[str, Pair] | None,
    hidden: Collection[str],
) -> Log:
    """Return a log with those of its documents that are known pairs.

    Args:
        workspace: whose pairs are known.
        record: of a checkpoint; the pairs of the data set that it learnt from are known too.
        card: of the log.
        only: pairs by id; no other counts. None for all that are known but those of ``hidden``.
        hidden: query ids of the holdout.
    """
    from workbench.dataset_files import iter_rows
    from workbench.datasets import dataset
    from workbench.training_job import read_cells

    cells = read_cells(impressions_path(workspace, card.name))
    if only is not None:
        return Log(card, cells, {pair_id: pair for pair_id, pair in only.items() if pair_id in cells})
    found = workspace.store.pairs(list(cells))
    if record.lineage.dataset:
        rows = (row for part in iter_rows(dataset(workspace, record.lineage.dataset).folder) for row in part)
        found |= {row.pair.id: row.pair for row in rows if row.pair.id in cells}
    shown = {pair_id: pair for pair_id, pair in found.items() if pair.query_id not in hidden}
    return Log(card, cells, shown)


def clicks_of(
    record: CheckpointRecord, log: Log, aside: TrainingSplit, answers: Answers, place: Mapping[str, int]
) -> Clicks:
    """Return the figures of clicks on the pairs whose query training did not learn from, or else on all of them.

    Args:
        record: of the checkpoint.
        log: whose pairs are all among the answers.
        aside: what training learnt from.
        answers: of the checkpoint.
        place: pair id -> its position in the answers.
    """
    if answers.click is None:
        return Clicks(no_click_figures(f"{record.name} has no click head."))
    if not log.pairs:
        return Clicks(no_click_figures(f"No document of {log.card.name} is a known pair of this split."))
    every = sorted(log.pairs.values(), key=lambda pair: pair.id)
    used = [pair for pair in every if aside.learnt is not None and pair.query_id not in aside.learnt]
    if used:
        note = f"Clicks are on the {len(used)} of {len(every)} pairs whose query training did not learn from."
    else:
        used = every
        why = aside.reason or "its training learnt from all of their queries"
        note = f"Clicks are on all {len(used)} pairs, learnt from or not: {why}."
    rows = [(pair, cell) for pair in used for cell in log.cells[pair.id]]
    probability = answers.click[[place[pair.id] for pair, _ in rows]]
    bias, stated = record.recipe.weights.click.bias, probability
    if bias == "inverse_propensity" and log.card.propensity_is == "examination":
        stated = probability * np.array([cell.propensity for _, cell in rows])
        note += " Log-loss and calibration take the chance of a look at the position into account."
    elif bias != "none":
        note += " Its click head leaves the position out, and log-loss and calibration do not."
    shown = np.array([cell.shown for _, cell in rows], dtype=np.float64)
    figures = click_figures(
        probability,
        stated,
        np.array([cell.clicked for _, cell in rows], dtype=np.float64),
        shown,
        [pair.query_id for pair, _ in rows],
    )
    return Clicks(figures, content_hash("pairs", [pair.id for pair in used]), int(shown.sum()), note)
