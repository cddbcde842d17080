"""Grade a large Parquet file of pairs on a Ray cluster: what ``scoring`` does, split over actors with Ray Data.

Every actor holds one copy of the checkpoint and reads its part of the file by itself; the driver writes the answers in
the order of the file. File, checkpoint and output lie on a file system that the whole cluster sees.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import scoring
from workbench.errors import BadInput, Conflict, NotFound
from workbench.ray_cluster import connected, in_our_words
from workbench.scoring import WINDOW, Scored

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.training.predict import Engine

PART = 16
"""Windows that an actor grades at a time: enough to make reading past the windows before them cheap."""


@dataclass(frozen=True)
class Split:
    """How the work is spread: ``actors``, and what each of them takes of the cluster."""

    actors: int
    cpus: float = 1
    gpus: float = 0


def score_with_ray(
    source: Path,
    out: Path,
    checkpoint: Path,
    split: Split,
    *,
    batch: int = 32,
    engine: Engine = "torch",
    address: str = "auto",
    say: Callable[[int, float], None] = lambda rows, s: None,
) -> Scored:
    """Grade the pairs of ``source`` and write ``out``, as :func:`workbench.scoring.score_file` does.

    Args:
        source: .parquet file, with columns as ``score_file`` reads them.
        out: Parquet file, replaced if it exists; row i of it is row i of the source.
        checkpoint: folder of the checkpoint.
        split: how many actors; with ``gpus`` the checkpoint runs on the actor's GPU.
        batch: pairs a forward pass.
        engine: see :class:`workbench.training.predict.Predictor`.
        address: of the cluster's GCS; ``auto`` is the one that this process runs on.
        say: told the rows done and the seconds since the start.

    Raises:
        NotFound, BadInput, Conflict, WorkbenchError: as ``score_file`` does. Nothing is written then.
        Unavailable: Ray is not installed, or there is no cluster at the address.
    """
    import pyarrow.parquet as pq

    from workbench.training.model import load_checkpoint

    if out.resolve() == source.resolve():
        raise Conflict(f"{out} is the file that is read.", "Give --out another name.")
    if split.actors < 1:
        raise BadInput(f"{split.actors} actors grade nothing.", "Give 1 or more.")
    parts = _parts(source)
    if not parts:
        raise BadInput(f"{source.name} has no rows.", "Choose a file with pairs.")
    schema = scoring.output_schema(load_checkpoint(checkpoint).record)
    with connected(address):
        began = time.monotonic()
        rows = blank = tokens = 0
        out.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
        os.close(handle)
        try:
            with pq.ParquetWriter(name, schema) as writer:
                for table in _graded(parts, source.resolve(), checkpoint.resolve(), split, batch, engine):
                    writer.write_table(table.select(schema.names).cast(schema))
                    rows += table.num_rows
                    blank += sum(table["blank"].to_pylist())
                    tokens += sum(table["tokens"].to_pylist())
                    say(rows, time.monotonic() - began)
            os.chmod(name, 0o644)
            os.replace(name, out)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(name)
            raise
    return Scored(rows, blank, tokens, time.monotonic() - began)


def _parts(source: Path) -> list[dict[str, int]]:
    """Return the parts of a Parquet file: row group, first window in it, windows, and rows of the file before."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not source.is_file():
        raise NotFound(f"There is no file {source}.", "Check the path.")
    if source.suffix.lower() != ".parquet":
        raise BadInput(f"{source.name} cannot be split: it is no Parquet file.", "Convert it to Parquet.")
    try:
        with pq.ParquetFile(source) as file:
            sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")[:200]
        raise BadInput(f"{source.name} is not a whole Parquet file ({reason}).", "Write it again.") from error
    found = []
    before = 0
    for group, size in enumerate(sizes):
        for first in range(0, -(-size // WINDOW), PART):
            found.append({"group": group, "first": first, "before": before + first * WINDOW})
        before += size
    return found


def _graded(
    parts: list[dict[str, int]], source: Path, checkpoint: Path, split: Split, batch: int, engine: Engine
) -> Iterator[pa.Table]:
    """Yield the answers in the order of the file, a window a table, with the columns ``blank`` and ``tokens``."""
    import ray.data
    from ray.exceptions import RayError

    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    found = ray.data.from_items(parts, override_num_blocks=len(parts)).map_batches(
        _Grader,
        fn_constructor_args=(str(source), str(checkpoint), batch, "cuda" if split.gpus else "cpu", engine),
        batch_size=1,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(size=split.actors),
        num_cpus=split.cpus,
        num_gpus=split.gpus,
    )
    try:
        yield from found.iter_batches(batch_size=WINDOW, batch_format="pyarrow")
    except RayError as error:
        raise in_our_words(error, "grade the file") from error


class _Grader:
    """One actor: a checkpoint, loaded once, and the file that it reads its parts from."""

    def __init__(self, source: str, checkpoint: str, batch: int, device: str, engine: Engine) -> None:
        from workbench.training.model import load_checkpoint
        from workbench.training.predict import Predictor

        self.source = Path(source)
        loaded = load_checkpoint(Path(checkpoint))
        self.predictor = Predictor(loaded, batch=batch, device=device, engine=engine)

    def __call__(self, part: dict[str, Any]) -> Iterator[pa.Table]:
        """Yield the answers for one part, a window at a time."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        group, first, before = (int(part[name][0]) for name in ("group", "first", "before"))
        record = self.predictor.checkpoint.record
        schema = scoring.output_schema(record)
        schema = schema.append(pa.field("blank", pa.bool_())).append(pa.field("tokens", pa.int32()))
        with pq.ParquetFile(self.source, pre_buffer=False) as file:
            name = self.source.name
            make = scoring.pair_reader(file.schema_arrow.names, name, record.pair, record.considers)
            windows = file.iter_batches(batch_size=WINDOW, row_groups=[group])
            for number, window in enumerate(windows):
                if number < first:
                    continue
                if number == first + PART:
                    break
                rows = enumerate(window.to_pylist(), start=before + 1)
                pairs = [make(row, f"{name}, row {i}") for i, row in rows]
                batches = list(self.predictor.predict(pairs))
                scoring.refuse_nan(batches, before, name, record.name)
                columns = scoring.output_columns(record, pairs, batches)
                columns["blank"] = [scoring.is_blank(pair, record.pair, record.considers) for pair in pairs]
                order = np.argsort(np.concatenate([b.rows for b in batches]))
                columns["tokens"] = np.concatenate([b.tokens for b in batches])[order].tolist()
                yield pa.Table.from_pydict(columns, schema=schema)
                before += len(pairs)
