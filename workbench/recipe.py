"""Recipes: YAML documents that say how to make a student or a teacher."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails

from workbench.identity import Value, content_hash
from workbench.policy import Filled, Name, Text

Pooling = Literal["fields", "sides", "mean", "cls", "last"]
HeadKind = Literal["policy", "click"]
RecipeName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*(\.[a-z0-9-]+)*$", max_length=80)]

_FILE = "kept to the recipe's file"  # the form looks for bare models, so it does not draw these parts


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


class TrainedRecipe(Part):
    """What students and teachers have in common."""

    recipe: RecipeName
    description: Text = ""
    policy: Name = Field(description="Policy whose dimensions the heads grade.")
    backbone: Filled = Field(description="'minilm' (offline extra), a local folder, or a model id.")
    init_from: Filled | None = Field(
        default=None,
        description="Checkpoint id or recipe name whose backbone and heads are the start; null: the pretrained ones.",
    )
    layers: int | None = Field(
        default=None, ge=1, description="Keep only the first so many layers; null for all."
    )
    adapter: Annotated[Lora, _FILE] | None = Field(
        default=None, description="Low-rank adapters; left out ('full'): all weights are trained."
    )
    heads: tuple[HeadKind, ...] = Field(
        default=("policy",), min_length=1, description="policy: one head a dimension; click: one for clicks."
    )
    pooling: Pooling = Field(
        default="sides",
        description="What the heads see. fields: each field is read by itself, and its cosines with the other side's "
        "fields count (best with few labels). One reading of the pair: sides (each side's mean, their difference and "
        "product), mean of all, cls (encoders), last (decoders).",
    )
    max_tokens: int = Field(
        default=256,
        ge=16,
        le=32768,
        description="Tokens a pair, both sides together; with pooling fields, half for each side, shared by its fields.",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32", description="Number format of training."
    )
    gradient_checkpointing: bool = Field(
        default=False, description="Compute activations again in the backward pass: less memory, more time."
    )
    ordinal_weight: float = Field(
        default=1.0,
        ge=0,
        le=100,
        description="Weight of the squared earth mover's distance beside cross-entropy.",
    )
    losses: Annotated[Losses, _FILE] | None = Field(
        default=None, description="Losses of each head; left out: cross-entropy, and BCE for clicks."
    )
    teachers: tuple[Teacher, ...] = Field(default=(), description="Checkpoints whose answers are learnt.")
    alpha: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Of the teachers' loss, the share of their policy heads; the rest is their click heads'.",
    )
    data: Data
    schedule: Schedule = Schedule()
    executor: Filled | None = Field(
        default=None, description="Executor that is meant; null: the workspace's."
    )
    resources: Annotated[Resources, _FILE] | None = Field(
        default=None, description="Devices that are meant, for the plan."
    )
    seed: int = Field(default=0, ge=0, description="Seed of initialisation and order.")

    @field_validator("adapter", mode="before")
    @classmethod
    def _adapter_words(cls, value: Any) -> Any:
        return {"full": None, "lora": {}}.get(value, value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits_together(self) -> TrainedRecipe:
        if len(set(self.heads)) < len(self.heads):
            raise ValueError("'heads' names one kind twice")
        if "click" in self.heads and self.data.clicks is None and not self.teachers:
            raise ValueError("the click head learns from nothing: give 'data.clicks' or 'teachers'")
        if self.data.clicks is not None and "click" not in self.heads:
            raise ValueError("'data.clicks' is given and 'heads' has no 'click'")
        if self.init_from is not None and self.layers is not None:
            raise ValueError("'layers' cannot be chosen where 'init_from' gives the backbone")
        for teacher in self.teachers:
            if teacher.heads and not set(teacher.heads) & set(self.heads):
                raise ValueError(
                    f"teacher '{teacher.checkpoint}' is to teach {' and '.join(teacher.heads)}, "
                    f"and the recipe's heads are {' and '.join(self.heads)}"
                )
        return self

    @property
    def weights(self) -> Losses:
        """The losses with their defaults filled in."""
        return self.losses or Losses()

    @property
    def tower(self) -> int:
        """How many positions have a logit of their own in training; 0: no position tower."""
        click = self.weights.click
        used = self.data.clicks is not None and click.bias == "position_tower" and click.bce > 0
        return click.positions if used else 0

    @property
    def content_hash(self) -> str:
        """Identity of the recipe by content.

        A field that came later and is left at its default is not counted, so that old recipes keep their identity.
        """
        data = self.model_dump(mode="json")
        for part, later in ((data, _LATER), (data["data"], _LATER_DATA)):
            for name, default in later.items():
                if part[name] == default:
                    del part[name]
        return content_hash("recipe", data)


_LATER: Mapping[str, Any] = {
    "init_from": None,
    "adapter": None,
    "heads": ["policy"],
    "gradient_checkpointing": False,
    "losses": None,
    "teachers": [],
    "alpha": 0.5,
    "executor": None,
    "resources": None,
}
_LATER_DATA: Mapping[str, Any] = {"dataset": None, "dataset_weight": 1.0, "clicks": None}


class StudentRecipe(TrainedRecipe):
    """A small model that learns from a judge's soft labels, from golden labels and from teachers."""

    kind: Literal["student"] = "student"


class TeacherRecipe(TrainedRecipe):
    """A model meant to label data for students."""

    kind: Literal["teacher"] = "teacher"


Recipe = Annotated[StudentRecipe | TeacherRecipe, Field(discriminator="kind")]


class RecipeFile(Value):
    """Wrapper that lets a recipe of either kind be validated from plain data."""

    root: Recipe
