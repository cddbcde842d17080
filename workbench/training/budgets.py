"""Token budgets of single fields: which can be asked for, and how a pair's tokens are shared under them.

Torch is not needed here, so that a recipe is checked before anything starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from workbench.errors import BadInput, NotFound
from workbench.policy import Layout
from workbench.recipe import Pooling


def check_field_tokens(
    field_tokens: Mapping[str, int],
    layout: Layout,
    considers: Sequence[str],
    *,
    max_tokens: int,
    pooling: Pooling,
    special: int = 0,
) -> None:
    """Refuse budgets of fields that are not read, and budgets that are more than a pair has.

    Args:
        field_tokens: ``side.field`` -> most tokens.
        layout: the policy's sides and fields.
        considers: the fields that some dimension considers, as ``side.field``.
        max_tokens: of a pair; with pooling ``fields``, half for each side.
        pooling: how the pair is read.
        special: tokens that are no field's: of each field with pooling ``fields``, else of the pair. Where the
            tokenizer is not at hand, 0.

    Raises:
        NotFound: a field that the policy does not have, with the nearest that it has.
        BadInput: a field that no dimension considers, or budgets that leave no room.
    """
    known = layout.field_names()
    for name in field_tokens:
        if name not in known:
            raise NotFound.among("field that field_tokens can limit", name, known)
        if name not in considers:
            raise BadInput(
                f"field_tokens limits {name}, which no dimension of the policy considers, so it is never read.",
                f"Leave it out; read are {', '.join(considers)}.",
            )
    read = {"the pair": list(considers)}
    most = max_tokens
    if pooling == "fields":
        sides = (layout.query.name, layout.document.name)
        read = {f"the {side}": [name for name in considers if name.startswith(f"{side}.")] for side in sides}
        most = max_tokens // 2
    for what, fields in read.items():
        limits = [field_tokens[name] for name in fields if name in field_tokens]
        needed = sum(limits) + len(fields) - len(limits)  # a field without a budget needs a token
        needed += special * (len(fields) if pooling == "fields" else 1)
        if limits and needed > most:
            raise BadInput(
                f"With field_tokens, {what} needs {needed} tokens, and there are {most} (max_tokens is {max_tokens}).",
                "Lower the budgets of fields in the recipe, or raise max_tokens.",
            )


def share(lengths: Sequence[int], budget: int) -> list[int]:
    """Return how much of each length is kept so that the sum is within ``budget``, longest cut first.

    >>> share([3, 10, 20], 15)
    [3, 6, 6]
    """
    kept = [0] * len(lengths)
    for taken, i in enumerate(sorted(range(len(lengths)), key=lengths.__getitem__)):
        kept[i] = min(lengths[i], budget // (len(lengths) - taken))
        budget -= kept[i]
    return kept


def allot(lengths: Sequence[int], most: Sequence[int | None], budget: int) -> list[int]:
    """Return how much of each length is kept: up to its own limit, the others share what is left of ``budget``.

    >>> allot([3, 10, 20, 20], [None, None, None, 5], 20)
    [3, 6, 6, 5]
    """
    kept = [0 if limit is None else min(length, limit) for length, limit in zip(lengths, most, strict=True)]
    free = [i for i, limit in enumerate(most) if limit is None]
    for i, length in zip(free, share([lengths[i] for i in free], max(budget - sum(kept), 0)), strict=True):
        kept[i] = length
    return kept
