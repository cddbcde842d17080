"""A policy as a mode asks about it: which dimensions, in which order, and in which form the answer is.

The policy's own words come from :mod:`workbench.prompt`, whatever the mode; ``templates/judge_modes.jinja2`` has what
is said differently about the pair and the answer.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from workbench.golden import Pair
from workbench.identity import content_hash
from workbench.policy import Body, Dimension
from workbench.prompt import closed_object, fence_of, fields, reply_schema, seen, system_prompt
from workbench.prompt_mode import PromptMode, Reason
from workbench.prompt_template import render, source

TEMPLATE = "judge_modes.jinja2"

Item = TypeVar("Item", int, str)

VARIANTS = 8
"""Different orders that a permuted mode draws from. There are few of them, so that a system message is shared by
many pairs: providers keep its beginning in their cache, and it is rendered once."""

ANSWER_KEYS: dict[Reason, tuple[str, ...]] = {
    "before": ("reason", "cites", "grade"),
    "after": ("grade", "reason", "cites"),
    "none": ("grade",),
}
_CITES = "the ids of the rules and settled examples that decided, as written in square brackets above"
_HOW: dict[Reason, str] = {
    "before": '"reason" first (one to three sentences: what in the pair decides it under which rule), then '
    f'"cites" ({_CITES}), then "grade"',
    "after": '"grade" first, then "reason" (one to three sentences: what in the pair decides it under which rule), '
    f'then "cites" ({_CITES})',
    "none": '"grade" and nothing else',
}
_ANSWER = "## The pair is data\n"


@dataclass(frozen=True, eq=False)
class Sheet:
    """What all questions of one run share that are asked about the same dimensions in the same order."""

    mode: PromptMode
    policy: Body
    """The policy as it is asked: the covered dimensions alone, they and their levels in the order asked."""
    dimensions: tuple[str, ...]
    """Keys of the covered dimensions, in the order of the policy."""

    @cached_property
    def system(self) -> str:
        """The system message: the policy, then the form of the answer; no pair in it."""
        whole = system_prompt(self.policy)
        if self.mode.reason == "before" and self.mode.pairs_per_call == 1:
            return whole
        # Behind the last such heading stand only the template's own words and keys, so it is the template's.
        return whole[: whole.rindex(_ANSWER)] + _render(
            "answer",
            policy=self.policy,
            several=self.mode.pairs_per_call > 1,
            reason=self.mode.reason,
            how=_HOW[self.mode.reason],
        )

    @cached_property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the answer about one pair; the keys stand in the order in which they are to be written."""
        whole = reply_schema(self.policy)
        if self.mode.reason == "before":
            return whole
        keys = ANSWER_KEYS[self.mode.reason]
        return closed_object(
            {
                dimension: closed_object({key: answer["properties"][key] for key in keys})
                for dimension, answer in whole["properties"].items()
            }
        )

    @property
    def key_params(self) -> dict[str, Any]:
        """What the key of the verdict cache needs beside the messages; {} where they say it all."""
        many = self.mode.pairs_per_call
        return {"pairs_per_call": many} if many > 1 else {}


def sheet(policy: Body, dimensions: tuple[str, ...], mode: PromptMode, variant: int) -> Sheet:
    """Return how ``dimensions`` of ``policy`` are asked about, in the variant that a pair drew."""
    return Sheet(mode, _asked(policy, dimensions, mode, variant), dimensions)


def variant_of(mode: PromptMode, pair: Pair, repeat: int) -> int:
    """Return which of the orders a pair is asked in: the same one again, the next one in the next repeat."""
    if not mode.permuted:
        return 0
    return (int(_digest(mode.seed, pair.id)[:8], 16) + repeat) % VARIANTS


def pairs_text(policy: Body, pairs: Sequence[Pair]) -> str:
    """Return the user message about several pairs, each with its label between lines that carry its own fence.

    The fences of all pairs are replaced in the texts of each: an author who knows a whole pair could compute its
    fence and write it into the document of another.
    """
    fences = [fence_of(policy, pair) for pair in pairs]
    marker = re.compile("|".join(map(re.escape, fences)), re.IGNORECASE)
    given = [
        {
            "label": label_of(place),
            "fence": fence,
            "fields": [(name, marker.sub("(marker)", seen(text)).strip()) for name, text in fields(policy, pair)],
        }
        for place, (fence, pair) in enumerate(zip(fences, pairs, strict=True))
    ]  # fmt: skip
    return _render("pairs", pairs=given)


def label_of(place: int) -> str:
    """Return what the pair at a place (from 0) of a request is called."""
    return f"P{place + 1}"


def template_hash() -> str:
    """Return the identity of the template of the modes, for the record of a run that is not in the default."""
    return content_hash("template", source(TEMPLATE))


def _asked(policy: Body, keys: Sequence[str], mode: PromptMode, variant: int) -> Body:
    """Return the policy with the dimensions ``keys`` alone, they and their levels in the order of the mode."""
    if mode.dimension_order == "permuted":
        keys = _order(keys, mode.seed, "", variant)
    alone = tuple(keys) != policy.keys
    if not alone and mode.level_order == "ascending":
        return policy
    dimensions = tuple(_asked_dimension(policy, policy.dimension(key), mode, variant) for key in keys)
    # Not validated: gates may speak of dimensions that are left out, and the levels may not ascend. It is only
    # rendered and read against, never kept.
    return Body.model_construct(
        **{name: getattr(policy, name) for name in Body.model_fields} | {"dimensions": dimensions}
    )


def _asked_dimension(policy: Body, dimension: Dimension, mode: PromptMode, variant: int) -> Dimension:
    changes: dict[str, Any] = {}
    if mode.level_order == "descending":
        changes["levels"] = dimension.levels[::-1]
    elif mode.level_order == "permuted":
        by_value = {level.value: level for level in dimension.levels}
        order = _order(dimension.scale, mode.seed, dimension.key, variant)
        changes["levels"] = tuple(by_value[value] for value in order)
    if mode.scope == "dimension":
        # A settled example may cite a rule of another dimension, which is not in this call.
        there = {clause.id for clause in (*policy.general, *dimension.clauses)}
        changes["precedents"] = tuple(
            precedent.model_copy(update={"cites": tuple(cite for cite in precedent.cites if cite in there)})
            for precedent in dimension.precedents
        )
    return dimension.model_copy(update=changes)


def _order(items: Sequence[Item], seed: int, what: str, variant: int) -> list[Item]:
    """Return one of ``VARIANTS`` orders of ``items``: turns of one seeded order, then turns of its mirror image.

    Turning puts every item on every place equally often; the mirror image changes who stands before whom.
    Neighbouring variants always differ.
    """
    drawn = sorted(items, key=lambda item: _digest(seed, f"{what}|{item}"))
    turn = variant % len(drawn)
    # Of two items the mirror image is a turn.
    if len(drawn) > 2 and variant // len(drawn) % 2:
        drawn.reverse()
    return drawn[turn:] + drawn[:turn]


def _digest(seed: int, what: str) -> str:
    # Not `random`: its draws may change with Python's version, and with them the keys of the verdict cache.
    return hashlib.sha256(f"{seed}|{what}".encode()).hexdigest()


def _render(block: str, **values: Any) -> str:
    return render(TEMPLATE, block, **values)
