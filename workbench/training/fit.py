"""The training loop: recipe, policy and examples in, one checkpoint folder out.

A plain PyTorch loop. It stops cleanly when asked and can go on from there, with the losses of a run that was never
stopped. Where there are validation queries, the epoch with the lowest validation loss is kept, so that overfitting
costs time and not quality; without any, the last epoch is.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from workbench.errors import BadInput
from workbench.identity import content_hash
from workbench.policy import Policy
from workbench.recipe import Recipe, Schedule, TrainedRecipe
from workbench.run import Reporter
from workbench.training.data import Encoded, Example, check_examples, split_examples
from workbench.training.heads import evaluate, first_fit, logits_of, not_finite, stretch_heads
from workbench.training.losses import total_loss
from workbench.training.model import new_scorer
from workbench.training.record import CheckpointRecord, Head, Lineage, considered, heads_of
from workbench.training.state import Keeper, Progress
from workbench.training.tokens import PairTokenizer

Rows = npt.NDArray[np.int_]

SHOWN = 4
"""Pairs of the first batch that are logged in full."""


@dataclass(frozen=True)
class FitResult:
    """Where the checkpoint is and what it says about itself; ``record.stopped`` tells a stopped run."""

    folder: Path
    record: CheckpointRecord


def fit(
    recipe: Recipe,
    policy: Policy,
    examples: Sequence[Example],
    out_dir: Path,
    reporter: Reporter,
    *,
    lineage: Lineage | None = None,
    resume: bool = False,
) -> FitResult:
    """Train ``recipe`` on ``examples`` and write ``out_dir/checkpoint``.

    Reports a metric row a step (step, epoch, loss, loss_golden, loss_soft, lr, pairs_per_s, grad_norm) and one an
    epoch (epoch, eval_loss, and for each dimension ``<key>.exact`` and ``<key>.kappa``, quadratic, on the
    validation queries). Everything random follows ``recipe.seed``: on the CPU the same call gives the same losses.

    Args:
        recipe: what to train and how.
        policy: gives the heads and the fields that are read.
        examples: dev pairs with targets, from :func:`workbench.training.data.build_examples`.
        out_dir: folder of this training; it may exist.
        reporter: hears of progress, metrics and log lines, and is asked before each step whether to stop.
        lineage: what goes into the checkpoint's record besides recipe and policy.
        resume: go on from the state that a stopped or killed run left in ``out_dir``, if there is one; where the
            same training is finished there, return what it made.

    Raises:
        BadInput: the recipe, the policy and the examples do not fit together; nothing was started.
        Conflict: ``out_dir`` holds a checkpoint, or the state of another training.
        Unavailable: the backbone cannot be loaded.
        WorkbenchError: the loss became NaN or infinite; the message names the pairs.
    """
    heads, schedule = heads_of(policy), recipe.schedule
    train_examples, validation_examples = _prepare(recipe, policy, examples, reporter)
    made_of = [recipe.content_hash, policy.content_hash, [[e.pair.id, e.golden, e.soft] for e in examples]]
    keeper = Keeper(out_dir, content_hash("training", made_of))

    def record(figures: Mapping[str, float | None], heads: Sequence[Head] = heads) -> CheckpointRecord:
        return CheckpointRecord(
            recipe=recipe,
            recipe_hash=recipe.content_hash,
            policy=policy.name,
            policy_version=policy.version,
            policy_hash=policy.content_hash,
            pair=policy.pair,
            considers=considered(policy),
            heads=tuple(heads),
            lineage=lineage or Lineage(),
            figures={"pairs": len(train_examples), "validation_pairs": len(validation_examples), **figures},
            created_at=datetime.now(UTC),
        )

    finished = keeper.finished(record({}), resume=resume)
    if finished:
        reporter.log("This training is finished already.")
        return FitResult(keeper.folder, finished)

    if "OMP_NUM_THREADS" not in os.environ:  # which torch has heeded already
        torch.set_num_threads(_cpus())
    torch.manual_seed(recipe.seed)
    scorer, tokens = new_scorer(recipe, policy)
    scorer.to("cuda" if torch.cuda.is_available() else "cpu")
    parameters = sum(parameter.numel() for parameter in scorer.parameters())
    train = Encoded.of(train_examples, tokens, heads)
    validation = Encoded.of(validation_examples, tokens, heads)
    epoch_steps = math.ceil(len(train_examples) / schedule.batch_size)
    total = min(schedule.epochs * epoch_steps, schedule.max_steps or schedule.epochs * epoch_steps)
    groups = [
        {"params": list(scorer.backbone.parameters()), "peak": schedule.learning_rate},
        {"params": list(scorer.head.parameters()), "peak": schedule.head_learning_rate},
    ]
    optimizer = torch.optim.AdamW(groups, lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    at = keeper.load(scorer, optimizer) if resume else Progress()
    _log_first_batch(train, next(train.order(schedule.batch_size, (recipe.seed, 1))), tokens, reporter)

    began = time.monotonic() - at.seconds

    def end_epoch(epoch: int) -> None:
        """Evaluate, keep the weights if they are the best yet, and save the state."""
        at.epoch = epoch
        if validation.tokens:
            learnt = stretch_heads(scorer, tokens, train, recipe, heads)
            figures = evaluate(scorer, tokens, validation, recipe, learnt)
            reporter.metric({"epoch": epoch, **figures})
            loss = figures["eval_loss"]
            # A NaN is no improvement; the next step's check names the pairs.
            if loss is not None and loss < at.best_loss:
                at.best_loss, at.best_epoch = loss, epoch
                about = record({"parameters": parameters, "epoch": epoch, **figures}, learnt)
                keeper.keep(epoch, scorer, tokens, about)
        at.seconds = time.monotonic() - began
        keeper.save(scorer, optimizer, at)

    stopped = False
    if (schedule.head_penalty or scorer.statistics()) and not at.heads_fitted:
        at.heads_fitted = first_fit(scorer, tokens, train, recipe, heads, reporter)
        if at.heads_fitted:
            end_epoch(0)
    while at.step < total and not stopped:
        epoch = at.step // epoch_steps + 1
        order = list(train.order(schedule.batch_size, (recipe.seed, epoch)))
        for rows in order[at.step % epoch_steps :][: total - at.step]:
            stopped = reporter.stopping()
            if stopped:
                break
            step_began = time.monotonic()
            factor = learning_rate_factor(schedule, at.step, total)
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * factor
            scorer.train()
            logits = logits_of(scorer, tokens, [train.tokens[row] for row in rows], recipe)
            golden, soft = train.golden.take(rows, scorer.device), train.soft.take(rows, scorer.device)
            loss = total_loss(recipe, heads, logits, golden, soft)
            optimizer.zero_grad(set_to_none=True)
            loss.total.backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(scorer.parameters(), schedule.clip_norm)
            for what, value in (("loss", loss.total.item()), ("gradient", norm.item())):
                if not math.isfinite(value):
                    raise not_finite(what, value, at.step + 1, logits, [train.examples[row] for row in rows])
            optimizer.step()
            at.step += 1
            at.seconds = time.monotonic() - began
            reporter.metric(
                {
                    "step": at.step,
                    "epoch": epoch,
                    "loss": loss.total.item(),
                    "loss_golden": None if loss.golden is None else loss.golden.item(),
                    "loss_soft": None if loss.soft is None else loss.soft.item(),
                    "lr": schedule.learning_rate * factor,
                    "pairs_per_s": len(rows) / max(time.monotonic() - step_began, 1e-9),
                    "grad_norm": norm.item(),
                }
            )
            left = at.seconds / at.step * (total - at.step)
            reporter.progress(at.step, total, f"epoch {epoch} of {schedule.epochs}, {_duration(left)} left")
        if stopped:
            break
        end_epoch(epoch)

    if stopped:
        keeper.save(scorer, optimizer, at)
    if at.best_epoch is None:
        learnt = stretch_heads(scorer, tokens, train, recipe, heads)
        keeper.keep(None, scorer, tokens, record({"parameters": parameters, "epoch": at.epoch}, learnt))
        kept = "the last weights are"
    else:
        kept = f"epoch {at.best_epoch}, the best on validation, is"
    reporter.log(
        f"{'Stopped' if stopped else 'Done'} after {at.step} of {total} steps, {_duration(at.seconds)}; {kept} kept."
    )
    return FitResult(keeper.folder, keeper.finish(at, stopped=stopped))


def learning_rate_factor(schedule: Schedule, step: int, total: int) -> float:
    """Return the share of the peak learning rate at ``step`` (from 0): a linear rise, then a fall towards 0."""
    warm = math.ceil(schedule.warmup * total)
    if step < warm:
        return (step + 1) / warm
    done = (step - warm) / max(total - warm, 1)
    return 1 - done if schedule.decay == "linear" else (1 + math.cos(math.pi * done)) / 2


def _prepare(
    recipe: TrainedRecipe, policy: Policy, examples: Sequence[Example], reporter: Reporter
) -> tuple[list[Example], list[Example]]:
    """Check what can be wrong before anything is loaded, and return (training, validation)."""
    data = recipe.data
    if recipe.policy != policy.name:
        raise BadInput(
            f"The recipe {recipe.recipe} is for the policy {recipe.policy}, not for {policy.name}.",
            "Correct 'policy' in the recipe, or choose the other policy.",
        )
    golden = data.golden_weight > 0
    soft = data.soft_labels is not None and data.soft_labels.weight > 0
    check_examples(heads_of(policy), examples, golden=golden, soft=soft)
    useful = [example for example in examples if (golden and example.golden) or (soft and example.soft)]
    train, validation = split_examples(useful, data.validation, recipe.seed)
    reporter.log(
        f"{len(train)} pairs to learn from, {len(validation)} to validate with, "
        f"{len(examples) - len(useful)} without a target left out."
    )
    if not validation:
        reporter.log("No query is kept for validation: the last epoch is kept, and there is no eval curve.")
    return train, validation


def _log_first_batch(train: Encoded, rows: Rows, tokens: PairTokenizer, reporter: Reporter) -> None:
    reporter.log(
        f"The first batch has {len(rows)} pairs; as the model reads the first {min(SHOWN, len(rows))}:"
    )
    for row in rows[:SHOWN]:
        example = train.examples[row]
        reporter.log(f"{example.pair.id}: {tokens.text(train.tokens[row])}")
        for kind, targets in (("golden", example.golden), ("soft", example.soft)):
            shown = [f"{key} {' '.join(f'{p:.2f}' for p in vector)}" for key, vector in targets.items()]
            reporter.log(f"  {kind}: {'; '.join(shown) or 'none'}")


def _cpus() -> int:
    # A container or a batch system may give this process fewer processors than the machine has.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
