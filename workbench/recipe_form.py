"""A recipe's simple fields as a form shows them: read from the schema, so a new field needs no change here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from workbench.identity import Value
from workbench.recipe import TrainedRecipe

Kind = Literal["whole", "number", "choice", "switch", "part"]
Group = Literal["Data", "Schedule", "Model"]

GROUPS: tuple[Group, ...] = ("Data", "Schedule", "Model")
_GROUP_OF: Mapping[str, Group] = {"data": "Data", "schedule": "Schedule"}


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
    """Return the numbers, switches and choices of a recipe in reading order; texts are left to its file."""
    return list(_fields(type(recipe), recipe.model_dump(mode="json"), "", ""))


def _fields(
    model: type[BaseModel], values: Mapping[str, Any], prefix: str, part: str
) -> Iterator[RecipeField]:
    for key, info in model.model_fields.items():
        name = prefix + key
        kinds = [kind for kind in get_args(info.annotation) or (info.annotation,) if kind is not NoneType]
        nested = kinds[0] if len(kinds) == 1 and _is_model(kinds[0]) else None
        if nested is None:
            yield from _simple(name, info, values[key], kinds, part)
            continue
        optional = NoneType in get_args(info.annotation)
        inside = values[key]
        if optional:
            default = nested().model_dump(mode="json")
            yield _field(name, "part", inside, info, part, default=default)
            inside = inside or default
        yield from _fields(nested, inside, f"{name}.", name if optional else part)


def _simple(name: str, info: FieldInfo, value: Any, kinds: list[Any], part: str) -> Iterator[RecipeField]:
    optional = NoneType in get_args(info.annotation)
    low = next((float(mark.ge) for mark in info.metadata if isinstance(mark, Ge)), None)  # type: ignore[arg-type]
    high = next((float(mark.le) for mark in info.metadata if isinstance(mark, Le)), None)  # type: ignore[arg-type]
    if get_origin(info.annotation) is Literal:
        if len(kinds) > 1:
            yield _field(name, "choice", value, info, part, choices=tuple(map(str, kinds)))
    elif kinds == [bool]:
        yield _field(name, "switch", value, info, part)
    elif kinds in ([int], [float]):
        kind: Kind = "whole" if kinds == [int] else "number"
        yield _field(name, kind, value, info, part, low=low, high=high, optional=optional)


def _field(name: str, kind: Kind, value: Any, info: FieldInfo, part: str, **more: Any) -> RecipeField:
    group = _GROUP_OF.get(name.partition(".")[0], "Model")
    words = name.partition(".")[2] if group != "Model" else name
    label = words.replace("_", " ").replace(".", ": ").capitalize()
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
