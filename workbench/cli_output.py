"""What all commands print, and the options they share: JSON, tables, figures with their interval."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Message = Annotated[str, typer.Option("--message", "-m", help="What changed and why, in one sentence.")]


def group(description: str, cls: type[TyperGroup] | None = None) -> typer.Typer:
    """Return an empty group of commands."""
    return typer.Typer(help=description, cls=cls, no_args_is_help=True, rich_markup_mode=None)


class Leading(TyperGroup):
    """A group whose first command needs not be named: ``workbench train RECIPE`` is ``workbench train run RECIPE``."""

    first = "run"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the first command's name before arguments that name none."""
        if args and args[0] not in {*self.commands, "--help"}:
            args = [self.first, *args]
        return super().parse_args(ctx, args)


def show(rows: Sequence[dict[str, Any]], as_json: bool, empty: str) -> None:
    """Print rows as a table or as JSON; ``empty`` is said where there are none."""
    if as_json:
        print_json(rows)
    elif not rows:
        print(empty)
    else:
        table(tuple(rows[0]), [tuple(cell(value) for value in row.values()) for row in rows])


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, columns as wide as their widest cell."""
    widths = [max(len(str(cell)) for cell in column) for column in zip(header, *rows, strict=True)]
    # The last column may be long; it is not padded.
    widths[-1] = 0
    for row in (header, *rows):
        print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def cell(value: Any) -> str:
    """Return a value for a table."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if value is not None else "–"


def estimate(value: Any) -> str:
    """Return a figure for a table: an estimate with its interval, a number, or a dash."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    if hasattr(value, "low"):
        if value.value is None:
            return "–"
        return f"{value.value:.2f}" + (
            f" [{value.low:.2f}, {value.high:.2f}]" if value.low is not None else ""
        )
    return str(value)


def estimate_data(value: Any) -> Any:
    """Return a figure as plain data; an estimate keeps its interval and the reason why there is none."""
    if hasattr(value, "low"):
        return {"value": value.value, "low": value.low, "high": value.high, "reason": value.reason}
    return value


def estimates_as_data(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of figures as plain data."""
    return [{key: estimate_data(value) for key, value in row.items()} for row in rows]


def print_json(data: Any) -> None:
    """Print plain data as JSON; dates and paths as text."""
    print(json.dumps(data, indent=2, ensure_ascii=False, default=str))
