"""What the tests of several processes train; ``torchrun … rank_samples.py FOLDER`` is one of the processes.

The folder holds ``model``, a tiny encoder. Of each scenario the first process leaves ``NAME.json``: the rows and lines
that were heard.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from training_samples import Heard, examples, policy, recipe, tiny

from workbench.recipe import TrainedRecipe
from workbench.training.data import Cell, Example
from workbench.training.fit import fit

SCENARIOS = ("replicated", "fields", "clicks", "by_query", "sharded", "sharded_stop")


def encoder(folder: Path) -> Path:
    """A tiny encoder without dropout: ranks draw other random numbers than one process."""
    model = tiny(folder, "encoder")
    config = json.loads((model / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (model / "config.json").write_text(json.dumps(config))
    return model


def scenario(name: str, model: Path) -> tuple[TrainedRecipe, list[Example]]:
    """Return what is trained and on what. The last batch of each epoch has one pair, so that a rank has none."""
    schedule: dict[str, Any] = {"epochs": 2, "batch_size": 4, "clip_norm": 0.5}
    # Every second pair has one dimension only, so that the ranks have different numbers of targets.
    pairs = [
        e if i % 2 else replace(e, golden={"taste": e.golden["taste"]}) for i, e in enumerate(examples(13))
    ]
    if name == "fields":
        return recipe(model, pooling="fields", schedule=schedule), pairs
    if name in ("clicks", "by_query"):
        cells = [(Cell(1, 10, i % 5, 1.0), Cell(2, 4 + i, i % 3, 0.5)) for i in range(len(pairs))]
        seen = [replace(e, cells=mine) for e, mine in zip(pairs, cells, strict=True)]
        click = (
            {"bias": "position_tower", "positions": 2}
            if name == "clicks"
            else {"bce": 0.5, "pairwise": 1.0, "listwise": 1.0, "bias": "inverse_propensity"}
        )
        kinds = {"heads": ["policy", "click"], "data": {"clicks": "log"}, "losses": {"click": click}}
        return recipe(model, pooling="sides", schedule=schedule, **kinds), seen
    resources = {"resources": {"gpus": 2, "sharded": True}} if name.startswith("sharded") else {}
    validation = {"data": {"validation": 0.25}} if name == "sharded" else {}
    return recipe(model, pooling="sides", schedule=schedule, **resources, **validation), pairs


def train(name: str, model: Path, out: Path) -> dict[str, Any]:
    """Train a scenario, in ``sharded_stop`` with a stop before the sixth step and a resume; return what was heard."""
    what, pairs = scenario(name, model)
    heard = Heard(stop_at=6 if name == "sharded_stop" else None)
    fit(what, policy(), pairs, out, heard)
    rows, lines = heard.rows, heard.lines
    if name == "sharded_stop":
        rest = Heard()
        fit(what, policy(), pairs, out, rest, resume=True)
        rows, lines = rows + rest.rows, lines + rest.lines
    return {"rows": rows, "lines": lines}


def main(folder: Path) -> None:
    """Be one of the processes."""
    from workbench.training.ranks import joined

    with joined() as ranks:
        for name in SCENARIOS:
            heard = train(name, folder / "model", folder / name)
            if ranks.first:
                (folder / f"{name}.json").write_text(json.dumps(heard))
            elif heard["rows"] or heard["lines"]:
                raise SystemExit(f"rank {ranks.rank} spoke in {name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
