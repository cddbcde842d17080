"""Training as one of several processes (ranks): who does what, and what they tell each other.

Every rank holds the same examples and reads every n-th pair of each batch. The logits, which are few, are gathered, and
every rank computes the loss of the whole batch, with a gradient for its own pairs alone. Summed over the ranks these are
the gradients of one process with the same batch, exactly, whatever the loss: a mean over the rows that have a target and
a comparison within a query need no weights and no rule of their own. Only the first rank speaks and writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, distributed

from workbench.errors import BadInput, Unavailable
from workbench.run import Reporter

Rows = npt.NDArray[np.int_]

TOWER = "@tower"
"""Where a rank's answer holds the tower of positions, so that its gradient takes the way of all others."""
PATIENCE = timedelta(days=7)
"""How long a rank waits for another, which may be scoring a data set. torchrun ends all when one ends badly."""


@dataclass(frozen=True)
class Ranks:
    """The processes that train together, seen from one of them: ``rank`` of ``world``, from 0."""

    rank: int = 0
    world: int = 1

    @classmethod
    def here(cls) -> Ranks:
        """Return this process's place in the group that :func:`joined` made; rank 0 of 1 where there is none."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this is the rank that reports and writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Go on when every rank has come here."""
        self.agreed(0.0)  # all wait for the first …
        if self.world > 1:
            distributed.all_reduce(torch.zeros(1))  # … and it for all

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Let the first rank do the block alone, then the others: what it leaves on disk, they find."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def agreed(self, value: float) -> float:
        """Return what the first rank says, so that all decide alike. NaN and infinity pass."""
        if self.world == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64)
        distributed.broadcast(told, src=0)
        return told.item()

    def reporter(self, reporter: Reporter) -> Reporter:
        """Return a reporter through which the first rank alone is heard, and whose answers are those of the first."""
        return reporter if self.world == 1 else _Together(reporter, self)

    def seed(self, seed: int, step: int) -> None:
        """Give each rank random numbers of its own for dropout, the same for a step however it was come to.

        A process by itself keeps its generator, whose state is saved.
        """
        if self.world > 1:
            words = np.random.SeedSequence((seed, step, self.rank)).generate_state(1, np.uint64)
            torch.manual_seed(int(words[0]))

    def share(self, rows: Rows) -> Rows:
        """Return the rows of a batch that this rank reads. Where it has none it reads one that does not count.

        Pairs of a batch are in order of length; every n-th is about as long on each rank.
        """
        mine = rows[self.rank :: self.world]
        return mine if len(mine) else rows[:1]

    def gathered(self, outputs: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
        """Return the logits of all ``count`` rows of a batch, in its order, from what each rank said of its share.

        The gradient goes to this rank's rows, and on the first rank to the tower.

        Args:
            outputs: by head, (rows of the share, classes); under :data:`TOWER` the tower, (1, positions).
            count: rows of the batch.
        """
        found = dict(outputs)
        if self.world == 1:
            return found
        tower = found.pop(TOWER, None)
        mine = torch.cat(list(found.values()), dim=1)
        longest = -(-count // self.world)
        sent = mine.new_zeros(longest, mine.shape[1])
        sent[: len(mine)] = mine.detach()
        parts = [torch.empty_like(sent) for _ in range(self.world)]
        distributed.all_gather(parts, sent)
        whole = torch.stack(parts, dim=1).flatten(0, 1)[:count]  # row i of rank r is row i * world + r
        own = len(whole[self.rank :: self.world])
        whole[self.rank :: self.world] = mine[:own]
        whole = (
            whole + 0.0 * mine.sum()
        )  # every rank takes part in the backward pass, with no row of its own too
        split = torch.split(whole, [part.shape[1] for part in found.values()], dim=1)
        found = dict(zip(found, split, strict=True))
        if tower is not None:
            found[TOWER] = tower if self.first else tower.detach() + 0.0 * tower
        return found


class _Together:
    """A :class:`workbench.run.Reporter` of one rank among several. Whether to stop is asked of the first, by all."""

    def __init__(self, reporter: Reporter, ranks: Ranks) -> None:
        self._reporter, self._ranks = reporter, ranks

    def progress(self, done: int, total: int, note: str = "") -> None:
        if self._ranks.first:
            self._reporter.progress(done, total, note)

    def metric(self, values: Mapping[str, float | int | str | None]) -> None:
        if self._ranks.first:
            self._reporter.metric(values)

    def log(self, line: str) -> None:
        if self._ranks.first:
            self._reporter.log(line)

    def stopping(self) -> bool:
        return bool(self._ranks.agreed(self._ranks.first and self._reporter.stopping()))

    def stopping_after_epoch(self) -> bool:
        return bool(self._ranks.agreed(self._ranks.first and self._reporter.stopping_after_epoch()))


def told_ranks() -> int:
    """Return of how many processes this is one, as torchrun says in the environment; 1 without it.

    Raises:
        BadInput: the environment says something else than a number.
    """
    text = os.environ.get("WORLD_SIZE", "1")
    if not text.isdigit() or int(text) < 1:
        raise BadInput(
            f"WORLD_SIZE is '{text}', which is no number of processes.", "Unset it, or use torchrun."
        )
    return int(text)


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the processes that torchrun started, one a GPU, for the time of the block; alone without torchrun.

    Raises:
        Unavailable: there are more processes than GPUs on a machine with GPUs.
    """
    if told_ranks() == 1:
        yield Ranks()
        return
    cuda = torch.cuda.is_available()
    if cuda:
        local, devices = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= devices:
            raise Unavailable(
                f"This machine has {devices} GPUs, and process {local + 1} on it asks for one.",
                "Lower resources.gpus, or torchrun's --nproc-per-node.",
            )
        torch.cuda.set_device(local)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
    yield Ranks.here()
    distributed.destroy_process_group()  # not where a rank failed: the others may hang in a call that never returns
