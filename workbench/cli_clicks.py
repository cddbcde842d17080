"""Commands about click logs: import, figures, position bias, simulation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from workbench.cli_output import Json, group, print_json, show, table
from workbench.cli_workspace import opened, ready
from workbench.errors import BadInput

if TYPE_CHECKING:  # loaded by the commands that need them
    from collections.abc import Sequence

    from workbench.click_bias import PositionBias
    from workbench.click_log_files import RowProblem
    from workbench.click_log_summary import ClickSummary
    from workbench.click_logs import ClickCard

app = group("Click logs.")
Limit = Annotated[float, typer.Option(min=0, max=1, help="Share of rows that may be unusable.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of what is drawn.")]
_POSITIONS_SHOWN = 20


@app.command("import")
def clicks_import(
    file: Annotated[Path, typer.Argument(help="CSV or TSV (also .gz) or Parquet, one impression a row.")],
    name: Annotated[str, typer.Option(help="Name of the log.")] = "",
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", help="Field=column, or field==text for all rows; repeat it for several."),
    ] = None,
    propensity: Annotated[
        Literal["examination", "display"] | None,
        typer.Option(
            help="What propensities are: of looking at the position, or of showing this document there."
        ),
    ] = None,
    limit: Limit = 0.01,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be imported, and keep nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Import impressions (query, document, position, clicked; time, session and propensity where there are)."""
    from workbench.click_logs import import_clicks, preview_clicks

    given = {}
    for item in mapping or []:
        field, equals, column = item.partition("=")
        if not equals:
            raise BadInput(f"--map {item} has no '='.", "Write it as field=column.")
        given[field.strip()] = column
    if dry_run:
        report = preview_clicks(file, mapping=given, propensity_is=propensity, limit=limit)
        if as_json:
            print_json(report.model_dump(mode="json") | {"dry_run": True})
            return
        named = {key: value for key, value in report.mapping.model_dump().items() if value}
        print(f"{report.file}: {report.kept:,} of {report.rows:,} rows can be used{_mark(report.simulated)}")
        print("columns: " + ", ".join(f"{key}={value}" for key, value in named.items()))
        _say_problems(report.problems)
        print("Nothing was imported (dry run).")
        return
    if not name:
        raise BadInput("The log has no name.", "Give one with --name.")
    workspace = opened()
    card = import_clicks(
        workspace,
        file,
        name,
        author=workspace.settings.user,
        mapping=given,
        propensity_is=propensity,
        limit=limit,
    )
    _say_card(card, as_json)


@app.command("list")
def clicks_list(as_json: Json = False) -> None:
    """List click logs, newest first."""
    from workbench.click_logs import click_logs

    cards = click_logs(opened())
    if as_json:
        print_json([card.model_dump(mode="json") for card in cards])
        return
    rows = [
        {
            "log": card.name,
            "impressions": f"{card.summary.rows:,}",
            "queries": f"{card.summary.queries:,}",
            "documents": f"{card.summary.documents:,}",
            "clicks": f"{card.summary.clicks:,}",
            "simulated": card.simulated,
            "source": _source(card),
        }
        for card in cards
    ]
    show(rows, False, "No click logs yet: `workbench clicks import FILE --name NAME`.")


@app.command("show")
def clicks_show(name: str, as_json: Json = False) -> None:
    """Show a log's figures, its click rate by position, and what is known of position bias."""
    from workbench.click_logs import click_log

    _say_card(click_log(opened(), name), as_json)


@app.command("bias")
def clicks_bias(
    name: str,
    method: Annotated[
        Literal["em", "random", "propensity"],
        typer.Option(help="Regression EM, click rates of a random order, or the log's propensities."),
    ] = "em",
    resamples: Annotated[int, typer.Option(min=0, help="Bootstrap samples behind the intervals.")] = 200,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Estimate how much each position is looked at, relative to position 1, and keep it with the log."""
    from workbench.click_logs import estimate_bias

    workspace = opened()
    found = estimate_bias(
        workspace, name, method, author=workspace.settings.user, resamples=resamples, seed=seed
    )
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _say_bias(found)


@app.command("simulate")
def clicks_simulate(
    name: Annotated[str, typer.Option(help="Name of the log.")],
    golden: Annotated[str, typer.Option(help="Golden set whose dev grades are the true relevance.")] = "",
    dimension: Annotated[str, typer.Option(help="Dimension of the grades.")] = "overall",
    relevance: Annotated[
        Path | None, typer.Option(help="Instead: a table with columns query, document, relevance.")
    ] = None,
    sessions: Annotated[int, typer.Option(min=1, help="Sessions, each with one query.")] = 10_000,
    positions: Annotated[int, typer.Option(min=1, max=1_000, help="Documents shown in a session.")] = 10,
    exponent: Annotated[
        float, typer.Option(min=0, max=10, help="Position k is examined with probability (1/k)^exponent.")
    ] = 1.0,
    ranker_noise: Annotated[
        float, typer.Option(min=0, help="Standard deviation of the ranker's noise on relevance 0 to 1.")
    ] = 0.5,
    random_order: Annotated[
        bool, typer.Option("--random-order", help="Draw the order instead: for a randomised reference.")
    ] = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Simulate sessions of a position-based reader with known truth; the log is marked simulated."""
    from workbench.click_logs import simulate_clicks
    from workbench.click_simulation import Simulation, power_law
    from workbench.yamltext import validate

    workspace = ready()
    settings = {
        "sessions": sessions,
        "examination": power_law(positions, exponent),
        "ranker_noise": None if random_order else ranker_noise,
        "seed": seed,
    }
    card = simulate_clicks(
        workspace,
        name,
        validate(Simulation, settings, "The simulation"),
        author=workspace.settings.user,
        golden=golden,
        dimension=dimension,
        relevance=relevance,
    )
    _say_card(card, as_json)


def _mark(simulated: bool) -> str:
    return " (simulated)" if simulated else ""


def _source(card: ClickCard) -> str:
    if card.simulation is None:
        return card.source
    return card.simulation.file or f"golden set {card.simulation.golden}"


def _say_card(card: ClickCard, as_json: bool) -> None:
    if as_json:
        print_json(card.model_dump(mode="json"))
        return
    print(f"{card.name}{_mark(card.simulated)}: from {_source(card)}, by {card.imported_by}")
    _say_summary(card.summary)
    left_out = card.rows_read - card.summary.rows
    if left_out:
        print(f"{left_out:,} of {card.rows_read:,} rows left out")
        _say_problems(card.problems)
    for found in card.bias.values():
        print()
        _say_bias(found)


def _say_summary(summary: ClickSummary) -> None:
    sessions = f", {summary.sessions:,} sessions" if summary.sessions is not None else ""
    print(
        f"{summary.rows:,} impressions, {summary.clicks:,} clicks, {summary.queries:,} queries, "
        f"{summary.documents:,} documents{sessions}"
    )
    if summary.first and summary.last:
        print(f"{summary.first:%Y-%m-%d %H:%M} to {summary.last:%Y-%m-%d %H:%M} UTC")
    if summary.duplicates is None:
        print("duplicates: not known, there is neither time nor session")
    elif summary.duplicates:
        print(f"duplicates: {summary.duplicates:,} rows repeat an impression")
    shown = [
        (str(row.position), f"{row.impressions:,}", f"{row.clicks:,}", f"{row.rate:.4f}")
        for row in summary.positions[:_POSITIONS_SHOWN]
    ]
    table(("position", "impressions", "clicks", "click rate"), shown)
    rest = len(summary.positions) - len(shown)
    if rest:
        print(f"… and {rest} more positions (--json has all)")


def _say_problems(problems: Sequence[RowProblem]) -> None:
    for problem in problems:
        print(f"  {problem}")


def _say_bias(found: PositionBias) -> None:
    how = {
        "em": "regression EM",
        "random": "click rates of a random order",
        "propensity": "given propensities",
    }
    steps = f", {found.iterations:,} iterations" if found.iterations is not None else ""
    print(f"examination relative to position 1, by {how[found.method]}{steps}{_mark(found.simulated)}")
    rows = []
    for point in found.points[:_POSITIONS_SHOWN]:
        value = "–" if point.examination is None else f"{point.examination:.3f}"
        interval = "" if point.low is None else f"[{point.low:.3f}, {point.high:.3f}]"
        rows.append(
            (
                str(point.position),
                f"{point.impressions:,}",
                f"{point.clicks:,}",
                value,
                interval or point.reason,
            )
        )
    table(("position", "impressions", "clicks", "examination", "95 % interval"), rows)
    rest = len(found.points) - len(rows)
    if rest:
        print(f"… and {rest} more positions (--json has all)")
    if found.resamples:
        print(f"intervals: {found.resamples:,} bootstrap samples of {found.resampled}")
    if found.log_likelihood is not None:
        print(f"log-likelihood: {found.log_likelihood:,.1f}")
    for problem in found.problems:
        print(f"note: {problem}")
