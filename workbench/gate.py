"""The release gate: what a policy version has to reach before it is used, and whether it does.

A gate is written down beside the policy's versions (``policies/<name>/gate.yaml``) or in any file. What cannot be judged
does not pass: a gate that lets through what nobody measured is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from workbench.agreement import Agreement, Comparison
from workbench.identity import Value
from workbench.policy import OVERALL, Policy
from workbench.probing import ProbeName

DEFAULT = "default"


class Gate(Value):
    """Thresholds. A dimension that is not named takes that of ``default``, or has none."""

    split: Literal["dev", "holdout"] = Field(default="dev", description="Pairs that the figures are of.")
    judge: str = Field(default="", description="Name of the judge; by default the one with the newest run.")
    least_pairs: int = Field(default=30, ge=1, description="Comparable pairs a dimension needs.")
    least_kappa: dict[str, float] = Field(
        default_factory=dict,
        description="Dimension, overall or default -> what the lower bound of quadratic kappa has to reach.",
    )
    not_worse: bool = Field(
        default=True,
        description="No dimension may be clearly worse than under the version before: the interval of the difference "
        "lies below 0.",
    )
    most_failed: float = Field(
        default=0.02, ge=0, le=1, description="Share of labelled pairs without a grade."
    )
    probes: dict[ProbeName, float] = Field(
        default_factory=dict,
        description="Probe -> share of grades that it may move at most, over all dimensions.",
    )

    @model_validator(mode="after")
    def _in_range(self) -> Gate:
        for key, bound in self.least_kappa.items():
            if not -1 <= bound <= 1:
                raise ValueError(f"least_kappa of {key} is {bound}; kappa lies from -1 to 1")
        for probe, share in self.probes.items():
            if not 0 <= share <= 1:
                raise ValueError(f"the share for the probe {probe} is {share}; it lies from 0 to 1")
        return self

    def unknown_dimensions(self, policy: Policy) -> list[str]:
        """Return the names under ``least_kappa`` that the policy does not have."""
        known = {*policy.keys, OVERALL, DEFAULT}
        return [key for key in self.least_kappa if key not in known]


class Check(Value):
    """One thing that was asked of a version. ``passed`` is None where it could not be judged, which does not pass."""

    what: Literal["kappa", "not worse", "failed", "probe"]
    dimension: str = ""
    passed: bool | None
    said: str


def kappa_checks(gate: Gate, agreements: Mapping[str, Agreement]) -> list[Check]:
    """Return whether the lower bound of kappa reaches what is asked, dimension by dimension."""
    checks = []
    for key, found in agreements.items():
        least = gate.least_kappa.get(key, gate.least_kappa.get(DEFAULT))
        if least is None:
            continue
        kappa = found.kappa_quadratic
        if kappa.value is None or kappa.low is None:
            checks.append(_check("kappa", key, None, kappa.reason or "There is no interval."))
        elif found.n < gate.least_pairs:
            said = f"{found.n} comparable pairs, at least {gate.least_pairs} are needed"
            checks.append(_check("kappa", key, None, said))
        else:
            said = (
                f"κ {kappa.value:.2f}, at least {kappa.low:.2f} with 95 % confidence; asked for {least:.2f}"
            )
            checks.append(_check("kappa", key, kappa.low >= least, said))
    return checks


def worse_checks(comparisons: Mapping[str, Comparison]) -> list[Check]:
    """Return whether any dimension is clearly worse than before: the paired interval of the difference is below 0."""
    checks = []
    for key, found in comparisons.items():
        delta = found.delta.kappa_quadratic
        if delta.value is None or delta.low is None or delta.high is None:
            checks.append(_check("not worse", key, None, delta.reason or "There is no interval."))
        else:
            said = f"Δκ {delta.value:+.2f} [{delta.low:+.2f}, {delta.high:+.2f}]"
            checks.append(_check("not worse", key, delta.high >= 0, said))
    return checks


def failed_checks(gate: Gate, agreements: Mapping[str, Agreement]) -> list[Check]:
    """Return whether the judge answered often enough, over all dimensions that it grades."""
    graded = [found for key, found in agreements.items() if key != OVERALL]
    failed = sum(found.n_failed for found in graded)
    labelled = sum(
        found.n
        + found.n_failed
        + found.n_not_applicable_judge
        + found.n_not_applicable_human
        + found.n_not_applicable_both
        for found in graded
    )
    if labelled == 0:
        return [_check("failed", "", None, "No pair is labelled.")]
    share = failed / labelled
    said = f"{failed:,} of {labelled:,} labelled grades failed ({share:.1%}); at most {gate.most_failed:.1%}"
    return [_check("failed", "", share <= gate.most_failed, said)]


def probe_checks(gate: Gate, moved: Mapping[str, tuple[float | None, str]]) -> list[Check]:
    """Return whether each probe moves few enough grades.

    Args:
        moved: probe -> share of grades that it moved over all dimensions (None: not measured) and a reason then.
    """
    checks = []
    for name, most in gate.probes.items():
        share, reason = moved.get(name, (None, "It was not measured: run `workbench judge probe`."))
        if share is None:
            checks.append(_check("probe", "", None, f"{name}: {reason}"))
        else:
            said = f"{name}: {share:.1%} of grades moved; at most {most:.1%}"
            checks.append(_check("probe", "", share <= most, said))
    return checks


def _check(
    what: Literal["kappa", "not worse", "failed", "probe"], dimension: str, passed: bool | None, said: str
) -> Check:
    return Check(what=what, dimension=dimension, passed=passed, said=said)
