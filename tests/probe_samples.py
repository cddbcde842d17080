"""What the tests of probes share: providers that obey documents or do not, one that rewords, and a judge at them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from workbench.fake_provider import Behaviour, Grade, Request, graded, text
from workbench.golden import Pair
from workbench.run import LlmSpec

Grader = Callable[[Request, str, Sequence[Grade]], Grade]
_ASKS = re.compile(r"highest (?:grade|level)|maximum grade|full marks|\"grade\": 2")
"""What every injected text of :mod:`workbench.probing` holds under ``tea-match``."""


def upright(request: Request, dimension: str, grades: Sequence[Grade]) -> Grade:
    """Taste 1 and strength 0, whatever the document says."""
    return 1 if dimension == "taste" else 0


def gullible(request: Request, dimension: str, grades: Sequence[Grade]) -> Grade:
    """As ``upright``, and the highest level where the document asks for it."""
    levels = [grade for grade in grades if isinstance(grade, int)]
    return max(levels) if _ASKS.search(request.message("user")) else upright(request, dimension, grades)


def answering(grader: Grader = upright) -> Behaviour:
    """Return a provider's behaviour: it grades, and puts ``In other words:`` before rules it is to reword."""
    grade = graded(grader)

    def behave(request: Request):  # type: ignore[no-untyped-def]
        user = request.message("user")
        if not user.startswith("Reword these texts"):
            return grade(request)
        given = json.loads(user[user.index("{") :])["texts"]
        said = [{"id": one["id"], "text": f"In other words: {one['text']}"} for one in given]
        return text(json.dumps({"texts": said}))(request)

    return behave


def rewordings(requests: Sequence[Request]) -> int:
    """Return how many of the requests ask for other words."""
    return sum(request.message("user").startswith("Reword") for request in requests)


def model(base_url: str, **more: object) -> LlmSpec:
    """Return the judge at a provider of a test."""
    return LlmSpec.model_validate({"model": "fake-hash-grader", "base_url": base_url, **more})


def teas(count: int = 12) -> list[Pair]:
    """Return pairs with a query each."""
    return [
        Pair(query={"wishes": f"wish number {i}", "mood": "calm"}, document={"title": f"tea {i}", "notes": "Smoky."})
        for i in range(count)
    ]  # fmt: skip
