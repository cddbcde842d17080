"""A recipe's simple fields, read from its schema."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.errors import BadInput
from workbench.recipe import StudentRecipe
from workbench.recipe_form import RecipeField, recipe_fields
from workbench.training_runs import changed, with_changes


def recipe(**data: Any) -> StudentRecipe:
    return StudentRecipe.model_validate(
        {"recipe": "tiny", "policy": "fit", "backbone": "minilm", "data": {"golden": "bakers", **data}}
    )


def by_name(found: list[RecipeField]) -> dict[str, RecipeField]:
    return {field.name: field for field in found}


def test_fields_are_of_the_kind_of_their_values_and_in_groups() -> None:
    fields = by_name(recipe_fields(recipe()))
    assert fields["schedule.epochs"].kind == "whole"
    assert (fields["schedule.epochs"].low, fields["schedule.epochs"].high) == (1, 1000)
    assert fields["schedule.learning_rate"].kind == "number"
    assert fields["schedule.learning_rate"].low is None  # above 0, which no inclusive bound says
    assert fields["schedule.decay"].choices == ("linear", "cosine")
    assert (fields["heads"].kind, fields["heads"].choices) == ("several", ("policy", "click"))
    assert (fields["data.golden"].kind, fields["data.golden"].optional) == ("text", False)
    assert (fields["data.clicks"].kind, fields["data.clicks"].optional) == ("text", True)
    assert fields["layers"].optional
    assert fields["data.soft_labels"].kind == "part"
    assert fields["data.soft_labels.weight"].part == "data.soft_labels"
    groups = {
        "layers": "Model", "schedule.epochs": "Schedule", "data.golden_weight": "Data", "alpha": "Losses",
        "losses.click.bias": "Losses", "prune.mlp": "Adapter, pruning", "executor": "Resources",
        "resources.gpus": "Resources", "tracking.mlflow": "Tracking",
    }  # fmt: skip
    assert {name: fields[name].group for name in groups} == groups


def test_what_a_recipe_is_and_its_lists_are_left_to_its_file() -> None:
    fields = by_name(recipe_fields(recipe()))
    left = {"recipe", "kind", "description", "policy", "teachers", "field_tokens", "adapter.targets"}
    assert not left & set(fields)


def test_a_part_that_needs_one_of_its_fields_offers_them_all_the_same() -> None:
    fields = by_name(recipe_fields(recipe()))
    assert fields["tracking"].default == {"mlflow": None, "experiment": None, "tensorboard": False}
    changes = {"tracking": fields["tracking"].default}
    with pytest.raises(BadInput, match="nothing is reported"):
        with_changes(recipe(), changes)
    there = with_changes(recipe(), changes | {"tracking.tensorboard": True})
    assert there.tracking is not None
    assert there.tracking.tensorboard


def test_every_field_says_what_it_is() -> None:
    assert [field.name for field in recipe_fields(recipe()) if not field.help] == []


def test_a_part_that_the_recipe_leaves_out_offers_its_defaults() -> None:
    fields = by_name(recipe_fields(recipe(soft_labels=None)))
    part = fields["data.soft_labels"]
    assert part.value is None
    assert part.default == {"run": "latest", "weight": 0.5, "temperature": 1.0}
    assert fields["data.soft_labels.weight"].value == 0.5
    put_in = with_changes(
        recipe(soft_labels=None), {"data.soft_labels": part.default, "data.soft_labels.weight": 2.0}
    )
    assert put_in.data.soft_labels is not None
    assert put_in.data.soft_labels.weight == 2.0


def test_all_values_of_the_form_together_are_the_recipe() -> None:
    plain = recipe()
    fields = by_name(recipe_fields(plain))
    # The fields of a part that is left out are not there to be set.
    there = [f for f in fields.values() if not f.part or fields[f.part].value is not None]
    same = with_changes(plain, {field.name: field.value for field in there})
    assert same == plain
    assert changed(plain, same) == {}


def test_changes_are_named_with_both_values() -> None:
    plain = recipe()
    other = with_changes(plain, {"schedule.epochs": 9, "data.soft_labels": None})
    found = changed(plain, other)
    assert found["schedule.epochs"] == (4, 9)
    assert found["data.soft_labels.weight"] == (0.5, None)
    assert "schedule.batch_size" not in found
