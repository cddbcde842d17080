"""Figures of the cookbook: each claim with its interval, from what the models said of held-out pairs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]

RESAMPLES = 2_000
LEVELS = 4
BOTH = "student of both"
"""How the names of the students of both teachers begin; there is one an alpha."""
ALONE = ("student of the policy teacher", "student of the click teacher", "student on hard labels")
KEPT = 0.97
"""Share of a teacher's own metric that a student is to keep."""


class Figures:
    """Each model's metrics for the held-out queries as they are and for each resample: arrays (1 + resamples,)."""

    def __init__(self, rows: pd.DataFrame, seed: int = 0) -> None:
        """Take the rows that ``cookbook.fold`` made; queries are what is resampled."""
        self.queries = sorted(rows["query"].unique())
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(
            len(self.queries), np.full(len(self.queries), 1 / len(self.queries)), RESAMPLES
        )
        self.weights: Floats = np.vstack([np.ones(len(self.queries)), drawn]).astype(np.float64)
        self.rows = {model: part.reset_index(drop=True) for model, part in rows.groupby("model", sort=False)}
        self._place = {query: i for i, query in enumerate(self.queries)}

    def kappa(self, model: str) -> Floats:
        """Quadratic kappa over the four levels, from the summed confusion matrices of the queries drawn (Cohen 1968)."""
        part = self.rows[model]
        counts = np.zeros((len(self.queries), LEVELS, LEVELS))
        np.add.at(counts, (self._of(part), part["human"].to_numpy(), part["grade"].to_numpy()), 1)
        table = np.tensordot(self.weights, counts, axes=1)
        cost = (np.arange(LEVELS)[:, None] - np.arange(LEVELS)) ** 2
        chance = table.sum(2)[:, :, None] * table.sum(1)[:, None, :] / table.sum((1, 2))[:, None, None]
        return 1 - (table * cost).sum((1, 2)) / (chance * cost).sum((1, 2))

    def ndcg(self, model: str) -> Floats:
        """Mean NDCG@10 of the queries with something relevant; by the expected grade, or by clicks where there is none."""
        part = self.rows[model]
        score = part["expected"] if part["expected"].notna().all() else part["click"]
        values = np.full(len(self.queries), np.nan)
        for query, some in part.assign(score=score).groupby("query"):
            gains = 2.0 ** some["human"].to_numpy() - 1
            discount = 1 / np.log2(np.arange(2, 12))
            best = np.sort(gains)[::-1][:10]
            order = np.argsort(-some["score"].to_numpy(), kind="stable")[:10]
            if best[0] > 0:
                values[self._place[query]] = (gains[order] @ discount[: len(order)]) / (
                    best @ discount[: len(best)]
                )
        known = np.isfinite(values)
        return self.weights[:, known] @ values[known] / self.weights[:, known].sum(1)

    def auc(self, model: str) -> Floats:
        """AUC over impressions that are all looked at, in expectation: a pair counts as clicked by its true chance.

        By the click head, or by the expected grade where there is none.
        """
        part = self.rows[model]
        score = (part["click"] if part["click"].notna().all() else part["expected"]).to_numpy()
        order = np.argsort(score, kind="stable")
        chance, of = part["attraction"].to_numpy()[order], self._of(part)[order]
        # Equal scores are few (floats); they count in the order of the rows.
        weights = self.weights[:, of]
        above, below = weights * chance, weights * (1 - chance)
        lower = below.cumsum(1) - below / 2
        return (above * lower).sum(1) / (above.sum(1) * below.sum(1))

    def mix(self, model: str) -> Floats:
        """Half NDCG@10 by the raters, half AUC of clicks."""
        return (self.ndcg(model) + self.auc(model)) / 2

    def _of(self, part: pd.DataFrame) -> npt.NDArray[np.int_]:
        return part["query"].map(self._place).to_numpy()


def told(values: Floats, digits: int = 3) -> str:
    """Return a figure with its 95 % interval."""
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return f"{values[0]:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def claim(words: str, values: Floats, least: float) -> str:
    """Return a row: what is claimed, its figure, and whether it holds, also beyond the interval."""
    low = np.percentile(values[1:], 2.5)
    verdict = "holds" if low > least else "holds, within noise" if values[0] > least else "does not hold"
    return f"| {words} | {told(values)} | {least:g} | {verdict} |"


def report(rows: pd.DataFrame, facts: Sequence[dict[str, Any]], *, folds: int, machine: str) -> str:
    """Return the section as Markdown."""
    found = Figures(rows)
    minutes = [fact["seconds"] / 60 for fact in facts if fact["seconds"] is not None]
    took = f" Minutes a fold: {', '.join(f'{m:.0f}' for m in minutes)}, on {machine}." if minutes else ""
    policy, click = "policy teacher", "click teacher"
    lines = [
        f"{len(found.queries)} held-out queries of {len(facts)} folds out of {folds}, {len(found.rows[policy]):,} pairs; pools of "
        f"{', '.join(format(fact['pool'], ',') for fact in facts)} pairs. Clicks are *simulated*. A student's compute a pair is "
        f"{facts[0]['compute']:.3f} of its teacher's (layers and MLP counted, embeddings not).{took}",
        "",
        "| model | quadratic κ | NDCG@10 | click AUC | mix |",
        "|---|---|---|---|---|",
    ]
    for model, part in found.rows.items():
        kappa = told(found.kappa(model)) if (part["grade"] >= 0).all() else "–"
        lines.append(
            f"| {model} | {kappa} | {told(found.ndcg(model))} | {told(found.auc(model))} | {told(found.mix(model))} |"
        )
    lines += ["", "| claim | measured | more than | |", "|---|---|---|---|"]
    lines += [
        claim(
            "policy teacher's κ minus the baseline judge's",
            found.kappa(policy) - found.kappa("baseline judge"),
            0,
        ),
        claim(
            "policy teacher's κ minus that of the teacher of the baseline's pool",
            found.kappa(policy) - found.kappa("teacher of the baseline's pool"),
            0,
        ),
        claim(
            "policy teacher's κ minus that after the raters alone",
            found.kappa(policy) - found.kappa("policy teacher after the raters"),
            0,
        ),
        claim("click teacher's AUC minus the policy teacher's", found.auc(click) - found.auc(policy), 0),
    ]
    for both in (model for model in found.rows if model.startswith(BOTH)):
        kappa, auc = found.kappa(both) / found.kappa(policy), found.auc(both) / found.auc(click)
        lines.append(claim(f"{both}: κ as a share of the policy teacher's", kappa, KEPT))
        lines.append(claim(f"{both}: AUC as a share of the click teacher's", auc, KEPT))
        for other in ALONE:
            lines.append(claim(f"{both}: mix minus {other}", found.mix(both) - found.mix(other), 0))
        hard = found.kappa(both) - found.kappa("student on hard labels")
        lines.append(claim(f"{both}: κ minus student on hard labels", hard, 0))
    return "\n".join(lines)


def write_section(file: Path, title: str, text: str) -> None:
    """Replace what lies between the section's two marks in a Markdown file.

    Raises:
        SystemExit: the file has no such marks.
    """
    begin, end = f"<!-- {title.lower()}: begin -->", f"<!-- {title.lower()}: end -->"
    old = file.read_text(encoding="utf-8")
    new, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n{text}\n{end}", old, flags=re.DOTALL
    )
    if count != 1:
        raise SystemExit(f"{file} has no section between '{begin}' and '{end}'.")
    file.write_text(new, encoding="utf-8")
