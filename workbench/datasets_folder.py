"""A golden set as a folder that ``datasets.load_dataset`` of Hugging Face reads, its card included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from workbench.golden import ConsensusRule, GoldenSet
from workbench.golden_rows import pair_columns
from workbench.golden_tables import label_columns, label_rows, settled_rows, write_parquet
from workbench.yamltext import dump


def write_datasets_folder(golden: GoldenSet, folder: Path, rule: ConsensusRule) -> None:
    """Write ``data/`` with a row a pair, ``labels/`` with a row a label, and the card that names them.

    In ``data/`` a settled grade is a whole number; N/A and what is not settled are null.
    """
    query, document, meta = pair_columns(golden)
    columns = ["pair_id", "query_id", "split"]
    columns += [
        f"{side}_{name}" for side, names in (("query", query), ("document", document)) for name in names
    ]
    grades = [f"grade_{key}" for key in dict.fromkeys(golden.labels["dimension"])]
    pairs_columns = [*columns, *grades, *(f"meta_{key}" for key in meta)]
    query_ids = {pair.id: pair.query_id for pair in golden.pairs}
    splits = sorted(set(golden.splits.values()))
    counts: dict[tuple[str, str], int] = {}
    for split in splits:
        rows = (row | {"query_id": query_ids[row["pair_id"]]} for row in settled_rows(golden, rule, split))
        for name, wanted, given, numbers in (
            ("data", pairs_columns, rows, frozenset(grades)),
            ("labels", label_columns(golden), label_rows(golden, split), frozenset[str]()),
        ):
            path = folder / name / f"{split}.parquet"
            path.parent.mkdir(exist_ok=True)
            with path.open("wb") as file:
                counts[name, split] = write_parquet(file, wanted, given, numbers)
    (folder / "README.md").write_text(_card(golden, splits, counts), encoding="utf-8")


def _card(golden: GoldenSet, splits: Sequence[str], counts: Mapping[tuple[str, str], int]) -> str:
    front = {
        "pretty_name": golden.label if golden.version else golden.name,
        "configs": [
            {
                "config_name": config,
                "data_files": [{"split": split, "path": f"{name}/{split}.parquet"} for split in splits],
                **({"default": True} if config == "default" else {}),
            }
            for config, name in (("default", "data"), ("labels", "labels"))
        ],
    }
    lines = [f"- {split}: {counts['data', split]:,} pairs" for split in splits]
    text = f"""# {front["pretty_name"]}

Pairs of a query and a document, graded by people under the policy *{golden.policy}*. Splits are by query.

{chr(10).join(lines)}

The configuration `default` has a row a pair with its settled grade on each dimension (null: N/A or not settled).
The configuration `labels` has a row a label: dimension, grade, labeler, time, note and source.

{golden.description}
"""
    return f"---\n{dump(front)}---\n\n{text.rstrip()}\n"
