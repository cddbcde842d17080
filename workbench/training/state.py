"""What a training keeps on disk while it runs: the best epoch's checkpoint, and the state to go on from.

``best-<epoch>/`` is a complete checkpoint. It becomes ``checkpoint/`` by one rename at the end, so a folder of that
name is always whole. ``state.safetensors`` holds weights, AdamW's moments, random state and progress.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from workbench.errors import BadInput, Conflict
from workbench.training.model import PairScorer, save_checkpoint, write_record
from workbench.training.record import CheckpointRecord, read_record
from workbench.training.tokens import PairTokenizer

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass
class Progress:
    """Where a training is."""

    step: int = 0
    epoch: int = 0  # epochs done and evaluated
    best_epoch: int = 0  # 0: none evaluated yet
    best_loss: float = math.inf
    seconds: float = 0.0


class Keeper:
    """The files of one training in ``out_dir``."""

    def __init__(self, out_dir: Path, fingerprint: str) -> None:
        """Take the folder; ``fingerprint`` identifies recipe, policy and examples."""
        self.folder = out_dir / "checkpoint"
        self._out = out_dir
        self._state = out_dir / "state.safetensors"
        self._fingerprint = fingerprint

    def check_free(self, *, resume: bool) -> None:
        """Check that this training may write here.

        Raises:
            Conflict: there is a checkpoint that is not to be trained on, or a state and nobody asked to resume.
        """
        if self.folder.exists() and not (resume and self._state.exists() and read_record(self.folder).stopped):
            raise Conflict(
                f"{self._out} holds a checkpoint already.", "Train into another folder, or resume a stopped run."
            )
        if self._state.exists() and not resume:
            raise Conflict(
                f"{self._out} holds the state of a training that did not finish.",
                "Resume it, or train into another folder.",
            )

    def load(self, scorer: PairScorer, optimizer: torch.optim.Optimizer) -> Progress:
        """Put the saved state into model, optimizer and random generators; a fresh progress where none is saved.

        Raises:
            Conflict: the state belongs to another recipe, policy version or set of examples.
            BadInput: the file is damaged.
        """
        if not self._state.exists():
            return Progress()
        try:
            with safe_open(self._state, framework="pt") as file:
                about = json.loads(file.metadata()["training"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(
                f"{self._state} is damaged ({error}).", "Remove it and train from the start."
            ) from error
        if about["fingerprint"] != self._fingerprint:
            raise Conflict(
                f"{self._state} belongs to a training with another recipe, policy version or set of examples.",
                "Train into another folder.",
            )
        with torch.no_grad():
            for name, parameter in scorer.named_parameters():
                parameter.copy_(tensors[f"weight {name}"])
                if f"exp_avg {name}" in tensors:
                    optimizer.state[parameter] = {
                        moment: tensors[f"{moment} {name}"].to(
                            "cpu" if moment == "step" else parameter.device
                        )
                        for moment in _MOMENTS
                    }
        torch.set_rng_state(tensors["rng"])
        if "rng cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["rng cuda"])
        progress = Progress(**about["progress"])
        if self.folder.exists():  # what the stop left: take it back
            if progress.best_epoch:
                self._discard(keep=0)
                self.folder.rename(self._best(progress.best_epoch))
            else:
                shutil.rmtree(self.folder)
        return progress

    def save(self, scorer: PairScorer, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        """Write the state in one step, and drop the checkpoints of epochs that are no longer the best."""
        tensors: dict[str, Tensor] = {"rng": torch.get_rng_state()}
        if torch.cuda.is_available():
            tensors["rng cuda"] = torch.cuda.get_rng_state()
        for name, parameter in scorer.named_parameters():
            tensors[f"weight {name}"] = parameter.detach().contiguous()
            for moment, tensor in optimizer.state.get(parameter, {}).items():
                tensors[f"{moment} {name}"] = tensor.contiguous()
        about = json.dumps({"fingerprint": self._fingerprint, "progress": asdict(progress)})
        temporary = self._state.with_suffix(".partial")
        save_file(tensors, str(temporary), metadata={"training": about})
        os.replace(temporary, self._state)
        self._discard(keep=progress.best_epoch)

    def keep(self, epoch: int, scorer: PairScorer, tokens: PairTokenizer, record: CheckpointRecord) -> None:
        """Write the checkpoint of ``epoch``, the best so far."""
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

    def _best(self, epoch: int) -> Path:
        return self._out / f"best-{epoch}"

    def _discard(self, keep: int) -> None:
        for folder in self._out.glob("best-*"):
            if folder != self._best(keep):
                shutil.rmtree(folder)
