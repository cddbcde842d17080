"""A provider whose model has read the labels: right about most pairs, wrong about some, more often under older rules.

It stands in for a language model where a walk needs flips with reasons and citations. Its answers are scripted: what a
run of it agrees with says nothing about any judge.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from workbench.fake_provider import Behaviour, Request, text

_CLAUSE = re.compile(r"\[([a-z_]+)\.(\d+)\]")
MODEL = "scripted"


def chance(*parts: object) -> float:
    """Return a number from 0 to 1 that is always the same for the same parts."""
    digest = hashlib.sha256("\n".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def settled(folder: Path) -> dict[tuple[str, str], int]:
    """Return (first words of query and document, dimension) -> the grade that most labelers gave."""
    votes: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    for line in (folder / "labels.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        if isinstance(row["grade"], int) and row["grade"] >= 0:
            votes[row["pair"], row["dimension"]][row["grade"]] += 1
    return {place: count.most_common(1)[0][0] for place, count in votes.items()}


def scripted(folder: Path) -> Behaviour:
    """Return the behaviour for the golden set in ``folder``: the newer the rules it is given, the fewer its errors."""
    grades = settled(folder)
    pairs = [json.loads(line) for line in (folder / "pairs.jsonl").read_text("utf-8").splitlines()]
    by_words = {
        (p["query"]["headline"].strip(), p["query"]["summary"].strip()[:60], p["document"]["title"].strip(), p["document"]["description"].strip()[:60]): p["id"]
        for p in pairs
    }  # fmt: skip

    def behave(request: Request) -> Any:
        user, system = request.message("user"), request.message("system")
        pair_id = next((i for words, i in by_words.items() if all(word in user for word in words)), "")
        rules: dict[str, list[int]] = defaultdict(list)
        for section, number in _CLAUSE.findall(system):
            rules[section].append(int(number))
        schema = request.body["response_format"]["json_schema"]["schema"]["properties"]
        answer = {}
        for key, form in schema.items():
            levels = [g for g in form["properties"]["grade"].get("enum", ()) if isinstance(g, int)] or [
                0,
                1,
                2,
                3,
                4,
            ]
            right = grades.get((pair_id, key), levels[len(levels) // 2])
            newest = max(rules[key], default=1)
            cited = rules[key][int(chance("cite", pair_id, key) * len(rules[key]))] if rules[key] else 1
            cited = newest if chance("new", pair_id, key) < 0.4 else cited
            wrong = chance("wrong", request.body["model"], pair_id, key) < 0.55 - 0.03 * newest
            off = (1 if chance("side", pair_id, key) < 0.7 else -1) if wrong else 0
            grade = min(max(right + off, levels[0]), levels[-1])
            reason = f"Under {key}.{cited}, what the texts say amounts to level {grade}."
            answer[key] = {"reason": reason, "cites": [f"{key}.{cited}"], "grade": grade}
        return text(json.dumps(answer))(request)

    return behave
