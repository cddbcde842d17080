"""Recipes: YAML documents that say how to make a student or a teacher."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from workbench.identity import Value, content_hash
from workbench.policy import Filled, Name, Text

Pooling = Literal["fields", "sides", "mean", "cls", "last"]


class SoftLabels(Value):
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


class Data(Value):
    """What the model learns from. The holdout is never among it."""

    golden: str = Field(description="Name of the golden set whose dev labels are learnt.")
    golden_weight: float = Field(
        default=1.0, ge=0, le=100, description="Weight of the golden labels; 0 leaves them out."
    )
    soft_labels: SoftLabels | None = Field(
        default_factory=SoftLabels, description="Soft labels, or null for none."
    )
    validation: float = Field(
        default=0.15, ge=0, le=0.5, description="Share of dev queries kept for the eval curve."
    )


class Schedule(Value):
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


class TrainedRecipe(Value):
    """What students and teachers have in common."""

    recipe: Name
    description: Text = ""
    policy: Name = Field(description="Policy whose dimensions the heads grade.")
    backbone: Filled = Field(description="'minilm' (offline extra), a local folder, or a model id.")
    layers: int | None = Field(
        default=None, ge=1, description="Keep only the first so many layers; null for all."
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
    ordinal_weight: float = Field(
        default=1.0,
        ge=0,
        le=100,
        description="Weight of the squared earth mover's distance beside cross-entropy.",
    )
    data: Data
    schedule: Schedule = Schedule()
    seed: int = Field(default=0, ge=0, description="Seed of initialisation and order.")

    @property
    def content_hash(self) -> str:
        """Identity of the recipe by content."""
        return content_hash("recipe", self)


class StudentRecipe(TrainedRecipe):
    """A small model that learns from a judge's soft labels and from golden labels."""

    kind: Literal["student"] = "student"


class TeacherRecipe(TrainedRecipe):
    """A model meant to label data for students."""

    kind: Literal["teacher"] = "teacher"


Recipe = Annotated[StudentRecipe | TeacherRecipe, Field(discriminator="kind")]


class RecipeFile(Value):
    """Wrapper that lets a recipe of either kind be validated from plain data."""

    root: Recipe
