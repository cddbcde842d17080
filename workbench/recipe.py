"""Recipes: YAML documents that say how to make a student or a teacher."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from workbench.identity import Value, content_hash
from workbench.policy import Filled, Name, Text
from workbench.recipe_parts import ClickLosses as ClickLosses
from workbench.recipe_parts import Data as Data
from workbench.recipe_parts import HeadKind as HeadKind
from workbench.recipe_parts import Lora as Lora
from workbench.recipe_parts import Losses as Losses
from workbench.recipe_parts import Part as Part
from workbench.recipe_parts import PolicyLosses as PolicyLosses
from workbench.recipe_parts import Prune as Prune
from workbench.recipe_parts import Resources as Resources
from workbench.recipe_parts import Schedule as Schedule
from workbench.recipe_parts import SoftLabels as SoftLabels
from workbench.recipe_parts import Teacher as Teacher
from workbench.recipe_parts import Tracking as Tracking

Pooling = Literal["fields", "sides", "mean", "cls", "last"]
RecipeName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*(\.[a-z0-9-]+)*$", max_length=80)]

_FILE = "kept to the recipe's file"  # the form looks for bare models, so it does not draw these parts


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
    prune: Annotated[Prune, _FILE] | None = Field(
        default=None, description="Parts of the start that are left out first; left out: none."
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
    field_tokens: Annotated[dict[str, Annotated[int, Field(ge=1, le=32768)]], _FILE] = Field(
        default_factory=dict,
        description="Most tokens of a field, such as job.description: 120; the others share what is left.",
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
        default=None, description="Devices that are meant: what the executor asks for, and the plan."
    )
    tracking: Annotated[Tracking, _FILE] | None = Field(
        default=None, description="MLflow or TensorBoard, beside our own views; left out: neither."
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
        if self.prune is not None and self.adapter is not None:
            raise ValueError(
                "'prune' cuts the weights that 'adapter' would leave as they are; give one of them"
            )
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
        later = ((data, _LATER), (data["data"], _LATER_DATA), (data["schedule"], {"patience": None}))
        for part, names in (*later, (data["resources"] or {}, {"sharded": False})):
            for name, default in names.items():
                if name in part and part[name] == default:
                    del part[name]
        return content_hash("recipe", data)


_LATER: Mapping[str, Any] = {
    "init_from": None,
    "prune": None,
    "field_tokens": {},
    "tracking": None,
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


def flat_fields(recipe: TrainedRecipe) -> dict[str, Any]:
    """Return dotted name -> value, as plain data, of every field of a recipe; a part that is left out is None."""

    def flat(data: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for key, value in data.items():
            if isinstance(value, dict):
                yield from flat(value, f"{prefix}{key}.")
            else:
                yield prefix + key, value

    return dict(flat(recipe.model_dump(mode="json"), ""))
