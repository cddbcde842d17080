"""The training loop: recipe, policy and examples in, one checkpoint folder out.

A plain PyTorch loop. It stops cleanly when asked and can go on from there, with the losses of a run that was never
stopped. Where there are validation queries, the epoch with the lowest validation loss is kept, so that overfitting
costs time and not quality; without any, the last epoch is. Several processes that torchrun started train together
(:mod:`workbench.training.ranks`), with the losses of one.
"""

from __future__ import annotations

import bisect
import itertools
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from workbench.errors import BadInput
from workbench.identity import content_hash
from workbench.policy import Policy
from workbench.recipe import Recipe, Schedule, TrainedRecipe
from workbench.run import Reporter
from workbench.training.batches import Encoded
from workbench.training.data import Example, check_examples, split_examples
from workbench.training.devices import GpuMeter, cpus
from workbench.training.distributed import Parallel
from workbench.training.heads import evaluate, first_fit, not_finite, stretch_heads
from workbench.training.losses import total_loss
from workbench.training.ranks import Ranks
from workbench.training.record import CheckpointRecord, Head, Lineage, considered, heads_of, read_record
from workbench.training.start import starting_scorer
from workbench.training.state import Keeper, Progress
from workbench.training.tokens import PairTokenizer
from workbench.training.worst import write_worst

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
    start: Path | None = None,
    lineage: Lineage | None = None,
    resume: bool = False,
) -> FitResult:
    """Train ``recipe`` on ``examples`` and write ``out_dir/checkpoint``.

    Reports a metric row a step (step, epoch, loss, its parts as ``loss_golden``, ``loss_soft`` and others where the
    recipe learns from them, lr, pairs_per_s, tokens_per_s, padding left out, grad_norm, and of each head ``<key>.loss``
    and ``<key>.grad_norm``; on a GPU gpu_memory_gb and gpu_utilisation, both of the first one) and one an epoch (epoch, eval_loss, for each dimension ``<key>.exact`` and ``<key>.kappa``, quadratic, and ``@click.auc`` on
    the validation queries). The pairs that the newest evaluation was furthest off on are in ``out_dir/worst.jsonl``.
    Everything random follows ``recipe.seed``: on the CPU the same call gives the same losses. Training ends early after
    ``schedule.patience`` epochs without a better eval_loss.

    Every process of a group calls it with the same; the first one reports, is asked whether to stop, and writes.

    Args:
        recipe: what to train and how.
        policy: gives the heads and the fields that are read.
        examples: dev pairs with targets, from :func:`workbench.training.data.build_examples`, and what is learnt
            besides.
        out_dir: folder of this training; it may exist.
        reporter: hears of progress, metrics and log lines, and is asked before each step whether to stop.
        start: folder of the checkpoint that ``init_from`` means; None without one.
        lineage: what goes into the checkpoint's record besides recipe and policy.
        resume: go on from the state that a stopped or killed run left in ``out_dir``, if there is one; where the
            same training is finished there, return what it made.

    Raises:
        BadInput: the recipe, the policy and the examples do not fit together; nothing was started.
        Conflict: ``out_dir`` holds a checkpoint, or the state of another training.
        Unavailable: the backbone cannot be loaded.
        WorkbenchError: the loss became NaN or infinite; the message names the pairs.
    """
    ranks = Ranks.here()
    reporter = ranks.reporter(reporter)
    heads, schedule = heads_of(policy) if "policy" in recipe.heads else (), recipe.schedule
    train_examples, validation_examples = _prepare(recipe, policy, examples, reporter)
    made_of: list[Any] = [recipe.content_hash, policy.content_hash, [_identity(e) for e in examples]]
    if lineage and lineage.parents:
        made_of.append(list(lineage.parents))
    keeper = Keeper(out_dir, content_hash("training", made_of), writes=ranks.first)

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
    ranks.wait()  # until all have looked: resuming changes the folder
    if finished:
        reporter.log("This training is finished already.")
        return FitResult(keeper.folder, finished)

    if "OMP_NUM_THREADS" not in os.environ:  # which torch has heeded already
        torch.set_num_threads(cpus())
    torch.manual_seed(recipe.seed)
    scorer, tokens = starting_scorer(recipe, policy, start, [e.pair for e in train_examples])
    model = Parallel(scorer, recipe, ranks)
    parameters = sum(parameter.numel() for parameter in scorer.parameters())
    train = Encoded.of(train_examples, tokens, recipe, heads)
    validation = Encoded.of(validation_examples, tokens, recipe, heads)
    ends = _epoch_ends(train, schedule, recipe.seed)
    total = min(ends[-1], schedule.max_steps or ends[-1])
    trained = [parameter for parameter in scorer.backbone.parameters() if parameter.requires_grad]
    groups = [
        {"params": trained, "peak": schedule.learning_rate},
        {"params": scorer.head_parameters(), "peak": schedule.head_learning_rate},
    ]
    optimizer = torch.optim.AdamW(groups, lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    at = keeper.load(scorer, optimizer) if resume else Progress()
    _log_first_batch(train, train.order(schedule.batch_size, (recipe.seed, 1))[0], tokens, reporter)

    began = time.monotonic() - at.seconds

    def end_epoch(epoch: int) -> None:
        """Evaluate, keep the weights if they are the best yet, and save the state."""
        at.epoch = epoch
        if validation.tokens:
            learnt = stretch_heads(scorer, tokens, train, recipe, heads)
            found = evaluate(scorer, tokens, validation, recipe, learnt)
            figures = found.figures
            reporter.metric({"epoch": epoch, **figures})
            if ranks.first:
                write_worst(out_dir, epoch, found.worst)
            loss = ranks.agreed(math.nan if figures["eval_loss"] is None else figures["eval_loss"])
            # A NaN is no improvement; the next step's check names the pairs.
            if loss < at.best_loss:
                at.best_loss, at.best_epoch = loss, epoch
                about = record({"parameters": parameters, "epoch": epoch, **figures}, learnt)
                keeper.keep(epoch, model.whole(), tokens, about)
        at.seconds = time.monotonic() - began
        keeper.save(scorer, optimizer, at)

    stopped, ended = False, ""
    if (schedule.head_penalty or scorer.statistics()) and not at.heads_fitted:
        at.heads_fitted = first_fit(scorer, tokens, train, recipe, heads, reporter)
        if at.heads_fitted:
            end_epoch(0)
    model.begin()
    meter = GpuMeter(scorer.device, reporter)
    while at.step < total and not stopped:
        waited = at.epoch - (at.best_epoch or 0)
        if validation.tokens and schedule.patience is not None and waited >= schedule.patience:
            ended = f"{waited} epochs without a better eval loss; "
            break
        epoch = bisect.bisect_right(ends, at.step) + 1
        order = train.order(schedule.batch_size, (recipe.seed, epoch))
        done = at.step - (ends[epoch - 2] if epoch > 1 else 0)
        for rows in order[done:][: total - at.step]:
            stopped = reporter.stopping()
            if stopped:
                break
            step_began = time.monotonic()
            factor = learning_rate_factor(schedule, at.step, total)
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * factor
            scorer.train()
            ranks.seed(recipe.seed, at.step)
            read = [train.tokens[row] for row in rows]
            logits, tower = model.logits(tokens, read)
            lesson = train.lesson.take(rows, scorer.device)
            loss = total_loss(recipe, heads, logits, lesson, tower)
            optimizer.zero_grad(set_to_none=True)
            model.backward(loss.total)
            norms = scorer.head_gradient_norms()
            norm = model.clip(schedule.clip_norm)
            for what, value in (("loss", loss.total.item()), ("gradient", norm)):
                if not math.isfinite(value):
                    raise not_finite(what, value, at.step + 1, logits, [train.examples[row] for row in rows])
            optimizer.step()
            at.step += 1
            at.seconds = time.monotonic() - began
            took = max(time.monotonic() - step_began, 1e-9)
            reporter.metric(
                {
                    "step": at.step,
                    "epoch": epoch,
                    "loss": loss.total.item(),
                    "loss_golden": None if loss.golden is None else loss.golden.item(),
                    "loss_soft": None if loss.soft is None else loss.soft.item(),
                    "lr": schedule.learning_rate * factor,
                    "pairs_per_s": len(rows) / took,
                    "tokens_per_s": sum(len(t.ids) for t in read) / took,
                    "grad_norm": norm,
                    **meter.figures(),
                    **{name: part.item() for name, part in loss.others.items()},
                    **{f"{key}.loss": part.item() for key, part in loss.heads.items()},
                    **{f"{key}.grad_norm": value for key, value in norms.items()},
                }
            )
            left = at.seconds / at.step * (total - at.step)
            reporter.progress(at.step, total, f"epoch {epoch} of {schedule.epochs}, {_duration(left)} left")
        if stopped:
            break
        end_epoch(epoch)
        if at.step < total and reporter.stopping_after_epoch():
            stopped, ended = True, f"asked to after epoch {epoch}; "

    if stopped:
        keeper.save(scorer, optimizer, at)
    if at.best_epoch is None:
        learnt = stretch_heads(scorer, tokens, train, recipe, heads)
        keeper.keep(
            None, model.whole(), tokens, record({"parameters": parameters, "epoch": at.epoch}, learnt)
        )
        kept = "the last weights are"
    else:
        kept = f"epoch {at.best_epoch}, the best on validation, is"
    reporter.log(
        f"{'Stopped' if stopped else 'Done'} after {at.step} of {total} steps, {_duration(at.seconds)}; {ended}{kept} kept."
    )
    if ranks.first:
        keeper.finish(at, stopped=stopped)
    ranks.wait()
    return FitResult(keeper.folder, read_record(keeper.folder))


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
    heads = heads_of(policy) if "policy" in recipe.heads else ()
    golden = data.golden_weight > 0 and bool(heads)
    soft = data.soft_labels is not None and data.soft_labels.weight > 0 and bool(heads)
    dataset = data.dataset is not None and data.dataset_weight > 0 and bool(heads)
    other = dataset or data.clicks is not None or bool(recipe.teachers)
    check_examples(heads_of(policy), examples, golden=golden, soft=soft, other=other)
    for wanted, has, what in (
        (dataset, any(e.dataset for e in examples), f"an answer of the data set '{data.dataset}'"),
        (data.clicks is not None, any(e.cells for e in examples), f"an impression of '{data.clicks}'"),
        (bool(recipe.teachers), any(e.taught for e in examples), "a teacher's answer"),
    ):
        if wanted and not has:
            raise BadInput(f"None of the {len(examples)} examples has {what}.", "Add it to the examples.")
    useful = [
        e
        for e in examples
        if (golden and e.golden) or (soft and e.soft) or (dataset and e.dataset) or e.cells or e.taught
    ]
    train, validation = split_examples(useful, data.validation, recipe.seed)
    reporter.log(
        f"{len(train)} pairs to learn from, {len(validation)} to validate with, "
        f"{len(examples) - len(useful)} without a target left out."
    )
    if not validation:
        reporter.log("No query is kept for validation: the last epoch is kept, and there is no eval curve.")
        if recipe.schedule.patience is not None:
            reporter.log("Without an eval loss, schedule.patience stops nothing.")
    return train, validation


def _log_first_batch(train: Encoded, rows: Rows, tokens: PairTokenizer, reporter: Reporter) -> None:
    reporter.log(
        f"The first batch has {len(rows)} pairs; as the model reads the first {min(SHOWN, len(rows))}:"
    )
    for row in rows[:SHOWN]:
        example = train.examples[row]
        reporter.log(f"{example.pair.id}: {tokens.text(train.tokens[row])}")
        kinds = [("golden", example.golden), ("soft", example.soft)]
        kinds += [("data set", example.dataset)] if example.dataset else []
        kinds += [(f"teacher {i}", answer.policy) for i, answer in enumerate(example.taught, 1)]
        for kind, targets in kinds:
            shown = [f"{key} {' '.join(f'{p:.2f}' for p in vector)}" for key, vector in targets.items()]
            reporter.log(f"  {kind}: {'; '.join(shown) or 'none'}")
        if example.cells:
            places = [f"{c.clicked:g} of {c.shown:g} at {c.position}" for c in example.cells]
            reporter.log(f"  clicks: {'; '.join(places)}")


def _identity(example: Example) -> list[Any]:
    """Return what of an example tells one training from another; what came later counts where it is there."""
    said: list[Any] = [example.pair.id, example.golden, example.soft]
    if example.dataset or example.cells:
        cells = [[c.position, c.shown, c.clicked, c.propensity] for c in example.cells]
        said += [example.dataset, cells]
    return said


def _epoch_ends(train: Encoded, schedule: Schedule, seed: int) -> list[int]:
    """Return after how many steps each epoch ends. Batches of whole queries may be more in one than in another."""
    if not train.by_query:
        steps = math.ceil(len(train.examples) / schedule.batch_size)
        return [steps * epoch for epoch in range(1, schedule.epochs + 1)]
    orders = (train.order(schedule.batch_size, (seed, epoch)) for epoch in range(1, schedule.epochs + 1))
    return list(itertools.accumulate(map(len, orders)))


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
