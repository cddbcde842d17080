"""Every colour that carries a meaning, in one place.

Levels are one sequential ramp that stays in order for people with any common colour blindness (lightness falls
from level 0 up); outcomes are blue, orange and grey, which such readers tell apart as well.
"""

from __future__ import annotations

from collections.abc import Sequence

_RAMP = ("#e4ecd8", "#a9d3c0", "#63aebb", "#3a7ba6", "#24477f", "#171b4d")
"""Light to dark; sampled for as many levels as a scale has."""

OUTCOME = {
    "fixed": "#2b6cb0",
    "broken": "#c05621",
    "changed": "#718096",
    "same": "#a0aec0",
    "not comparable": "#cbd5e0",
}
SHARE_LIGHT = [[0, "#f4f7f7"], [0.5, "#63aebb"], [1, "#24477f"]]
SHARE_DARK = [[0, "#1d262c"], [0.5, "#2f6f8f"], [1, "#9fd3e8"]]
"""Shares of a whole, from 0 to 1, on either background."""
RUN_A = "#8a97a3"
RUN_B = "#1f6280"
CEILING = "rgba(120, 130, 140, 0.18)"
_JUDGES = ("#2f6f8f", "#b35c1e", "#5b7f3a", "#7a5ea8", "#a8485f", "#4f7d78", "#8a7a2b", "#5a6b85")


def level_colours(scale: Sequence[int]) -> dict[int, str]:
    """Return the colour of each level of a scale, lowest lightest."""
    if len(scale) == 1:
        return {scale[0]: _RAMP[2]}
    last = len(_RAMP) - 2 if len(scale) <= 5 else len(_RAMP) - 1
    return {level: _mix(i * last / (len(scale) - 1)) for i, level in enumerate(scale)}


def ink_on(colour: str) -> str:
    """Return black or white, whichever reads better on a colour (WCAG relative luminance)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#ffffff" if luminance < 0.32 else "#1c2429"


def judge_colour(name: str, names: Sequence[str]) -> str:
    """Return a judge's colour: the same on every chart that is given the same list of judges."""
    return _JUDGES[sorted(names).index(name) % len(_JUDGES)]


def _mix(position: float) -> str:
    low = min(int(position), len(_RAMP) - 2)
    share = position - low
    a, b = ([int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in (_RAMP[low], _RAMP[low + 1]))
    return "#" + "".join(f"{round(x + (y - x) * share):02x}" for x, y in zip(a, b, strict=True))
