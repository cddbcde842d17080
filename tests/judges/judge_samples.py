"""A small policy and pairs that the tests of judges share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from workbench.golden import Pair
from workbench.policy import Policy
from workbench.run import Judge, Verdict


def small_policy(**changes: Any) -> Policy:
    """Two dimensions: ``topic`` 0-4, and ``tone`` 0-2 or N/A."""
    document: dict[str, Any] = {
        "policy": "small",
        "version": 1,
        "title": "Does the page answer the question?",
        "pair": {
            "query": {"name": "question", "fields": ["text"]},
            "document": {"name": "page", "fields": ["title", "body"]},
        },
        "general": [{"id": "general.1", "text": "Grade what the texts say."}],
        "dimensions": [
            {
                "key": "topic",
                "title": "Topic",
                "question": "Is it about the same thing?",
                "levels": [{"value": v, "name": f"T{v}"} for v in range(5)],
                "clauses": [{"id": "topic.1", "text": "Synonyms count."}],
            },
            {
                "key": "tone",
                "title": "Tone",
                "question": "Is it polite?",
                "allow_na": True,
                "levels": [{"value": v, "name": f"P{v}"} for v in range(3)],
                "precedents": [
                    {
                        "id": "tone.p1",
                        "pair": {"document": {"body": "Please."}},
                        "grade": 2,
                        "because": "Kind.",
                    }
                ],
            },
        ],
        "overall": {"cut_points": [0.5, 1.5]},
    }
    return Policy.model_validate(document | changes)


def pairs(count: int) -> list[Pair]:
    """So many different pairs."""
    return [
        Pair(query={"text": f"question {i}"}, document={"title": f"Page {i}", "body": "Text."})
        for i in range(count)
    ]


def verdicts_of(judge: Judge, policy: Policy, asked: Sequence[Pair]) -> list[Verdict]:
    """Run a judge to its end."""

    async def collect() -> list[Verdict]:
        return [verdict async for verdict in judge.grade(policy, asked)]

    return asyncio.run(collect())
