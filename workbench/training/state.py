"""What a training keeps on disk while it runs: the best epoch's checkpoint, and the state to go on from.

``best-<epoch>/`` is a complete checkpoint. It becomes ``checkpoint/`` by one rename at the end, so a folder of that
name is always whole. ``state.safetensors`` holds weights, AdamW's moments, random state and progress.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import Parameter

from workbench.errors import BadInput, Conflict
from workbench.training.distributed import part_of, whole_tensor
from workbench.training.model import PairScorer, save_checkpoint, write_record
from workbench.training.record import CheckpointRecord, read_record
from workbench.training.tokens import PairTokenizer

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass
class Progress:
    """Where a training is."""

    step: int = 0
    heads_fitted: bool = False  # where fields are compared, also: their statistics are known
    epoch: int = 0  # epochs done
    best_epoch: int | None = None  # of those evaluated; 0 is the first fit of the heads
    best_loss: float = math.inf
    seconds: float = 0.0


class Keeper:
    """The files of one training in ``out_dir``."""

    def __init__(self, out_dir: Path, fingerprint: str, *, writes: bool = True) -> None:
        """Take the folder.

        Args:
            out_dir: of the training.
            fingerprint: identifies recipe, policy and examples.
            writes: whether this process changes the folder; of several that train together one does.
        """
        self._writes = writes
        self.folder = out_dir / "checkpoint"
        self._out = out_dir
        self._state = out_dir / "state.safetensors"
        self._partial = out_dir / "state.partial"
        self._fingerprint = fingerprint

    def finished(self, record: CheckpointRecord, *, resume: bool) -> CheckpointRecord | None:
        """Return the record of the checkpoint that a finished run of the same training left; None: there is work.

        Args:
            record: what this training would write; recipe, policy and lineage tell whether it is the same.
            resume: whether files of an earlier run are welcome.

        Raises:
            Conflict: there is a checkpoint or a state, and it is another training's or nobody asked to resume.
        """
        if not resume and (self.folder.exists() or self._state.exists()):
            raise Conflict(
                f"{self._out} holds a checkpoint or the state of a training already.",
                "Resume that training, or train into another folder.",
            )
        if not self.folder.exists():
            return None
        found = read_record(self.folder)
        if any(
            getattr(found, name) != getattr(record, name) for name in ("recipe", "policy_hash", "lineage")
        ):
            raise Conflict(f"{self.folder} was made by another training.", "Train into another folder.")
        if found.stopped and self._state.exists():
            return None
        return found

    def load(self, scorer: PairScorer, optimizer: torch.optim.Optimizer) -> Progress:
        """Put the saved state into model, optimizer and random generators; a fresh progress where none is saved.

        Raises:
            Conflict: the state belongs to another recipe, policy version or set of examples.
            BadInput: the file is damaged; nothing was changed.
        """
        if self._writes:
            self._sweep()
        if not self._state.exists():
            return Progress()
        try:
            with safe_open(self._state, framework="pt") as file:
                about = json.loads(file.metadata()["training"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(
                f"{self._state} is damaged ({error}).",
                f"Start a new training; or remove all in {self._out} and resume, which begins at the first step.",
            ) from error
        if about["fingerprint"] != self._fingerprint:
            raise Conflict(
                f"{self._state} belongs to a training with another recipe, policy version or set of examples.",
                "Train into another folder.",
            )
        with torch.no_grad():
            for name, buffer in scorer.statistics().items():
                buffer.copy_(tensors[f"statistic {name}"])
            for name, parameter in _trained(scorer):
                parameter.copy_(part_of(tensors[f"weight {name}"], parameter))
                if f"exp_avg {name}" in tensors:
                    optimizer.state[parameter] = {
                        moment: tensors[f"{moment} {name}"]
                        if moment == "step"
                        else part_of(tensors[f"{moment} {name}"], parameter)
                        for moment in _MOMENTS
                    }
        torch.set_rng_state(tensors["rng"])
        if "rng cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["rng cuda"])
        progress = Progress(**about["progress"])
        if self._writes and self.folder.exists():  # what the stop left: take it back
            if progress.best_epoch is None:
                shutil.rmtree(self.folder)
            else:
                self._discard(keep=None)
                self.folder.rename(self._best(progress.best_epoch))
        return progress

    def save(self, scorer: PairScorer, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        """Write the state in one step, and drop the checkpoints of epochs that are no longer the best.

        Every process that trains calls it: of sharded weights each has a part.
        """
        tensors: dict[str, Tensor] = {"rng": torch.get_rng_state()}
        if torch.cuda.is_available():
            tensors["rng cuda"] = torch.cuda.get_rng_state()
        for name, buffer in scorer.statistics().items():
            tensors[f"statistic {name}"] = buffer.contiguous()
        for name, parameter in _trained(scorer):
            whole = {f"weight {name}": whole_tensor(parameter.detach())}
            for moment, tensor in optimizer.state.get(parameter, {}).items():
                whole[f"{moment} {name}"] = whole_tensor(tensor)
            if self._writes:
                tensors |= {key: tensor.contiguous() for key, tensor in whole.items()}
        if not self._writes:
            return
        about = json.dumps({"fingerprint": self._fingerprint, "progress": asdict(progress)})
        self._out.mkdir(parents=True, exist_ok=True)
        try:
            save_file(tensors, str(self._partial), metadata={"training": about})
            os.replace(self._partial, self._state)
        except BaseException:  # such as a full disk, whose room it would go on taking
            self._partial.unlink(missing_ok=True)
            raise
        self._discard(keep=progress.best_epoch)

    def keep(
        self, epoch: int | None, scorer: PairScorer, tokens: PairTokenizer, record: CheckpointRecord
    ) -> None:
        """Write the checkpoint of ``epoch``, the best so far (None: of a training without evaluation)."""
        if not self._writes:
            return
        folder = self._best(epoch)
        if folder.exists():  # a killed run wrote it and had no time to say so
            shutil.rmtree(folder)
        save_checkpoint(folder, scorer, tokens, record)

    def finish(self, progress: Progress, *, stopped: bool) -> CheckpointRecord:
        """Make the kept checkpoint the result. The state stays only where the run was stopped."""
        best = self._best(progress.best_epoch)
        record = read_record(best)
        figures = {**record.figures, "steps": progress.step, "seconds": round(progress.seconds, 1)}
        record = record.model_copy(update={"figures": figures, "stopped": stopped})
        write_record(best, record)
        best.rename(self.folder)
        if not stopped:
            self._state.unlink(missing_ok=True)
        return record

    def _best(self, epoch: int | None) -> Path:
        return self._out / f"best-{'none' if epoch is None else epoch}"

    def _sweep(self) -> None:
        """Remove what a process that was killed while it wrote has left half-written."""
        self._partial.unlink(missing_ok=True)
        for folder in self._out.glob(".best-*"):  # as save_checkpoint calls what is not whole yet
            shutil.rmtree(folder)

    def _discard(self, keep: int | None) -> None:
        for folder in self._out.glob("best-*"):
            if folder != self._best(keep):
                shutil.rmtree(folder)


def _trained(scorer: PairScorer) -> Iterator[tuple[str, Parameter]]:
    """Yield what is trained: beside an adapter, the backbone stays what it was and need not be written."""
    return ((name, parameter) for name, parameter in scorer.named_parameters() if parameter.requires_grad)
