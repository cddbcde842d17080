"""Commands about data sets: make one from a recipe, list them, read a card, check one against the holdouts of today."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli_output import Json, estimate, print_json, show
from workbench.cli_workspace import ready

if TYPE_CHECKING:  # loaded by the commands that need them
    from workbench.dataset import DatasetCard, DimensionQuality
    from workbench.datasets import DatasetPlan
    from workbench.synthesis_plan import WritingBill
    from workbench.synthesis_recipe import CellReport, SynthesisReport

DatasetName = Annotated[str, typer.Argument(help="Name of a data set, or name-hash.")]


def data_make(
    recipe: Annotated[Path, typer.Argument(help="YAML file that says how the data set is made.")],
    change: Annotated[list[str] | None, typer.Option("--set", help="Field=value, such as size=500.")] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            help="Another judge than the recipe's: a saved one, baseline, checkpoint:NAME, a model."
        ),
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Address of an OpenAI-compatible server.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what it would take, and send nothing.")] = False,
    ray: Annotated[
        int, typer.Option(min=0, help="Split the grading over so many actors of a Ray cluster; 0: none.")
    ] = 0,
    wait: Annotated[bool, typer.Option(help="Wait for the end.")] = True,
    as_json: Json = False,
) -> None:
    """Grade a pool of pairs with a judge and keep them as a data set with soft labels.

    0 when it was made; 1 when the job failed or was stopped.
    """
    from workbench import datasets, jobs
    from workbench.dataset import with_changes

    workspace = ready()
    document = with_changes(datasets.read_dataset_recipe(recipe), _changes(change or []))
    if judge is not None:
        from workbench.judge_choice import judge_from_text
        from workbench.judge_registry import saved_judges

        chosen = judge_from_text(judge, base_url=base_url, known=saved_judges(workspace))
        document = with_changes(document, {"judge": chosen.model_dump(mode="json")})
    if plan:
        _say_plan(datasets.plan_dataset(workspace, document, recipe.parent), as_json)
        return
    job_id = datasets.start_dataset(
        workspace, document, recipe.parent, author=workspace.settings.user, ray=ray
    )
    if not wait:
        print_json({"job": job_id}) if as_json else print(f"started {job_id}")
        return
    for line in jobs.wait(workspace, [job_id]):
        if not as_json:
            print(line, flush=True)
    made = datasets.made_by(workspace, job_id)
    state = jobs.state(workspace, workspace.store.job(job_id))
    if as_json:
        card = made.card.model_dump(mode="json") if made else None
        print_json(
            {
                "job": job_id,
                "status": state.status,
                "error": state.error,
                "dataset": made.card.id if made else None,
                "card": card,
            }
        )
    elif made:
        _say_card(made.card)
        print(f"\n{made.rows}")
    raise typer.Exit(0 if made and state.status == "finished" else 1)


def data_list(as_json: Json = False) -> None:
    """List the data sets that are made, newest first."""
    from workbench.datasets import datasets

    rows = [
        {
            "data set": one.card.id,
            "policy": f"{one.card.policy} v{one.card.policy_version}",
            "judge": one.card.judge.name,
            "rows": one.card.counts.rows,
            "probes": one.card.counts.probes,
            "synthetic": one.card.counts.synthetic,
            "simulated": one.card.simulated,
            "made": f"{one.card.made_at:%Y-%m-%d %H:%M}",
        }
        for one in datasets(ready())
    ]
    show(rows, as_json, "There is no data set yet; make one with: workbench data make RECIPE.yaml")


def data_show(name: DatasetName, as_json: Json = False) -> None:
    """Print the card of a data set: where it comes from, what was left out, how good its labels are."""
    from workbench.datasets import dataset

    found = dataset(ready(), name)
    if as_json:
        print_json(found.card.model_dump(mode="json") | {"id": found.card.id, "rows": found.rows})
        return
    _say_card(found.card)
    print(f"\n{found.rows}")


def data_check(name: DatasetName, as_json: Json = False) -> None:
    """Check a data set against the holdouts of today, and its rows against its card; 1 when one is not as it should be."""
    from dataclasses import asdict

    from workbench.datasets import check

    found = check(ready(), name)
    if as_json:
        data = asdict(found)
        data["checked"] = [one.model_dump() for one in found.checked]
        print_json(data | {"sound": found.sound})
    else:
        sets = ", ".join(f"{one.golden} ({one.holdout_pairs:,})" for one in found.checked) or "no golden set"
        print(f"{found.dataset}: {found.rows:,} rows, checked against the holdout pairs of {sets}")
        for reason, count in found.leaks.items():
            print(f"leak: {reason}: {count:,}")
        if found.examples:
            print(f"such as {', '.join(found.examples)}")
        if found.damaged:
            print(f"damaged: {found.damaged}")
        for golden in found.grown:
            print(f"the holdout of {golden} has changed since the data set was made")
        if found.newest_policy != found.policy_version:
            print(f"made under policy v{found.policy_version}; newest is v{found.newest_policy}")
        if found.sound:
            print("no leak, rows as written")
    raise typer.Exit(0 if found.sound else 1)


def _changes(given: list[str]) -> dict[str, Any]:
    from workbench.errors import BadInput
    from workbench.yamltext import YamlText

    changes: dict[str, Any] = {}
    for item in given:
        key, equals, value = item.partition("=")
        if not equals:
            raise BadInput(f"--set {item} has no '='.", "Write it as field=value.")
        changes[key.strip()] = YamlText(value, f"--set {key}").data if value.strip() else None
    return changes


def _say_plan(plan: DatasetPlan, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        data = asdict(plan)
        data["checked"] = [one.model_dump() for one in plan.checked]
        data["cells"] = [one.model_dump(mode="json") for one in plan.cells]
        print_json(data)
        return
    if plan.writing:
        _say_writing(plan, plan.writing)
    else:
        print(
            f"{plan.found:,} pairs in the pool, {plan.pool:,} to grade with {plan.judge}, {plan.probes:,} probes"
        )
    _say_dropped(plan.dropped)
    print(f"at most {plan.rows:,} rows" + (", simulated" if plan.simulated else ""))
    if plan.calls or plan.known:
        about = "about " if plan.estimated else ""
        print(
            f"{about}{plan.calls:,} calls ({plan.known:,} answers known), about {plan.input_tokens:,} tokens sent, "
            f"{plan.output_tokens:,} answered; cost {_cost(plan.cost_usd, plan.cost_unknown)}"
        )
    elif not plan.writing:
        print("nothing is sent")
    if (short := plan.summaries) is not None:
        cost = f"${short.cost_usd:,.4f}" if short.cost_usd is not None else f"unknown: {short.cost_unknown}"
        print(
            f"at most {short.texts:,} texts to summarise with {short.model}: {short.calls:,} calls, about "
            f"{short.input_tokens:,} tokens sent, {short.output_tokens:,} answered; cost {cost}"
        )
        if short.key_missing:
            print(f"{short.key_missing} is not set")
    for variable in plan.keys_missing:
        print(f"{variable} is not set")
    for note in plan.notes:
        print(note)


def _say_writing(plan: DatasetPlan, writing: WritingBill) -> None:
    cells = ", ".join(f"{one.cell.name} {one.wanted:,} ({one.have:,} labelled)" for one in plan.cells)
    print(f"{plan.found:,} pairs to be written: {cells}")
    print(
        f"at most {writing.calls:,} calls for that, about {writing.input_tokens:,} tokens sent, "
        f"{writing.output_tokens:,} answered; cost {_cost(writing.cost_usd, writing.cost_unknown)}"
    )
    if writing.key_missing and writing.key_missing not in plan.keys_missing:
        print(f"{writing.key_missing} is not set")
    print(f"at most {plan.pool:,} of them to grade with {plan.judge}, {plan.probes:,} probes")


def _cost(usd: float | None, unknown: str) -> str:
    return f"${usd:,.4f}" if usd is not None else f"unknown: {unknown}"


def _say_dropped(dropped: dict[str, int]) -> None:
    for reason, count in dropped.items():
        print(f"  left out: {reason}: {count:,}")


def _say_card(card: DatasetCard) -> None:
    counts = card.counts
    print(f"{card.id}" + (" (simulated)" if card.simulated else ""))
    if card.description:
        print(card.description)
    print(f"policy    {card.policy} v{card.policy_version} {card.policy_hash}")
    print(f"judge     {card.judge.name} {card.judge.hash}")
    for source in card.sources:
        print(f"source    {source.name}: {source.rows:,} rows {source.content_hash}")
    if card.golden:
        print(f"probes    {counts.probes:,} pairs of {card.golden} {card.golden_hash}")
    for one in card.checked:
        print(f"checked   {one.golden}: {one.holdout_pairs:,} holdout pairs {one.holdout_hash}")
    print(
        f"rows      {counts.rows:,} ({counts.validation:,} validation) of {counts.queries:,} queries; "
        f"{counts.found:,} pairs in the pool, {counts.graded:,} graded"
    )
    _say_dropped(counts.dropped)
    if counts.synthetic:
        by = f" by {card.synthesis.model.name}, seeds from {card.synthesis.seeds}" if card.synthesis else ""
        print(f"synthetic {counts.synthetic:,} rows{by}")
    if counts.of_holdout_documents:
        print(f"  of documents that the holdout has too: {counts.of_holdout_documents:,}")
    _say_summaries(card)
    print()
    show([_quality_row(one) for one in card.quality], False, "")
    print()
    show([row for one in card.quality for row in _rate_rows(one)], False, "")
    if card.synthesis:
        print()
        _say_synthesis(card.synthesis)
    for note in card.notes:
        print(note)


def _say_summaries(card: DatasetCard) -> None:
    """Say what was shortened, by which model, and by how much; labels are those of the full texts."""
    short = card.summaries
    if short is None:
        return
    cost = f"${short.usage.cost_usd:,.4f}" if short.usage.cost_usd is not None else "unknown"
    print(f"summaries by {short.model} in {short.words} words, {short.usage.calls:,} calls; cost {cost}")
    for one in short.fields:
        print(
            f"  {one.field}: {one.texts:,} texts ({one.short_enough:,} short enough, {one.failed:,} failed), "
            f"{one.tokens_before:,} tokens before, {one.tokens_after:,} after"
        )
    for reason in short.failures:
        print(f"  failed: {reason}")
    print(f"  the full texts that were graded: full.parquet {short.full_hash}")


def _say_synthesis(found: SynthesisReport) -> None:
    usage = found.usage
    print(
        f"written in {found.calls:,} calls ({found.failed_calls:,} failed, {found.misfits:,} pairs did not fit); "
        f"{usage.input_tokens:,} tokens sent, {usage.output_tokens:,} answered; "
        f"cost {_cost(usage.cost_usd, 'the price of a call is not known')}"
    )
    for problem in found.problems:
        print(f"  such as: {problem}")
    show([_cell_row(one) for one in found.cells], False, "")


def _cell_row(one: CellReport) -> dict[str, Any]:
    return {
        "asked for": one.cell.name,
        "labelled": one.have,
        "wanted": one.wanted,
        "written": one.written,
        "graded": one.graded,
        "graded as asked": one.as_asked,
        "share": estimate(one.share_as_asked),
        "rows": one.rows,
    }


def _quality_row(one: DimensionQuality) -> dict[str, Any]:
    return {
        "dimension": one.dimension,
        "graded": " ".join(f"{level}:{count}" for level, count in zip(one.levels, one.graded, strict=True)),
        "N/A": one.not_applicable,
        "failed": one.failed,
        "soft": one.soft,
        "entropy, bits": estimate(one.entropy_bits),
        "probes": one.probes,
        "kappa": estimate(one.kappa_quadratic),
        "exact": estimate(one.exact),
        "why not": one.kappa_quadratic.reason or "–",
    }


def _rate_rows(one: DimensionQuality) -> list[dict[str, Any]]:
    """Return one row a level: its share of the rows' soft labels, and of the pool by the judge and corrected."""
    mass = dict(zip(one.levels, one.mass, strict=False))
    return [
        {
            "dimension": one.dimension if i == 0 else "",
            "level": rate.level if rate.level >= 0 else "N/A",
            "mass": estimate(mass.get(rate.level)),
            "pool, judge": estimate(rate.judge),
            "pool, corrected": estimate(rate.corrected),
        }
        for i, rate in enumerate(one.rates)
        if rate.level >= 0 or one.not_applicable or rate.judge
    ]
