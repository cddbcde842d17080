"""New pairs from a language model: which cells to ask for, the words of a request, and what of a reply can be used.

A *cell* is a dimension with one of its levels or N/A. Cells with few dev labels are filled first, by the same measure
by which :mod:`workbench.dataset_coverage` chooses from a graded pool: the next pair of a cell with n pairs is worth
1/(n+1). The words are in ``templates/synthesise.jinja2``; seeds stand between lines with a marker that none of them can
hold. A reply is read item by item, so that one bad pair costs no good one.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Annotated, Any

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from workbench.dataset_coverage import draw
from workbench.dataset_grades import Graded, Grades
from workbench.errors import BadInput
from workbench.golden import NOT_GRADED, Pair
from workbench.identity import Value, content_hash
from workbench.near_duplicates import side_text
from workbench.policy import Body, Side
from workbench.prompt import (
    Message,
    ReplyError,
    closed_object,
    expect_keys,
    fields,
    parse_object,
    seen,
    shown,
)
from workbench.prompt_template import render, source
from workbench.synthesis_recipe import NA, SYNTHETIC, Cell, CellReport, Quota, SyntheticPool, Variant
from workbench.yamltext import describe

LONGEST_FIELD = 20_000
"""Characters that a written field may have."""

_ENTRY = TypeAdapter(
    dict[str, dict[str, Annotated[str, Field(strict=True, max_length=LONGEST_FIELD)]]],
)

TEMPLATE = "synthesise.jinja2"


class Ask(Value):
    """One call: which cell, what is new, how many pairs, which seeds are shown (positions among the seeds)."""

    number: int  # of all calls, from 0
    repeat: int  # how many calls for the same cell came before
    cell: Cell
    variant: Variant
    count: int
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Reading:
    """What a reply holds: pairs whose metadata names the cell, and a sentence for each that could not be used."""

    pairs: tuple[Pair, ...]
    problems: tuple[str, ...] = ()


# What to ask for


def all_cells(policy: Body) -> tuple[Cell, ...]:
    """Return every cell of a policy, in its order; N/A after the levels, where a dimension allows it."""
    return tuple(
        Cell(dimension=dimension.key, level=level)
        for dimension in policy.dimensions
        for level in (*dimension.scale, *([NA] if dimension.allow_na else []))
    )


def plan_cells(policy: Body, pool: SyntheticPool, settled: Mapping[str, Grades]) -> tuple[Quota, ...]:
    """Return what is asked for in each cell; cells that need nothing are left out.

    ``auto`` gives the pairs one by one to the cell that has fewest, counted over the dev labels and what is given
    already (the first in the policy's order where several have as few). Cells that are named share the count alike.

    Args:
        settled: dimension -> settled dev grades of the golden set, NOT_GRADED where there is none.

    Raises:
        NotFound: for a dimension that the policy does not have.
        BadInput: for a level that a dimension does not have.
    """
    known = all_cells(policy)
    cells = known if pool.cells == "auto" else pool.cells
    for cell in cells:
        scale = policy.dimension(cell.dimension).scale
        if cell not in known:
            raise BadInput(
                f"The recipe asks for {cell.name}, but {cell.dimension} has the levels "
                f"{', '.join(map(str, scale))}{' and N/A' if Cell(dimension=cell.dimension, level=NA) in known else ''}.",
                "Correct 'cells' in the recipe.",
            )
    have = [int((settled[cell.dimension] == cell.grade).sum()) for cell in cells]
    wanted = [0] * len(cells)
    waiting = [(count if pool.cells == "auto" else 0, i) for i, count in enumerate(have)]
    heapq.heapify(waiting)
    for _ in range(pool.count):
        count, i = waiting[0]
        wanted[i] += 1
        heapq.heapreplace(waiting, (count + 1, i))
    return tuple(
        Quota(cell=cell, have=had, wanted=want)
        for cell, had, want in zip(cells, have, wanted, strict=True)
        if want
    )


def plan_calls(
    quotas: Sequence[Quota], pool: SyntheticPool, seeds: Sequence[Pair], seed: int = 0
) -> tuple[Ask, ...]:
    """Return the calls in which the cells are asked for; the same ones for the same arguments.

    Seeds take turns in an order that ``seed`` draws, variants take turns within a cell.
    """
    order = sorted(range(len(seeds)), key=lambda i: draw(seed, seeds[i].id))
    each = min(pool.seeds_per_call, len(order))
    turn = cycle(order)
    found: list[Ask] = []
    for quota in quotas:
        for repeat, start in enumerate(range(0, quota.wanted, pool.per_call)):
            found.append(
                Ask(
                    number=len(found),
                    repeat=repeat,
                    cell=quota.cell,
                    variant=pool.variants[repeat % len(pool.variants)],
                    count=min(pool.per_call, quota.wanted - start),
                    seeds=tuple(next(turn) for _ in range(each)),
                )
            )
    return tuple(found)


# The words


def messages(policy: Body, ask: Ask, seeds: Sequence[Pair]) -> list[Message]:
    """Return the chat messages of a call: the dimension first, the cell and the seeds last."""
    dimension = policy.dimension(ask.cell.dimension)
    shared = {"query": policy.pair.query, "document": policy.pair.document, "dimension": dimension}
    told = [[(name, seen(text).strip()) for name, text in fields(policy, seeds[i])] for i in ask.seeds]
    # The marker depends, as in a judge's prompt, on all that it fences, so that no text can foresee it.
    fence = f"pair-{content_hash('fence', told).removeprefix('fence-')[:16]}"
    level = next((level for level in dimension.levels if level.value == ask.cell.level), None)
    cell = _render(
        "cell",
        **shared,
        seeds=told,
        fence=fence,
        variant=ask.variant,
        count=ask.count,
        level=level,
    )
    return [
        {"role": "system", "content": seen(_render("system", **shared, policy=policy))},
        {"role": "user", "content": seen(cell)},
    ]


def reply_schema(policy: Body, variant: Variant) -> dict[str, Any]:
    """Return the JSON Schema of a reply, within OpenAI's strict subset."""
    sides = {
        side.name: closed_object({field: {"type": "string"} for field in side.fields})
        for side in _new_sides(policy, variant)
    }
    return closed_object({"pairs": {"type": "array", "items": closed_object(sides)}})


def template_hash() -> str:
    """Return the identity of the words of a request, for the record."""
    return content_hash("template", source(TEMPLATE))


def _new_sides(policy: Body, variant: Variant) -> tuple[Side, ...]:
    sides = {"query": (policy.pair.query,), "document": (policy.pair.document,)}
    return sides.get(variant, (policy.pair.query, policy.pair.document))


def _render(block: str, **values: Any) -> str:
    return render(TEMPLATE, block, **values)


# What it answers


def read_reply(policy: Body, ask: Ask, seeds: Sequence[Pair], text: str) -> Reading:
    """Return the pairs of a reply that fit the policy's layout, and what was wrong with the others.

    A side has only fields of the policy, each a text; a field that is missing or empty is one that the pair lacks; a
    side without any word is no side. What a person would not see is taken out. More pairs than were asked for are
    left.

    Raises:
        ReplyError: with one sentence, where no pair can be used.
    """
    data = parse_object(text)
    expect_keys(data, ("pairs",), "the reply", "key")
    given = data["pairs"]
    if not isinstance(given, list):
        raise ReplyError(f"pairs must be a list, not {shown(given)}.")
    if not given:
        raise ReplyError(f"pairs is empty; {ask.count} are asked for.")
    found: list[Pair] = []
    problems: list[str] = []
    for number, entry in enumerate(given, start=1):
        try:
            if number > ask.count:
                raise ReplyError(f"pair {number} was not asked for; {ask.count} were.")
            found.append(_pair(policy, ask, seeds[ask.seeds[0]], f"pair {number}", entry))
        except ReplyError as problem:
            problems.append(str(problem))
    if not found:
        raise ReplyError(problems[0])
    return Reading(tuple(found), tuple(problems))


def _pair(policy: Body, ask: Ask, anchor: Pair, where: str, entry: Any) -> Pair:
    sides = _new_sides(policy, ask.variant)
    expect_keys(entry, [side.name for side in sides], where, "side")
    try:
        texts = _ENTRY.validate_python(entry)
    except ValidationError as error:
        raise ReplyError(describe(error, where)[0]) from None
    written = {side.name: _side(side, texts[side.name], f"{where}.{side.name}") for side in sides}
    return Pair(
        query=written.get(policy.pair.query.name, anchor.query),
        document=written.get(policy.pair.document.name, anchor.document),
        meta={SYNTHETIC: ask.cell.name},
    )


def _side(side: Side, texts: Mapping[str, str], where: str) -> dict[str, str]:
    unknown = [name for name in texts if name not in side.fields]
    if unknown:
        raise ReplyError(
            f"{where} has an unknown field {shown(unknown[0])}; there is: {', '.join(side.fields)}."
        )
    kept = {name: seen(texts[name]).strip() for name in side.fields if name in texts}
    kept = {name: text for name, text in kept.items() if text}
    if not side_text(kept):
        raise ReplyError(f"{where} has no text.")
    return kept


# What became of it


def cell_reports(
    quotas: Sequence[Quota],
    written: Sequence[str],
    graded: Mapping[str, Graded],
    asked: Sequence[str],
    rows: Sequence[bool],
) -> tuple[CellReport, ...]:
    """Return for each cell how many pairs there were at each step, and how often the judge gave its level.

    Args:
        written: name of the cell of each pair that could be read.
        graded: dimension -> the judge's answers about n pairs.
        asked: name of the cell for which each of the n pairs was written, "" for others.
        rows: which of the n pairs are in the data set.
    """
    names = np.array(asked, dtype=object)
    kept = np.asarray(rows, dtype=np.bool_)
    found = []
    for quota in quotas:
        mine = names == quota.cell.name
        grades = graded[quota.cell.dimension].grades[mine]
        found.append(
            CellReport(
                cell=quota.cell,
                have=quota.have,
                wanted=quota.wanted,
                written=sum(name == quota.cell.name for name in written),
                graded=int((grades != NOT_GRADED).sum()),
                as_asked=int((grades == quota.cell.grade).sum()),
                rows=int((mine & kept).sum()),
            )
        )
    return tuple(found)
