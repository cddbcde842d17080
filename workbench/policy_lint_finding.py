"""What lint finds, and what it may know besides the document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from workbench.identity import Value
from workbench.policy_lint_pairs import PairTexts

Severity = Literal["error", "warning"]


class Finding(Value):
    """One thing to look at. An ``error`` keeps a draft from being published; a ``warning`` does not.

    ``place`` and ``message`` read as one sentence. ``section`` and ``item`` name the part in the outline.
    """

    severity: Severity
    place: str
    message: str
    section: str  # "document", "general", a dimension key or "overall"
    item: str = ""  # "" is the section itself; else a clause, precedent or gate id, "level 2" or "term X"


@dataclass(frozen=True, eq=False)
class LintContext:
    """What is known around a draft. Everything may be missing; lint then leaves out what needs it."""

    grades: Mapping[str, npt.NDArray[np.int_]] = field(default_factory=dict)
    """Dimension -> settled human grades of the dev pairs, shape (pairs,), coded as in :mod:`workbench.golden`."""
    dev: PairTexts | None = None
    """The texts of the same pairs, in the same order."""
    holdout: PairTexts | None = None
    """The texts of the holdout pairs; their labels are not here, because lint would tell them."""
    level_similarity: Mapping[tuple[str, int, int], float] = field(default_factory=dict)
    """(dimension, lower level, upper level) -> cosine similarity of their criteria, of the texts as they are now."""
    prompt_tokens: int = 0
    """Tokens of the policy as a judge reads it; 0 is unknown."""
    windows: Mapping[str, int] = field(default_factory=dict)
    """Judge -> the most input tokens that it takes."""


def error(message: str, section: str, item: str = "", place: str = "") -> Finding:
    """Return a finding that keeps a draft from being published; ``place`` is derived where it is not given."""
    return _finding("error", message, section, item, place)


def warning(message: str, section: str, item: str = "", place: str = "") -> Finding:
    """Return a finding that is worth a look; ``place`` is derived where it is not given."""
    return _finding("warning", message, section, item, place)


def _finding(severity: Severity, message: str, section: str, item: str, place: str) -> Finding:
    derived = f"{section} {item}" if item.startswith("level ") else item or section
    return Finding(severity=severity, place=place or derived, message=message, section=section, item=item)
