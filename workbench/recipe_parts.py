"""The parts of a recipe: data, losses, teachers, adapter, pruning, resources, schedule."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from workbench.identity import Value
from workbench.policy import Filled

HeadKind = Literal["policy", "click"]


class Part(Value):
    """Base of all that a recipe says: a key that is not known is told with the one that was probably meant."""

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        unknown = [key for key in data if key not in cls.model_fields]
        if unknown:
            raise ValidationError.from_exception_data(
                cls.__name__, [_unknown(key, data[key], list(cls.model_fields)) for key in unknown]
            )
        return data


def _unknown(key: Any, value: Any, known: list[str]) -> InitErrorDetails:
    close = difflib.get_close_matches(str(key), known, n=1, cutoff=0.6)
    reason = "this key is not known here" + (f"; did you mean '{close[0]}'?" if close else "")
    return InitErrorDetails(
        type="value_error", loc=(str(key),), input=value, ctx={"error": ValueError(reason)}
    )


class SoftLabels(Part):
    """Learn from the probabilities that a finished judge run gave for dev pairs."""

    run: str = Field(
        default="latest", description="Run id, or 'latest': the newest finished run with probabilities."
    )
    weight: float = Field(
        default=0.5, ge=0, le=100, description="Weight of this loss against the golden labels' 1."
    )
    temperature: float = Field(
        default=1.0, gt=0, le=20, description="T of the distillation loss (times T squared)."
    )


class Data(Part):
    """What the model learns from. The holdout is never among it."""

    golden: str = Field(description="Name of the golden set whose dev labels are learnt.")
    golden_weight: float = Field(
        default=1.0, ge=0, le=100, description="Weight of the golden labels; 0 leaves them out."
    )
    soft_labels: SoftLabels | None = Field(
        default_factory=SoftLabels, description="Soft labels, or null for none."
    )
    dataset: Filled | None = Field(default=None, description="Data set whose soft labels are learnt too.")
    dataset_weight: float = Field(
        default=1.0, ge=0, le=100, description="Weight of the data set's labels against the golden labels' 1."
    )
    clicks: Filled | None = Field(default=None, description="Click log that the click head learns from.")
    validation: float = Field(
        default=0.15, ge=0, le=0.5, description="Share of dev queries kept for the eval curve."
    )


class PolicyLosses(Part):
    """What the heads of the dimensions learn golden labels and data sets by, beside ``ordinal_weight``."""

    cross_entropy: float = Field(default=1.0, ge=0, le=100, description="Weight of cross-entropy.")
    cumulative_link: float = Field(
        default=0.0, ge=0, le=100, description="Weight of the binary cross-entropy over ordered thresholds."
    )


class ClickLosses(Part):
    """What the click head learns a click log by."""

    bce: float = Field(default=1.0, ge=0, le=100, description="Weight of binary cross-entropy.")
    pairwise: float = Field(
        default=0.0, ge=0, le=100, description="Weight of the pairwise logistic loss within a query."
    )
    listwise: float = Field(
        default=0.0, ge=0, le=100, description="Weight of the listwise softmax loss within a query."
    )
    bias: Literal["none", "position_tower", "inverse_propensity"] = Field(
        default="none",
        description="What is done about positions. position_tower: a learnt logit a position, left out of what is "
        "predicted. inverse_propensity: clicks weigh one over the log's propensity.",
    )
    positions: int = Field(
        default=50, ge=1, le=10_000, description="Positions of the tower; deeper ones share the last."
    )
    clip: float = Field(default=20.0, ge=1, le=1e6, description="Largest inverse propensity weight.")

    @model_validator(mode="after")
    def _corrected(self) -> ClickLosses:
        if self.bias == "position_tower" and (self.pairwise or self.listwise):
            raise ValueError(
                "a position tower corrects 'bce' only; use bias: inverse_propensity with 'pairwise' and 'listwise'"
            )
        return self


class Losses(Part):
    """Which losses train which head, with their weights."""

    policy: PolicyLosses = PolicyLosses()
    click: ClickLosses = ClickLosses()


class Teacher(Part):
    """A checkpoint whose answers are learnt."""

    checkpoint: Filled = Field(description="Checkpoint id, or recipe name: the newest one of it.")
    weight: float = Field(
        default=1.0, gt=0, le=100, description="Weight among the teachers of the same kind of head."
    )
    temperature: float = Field(
        default=1.0, gt=0, le=20, description="T of the distillation loss (times T squared)."
    )
    heads: tuple[HeadKind, ...] = Field(
        default=(), description="Which of its heads teach; none: all that it has."
    )


class Lora(Part):
    """Low-rank adapters (Hu et al. 2021) instead of training all weights; merged into them at the end."""

    rank: int = Field(default=16, ge=1, le=1024, description="Rank of the update of each adapted matrix.")
    alpha: float = Field(default=32.0, gt=0, le=4096, description="The update is scaled by alpha / rank.")
    dropout: float = Field(default=0.05, ge=0, lt=1, description="Dropout before the update.")
    targets: tuple[Filled, ...] = Field(
        default=(), description="Modules to adapt, such as q_proj; none: all linear layers."
    )


class Prune(Part):
    """Which parts of the start are left out before training: what is pruned is then distilled again."""

    mlp: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Share of each layer's MLP neurons that stays, the most important.",
    )
    drop_layers: int = Field(
        default=0, ge=0, le=1000, description="How many layers go, those with the least influence."
    )
    without: tuple[int, ...] = Field(
        default=(), description="Numbers of the layers that go, from 0, instead of 'drop_layers'."
    )
    measured_on: int = Field(
        default=256, ge=1, le=100_000, description="Pairs that importance is measured on."
    )

    @model_validator(mode="after")
    def _something(self) -> Prune:
        if self.mlp == 1 and not self.drop_layers and not self.without:
            raise ValueError("nothing is left out: give 'mlp' below 1, 'drop_layers' or 'without'")
        if self.drop_layers and self.without:
            raise ValueError("give either 'drop_layers' or 'without'")
        if any(number < 0 for number in self.without):
            raise ValueError("'without' counts layers from 0")
        return self


class Tracking(Part):
    """Where a training is reported besides our own views, which need none of it."""

    mlflow: Filled | None = Field(
        default=None, description="Tracking URI of MLflow, such as http://host:5000 or file:/shared/mlruns."
    )
    experiment: Filled | None = Field(
        default=None, description="Experiment in MLflow; null: the policy's name."
    )
    tensorboard: bool = Field(
        default=False, description="Event files in the job's artifacts, for 'tensorboard --logdir'."
    )

    @model_validator(mode="after")
    def _somewhere(self) -> Tracking:
        if self.mlflow is None and not self.tensorboard:
            raise ValueError("nothing is reported: give 'mlflow' or 'tensorboard: true'")
        return self


class Resources(Part):
    """What the training runs on, as far as it is known; unknown figures stay unknown in the plan."""

    gpus: int = Field(default=0, ge=0, le=4096, description="GPUs that are asked for; 0: the CPU.")
    memory_gb: float | None = Field(default=None, gt=0, description="Memory of one device, in GB.")
    tflops: float | None = Field(
        default=None, gt=0, description="Peak of one device in the recipe's precision, in 10^12 FLOP/s."
    )
    utilisation: float | None = Field(
        default=None, gt=0, le=1, description="Share of the peak that training is expected to reach."
    )
    usd_per_hour: float | None = Field(
        default=None, ge=0, description="Price of one device an hour, in dollars."
    )
    sharded: bool = Field(
        default=False,
        description="With several GPUs: each keeps a part of the weights and of their states (FSDP).",
    )


class Schedule(Part):
    """How long and how fast."""

    epochs: int = Field(default=4, ge=1, le=1000, description="Passes over the training pairs.")
    max_steps: int | None = Field(
        default=None, ge=1, description="Stop after so many steps, whatever the epochs."
    )
    batch_size: int = Field(default=16, ge=1, le=4096, description="Pairs a step.")
    learning_rate: float = Field(default=3e-5, gt=0, le=1, description="Peak learning rate of the backbone.")
    head_learning_rate: float = Field(
        default=1e-4, gt=0, le=1, description="Peak learning rate of the new heads."
    )
    patience: int | None = Field(
        default=None, ge=1, description="Stop after so many epochs without a better eval loss; null: never."
    )
    head_penalty: float | None = Field(
        default=5.0,
        gt=0,
        le=1e6,
        description="The heads are first fitted to the backbone as it is, with this L2 penalty; null: not.",
    )
    warmup: float = Field(default=0.1, ge=0, lt=1, description="Share of steps with rising learning rate.")
    decay: Literal["linear", "cosine"] = Field(
        default="linear", description="How the learning rate falls to 0 after the warmup."
    )
    weight_decay: float = Field(default=0.01, ge=0, le=1, description="AdamW weight decay.")
    clip_norm: float = Field(
        default=1.0, gt=0, le=1000, description="Longest gradient; a longer one is scaled down to it."
    )
