"""The ledger over sizes: what each checkpoint of a chain gives and takes, beside its teacher."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from workbench.errors import BadInput
from workbench.golden import Pair
from workbench.identity import Value
from workbench.training.compress import size
from workbench.training.model import Checkpoint, load_checkpoint
from workbench.training.predict import Engine, Predictor
from workbench.training.record import WEIGHTS


class Entry(Value):
    """One checkpoint. ``losses`` are its teacher's figures minus its own, where both are known: above 0 is worse.

    ``kappas`` are by dimension, as they were measured elsewhere (None: undefined); ``compute`` floating-point operations a
    pair of ``tokens`` tokens, layers and MLP counted, embeddings not; ``share`` of the teacher's, None for a teacher.
    """

    name: str
    teacher: str = ""
    kappas: Mapping[str, float | None] = {}
    losses: Mapping[str, float] = {}
    pairs_per_s: float
    megabytes: float
    parameters: int
    tokens: int
    compute: int
    share: float | None = None


def measure(
    folder: Path,
    pairs: Sequence[Pair],
    kappas: Mapping[str, float | None],
    *,
    teacher: Entry | None = None,
    rounds: int = 3,
    device: str = "cpu",
    engine: Engine = "torch",
) -> Entry:
    """Measure one checkpoint.

    Args:
        folder: the checkpoint.
        pairs: what the speed is measured on, and the mean length that compute is counted at. All entries of one ledger
            need the same pairs on the same machine.
        kappas: its quadratic kappa by dimension, from an evaluation on the pairs that its teacher was evaluated on.
        teacher: what its losses and its share are against.
        rounds: how often the pairs are graded; the median counts. One pass before that is not timed.
        device, engine: see :class:`workbench.training.predict.Predictor`.

    Raises:
        BadInput: no pairs, or no round.
        WorkbenchError: the checkpoint cannot be loaded.
    """
    if not pairs or rounds < 1:
        raise BadInput("Speed is measured on pairs, in rounds.", "Give at least one pair and one round.")
    checkpoint = load_checkpoint(folder)
    tokens = _mean_tokens(checkpoint, pairs)
    # The Predictor takes the model over, so it is counted before.
    counted = size(checkpoint.scorer, tokens)
    predictor = Predictor(checkpoint, device=device, engine=engine)
    seconds = [_pass(predictor, pairs) for _ in range(rounds + 1)][1:]
    return Entry(
        name=checkpoint.record.name,
        teacher=teacher.name if teacher else "",
        kappas=kappas,
        losses=losses(teacher.kappas, kappas) if teacher else {},
        pairs_per_s=len(pairs) / statistics.median(seconds),
        megabytes=(folder / WEIGHTS).stat().st_size / 1e6,
        parameters=counted.parameters,
        tokens=tokens,
        compute=counted.compute,
        share=counted.compute / teacher.compute if teacher else None,
    )


def losses(teacher: Mapping[str, float | None], student: Mapping[str, float | None]) -> dict[str, float]:
    """Return teacher minus student for each dimension where both have a figure."""
    found = {}
    for key, mine in student.items():
        theirs = teacher.get(key)
        if mine is not None and theirs is not None:
            found[key] = theirs - mine
    return found


def rows(entries: Sequence[Entry]) -> list[dict[str, str | float | int | None]]:
    """Return one flat row an entry, the same columns in all, for a table."""
    keys = list(dict.fromkeys(key for entry in entries for key in entry.kappas))
    return [
        {"checkpoint": entry.name, "teacher": entry.teacher or None}
        | {
            column: value
            for key in keys
            for column, value in (
                (f"{key} kappa", entry.kappas.get(key)),
                (f"{key} loss", entry.losses.get(key)),
            )
        }
        | {
            "pairs/s": entry.pairs_per_s,
            "MB": entry.megabytes,
            "parameters": entry.parameters,
            "FLOP/pair": entry.compute,
            "share of teacher": entry.share,
        }
        for entry in entries
    ]


def _mean_tokens(checkpoint: Checkpoint, pairs: Sequence[Pair]) -> int:
    encoded = checkpoint.tokens.encode(pairs)
    return max(1, round(sum(len(tokens.ids) for tokens in encoded) / len(encoded)))


def _pass(predictor: Predictor, pairs: Sequence[Pair]) -> float:
    began = time.perf_counter()
    for _ in predictor.predict(pairs):
        pass
    return time.perf_counter() - began
