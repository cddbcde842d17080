"""Golden sets for the tests of formats: a policy, texts that break formats, and the way out and in again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from hypothesis import strategies as st

from workbench.formats import Imported, read_import
from workbench.golden import LABEL_COLUMNS, NOT_APPLICABLE, UNRATEABLE, GoldenSet, Label, Pair, label_table
from workbench.golden_export import write_export
from workbench.importing import checked_mapping, gathered, guess_mapping
from workbench.policy import Policy

AT = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
POLICY = Policy.model_validate(
    {
        "policy": "shop",
        "version": 1,
        "title": "Does the product answer the search?",
        "message": "First.",
        "pair": {
            "query": {"name": "search", "fields": ["text", "skills"]},
            "document": {"name": "product", "fields": ["title", "body"]},
        },
        "dimensions": [
            {
                "key": key,
                "title": key.title(),
                "question": "How?",
                "allow_na": key == "price",
                "levels": [{"value": i, "name": f"L{i}", "criteria": "Seen."} for i in range(3)],
            }
            for key in ("skills", "price")
        ],
        "overall": {"cut_points": [0.5, 1.5]},
    }
)
"""``skills`` is a field of the query and a dimension; ``price`` allows N/A; levels 0-2."""

ODD = [
    "=HYPERLINK(\"http://evil\",1)", "+1", "-1", "@SUM(A1)", "'=1", "''=1", "'quoted'", "a,b;c\td", 'say "hi"',
    "two\nlines", "cr\rin", "NA", "null", "", "0", "1.0", "日本語 e\u0301 é", "x\u2028y", "{\"a\": 1}", "x" * 300,
]  # fmt: skip
_CHARACTERS = st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t\r")


def _kept(text: str) -> str:
    """The text as any import keeps it: no outer white space, no carriage return before a line feed."""
    return text.replace("\r\n", "\n").strip()


texts = st.sampled_from(ODD) | st.text(_CHARACTERS, max_size=12).map(_kept)
names = texts.filter(lambda text: bool(text.strip()) and not text.startswith("="))
grades = st.sampled_from([0, 1, 2, UNRATEABLE])


@st.composite
def golden_sets(draw: Any, unlabelled: bool = False) -> GoldenSet:
    """Sets of up to six pairs, each with up to four labels at different times."""
    found: dict[str, Pair] = {}
    labels = []
    for i in range(draw(st.integers(1, 6))):
        pair = Pair(
            query={"text": f"q{i % 3}", "skills": draw(texts)},
            document={"title": draw(texts), "body": f"b{i}"},
            meta={"city": draw(texts)},
        )
        found[pair.id] = pair
        for j in range(draw(st.integers(0 if unlabelled else 1, 4))):
            key = draw(st.sampled_from(["skills", "price", "overall"]))
            grade = draw(grades | st.just(NOT_APPLICABLE) if key == "price" else grades)
            at = AT + timedelta(minutes=10 * i + j, microseconds=draw(st.sampled_from([0, 7])))
            labels.append(
                Label(
                    pair_id=pair.id,
                    dimension=key,
                    grade=grade,
                    labeler=draw(names),
                    at=at,
                    note=draw(texts),
                    source=draw(st.sampled_from(["human", "adjudicated"])),
                )
            )
    pairs = tuple(found.values())
    queries = sorted({pair.query_id for pair in pairs})
    return GoldenSet(
        name="shop", version=3, policy="shop", pairs=pairs,
        splits={pair.id: "holdout" if pair.query_id == queries[0] else "dev" for pair in pairs},
        labels=label_table(labels),
    )  # fmt: skip


def label(pair: Pair, key: str, grade: int, labeler: str = "ann", minute: int = 0, **more: Any) -> Label:
    """One answer."""
    at = AT + timedelta(minutes=minute)
    return Label(pair_id=pair.id, dimension=key, grade=grade, labeler=labeler, at=at, **more)


def read_back(path: Path) -> Imported:
    """What the guessed mapping of an exported file, or of a folder of qrels, reads from it."""
    files = gathered(path) if path.is_dir() else {path.name: path}
    assert not isinstance(files, Path)
    ((name, content),) = files.items()
    assert not isinstance(content, bytes)
    spec = checked_mapping(guess_mapping(content, name, POLICY).mapping)
    return read_import(spec, files, POLICY, AT)


def out_and_in(golden: GoldenSet, folder: Path, key: str, suffix: str, **more: Any) -> Imported:
    """Export, guess the mapping of the export, import."""
    return read_back(write_export(golden, folder / f"{key}{suffix}", key, **more))


def as_lines(labels: pd.DataFrame, without: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
    """Labels as sorted tuples, for comparing sets of them."""
    columns = [name for name in LABEL_COLUMNS if name not in without]
    return sorted(map(tuple, labels[columns].to_numpy().tolist()), key=repr)
