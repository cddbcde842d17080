"""A recipe's simple fields as a form shows them: read from the schema, so a new field needs no change here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from workbench.identity import Value
from workbench.recipe import TrainedRecipe

Kind = Literal["whole", "number", "choice", "several", "switch", "text", "part"]
Group = Literal["Data", "Schedule", "Model", "Losses", "Adapter, pruning", "Resources", "Tracking"]

GROUPS: tuple[Group, ...] = get_args(Group)
_GROUP_OF: Mapping[str, Group] = {
    "data": "Data",
    "schedule": "Schedule",
    "losses": "Losses",
    "ordinal_weight": "Losses",
    "alpha": "Losses",
    "adapter": "Adapter, pruning",
    "prune": "Adapter, pruning",
    "executor": "Resources",
    "resources": "Resources",
    "tracking": "Tracking",
}
_LABELS: Mapping[str, str] = {
    "Gpus": "GPUs",
    "Memory gb": "Memory of a device, GB",
    "Tflops": "TFLOP/s of a device",
    "Usd per hour": "USD an hour and device",
    "Mlflow": "MLflow",
    "Tensorboard": "TensorBoard",
    "Init from": "Start from",
}
_OF_THE_FILE = frozenset({"recipe", "kind", "description", "policy"})
"""What a recipe is; another one is another file."""


class RecipeField(Value):
    """One field that a form can change; ``part`` is a group of fields that may be left out as a whole."""

    name: str  # dotted, as workbench.training_runs.with_changes takes it
    label: str
    group: Group
    kind: Kind
    value: Any  # what the recipe says; of a part, its fields, or None where the recipe leaves it out
    default: Any = None  # of a part: its fields when it is put in
    help: str = ""
    low: float | None = None
    high: float | None = None
    optional: bool = False
    choices: tuple[str, ...] = ()
    part: str = ""  # name of the part that this field belongs to


def recipe_fields(recipe: TrainedRecipe) -> list[RecipeField]:
    """Return the numbers, switches, choices and texts of a recipe in reading order.

    What it is (its name, kind, description and policy), lists and tables are left to its file.
    """
    return list(_fields(type(recipe), recipe.model_dump(mode="json"), "", ""))


def _fields(
    model: type[BaseModel], values: Mapping[str, Any], prefix: str, part: str
) -> Iterator[RecipeField]:
    for key, info in model.model_fields.items():
        name = prefix + key
        if name in _OF_THE_FILE:
            continue
        kinds = [_bare(kind) for kind in _members(info.annotation) if kind is not NoneType]
        nested = kinds[0] if len(kinds) == 1 and _is_model(kinds[0]) else None
        if nested is None:
            yield from _simple(name, info, values[key], kinds, part)
            continue
        optional = NoneType in get_args(info.annotation)
        inside = values[key]
        if optional:
            # Defaults alone need not be valid: a part may ask for one of its fields.
            default = nested.model_construct().model_dump(mode="json")
            yield _field(name, "part", inside, info, part, default=default)
            inside = inside or default
        yield from _fields(nested, inside, f"{name}.", name if optional else part)


def _members(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union or the values of a Literal; another annotation by itself."""
    if get_origin(annotation) in (tuple, dict, Annotated):
        return (annotation,)
    return get_args(annotation) or (annotation,)


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _simple(name: str, info: FieldInfo, value: Any, kinds: list[Any], part: str) -> Iterator[RecipeField]:
    optional = NoneType in get_args(info.annotation)
    low = next((float(mark.ge) for mark in info.metadata if isinstance(mark, Ge)), None)  # type: ignore[arg-type]
    high = next((float(mark.le) for mark in info.metadata if isinstance(mark, Le)), None)  # type: ignore[arg-type]
    if get_origin(info.annotation) is Literal:
        if len(kinds) > 1:
            yield _field(name, "choice", value, info, part, choices=tuple(map(str, kinds)))
    elif kinds == [bool]:
        yield _field(name, "switch", value, info, part)
    elif kinds == [str]:
        yield _field(name, "text", value, info, part, optional=optional)
    elif len(kinds) == 1 and get_origin(kinds[0]) is tuple and get_origin(get_args(kinds[0])[0]) is Literal:
        choices = tuple(map(str, get_args(get_args(kinds[0])[0])))
        yield _field(name, "several", tuple(value), info, part, choices=choices)
    elif kinds in ([int], [float]):
        kind: Kind = "whole" if kinds == [int] else "number"
        yield _field(name, kind, value, info, part, low=low, high=high, optional=optional)


def _field(name: str, kind: Kind, value: Any, info: FieldInfo, part: str, **more: Any) -> RecipeField:
    head, _, rest = name.partition(".")
    group = _GROUP_OF.get(head, "Model")
    words = rest if rest and head.capitalize() == group else name
    label = words.replace("_", " ").replace(".", ": ").capitalize()
    label = _LABELS.get(label, label)
    return RecipeField(
        name=name,
        label=label,
        group=group,
        kind=kind,
        value=value,
        help=info.description or "",
        part=part,
        **more,
    )


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
