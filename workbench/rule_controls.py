"""The overall rule as the controls of a what-if: one number or switch for each weight, cut point, gate and bound.

Controls are plain values by name: ``combine``, ``weight:<dimension>``, ``cut:<0-based number>``, ``gate:<id>`` (on or
off) and ``bound:<id>``. What a gate's expression says is not among them: it is edited in the overall form.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from workbench.policy import Body
from workbench.policy_edit import set_overall

Controls = dict[str, float | str]


def controls_of(body: Body) -> Controls:
    """Return where the controls stand for the rule of a body, in the order in which they are drawn."""
    rule = body.overall
    found: Controls = {"combine": rule.combine}
    found |= {f"weight:{dimension.key}": dimension.weight for dimension in body.dimensions}
    found |= {f"cut:{i}": cut for i, cut in enumerate(rule.cut_points)}
    for gate in rule.gates:
        found[f"gate:{gate.id}"] = True
        found[f"bound:{gate.id}"] = _bound(gate.at_most, gate.at_least)
    return found


def cut_points(controls: Controls) -> list[float]:
    """Return the cut points among some controls, in order."""
    return [float(value) for name, value in controls.items() if name.startswith("cut:")]


def followed(controls: Controls, start: Controls, now: Controls) -> Controls:
    """Return controls after the rule beneath them went from ``start`` to ``now``.

    Controls that were moved away from ``start`` stay; the others follow. Where the number of cut points changed, or
    moved ones and new ones would no longer ascend, cut points and bounds all follow: they mean something else now.
    """
    found = {
        name: controls[name] if name in controls and controls[name] != start.get(name) else value
        for name, value in now.items()
    }
    cuts = cut_points(found)
    if len(cuts) != len(cut_points(controls)) or any(a >= b for a, b in pairwise(cuts)):
        found |= {name: value for name, value in now.items() if name.startswith(("cut:", "bound:"))}
    return found


def pushed(
    cuts: Sequence[float], i: int, value: float, *, low: float, high: float, step: float
) -> list[float]:
    """Return ascending cut points with the ``i``-th at ``value``, pushing those in its way before it.

    Neighbours keep at least ``step`` apart, all stay within ``low`` to ``high``, and what is not in the way stays.
    """
    last = len(cuts) - 1
    found = [*cuts]
    found[i] = _tidy(min(max(value, low + i * step), high - (last - i) * step))
    for j in range(i + 1, last + 1):
        if found[j] >= _tidy(found[j - 1] + step):
            break
        found[j] = _tidy(found[j - 1] + step)
    for j in range(i - 1, -1, -1):
        if found[j] <= _tidy(found[j + 1] - step):
            break
        found[j] = _tidy(found[j + 1] - step)
    return found


def applied(body: Body, controls: Controls) -> Body:
    """Return ``body`` with the rule that the controls say; the ids of gates that are off are retired.

    Raises:
        BadInput: if that is not a rule.
    """
    gates: list[dict[str, Any]] = [
        {
            "id": gate.id,
            "when": gate.when,
            "because": gate.because,
            "at_most" if gate.at_most is not None else "at_least": controls[f"bound:{gate.id}"],
        }
        for gate in body.overall.gates
        if controls[f"gate:{gate.id}"]
    ]
    return set_overall(
        body,
        weights={key: float(controls[f"weight:{key}"]) for key in body.keys},
        cut_points=cut_points(controls),
        gates=gates,
        combine=str(controls["combine"]),
    )


def _bound(at_most: int | None, at_least: int | None) -> int:
    bound = at_most if at_most is not None else at_least
    assert bound is not None  # a gate has exactly one
    return bound


def _tidy(value: float) -> float:
    return round(value, 6)  # steps of 0.05 are no binary fractions
